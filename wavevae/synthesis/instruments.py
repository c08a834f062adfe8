"""Four instruments from small physical models: `note(hz, seconds, velocity, rng) -> samples at RATE`, at no particular
level.

Strings and bores are travelling waves: what left one end comes back later, filtered (J. O. Smith, *Physical Audio
Signal Processing*, "Digital waveguide models").

    wave[t] = source[t] + sum_k weights[t, k] * wave[t - delay[t] - k + ...]

The loop needs its own past one round trip back, so a whole round trip is computed at once: numpy, no sample loop. What
shapes a finished note (envelope, body, room) is linear and causal.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import numpy as np

RATE = 44100
"""Rate of all synthesis, Hz; files are resampled from it, so that every rate has the same music."""


def lagrange(fraction: np.ndarray) -> np.ndarray:
    """Weights (n, 4) that read a signal at a point `fraction` (n,) of the way from tap 1 to tap 2."""
    x = fraction
    return np.stack(
        [
            -x * (x - 1) * (x - 2) / 6,
            (x + 1) * (x - 1) * (x - 2) / 2,
            -(x + 1) * x * (x - 2) / 2,
            (x + 1) * x * (x - 1) / 6,
        ],
        axis=-1,
    )


def damping(bend: float, gain: float) -> np.ndarray:
    """Three symmetric taps whose response is gain * (1 - bend + bend * cos w): brightness lost on each trip."""
    return gain * np.array([bend / 2, 1 - bend, bend / 2])


@dataclass(frozen=True)
class Trip:
    """A delay that may move (vibrato), with a symmetric filter in it, ready to be read block by block."""

    index: np.ndarray
    """(n, taps) positions in the padded wave."""
    weights: np.ndarray
    """(n, taps)"""
    pad: int
    """Zeros that stand before time 0 in the wave's buffer."""
    block: int
    """Samples that can be computed at once: the shortest trip less the filter's reach."""

    @classmethod
    def make(cls, delay: np.ndarray, taps: np.ndarray, pad: int) -> Trip:
        """delay (n,) samples, the filter's own centre included; taps odd and symmetric; pad > the longest delay."""
        point = pad + np.arange(len(delay)) - delay
        whole = np.floor(point).astype(np.int64)
        read = lagrange(point - whole)  # (n, 4): positions whole - 1 .. whole + 2
        reach = len(taps) // 2
        weights = np.zeros((len(delay), 4 + 2 * reach))
        for k, tap in enumerate(taps):
            weights[:, k : k + 4] += tap * read
        index = whole[:, None] + np.arange(-1 - reach, 3 + reach)
        return cls(index, weights, pad, int(delay.min()) - reach - 3)

    def read(self, wave: np.ndarray, start: int, stop: int) -> np.ndarray:
        """What comes back at samples start..stop (stop - start <= block) of the padded `wave`."""
        return np.einsum("tk,tk->t", wave[self.index[start:stop]], self.weights[start:stop])


def vibrato(
    samples: int, cents: float, rate_hz: float, onset_s: float, rng: np.random.Generator
) -> np.ndarray:
    """A frequency factor (n,) near 1 that swings `cents` either way, from `onset_s` on, never quite regular."""
    t = np.arange(samples) / RATE
    drift = rate_hz * (1 + 0.06 * np.sin(2 * np.pi * rng.uniform(0.3, 0.6) * t + rng.uniform(0, 6.28)))
    phase = 2 * np.pi * np.cumsum(drift) / RATE
    depth = cents * np.clip((t - onset_s) / 0.5, 0, 1)
    return 2.0 ** (depth * np.sin(phase) / 1200)


# -- linear shaping ----------------------------------------------------------------------------------------


def convolve(signal: np.ndarray, response: np.ndarray) -> np.ndarray:
    """Linear convolution by FFT, full length."""
    samples = len(signal) + len(response) - 1
    size = 1 << (samples - 1).bit_length()
    product = np.fft.rfft(signal, size) * np.fft.rfft(response, size)
    return np.fft.irfft(product, size)[:samples]


