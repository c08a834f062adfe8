"""The pitch tracker on real sounds: beside CREPE (Kim et al. 2018, `tiny`) and librosa's YIN, and against labels."""

from pathlib import Path

import numpy as np
import pytest
import soundfile
import soxr
import torch

from wavevae.nn.pitch import PitchTracker, loudness_db

HOP = 256
LONGEST_S = 8
CREPE_RATE, CREPE_HOP = 16000, 80
DATA = next((p / "shared/data" for p in Path(__file__).parents if (p / "shared/data").is_dir()), None)
FILES = {"sax": ("sax/*.flac", 20), "voice": ("voice/*.flac", 40)}
# The key pressed is not the pitch heard: 16' stops, and bars whose partials are no harmonics.
LEFT_OUT = ("organ", "mallet")

needs_data = pytest.mark.skipif(DATA is None, reason="no ../shared/data")


def frames_of(path: Path) -> dict[str, np.ndarray]:
    """Pitches (MIDI) of the three trackers at the same moments, the confidence of two, loudness in dB."""
    librosa, torchcrepe = pytest.importorskip("librosa"), pytest.importorskip("torchcrepe")
    x, rate = soundfile.read(path, dtype="float32")
    x = x[: min(len(x), LONGEST_S * rate) // HOP * HOP]
    tracker = PitchTracker(rate, HOP)
    late = tracker.latency_samples // HOP
    padded = torch.nn.functional.pad(torch.from_numpy(x), (0, late * HOP))[None, None]
    ours = tracker(padded)[0, :, late:].numpy()
    loudness = loudness_db(padded, HOP, tracker.latency_samples)[0, 0, late:].numpy()
    moments_s = (np.arange(len(x) // HOP) + 1) * HOP / rate
    hz, confidence = torchcrepe.predict(
        torch.from_numpy(soxr.resample(x, rate, CREPE_RATE))[None], CREPE_RATE, CREPE_HOP, 40.0, 1990.0, "tiny",
        return_periodicity=True, batch_size=512, device="cpu",
    )  # fmt: skip
    nearest = np.minimum(np.round(moments_s * CREPE_RATE / CREPE_HOP).astype(int), hz.shape[1] - 1)
    yin_hz = librosa.yin(x, fmin=40, fmax=2000, sr=rate, frame_length=2048, hop_length=HOP)
    return {
        "ours": ours[0],
        "periodicity": ours[1],
        "crepe": librosa.hz_to_midi(hz[0].numpy()[nearest]),
        "confidence": confidence[0].numpy()[nearest],
        "yin": librosa.hz_to_midi(yin_hz[1 : len(moments_s) + 1]),
        "loudness": loudness,
    }


def octave_apart(a: np.ndarray, b: np.ndarray | float) -> np.ndarray:
    return (np.abs(np.abs(a - b) - 12) < 0.6) | (np.abs(np.abs(a - b) - 24) < 0.6)


@needs_data
@pytest.mark.slow
@pytest.mark.parametrize(("kind", "agreement", "octaves"), [("sax", 0.98, 0.01), ("voice", 0.95, 0.02)])
def test_real_sounds_get_the_pitch_that_others_find(kind: str, agreement: float, octaves: float) -> None:
    """Over the frames within 40 dB of a file's loudest in which both trackers are confident."""
    assert DATA is not None
    pattern, every = FILES[kind]
    files = sorted(DATA.glob(pattern))[::every]
    assert len(files) >= 6
    found = [frames_of(path) for path in files]
    frames = {key: np.concatenate([each[key] for each in found]) for key in found[0]}
    loud = np.concatenate([each["loudness"] > each["loudness"].max() - 40 for each in found])
    voiced = loud & (frames["periodicity"] > 0.5)
    with_crepe = voiced & (frames["confidence"] > 0.5)
    # YIN says nothing of its confidence: where CREPE finds the same it has some.
    with_both = with_crepe & (np.abs(frames["crepe"] - frames["yin"]) < 0.5)
    assert with_both.sum() > 500
    for name, where in (("crepe", with_crepe), ("yin", with_both)):
        ours, theirs = frames["ours"][where], frames[name][where]
        agree, apart = (np.abs(ours - theirs) < 0.5).mean(), octave_apart(ours, theirs).mean()
        print(f"{kind}, {name}: {where.sum()} frames, {agree:.2%} agree, {apart:.2%} octave errors")
        assert agree > agreement
        assert apart < octaves


@needs_data
def test_notes_get_the_pitch_of_their_key() -> None:
    """Sampled notes of many instruments, the loud and periodic frames of each."""
    assert DATA is not None
    agree, apart = [], []
    for path in sorted(DATA.glob("notes/*/audio/*.flac"))[::15]:
        key = int(path.stem.split("-")[1])
        if path.name.startswith(LEFT_OUT) or not 28 <= key <= 96:
            continue
        x, rate = soundfile.read(path, dtype="float32")
        tracker = PitchTracker(rate, HOP)
        sound = torch.from_numpy(x[: len(x) // HOP * HOP])[None, None]
        pitch, periodicity = tracker(sound)[0].numpy()
        loudness = loudness_db(sound, HOP, tracker.latency_samples)[0, 0].numpy()
        voiced = (loudness > loudness.max() - 40) & (periodicity > 0.5)
        agree.append(np.abs(pitch - key)[voiced] < 0.5)
        apart.append(octave_apart(pitch, key)[voiced])
    assert len(agree) > 60
    share, octaves = np.concatenate(agree).mean(), np.concatenate(apart).mean()
    print(f"notes: {len(agree)} sounds, {share:.2%} of frames agree, {octaves:.2%} octave errors")
    assert share > 0.97
    assert octaves < 0.01
