"""The yardstick against closed forms and independent implementations."""

from __future__ import annotations

import math

import numpy as np
import pytest
import scipy.signal
import scipy.stats
import torch
import torchaudio
from auraloss.freq import MultiResolutionSTFTLoss

from wavevae.evaluation import metrics
from wavevae.evaluation.excerpts import cut_chunks
from wavevae.evaluation.measure import Measure, summarise
from wavevae.evaluation.metrics import CodeUse
from wavevae.evaluation.model_under_test import Piece

RATE = 22050


def noise(*shape: int, seed: int = 0, scale: float = 0.1) -> torch.Tensor:
    return scale * torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def sine(hz: float, samples: int = RATE, amplitude: float = 0.5) -> torch.Tensor:
    return amplitude * torch.sin(2 * math.pi * hz * torch.arange(samples) / RATE)[None]


DISTANCES = {
    "mse": (metrics.mse, 0.0),
    "cosine_similarity": (metrics.cosine_similarity, 1.0),
    "si_sdr_db": (metrics.si_sdr_db, metrics.DB_LIMIT),
    "accuracy_waveform": (metrics.accuracy_waveform, 100.0),
    "accuracy_stft": (metrics.accuracy_stft, 100.0),
    "level_difference_db": (metrics.level_difference_db, 0.0),
    "log_mel_l1": (lambda y, x: metrics.log_mel_l1(y, x, RATE), 0.0),
    "mr_stft": (metrics.MultiResolutionSTFT(), 0.0),
}


@pytest.mark.parametrize("name", DISTANCES)
def test_a_copy_is_perfect_and_worse_copies_are_worse(name: str) -> None:
    distance, perfect = DISTANCES[name]
    x = noise(1, RATE)
    assert float(distance(x, x)[0]) == pytest.approx(perfect, abs=1e-4)
    steps = [float(distance(x + level * noise(1, RATE, seed=1), x)[0]) for level in (0.1, 0.3, 1.0)]
    gaps = [abs(step - perfect) for step in steps]
    assert gaps[0] < gaps[1] < gaps[2]


@pytest.mark.parametrize("name", DISTANCES)
def test_a_batch_gives_what_its_members_give(name: str) -> None:
    distance, _ = DISTANCES[name]
    x, y = noise(3, RATE), noise(3, RATE, seed=1)
    x[1] *= 0.01
    alone = [float(distance(y[i : i + 1], x[i : i + 1])[0]) for i in range(3)]
    assert distance(y, x).tolist() == pytest.approx(alone, rel=1e-4)


def test_levels_of_known_sounds() -> None:
    assert float(metrics.level_dbfs(torch.ones(1, 100))[0]) == pytest.approx(0.0)
    assert float(metrics.level_dbfs(sine(441.0, amplitude=1.0))[0]) == pytest.approx(-3.0103, abs=1e-3)
    assert float(metrics.level_dbfs(torch.zeros(1, 100))[0]) == pytest.approx(-120.0)
    x = sine(441.0)
    assert float(metrics.level_difference_db(0.5 * x, x)[0]) == pytest.approx(-6.0206, abs=1e-3)


def test_a_chunk_is_silent_at_minus_60_dbfs() -> None:
    loud = torch.full((1, 1000), 10 ** (-59.9 / 20))
    quiet = torch.full((1, 1000), 10 ** (-60.1 / 20))
    assert metrics.audible(torch.cat([loud, quiet, torch.zeros(1, 1000)])).tolist() == [True, False, False]


def test_si_sdr_is_the_ratio_of_orthogonal_parts_whatever_the_scale() -> None:
    x, error = sine(441.0), sine(882.0, amplitude=0.05)  # orthogonal over a whole second, 20 dB apart
    assert float(metrics.si_sdr_db(x + error, x)[0]) == pytest.approx(20.0, abs=1e-3)
    assert float(metrics.si_sdr_db(7 * (x + error) + 0.3, x)[0]) == pytest.approx(20.0, abs=1e-3)
    assert math.isfinite(float(metrics.si_sdr_db(torch.zeros(1, RATE), x)[0]))