def without_dc(signal: np.ndarray, cutoff_hz: float = 25.0) -> np.ndarray:
    """A one-pole high-pass at `cutoff_hz`, as its impulse response."""
    pole = np.exp(-2 * np.pi * cutoff_hz / RATE)
    response = -(1 - pole) * pole ** np.arange(int(RATE * 1.6 / cutoff_hz * 2))
    response[0] += 1
    return convolve(signal, response)[: len(signal)]


def low_pass(signal: np.ndarray, cutoff_hz: float, poles: int = 1) -> np.ndarray:
    """One-pole low-passes in a row, as their impulse response."""
    pole = np.exp(-2 * np.pi * min(cutoff_hz, 0.45 * RATE) / RATE)
    response = (1 - pole) * pole ** np.arange(max(8, int(12 / max(1e-3, 1 - pole))))
    for _ in range(poles):
        signal = convolve(signal, response)[: len(signal)]
    return signal


def envelope(samples: int, points: list[tuple[float, float]], glide_s: float = 0.008) -> np.ndarray:
    """Straight lines through (seconds, value), corners rounded over `glide_s`: (samples,). Times must rise."""
    times, values = zip(*points, strict=True)
    if any(b <= a for a, b in pairwise(times)):
        raise ValueError(f"times {times} do not rise")
    line = np.interp(np.arange(samples) / RATE, times, values, left=values[0], right=values[-1])
    window = np.hanning(max(3, int(glide_s * RATE)))
    padded = np.concatenate([np.full(len(window) - 1, line[0]), line])
    return convolve(padded, window / window.sum())[len(window) - 1 : len(window) - 1 + samples]


def body(modes: list[tuple[float, float, float]], direct: float) -> np.ndarray:
    """Impulse response of a resonating body: modes of (Hz, seconds to -60 dB, gain) beside the direct sound."""
    t = np.arange(int(0.12 * RATE)) / RATE
    response = np.zeros(len(t))
    for hz, decay_s, gain in modes:
        response += gain * np.sin(2 * np.pi * hz * t) * 10 ** (-3 * t / decay_s) * (2 * np.pi * hz / RATE)
    response[0] += direct
    return response


def room(rng: np.random.Generator, decay_s: float = 0.7) -> np.ndarray:
    """Impulse response of a small hall: a few early echoes, then noise whose highs die sooner (Moorer 1979)."""
    t = np.arange(int(1.1 * decay_s * RATE)) / RATE
    tail = np.zeros(len(t))
    for low, high, share in ((80, 800, 1.0), (800, 3000, 0.75), (3000, 9000, 0.45)):
        spectrum = np.fft.rfft(rng.standard_normal(len(t)))
        hz = np.fft.rfftfreq(len(t), 1 / RATE)
        spectrum *= np.clip((hz - 0.8 * low) / (0.4 * low), 0, 1) * np.clip(
            (1.2 * high - hz) / (0.4 * high), 0, 1
        )
        tail += np.fft.irfft(spectrum, len(t)) * 10 ** (-3 * t / (share * decay_s))
    tail *= np.clip((t - 0.012) / 0.02, 0, 1)
    tail *= 0.16 / np.sqrt(np.sum(tail**2))
    for delay_s, gain in ((0.0071, 0.08), (0.0113, -0.06), (0.0172, 0.05), (0.0231, -0.035)):
        tail[int(delay_s * RATE)] += gain
    tail[0] += 1.0
    return tail * np.clip((t[-1] - t) / 0.05, 0, 1)


# -- the instruments ---------------------------------------------------------------------------------------

# Ratio to the fundamental, strength, seconds to -60 dB (at 300 Hz).
STRUCK_MODES = ((1, 1.0, 6.0), (4, 0.7, 2.6), (10.1, 0.45, 1.0), (17.3, 0.2, 0.4), (2.76, 0.05, 0.5))
GUITAR = body(
    [(104, 0.16, 1.6), (198, 0.12, 1.4), (262, 0.09, 0.7), (415, 0.07, 0.6), (620, 0.05, 0.4)], 0.55
)
CELLO = body([(98, 0.12, 0.5), (176, 0.1, 0.8), (310, 0.07, 0.6), (560, 0.05, 0.4), (1250, 0.02, 0.5)], 0.8)


