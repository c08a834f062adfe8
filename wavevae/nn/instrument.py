"""The instrument: a causal raw-audio VAE whose latents are controls, and whose decoder has a state.

    sound --pitch tracker, loudness--------------------------------> pitch, loudness, periodicity --\\
       \\--strided Fourier convolution, mel bands, causal convolutions--> bottleneck --> timbre ------+--> decoder
                                                                                                   |
    sound <-- oscillators with a running phase, band noise <-- powers of partials and bands <-- causal convolutions

The decoder's network shares the power of a frame between partials and noise bands; the shares add up to 1 and are
multiplied by the loudness, so that pitch and loudness are exactly those of the controls. The synthesis follows DDSP
(Engel et al. 2020); new are the joint shares, the wavetable and the state.

No `from __future__ import annotations` here: TorchScript reads the annotations of what the streaming twin shares.
"""

from typing import TYPE_CHECKING, NamedTuple

import torch
from torch import Tensor, nn

from wavevae.errors import UserError
from wavevae.model_config import (
    HIGHEST_LOUDNESS,
    HIGHEST_PITCH,
    LATENT_LIMIT,
    LOWEST_LOUDNESS,
    LOWEST_PITCH,
    ModelConfig,
)
from wavevae.nn.bottlenecks.base import Bottleneck, Latents, Statistics, make_bottleneck
from wavevae.nn.conditioning import Condition
from wavevae.nn.conv import (
    CausalConv1d,
    activation,
    first_input,
    init_network,
    pad_to_multiple,
    residual_stack,
    scale_weights,
)
from wavevae.nn.instrument_encoder import (
    ClassBias,
    InstrumentEncoder,
    control_scales,
    scaled_controls,
    zero_shortcut,
)
from wavevae.nn.model import AudioModel, check_audio
from wavevae.nn.synthesizer import (
    Life,
    LifeState,
    PowerShares,
    Shares,
    Synthesis,
    SynthesisState,
    noise_points,
)

if TYPE_CHECKING:
    from wavevae.prior.model import Prior
    from wavevae.transfer import CorpusProfile

NAMED = ("brightness", "noisiness")
"""The first learned latents."""
INITIAL_SHARE = {"index": -0.3, "noise": -5.0, "carriers": -5.0}
"""Of an untrained decoder: slope of the partials' log power, level of the rest against them."""


class ControlledBottleneck(Bottleneck):
    """A bottleneck for the learned latents; the controls before them pass as they are."""

    def __init__(self, controls: int, learned: Bottleneck) -> None:
        super().__init__()
        self.controls, self.learned = controls, learned
        self.in_channels = learned.in_channels

    def learned_part(self) -> Bottleneck:
        return self.learned

    def look_back_frames(self) -> int:
        return self.learned.look_back_frames()

    def forward(self, h: Tensor) -> Latents:
        """(B, controls + in_channels, F) -> Latents, z (B, controls + latent_dim, F)."""
        latents = self.learned(h[:, self.controls :])
        return latents._replace(z=self.joined(h, latents.z))

    def mean(self, h: Tensor) -> Tensor:
        return self.joined(h, self.learned.mean(h[:, self.controls :]))

    def joined(self, h: Tensor, learned: Tensor) -> Tensor:
        """The controls of `h` and learned latents -> z."""
        return torch.cat([h[:, : self.controls], learned], 1)

    def statistics(self, h: Tensor) -> Statistics:
        """Controls in their own units come first; KL and codes are those of the learned latents."""
        found = self.learned.statistics(h[:, self.controls :])
        latents = torch.cat([h[0, : self.controls], found.latents])
        return found._replace(z=self.joined(h, found.z), latents=latents)

    def with_top_latents_of(self, h: Tensor, other: Tensor) -> Tensor:
        learned = self.learned.with_top_latents_of(h[:, self.controls :], other[:, self.controls :])
        return self.joined(h, learned)


class Frame(NamedTuple):
    """The decoder network's output for frames: what the synthesis plays."""

    shares: Shares
    hz: Tensor
    """(B, 1, F) float64: in a minute the last digits become a phase."""
    loudness: Tensor
    """(B, 1, F) dB"""

    def after(self, frames: int) -> "Frame":
        """Without the first ones."""
        shares = Shares(*(part[..., frames:] for part in self.shares))
        return Frame(shares, self.hz[..., frames:], self.loudness[..., frames:])


class DecoderState(NamedTuple):
    """State from one decode to the next: a sound decoded in pieces equals the whole."""

    life: LifeState
    synthesis: SynthesisState
    past: Tensor
    """(B, latents, frames) that the network saw last, at most its look-back."""