def test_accuracies_have_their_closed_forms() -> None:
    x = sine(441.0)
    assert float(metrics.accuracy_waveform(0.9 * x, x)[0]) == pytest.approx(99.0, abs=1e-3)
    assert float(metrics.accuracy_waveform(-x, x)[0]) == 0.0
    assert float(metrics.accuracy_stft(-x, x)[0]) == pytest.approx(100.0, abs=1e-3)  # phase does not count
    assert float(metrics.accuracy_stft(0.9 * x, x)[0]) == pytest.approx(99.0, abs=1e-3)


def test_mse_and_cosine_against_numpy() -> None:
    x, y = noise(2, 500).double(), noise(2, 500, seed=3).double()
    a, b = y.numpy(), x.numpy()
    cosine = (a * b).sum(1) / np.linalg.norm(a, axis=1) / np.linalg.norm(b, axis=1)
    assert metrics.cosine_similarity(y, x).numpy() == pytest.approx(cosine)
    assert metrics.mse(y, x).numpy() == pytest.approx(((a - b) ** 2).mean(1))
    assert metrics.cosine_similarity(torch.zeros(1, 5), torch.ones(1, 5)).item() == 0.0


def test_magnitudes_against_scipy() -> None:
    x = noise(1, RATE).double()
    padded = np.pad(x[0].numpy(), 1024, mode="reflect")
    window = scipy.signal.get_window("hann", 2048)
    frames = np.lib.stride_tricks.sliding_window_view(padded, 2048)[::512]
    wanted = np.abs(np.fft.rfft(frames * window, axis=1)).T
    assert np.abs(metrics.magnitudes(x)[0].numpy() - wanted).max() < 1e-6 * wanted.max()


@pytest.mark.parametrize("rate", [16000, 22050, 44100])
def test_mel_power_is_torchaudios(rate: int) -> None:
    x = noise(2, rate)
    transform = torchaudio.transforms.MelSpectrogram(rate, n_fft=2048, hop_length=512, n_mels=128)
    wanted = transform(x)
    found = metrics.mel_power(x, rate)
    assert found.shape == wanted.shape
    assert float((found - wanted).abs().max() / wanted.max()) < 1e-4


def test_log_mel_l1_counts_decibels() -> None:
    x = noise(1, RATE)
    assert float(metrics.log_mel_l1(x * 10 ** (-4 / 20), x, RATE)[0]) == pytest.approx(0.1, abs=1e-4)
    assert float(metrics.log_mel_l1(x * 10 ** (4 / 20), x, RATE)[0]) == pytest.approx(0.1, abs=1e-4)
    power = metrics.mel_power(x, RATE)
    below = 10 * torch.log10(power / power.max())
    assert float(metrics.log_mel_l1(torch.zeros(1, RATE), x, RATE)[0]) == pytest.approx(
        float(((below + 80) / 40).mean()), abs=1e-3
    )


def test_mr_stft_is_auralosses_chunk_by_chunk() -> None:
    x, y = noise(3, RATE), noise(3, RATE, seed=5)
    x[2] *= 0.01  # a quiet chunk weighs as much as a loud one
    loss = MultiResolutionSTFTLoss()
    wanted = [float(loss(y[i][None, None], x[i][None, None])) for i in range(3)]
    assert metrics.MultiResolutionSTFT()(y, x).tolist() == pytest.approx(wanted, rel=1e-5)


def test_kl_is_the_integral_it_stands_for() -> None:
    mean, log_variance = torch.tensor([[0.7, 0.0], [-1.2, 0.0]]), torch.tensor([[-0.5, 0.0], [0.9, 0.0]])
    grid = np.linspace(-14, 14, 20001)
    wanted = 0.0
    for m, v in zip(mean[:, 0].tolist(), log_variance[:, 0].tolist(), strict=True):
        p = scipy.stats.norm.pdf(grid, m, math.exp(v / 2))
        log_ratio = scipy.stats.norm.logpdf(grid, m, math.exp(v / 2)) - scipy.stats.norm.logpdf(grid)
        wanted += float(np.trapezoid(p * log_ratio, grid))
    assert metrics.kl_per_frame(mean, log_variance).tolist() == pytest.approx([wanted, 0.0], abs=1e-6)


def test_active_dims_are_those_whose_mean_moves() -> None:
    active = metrics.Moments(3)
    frames = (
        noise(3, 4000, scale=1.0) * torch.tensor([1.0, 0.09, 0.12])[:, None] + 5.0
    )  # variance 1, .008, .014
    for part in frames.split(700, dim=-1):
        active.add(part)
    assert active.variances.tolist() == pytest.approx(frames.var(-1, correction=0).tolist(), rel=1e-3)
    assert active.active_dims() == 2