def plucked(hz: float, seconds: float, velocity: float, rng: np.random.Generator) -> np.ndarray:
    """A guitar-like string (Karplus & Strong 1983, extended by Jaffe & Smith 1983): a pick's noise burst runs round
    a damped loop of exactly one period; two polarisations, a cent apart, give the two-stage decay."""
    ring_s = min(seconds, 3.0) + 1.2
    samples = int(ring_s * RATE)
    period = RATE / hz
    burst = rng.standard_normal(int(period) + 1) + 2.0 * np.sign(np.arange(int(period) + 1) - 0.2 * period)
    pick = np.zeros(samples)
    pick[: len(burst)] = burst - burst.mean()
    pick = low_pass(pick, 900 + 5200 * velocity**2, poles=2)
    comb = np.zeros(
        int(0.19 * period) + 1
    )  # plucked at 19 % of the string: every mode with a node there is missing
    comb[0], comb[-1] = 1.0, -0.9
    pick = convolve(pick, comb)[:samples]
    sound = np.zeros(samples)
    for share, cents, decay_s in ((0.7, 0.0, 4.2), (0.3, 1.2, 7.5)):
        sound += share * _string(pick, hz * 2 ** (cents / 1200), decay_s * (110 / hz) ** 0.4)
    damper = envelope(samples, [(0, 1), (seconds, 1), (seconds + 0.12, 0.02), (seconds + 0.4, 0)], 0.03)
    return without_dc(convolve(sound * damper, GUITAR)[:samples])


def _string(source: np.ndarray, hz: float, decay_s: float) -> np.ndarray:
    """A loop of one period that falls 60 dB in `decay_s` at its fundamental and six times as fast at 5 kHz."""
    samples, period = len(source), RATE / hz
    low, high = 10 ** (-3 / (hz * decay_s)), 10 ** (-18 / (hz * decay_s))
    bend = (low - high) / (low * (1 - np.cos(2 * np.pi * 5000 / RATE)))
    pad = int(period) + 16
    trip = Trip.make(np.full(samples, period), damping(min(bend, 0.45), low), pad)
    wave = np.zeros(pad + samples)
    for start in range(0, samples, trip.block):
        stop = min(start + trip.block, samples)
        wave[pad + start : pad + stop] = source[start:stop] + trip.read(wave, start, stop)
    return wave[pad:]


def reed(hz: float, seconds: float, velocity: float, rng: np.random.Generator) -> np.ndarray:
    """A clarinet-like tone: a reed whose opening falls with pressure feeds a bore closed at one end (McIntyre,
    Schumacher & Woodhouse 1983; reed table of Cook & Scavone's STK)."""
    samples = int((seconds + 0.25) * RATE)
    breath = _breath(samples, seconds, velocity, rng)
    delay = RATE / (2 * hz * vibrato(samples, 4, rng.uniform(4.6, 5.4), 0.5, rng))
    pad = int(delay.max()) + 16
    loss = np.hanning(15)[1:-1]  # highs leave by the tone holes; were they to come back, it would overblow
    trip = Trip.make(delay, 0.95 * loss / loss.sum(), pad)
    bore = np.zeros(pad + samples)
    round_trip = int(delay[0])  # what still rings from before helps the tone to speak
    bore[pad - round_trip : pad] = 0.1 * np.sin(np.pi * np.arange(round_trip) / round_trip)
    for start in range(0, samples, trip.block):
        stop = min(start + trip.block, samples)
        pressure = breath[start:stop]
        back = -trip.read(bore, start, stop)
        difference = back - pressure
        flow = difference * np.clip(0.7 - 0.3 * difference, -1.0, 1.0)
        bore[pad + start : pad + stop] = pressure + flow
    return low_pass(without_dc(bore[pad:], 60.0), 3500 + 4000 * velocity)


def _breath(samples: int, seconds: float, velocity: float, rng: np.random.Generator) -> np.ndarray:
    """Mouth pressure: attack, hold with turbulence and a slow swell, release."""
    attack = 0.05 - 0.025 * velocity
    level = 0.64 + 0.09 * velocity
    points = [(0, 0.0), (attack, level * 1.13), (attack + 0.1, level), (seconds - 0.06, 0.97 * level)]
    shape = envelope(samples, [*points, (seconds + 0.04, 0.0)], 0.02)
    hiss = low_pass(rng.standard_normal(samples), 4500)
    swell = 0.012 * np.sin(2 * np.pi * rng.uniform(4.5, 5.3) * np.arange(samples) / RATE)
    return shape * (1 + 0.025 * hiss + swell)


