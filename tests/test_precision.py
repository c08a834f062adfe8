"""Networks in bf16, as on a GPU: every kind of model trains, and what is measured stays fp32."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

from wavevae.config import RunConfig, override
from wavevae.train.batches import Batch, InstrumentBatch
from wavevae.train.budget import Budget
from wavevae.train.module import TrainingModule, make_module

TINY = {
    **{
        "sample_rate": 8000,
        "ratios": (4,),
        "widths": (4, 6),
        "dilations": (1,),
        "latent_dim": 3,
        "noise_bands": 2,
    },
    **{"n_ffts": (256,), "mel_windows": (256,), "max_time_s": None, "max_steps": 4, "batch_size": 2},
}
SPECTRA = {
    **{"n_fft": 256, "frame_hop": 64, "window_frames": 16, "n_mels": 20, "conv_channels": (4, 8)},
    **{"init": "random", "spectrogram": "log-mel"},
}
INSTRUMENT = {
    **{"family": "instrument", "init": "random", "oscillators": "harmonic", "partials": 8, "noise_bands": 8},
    **{"mel_bands": 12, "envelope_bands": 6, "carriers": 16, "decoder_width": 8, "encoder_width": 8},
}
KINDS: dict[str, dict[str, Any]] = {
    "vae": {},
    "ae": {"bottleneck": "ae"},
    "vq": {"bottleneck": "vq", "codebook_size": 16},
    "rvq": {"bottleneck": "rvq", "codebook_size": 16},
    "hvae": {"bottleneck": "hvae", "top_dim": 1},
    "class": {"condition": "class", "classes": ("reed", "string")},
    "pitch": {"condition": "pitch"},
    "overlap": {"hop_overlap": 2},
    "hop evenness": {"hop_modulation_loss": 1.0},
    "discriminator": {"adversarial": 0.5, "feature_matching": 0.5, "discriminator_n_ffts": (64, 128)},
    "log-mel": SPECTRA,
    "complex stft": SPECTRA | {"spectrogram": "stft"},
    "instrument": INSTRUMENT,
    "dense instrument": INSTRUMENT | {"oscillators": "dense", "bottleneck": "vq", "codebook_size": 16},
    "opposed instrument": INSTRUMENT
    | {"oscillators": "both", "adversarial": 0.5, "feature_matching": 0.5, "discriminator_n_ffts": (64, 128)},
}
"""What a run may train, at toy size."""


def module(kind: str) -> TrainingModule:
    """In the second half of its budget, where everything weighs."""
    config = override(RunConfig(), TINY | KINDS[kind])
    made = make_module(config, Budget(config.train.max_time_s, config.train.max_steps))
    made.progress = 0.9
    return made


def batch(made: TrainingModule, device: str = "cpu") -> Batch:
    """Two chunks, with the labels that the model is told."""
    model = made.config.model
    audio = 0.1 * torch.randn(2, 1, 4096, generator=torch.Generator().manual_seed(1)).to(device)
    classes = torch.tensor([0, 1] if model.has_class else [-1, -1], device=device)
    pitch = torch.tensor([60.0, torch.nan], device=device)
    return Batch(audio, audio, classes, pitch, pitch)


def excerpts(made: TrainingModule, device: str = "cpu") -> Batch | InstrumentBatch:
    """What a training step takes."""
    sounds = batch(made, device)
    if not made.config.model.is_instrument:
        return sounds
    frames = sounds.audio.shape[2] // made.config.model.hop_length
    track = torch.tensor([60.0, 0.9], device=device)[None, :, None].repeat(2, 1, frames)
    return InstrumentBatch(sounds.audio, track, sounds.class_number, sounds.pitch)


def learned(made: TrainingModule, half: bool) -> tuple[Tensor, Tensor, float]:
    """Loss and gradient of a step, and the distance of a validation."""
    with torch.autocast("cpu", dtype=torch.bfloat16, enabled=half):
        loss = made.training_step(excerpts(made), 0)
    loss.backward()
    gradients = [torch.zeros_like(p) if p.grad is None else p.grad for p in made.model.parameters()]
    made.on_validation_epoch_start()
    with torch.no_grad(), torch.autocast("cpu", dtype=torch.bfloat16, enabled=half):
        made.validation_step(batch(made), 0)
    made.on_validation_epoch_end()
    return loss.detach(), torch.cat([g.flatten() for g in gradients]), made.validation["val_distance"]


@pytest.mark.parametrize("kind", KINDS)
def test_a_step_in_bf16_is_that_in_fp32_to_its_rounding(kind: str) -> None:
    whole, rounded = module(kind), module(kind)
    (loss, gradient, distance), (loss16, gradient16, distance16) = (
        learned(whole, False),
        learned(rounded, True),
    )
    assert loss16.dtype == gradient16.dtype == torch.float32
    assert float(loss16) == pytest.approx(float(loss), rel=0.05)
    assert float(torch.cosine_similarity(gradient, gradient16, dim=0)) > 0.8
    assert distance16 == pytest.approx(distance, rel=0.02)
    assert all(b.dtype != torch.bfloat16 for b in rounded.model.buffers())
    assert all(term.dtype != torch.bfloat16 for term in rounded.terms.values()), rounded.terms