class InstrumentDecoder(nn.Module):
    """Latents (B, latents, F) -> sound (B, 1, F x hop_length)."""

    low: Tensor
    high: Tensor
    noise_hz: Tensor
    carrier_hz: Tensor

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.n_controls, self.pitched = len(config.controls), config.has_oscillator_pitch
        self.loudness_at = 1 if self.pitched else 0
        width = config.decoder_width
        self.life = Life(config.n_latents, config.frame_rate)
        self.shares = PowerShares(config)
        self.inlet = CausalConv1d(config.n_latents, width, 3)
        self.class_bias = ClassBias(config, width) if config.has_class else None
        self.core = residual_stack(width, config.decoder_dilations)
        self.outlet = CausalConv1d(width + config.n_latents, self.shares.channels, 1)
        self.synthesis = Synthesis(config)
        self.scale_of_controls = control_scales(config)
        carriers = self.synthesis.carriers
        none = torch.zeros(0)
        carrier_hz = none if carriers is None else carriers.frequency.float() * config.sample_rate
        noise_hz = noise_points(config.noise_bands, config.hop_length, config.sample_rate).float()
        self.register_buffer("noise_hz", noise_hz, persistent=False)
        self.register_buffer("carrier_hz", carrier_hz, persistent=False)
        low = [LOWEST_PITCH, LOWEST_LOUDNESS, 0.0] if self.pitched else [LOWEST_LOUDNESS]
        high = [HIGHEST_PITCH, HIGHEST_LOUDNESS, 1.0] if self.pitched else [HIGHEST_LOUDNESS]
        self.register_buffer("low", torch.tensor(low))
        """(controls,) range of each in the corpus; what is played may lie beyond."""
        self.register_buffer("high", torch.tensor(high))
        init_network(self)
        scale_weights(self.outlet, 0.1)
        zero_shortcut(self.outlet, width)
        self._init_shares()

    def _init_shares(self) -> None:
        """A falling spectrum of partials with little noise."""
        bias = self.outlet.conv.bias
        assert bias is not None
        parts = self.shares
        with torch.no_grad():
            slope = INITIAL_SHARE["index"] * torch.arange(parts.partials).clamp(max=40)
            bias[: parts.partials] = slope
            first = parts.partials + parts.envelope
            bias[first : first + parts.noise] = INITIAL_SHARE["noise"]
            bias[first + parts.noise : parts.channels - parts.curve] = INITIAL_SHARE["carriers"]

    def cleaned(self, z: Tensor) -> Tensor:
        """Latents within what can be played: finite, controls in their limits."""
        z = torch.nan_to_num(z, nan=0.0, posinf=0.0, neginf=0.0)
        loudness = z[:, self.loudness_at : self.loudness_at + 1].clamp(LOWEST_LOUDNESS, HIGHEST_LOUDNESS)
        learned = z[:, self.n_controls :].clamp(-LATENT_LIMIT, LATENT_LIMIT)
        if not self.pitched:
            return torch.cat([loudness, learned], 1)
        pitch = z[:, :1].clamp(LOWEST_PITCH, HIGHEST_PITCH)
        return torch.cat([pitch, loudness, z[:, 2:3].clamp(0.0, 1.0), learned], 1)

    def seen(self, z: Tensor) -> Tensor:
        """The network's input: controls within the range of the corpus, all of about unit size."""
        controls = torch.minimum(
            torch.maximum(z[:, : self.n_controls], self.low[:, None]), self.high[:, None]
        )
        return torch.cat([scaled_controls(controls, self.scale_of_controls), z[:, self.n_controls :]], 1)

    def frames(self, z: Tensor, condition: Condition | None = None) -> Frame:
        """Cleaned latents -> shares, pitch, loudness."""
        seen = self.seen(z)
        h = self.inlet(seen)
        if self.class_bias is not None:
            h = self.class_bias(h, condition)
        out = self.outlet(torch.cat([activation(self.core(h)), seen], 1)).float()
        return self.frame_of(out, z)

    def frame_of(self, out: Tensor, z: Tensor) -> Frame:
        """The network's output (B, channels, F) for cleaned latents -> shares, pitch, loudness."""
        loudness = z[:, self.loudness_at : self.loudness_at + 1]
        hz = 440.0 * torch.exp2((z[:, :1].double() - 69.0) / 12.0) if self.pitched else loudness
        return Frame(self.shares(out, hz.float()), hz, loudness)

    def attributes(self, frame: Frame) -> Tensor:
        """The attributes brightness and noisiness (B, 2, F): log2 of the spectral centroid in Hz, and log of the
        noise's power against the rest; where there is only noise, log of its spectral flatness."""
        noise, carriers = torch.exp(frame.shares.noise), torch.exp(frame.shares.carriers)
        hiss, rest = noise.sum(1), carriers.sum(1)
        moment = (noise * self.noise_hz[:, None]).sum(1) + (carriers * self.carrier_hz[:, None]).sum(1)
        if self.pitched:
            partials = torch.exp(frame.shares.partials)
            number = torch.arange(1, partials.shape[1] + 1, device=partials.device)
            moment = moment + (partials * number[:, None] * frame.hz.float()).sum(1)
            rest = rest + partials.sum(1)
        centroid = torch.log2(moment / (hiss + rest).clamp_min(1e-6) + 20.0)
        noisiness = torch.log(hiss + 1e-5) - torch.log(rest + 1e-5)
        if not self.pitched and not self.shares.carriers:
            width = torch.gradient(self.noise_hz)[0][:, None]
            density = frame.shares.noise - torch.log(width)
            noisiness = density.mean(1) - torch.log(torch.exp(density).mean(1))
        return torch.stack([centroid, noisiness], 1)

    def initial(self, voices: int, like: Tensor) -> DecoderState:
        """Before the first frame."""
        nothing = like.new_zeros(voices, len(self.life.spread), 0)
        return DecoderState(self.life.initial(voices, like), self.synthesis.initial(voices, like), nothing)

    @property
    def look_back_frames(self) -> int:
        """Frames before its own that the network sees."""
        return -first_input((self.inlet, self.core), 0)

    def first_input(self, frame: int) -> int:
        """The first latent frame on which hop `frame` depends; it begins where the frame before was reached."""
        return first_input((self.inlet, self.core, self.outlet), frame - 1)

    def forward(
        self,
        z: Tensor,
        condition: Condition | None = None,
        life: float = 1.0,
        state: DecoderState | None = None,
    ) -> tuple[Tensor, DecoderState]:
        """-> sound, and the state that goes on from here."""
        state = self.initial(len(z), z) if state is None else state
        z, lived = self.life(self.cleaned(z), life, state.life)
        joined = torch.cat([state.past.to(z), z], 2)
        frame = self.frames(joined, condition).after(state.past.shape[2])
        sound, synthesis = self.sound(frame, state.synthesis)
        return sound, DecoderState(lived, synthesis, joined[..., -self.look_back_frames :])

    def sound(self, frame: Frame, state: SynthesisState) -> tuple[Tensor, SynthesisState]:
        """Frames -> (B, 1, F x hop_length) within full scale, in fp32 whatever the precision of the rest."""
        with torch.autocast(frame.hz.device.type, enabled=False):
            sound, after = self.synthesis(frame.shares, frame.hz, frame.loudness.float(), state)
        return sound.clamp(-1.0, 1.0), after