def bowed(hz: float, seconds: float, velocity: float, rng: np.random.Generator) -> np.ndarray:
    """A cello-like string: stick and slip between a bow and two waves, one to the bridge, one to the nut (Smith
    1986; friction curve of Cook & Scavone's STK)."""
    samples = int((seconds + 0.5) * RATE)
    period = RATE / (hz * vibrato(samples, 11, rng.uniform(5.0, 5.8), 0.35, rng))
    place = 0.127
    pad = int(period.max()) + 16
    loss = np.hanning(2 * round(0.03 * RATE / hz) + 1)[1:-1]  # corners rounded in proportion to the period
    bridge = Trip.make(place * period, 0.965 * loss / loss.sum(), pad)
    nut = Trip.make((1 - place) * period, np.ones(1), pad)
    speed = _bow(samples, seconds, velocity, rng)
    to_bridge, to_nut = np.zeros(pad + samples), np.zeros(pad + samples)
    block = min(bridge.block, nut.block)
    for start in range(0, samples, block):
        stop = min(start + block, samples)
        from_bridge, from_nut = -bridge.read(to_bridge, start, stop), -nut.read(to_nut, start, stop)
        slip = speed[start:stop] - (from_bridge + from_nut)
        grip = slip * np.minimum((np.abs(slip) + 0.75) ** -4.0, 0.98)
        to_nut[pad + start : pad + stop] = from_bridge + grip
        to_bridge[pad + start : pad + stop] = from_nut + grip
    tone = without_dc(convolve(low_pass(to_bridge[pad:], 3500 + 4000 * velocity), CELLO)[:samples], 35.0)
    return tone * envelope(samples, [(0, 1), (seconds + 0.3, 1), (seconds + 0.48, 0)], 0.02)


def _bow(samples: int, seconds: float, velocity: float, rng: np.random.Generator) -> np.ndarray:
    """Bow speed: attack, a slow swell, the bow's grain, a lift after which the string rings."""
    level = 0.06 + 0.09 * velocity
    attack = 0.11 - 0.06 * velocity
    points = [(0, 0.0), (attack, level), (0.6 * seconds, 1.08 * level), (seconds - 0.08, 0.9 * level)]
    shape = envelope(samples, [*points, (seconds, 0.0)], 0.03)
    return shape * (1 + 0.03 * low_pass(rng.standard_normal(samples), 2500))


def struck(hz: float, seconds: float, velocity: float, rng: np.random.Generator) -> np.ndarray:
    """A vibraphone-like bar: the modes of a bar tuned by undercutting (1 : 4 : 10; Fletcher & Rossing 1998, ch. 19),
    struck by a mallet whose contact time falls with force."""
    samples = int((min(seconds, 4.0) + 0.9) * RATE)
    t = np.arange(samples) / RATE
    contact_s = 0.0024 - 0.0018 * velocity
    sound = np.zeros(samples)
    for ratio, gain, decay_s in STRUCK_MODES:
        mode_hz = hz * ratio
        if mode_hz > 0.45 * RATE:
            continue
        heard = gain / (1 + (2 * mode_hz * contact_s) ** 2)  # how much of the contact pulse reaches this mode
        for cents, share in ((0.0, 0.8), (rng.uniform(-2.0, 2.0) if ratio > 1 else 0.0, 0.2)):
            wave = np.sin(2 * np.pi * mode_hz * 2 ** (cents / 1200) * t)
            sound += share * heard * wave * 10 ** (-3 * t / (decay_s * (300 / hz) ** 0.35))
    knock = rng.standard_normal(samples) * np.exp(-t / 0.004) * np.minimum(t / 0.001, 1)
    sound += 0.12 * velocity * low_pass(knock, 1800 + 2500 * velocity, poles=2)
    motor = 1 - 0.1 * (1 - np.cos(2 * np.pi * 4.3 * t))
    damper = envelope(samples, [(0, 1), (seconds, 1), (seconds + 0.3, 0.02), (seconds + 0.7, 0)], 0.03)
    return without_dc(sound * motor) * damper
