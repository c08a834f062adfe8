"""Batches with labels: what is told, what is dropped, and what the encoder hears instead."""

import math
from pathlib import Path

import numpy as np
import pytest
import torch

from wavevae.augment import Augmenter
from wavevae.config import DataConfig, RunConfig, override
from wavevae.corpus import Chunks, Item, Store
from wavevae.corpus.labels import Labels
from wavevae.train.batches import Batch, Batches, conditions
from wavevae.train.training_data import FixedChunks, TrainingData

RATE = 8000


def tone(pitch: float, samples: int) -> np.ndarray:
    hz = 440 * 2 ** ((pitch - 69) / 12)
    return (8000 * np.sin(2 * np.pi * hz * np.arange(samples) / RATE)).astype(np.int16)


def store(count: int = 12, length: int = 6000) -> Store:
    """Tones of rising pitch in two classes; the last one has no label."""
    pitches = [50.0 + n for n in range(count)]
    samples = np.concatenate([tone(p, length) for p in pitches])
    labels = [{"class": "low" if p < 56 else "high", "pitch": p} for p in pitches]
    labels[-1] = {}
    items = [
        Item(Path(f"{n}.wav"), n * length, length, fields, str(n), "valid" if n % 4 == 0 else "train")
        for n, fields in enumerate(labels)
    ]
    return Store(samples, items, RATE, "toy", [])


def data(**changes: object) -> TrainingData:
    values = {"sample_rate": RATE, "chunk_seconds": 0.25, "batch_size": 6, "condition": "class+pitch"}
    plain = {"polarity": 0.0, "label_dropout": 0.0, "encoder_pitch_shift": 0.0}
    return TrainingData(store(), override(RunConfig(), values | plain | changes))


def batch(module: TrainingData, step: int = 0) -> Batch:
    made = module.batches().batch(step)
    assert isinstance(made, Batch)
    return made


def pitch_heard(audio: torch.Tensor) -> float:
    """MIDI, of the strongest frequency of (1, T)."""
    x = audio.flatten().numpy()
    spectrum = np.abs(np.fft.rfft(x * np.hanning(len(x)), 1 << 16))
    return 69 + 12 * math.log2(float(spectrum.argmax()) * RATE / (1 << 16) / 440)


def test_an_unconditional_run_has_no_labels() -> None:
    module = data(condition="none")
    assert module.labels is None
    made = module.batches().batch(0)
    assert made.pitch.isnan().all()
    assert (made.class_number == -1).all()


def test_sounds_come_with_their_own_labels() -> None:
    module = data()
    assert module.labels is not None
    assert module.labels.classes == ("high", "low")
    for step in range(4):
        made = batch(module, step)
        assert made.encoder_audio is made.audio
        for audio, number, pitch in zip(made.audio, made.class_number, made.pitch, strict=True):
            if math.isnan(pitch):
                assert number == -1
                continue
            assert pitch_heard(audio) == pytest.approx(float(pitch), abs=0.1)
            assert int(number) == (1 if pitch < 56 else 0)


def test_pitch_augmentation_moves_the_label() -> None:
    made = batch(data(pitch_semitones=5.0))
    known = ~made.pitch.isnan()
    assert float((made.pitch[known] - made.pitch[known].round()).abs().max()) > 0.05
    for audio, pitch in zip(made.audio[known], made.pitch[known], strict=True):
        assert pitch_heard(audio) == pytest.approx(float(pitch), abs=0.1)


def test_the_encoder_hears_another_pitch_and_is_told_it() -> None:
    made = batch(data(encoder_pitch_shift=4.0, pitch_semitones=2.0))
    assert not torch.equal(made.encoder_audio, made.audio)
    moved = []
    for n in range(len(made.audio)):
        if made.pitch[n].isnan():
            assert torch.equal(made.encoder_audio[n], made.audio[n])
            continue
        assert pitch_heard(made.audio[n]) == pytest.approx(float(made.pitch[n]), abs=0.1)
        assert pitch_heard(made.encoder_audio[n]) == pytest.approx(float(made.encoder_pitch[n]), abs=0.1)
        moved.append(abs(float(made.encoder_pitch[n] - made.pitch[n])))
    assert max(moved) > 1
    assert max(moved) <= 4


def test_the_encoder_hears_another_gain() -> None:
    made = batch(data(condition="none", encoder_gain_db=12.0))
    ratio = made.encoder_audio.square().mean((1, 2)).sqrt() / made.audio.square().mean((1, 2)).sqrt()
    db = 20 * ratio.log10()
    assert float(db.abs().max()) > 2
    assert float(db.abs().max()) <= 12.01


def one_item(item: Item, config: DataConfig, labels: Labels) -> Batches:
    """Batches of one tone."""
    chunks = Chunks(Store(tone(60, item.length), [item], RATE, "one", []), [item], 800, 0.5)
    return Batches(chunks, Augmenter(config, RATE), 4, 0, labels=labels)


def test_labels_are_dropped_as_often_as_asked() -> None:
    labels = Labels("class+pitch", "class", ("high", "low"))
    item = Item(Path("x"), 0, 800, {"class": "low", "pitch": 60})
    batches = one_item(item, DataConfig(label_dropout=0.3), labels)
    rng = np.random.default_rng(0)
    told = [batches.drawn_label(item, rng) for _ in range(4000)]
    without_class = np.mean([label.class_number == -1 for label in told])
    without_pitch = np.mean([math.isnan(label.pitch) for label in told])
    without_both = np.mean([label.class_number == -1 and math.isnan(label.pitch) for label in told])
    assert [without_class, without_pitch, without_both] == pytest.approx([0.3, 0.3, 0.09], abs=0.03)


def test_a_dropped_pitch_is_not_moved() -> None:
    labels = Labels("pitch", "", ())
    config = DataConfig(label_dropout=1.0, encoder_pitch_shift=4.0, polarity=0.0)
    made = one_item(Item(Path("x"), 0, 4000, {"pitch": 60}), config, labels).batch(0)
    assert made.encoder_audio is made.audio
    assert made.encoder_pitch.isnan().all()


def test_a_batch_is_a_function_of_its_step() -> None:
    one, other = data(encoder_pitch_shift=4.0), data(encoder_pitch_shift=4.0)
    for step in (3, 0):
        for mine, theirs in zip(batch(one, step), batch(other, step), strict=True):
            assert torch.equal(mine.nan_to_num(-1.0), theirs.nan_to_num(-1.0))


def test_validation_chunks_are_told_plainly() -> None:
    module = data(encoder_pitch_shift=4.0)
    assert isinstance(module.validation_chunks, FixedChunks)
    (first, *_) = module.val_dataloader()
    assert isinstance(first, Batch)
    assert torch.equal(first.audio, first.encoder_audio)
    assert first.audio.shape[1:] == (1, 2000)
    assert first.class_number.shape == first.pitch.shape == (len(first.audio),)


def test_what_encoder_and_decoder_are_told() -> None:
    made = batch(data(encoder_pitch_shift=4.0))
    config = override(RunConfig(), {"condition": "class+pitch", "classes": ["high", "low"]}).model
    encoder_labels, decoder_labels = conditions(made, config)
    assert encoder_labels is not None
    assert decoder_labels is not None
    assert torch.equal(encoder_labels.classes, decoder_labels.classes)
    assert torch.equal(decoder_labels.pitch.nan_to_num(), made.pitch.nan_to_num())
    assert torch.equal(encoder_labels.pitch.nan_to_num(), made.encoder_pitch.nan_to_num())
    assert conditions(made, RunConfig().model) == (None, None)