class Instrument(AudioModel):
    """Causal raw-audio VAE that is played: audio (B, 1, T), latents (B, latent_dim, frames) named by `axis_names`.

    Frame n of `encode` describes sample (n + 1) x hop_length - algorithmic_latency; `decode` is not late.
    """

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.config = config
        self.bottleneck: ControlledBottleneck = ControlledBottleneck(
            len(config.controls), make_bottleneck(config)
        )
        self.encoder: InstrumentEncoder = InstrumentEncoder(config, self.bottleneck.in_channels)
        self.decoder: InstrumentDecoder = InstrumentDecoder(config)
        self.life = 1.0
        """How much a held tone drifts; 0: not at all."""
        self.profile: CorpusProfile | None = None
        """The statistics of the corpus' latents, where they were kept: `fit_latents` fits to them."""

        self._prior: tuple[Prior, ...] = ()

    @property
    def prior(self) -> "Prior | None":
        """Plays and improvises on the CPU, where it was trained; not one of the model's own parts."""
        return self._prior[0] if self._prior else None

    def set_prior(self, prior: "Prior") -> None:
        self._prior = (prior,)

    @property
    def axis_names(self) -> tuple[str, ...]:
        return self.config.axis_names

    @property
    def receptive_field(self) -> int:
        """Samples that a resynthesised hop depends on by its convolutions, counted back from its own end. Pitch, which
        holds, and phase reach further."""
        frames = self.decoder.look_back_frames + self.bottleneck.look_back_frames()
        frames -= first_input((self.encoder.inlet, self.encoder.core), 0)
        # and two hops: a hop moves from a frame to the next
        return (frames + 2) * self.hop_length + self.encoder.spectrum.past_samples

    def features(self, x: Tensor, condition: Condition | None = None, track: Tensor | None = None) -> Tensor:
        """The bottleneck's input; `track` (B, 2, frames): pitch and periodicity found before. Raises: ValueError for
        what is no sound."""
        check_audio(x)
        features: Tensor = self.encoder(pad_to_multiple(x, self.hop_length), condition, track)
        return features

    def decode(self, z: Tensor, length: int | None = None, condition: Condition | None = None) -> Tensor:
        """(B, latent_dim, frames) -> (B, 1, length); length defaults to frames x hop_length."""
        sound: Tensor = self.decoder(z, condition, self.life)[0]
        return sound if length is None else sound[..., :length]

    def fit_latents(self, z: Tensor, transpose: float | str = "auto", fit: float | str = 1.0) -> Tensor:
        """Whole inputs (B, latent_dim, frames), each moved towards the corpus by itself; see wavevae.transfer.

        Raises: UserError without a profile of the corpus, for a transposition that cannot be played or another fit
        than 0 to 1.
        """
        from wavevae.transfer import fit_latents  # numpy and the corpus, needed here alone

        if self.profile is None:
            raise UserError("the model has no profile of its corpus to fit to; train it again")
        frames = z.detach().transpose(1, 2).cpu().numpy()  # (B, frames, latent_dim)
        fitted = [torch.from_numpy(fit_latents(one, self.profile, transpose, fit)) for one in frames]
        return torch.stack(fitted).transpose(1, 2).to(z)

    def compile_networks(self) -> None:
        """The convolutions by torch.compile, in place, from the next call on; names and weights stay."""
        self.encoder.core.compile()
        self.decoder.core.compile()