@pytest.mark.parametrize(
    ("samples", "starts"),
    [
        (1, [0]),
        (400, [0]),
        (1000, [0]),
        (1499, [0]),
        (1500, [0, 500]),
        (2000, [0, 1000]),
        (3600, [0, 1000, 2000, 2600]),
    ],
)
@pytest.mark.parametrize("block", [128, 640, 5120])
def test_chunks_cover_a_file_and_share_its_frames_out_once(
    samples: int, starts: list[int], block: int
) -> None:
    hop = 128
    x = torch.arange(samples, dtype=torch.float32) + 1
    frame_count = -(-samples // hop)
    frames = torch.arange(frame_count, dtype=torch.float32)[None]

    def pieces():
        for a in range(0, samples, block):
            b = min(a + block, samples)
            part = frames[:, a // hop : -(-b // hop)]
            yield Piece(x[a:b], -x[a:b], part, part[0], part.long())

    found = list(cut_chunks(pieces(), 1000, hop))
    assert [chunk.start for chunk in found] == starts
    for chunk in found:
        heard = x[chunk.start : chunk.start + 1000]
        assert torch.equal(chunk.reference[: len(heard)], heard)
        assert not chunk.reference[len(heard) :].any()
        assert torch.equal(chunk.estimate, -chunk.reference)
    given = torch.cat([chunk.latents for chunk in found if chunk.latents is not None], dim=-1)
    assert torch.equal(given, frames[:, : given.shape[-1]])
    for part in ("kl", "codes"):
        values = torch.cat([getattr(chunk, part).flatten() for chunk in found])
        assert torch.equal(values, given[0].to(values.dtype))
    last = starts[-1] + 1000
    assert given.shape[-1] == min(frame_count, -(-last // hop))


def test_measure_leaves_silence_out_and_says_so() -> None:
    measure = Measure(RATE, 256, 2)
    loud, silent = noise(RATE), torch.zeros(RATE)
    mean = torch.tensor([[1.0, -1.0], [0.0, 0.0]])
    kl = metrics.kl_per_frame(mean, mean * 0)
    reference, estimate = torch.cat([loud, silent, loud]), torch.cat([0.5 * loud, loud, 0.5 * loud])
    for chunk in cut_chunks([Piece(reference, estimate, mean, kl)], RATE, 256):
        measure.add("a.wav", chunk)
    means, intervals = summarise(measure)
    assert (len(measure.rows), measure.left_out) == (2, 1)
    assert [row.start_s for row in measure.rows] == [0.0, 2.0]
    assert means["level_difference_db"] == pytest.approx(-6.0206, abs=1e-3)
    assert means["kl_nats"] == pytest.approx(0.5)
    assert means["active_dims"] == 1
    assert means["codebook_usage"] is None
    assert means["pitch_error_cents"] is None  # noise has no pitch
    assert not any(intervals.values())  # one file tells nothing of others


def test_codes_are_counted_as_they_are_used() -> None:
    use = CodeUse(8)
    assert (use.perplexity(), use.usage(), use.bits_per_frame()) == (None, None, None)
    use.add(torch.tensor([[0, 1, 2, 3], [5, 5, 5, 5]]))
    use.add(torch.tensor([[3, 2, 1, 0], [5, 5, 5, 5]]))
    assert use.perplexity() == pytest.approx((4 + 1) / 2)
    assert use.usage() == pytest.approx((4 / 8 + 1 / 8) / 2)
    assert use.bits_per_frame() == pytest.approx(2.0)
    draws = torch.randint(8, (1, 400), generator=torch.Generator().manual_seed(0))
    other = CodeUse(8)
    other.add(draws)
    counts = torch.bincount(draws[0], minlength=8).numpy()
    assert other.perplexity() == pytest.approx(math.exp(scipy.stats.entropy(counts)))


def test_a_model_that_gives_nan_is_no_figure() -> None:
    measure = Measure(RATE, 256, 2)
    x = noise(RATE)
    y = x.clone()
    y[5] = math.nan
    with pytest.raises(RuntimeError, match=r"a\.wav at 0\.0 s"):
        measure.add("a.wav", next(cut_chunks([Piece(x, y)], RATE, 256)))
