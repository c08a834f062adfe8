"""Sound files: the same sine comes out as went in; whatever cannot be read is one line; nothing half written."""

import os
import stat
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import soundfile

from wavevae import audio
from wavevae.errors import UserError
from wavevae.files import printable
from wavevae.headers import repair


def sine(seconds: float, sample_rate: int, hz: float = 441.0, amplitude: float = 0.5) -> np.ndarray:
    time = np.arange(round(seconds * sample_rate)) / sample_rate
    return (amplitude * np.sin(2 * np.pi * hz * time)).astype(np.float32)


def noise(samples: int) -> np.ndarray:
    return np.random.default_rng(0).uniform(-0.5, 0.5, samples).astype(np.float32)


# ---------------------------------------------------------------- reading


@pytest.mark.parametrize("name", ["a.wav", "a.flac", "a.ogg", "a.mp3", "a.aiff", "a.caf", "a.w64"])
def test_a_sine_comes_out_as_it_went_in(tmp_path: Path, name: str) -> None:
    there = sine(2, 44100)
    soundfile.write(tmp_path / name, there, 44100)
    back = audio.read_mono(tmp_path / name, 44100)
    lossy = name.endswith((".mp3", ".ogg"))
    assert back.dtype == np.float32
    assert len(back) == len(there)
    middle = slice(4096, -4096)
    assert np.abs(back - there)[middle].max() < (0.02 if lossy else 1e-4)


@pytest.mark.parametrize(("own", "wanted"), [(44100, 22050), (48000, 44100), (16000, 22050), (22050, 22050)])
def test_resampling_keeps_pitch_phase_and_length(tmp_path: Path, own: int, wanted: int) -> None:
    soundfile.write(tmp_path / "a.wav", sine(1.37, own), own, subtype="FLOAT")
    back = audio.read_mono(tmp_path / "a.wav", wanted)
    assert len(back) == round(round(1.37 * own) * wanted / own)
    middle = slice(500, -500)
    assert np.abs(back - sine(2, wanted)[: len(back)])[middle].max() < 1e-3


def test_nothing_above_half_the_rate_comes_through(tmp_path: Path) -> None:
    soundfile.write(tmp_path / "a.wav", sine(1, 48000, hz=15000), 48000, subtype="FLOAT")
    assert np.abs(audio.read_mono(tmp_path / "a.wav", 16000)[500:-500]).max() < 1e-4


def test_channels_are_averaged(tmp_path: Path) -> None:
    left, right = sine(0.5, 22050), noise(11025)
    soundfile.write(tmp_path / "a.wav", np.stack([left, right], 1), 22050, subtype="FLOAT")
    assert audio.probe(tmp_path / "a.wav") == (22050, 11025, 2)
    np.testing.assert_allclose(audio.read_mono(tmp_path / "a.wav", 22050), (left + right) / 2, atol=1e-7)


@pytest.mark.parametrize("block", [1, 1000, 16384, 10**6])
@pytest.mark.parametrize("rate", [22050, 16000])
def test_streamed_is_read_whatever_the_block(tmp_path: Path, block: int, rate: int) -> None:
    soundfile.write(tmp_path / "a.flac", noise(40001 if block > 1 else 3000), 22050)
    whole = audio.read_mono(tmp_path / "a.flac", rate)
    blocks = list(audio.stream_mono(tmp_path / "a.flac", rate, block))
    assert {len(b) for b in blocks[:-1]} <= {block}
    np.testing.assert_array_equal(np.concatenate(blocks), whole)


@pytest.mark.parametrize("samples", [1, 2, 15, 1000])
@pytest.mark.parametrize("rate", [8000, 22050, 48000])
def test_the_shortest_sounds_have_their_length_too(tmp_path: Path, samples: int, rate: int) -> None:
    soundfile.write(tmp_path / "a.wav", noise(samples), 22050)
    if round(samples * rate / 22050) > 0:
        assert len(audio.read_mono(tmp_path / "a.wav", rate)) == round(samples * rate / 22050)


def test_odd_names_are_read(tmp_path: Path) -> None:
    names = [b"with space.wav", "é à ü 音.wav".encode(), b"not\xffutf8.wav", b"new\nline.wav", b"-dash.wav"]
    for name in names:
        path = tmp_path / os.fsdecode(name)
        with open(path, "wb") as file:
            soundfile.write(file, noise(100), 22050, format="WAV")
        assert len(audio.read_mono(path, 22050)) == 100
    assert printable(os.fsdecode(b"not\xffutf8")) == "not\\xffutf8"


# ---------------------------------------------------------------- what cannot be read


def refusal(path: Path) -> str:
    """The one line said of a file, the same for probing and reading."""
    with pytest.raises(UserError) as told:
        audio.read_mono(path, 22050)
    assert "\n" not in str(told.value)
    assert str(told.value).startswith(printable(path))
    return str(told.value)


def test_what_is_no_sound_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "text.wav").write_text("this is no sound\n" * 100)
    assert "not a sound file that can be read" in refusal(tmp_path / "text.wav")
    (tmp_path / "empty.wav").touch()
    assert "empty (0 bytes)" in refusal(tmp_path / "empty.wav")
    (tmp_path / "song.m4a").write_bytes(b"x" * 100)
    assert "needs ffmpeg: convert it to WAV or FLAC" in refusal(tmp_path / "song.m4a")
    assert "no such file" in refusal(tmp_path / "nothing.wav")
    assert "a folder" in refusal(tmp_path)


@pytest.mark.parametrize(
    ("head", "kind"),
    [
        (b"\x00\x00\x00\x20ftypM4A \x00\x00", "MPEG-4"),
        (b"wvpk\x1a\x02\x00\x00\x10\x04", "WavPack"),
        (b"TTA1\x01\x00\x02\x00", "True Audio"),
        (b"MAC \x96\x0f\x00\x00", "Monkey's Audio"),
        (b"\xff\xf1\x50\x80\x2e\x7f\xfc", "AAC"),
    ],
)
def test_a_renamed_file_is_called_what_it_is(tmp_path: Path, head: bytes, kind: str) -> None:
    """By its first bytes, with what reads it."""
    (tmp_path / "song.wav").write_bytes(head + bytes(range(256)) * 40)
    assert f"{kind} named '.wav', which needs ffmpeg: convert it to WAV or FLAC" in refusal(
        tmp_path / "song.wav"
    )


def test_channels_that_cancel_are_not_averaged(tmp_path: Path) -> None:
    """Right = -left, and nearly so: the louder channel is heard, whole; what does not cancel is averaged as ever."""
    left, other = noise(22050), np.roll(noise(22050), 1000)
    for name, right in (("inverted", -left), ("nearly", -0.9 * left + 0.001 * other)):
        soundfile.write(tmp_path / f"{name}.wav", np.stack([left, right], 1), 22050, subtype="FLOAT")
        np.testing.assert_array_equal(audio.read_mono(tmp_path / f"{name}.wav", 22050), left)
    assert audio.find_mix(tmp_path / "inverted.wav").note.endswith(
        "(nothing is left): channel 1 alone is used"
    )
    kept = {"one": 0 * left, "apart": other, "softer": -0.2 * left, "same": left}
    for name, right in kept.items():
        soundfile.write(tmp_path / f"{name}.wav", np.stack([left, right], 1), 22050, subtype="FLOAT")
        assert audio.find_mix(tmp_path / f"{name}.wav") == audio.Mix(), name
        np.testing.assert_allclose(
            audio.read_mono(tmp_path / f"{name}.wav", 22050), (left + right) / 2, atol=1e-6
        )


def claim(path: Path, samples: int) -> None:
    """Make the header of a 16-bit mono file claim so many samples, as a recorder that crashed leaves it."""
    data = bytearray(path.read_bytes())
    if path.suffix == ".flac":
        data[21] &= 0xF0
        data[22:26] = samples.to_bytes(4, "big")
    elif path.suffix == ".aiff":
        sound, common = data.index(b"SSND"), data.index(b"COMM")
        data[sound + 4 : sound + 8] = (8 + 2 * samples).to_bytes(4, "big")
        data[common + 10 : common + 14] = samples.to_bytes(4, "big")
    elif path.suffix == ".au":
        data[8:12] = (2 * samples).to_bytes(4, "big")
    elif path.suffix == ".rf64":
        wide = data.index(b"ds64")
        data[wide + 16 : wide + 24] = (2 * samples).to_bytes(8, "little")
    else:
        sound = data.index(b"data")
        data[sound + 4 : sound + 8] = (2 * samples).to_bytes(4, "little")
    path.write_bytes(data)


@pytest.mark.parametrize("samples", [0, 5000])
@pytest.mark.parametrize("name", ["a.wav", "a.rf64", "a.aiff", "a.au"])
def test_sound_beyond_what_the_header_claims_is_read(tmp_path: Path, name: str, samples: int) -> None:
    soundfile.write(tmp_path / name, noise(22050), 22050, subtype="PCM_16")
    whole = audio.read_mono(tmp_path / name, 22050)
    claim(tmp_path / name, samples)
    np.testing.assert_array_equal(audio.read_mono(tmp_path / name, 22050), whole)
    assert audio.probe(tmp_path / name).frames == 22050


def test_a_flac_stream_of_unknown_length_is_read(tmp_path: Path) -> None:
    soundfile.write(tmp_path / "a.flac", noise(22050), 22050)
    whole = audio.read_mono(tmp_path / "a.flac", 22050)
    claim(tmp_path / "a.flac", 0)
    np.testing.assert_array_equal(audio.read_mono(tmp_path / "a.flac", 22050), whole)
    assert audio.probe(tmp_path / "a.flac") == (22050, 22050, 1)


@pytest.mark.parametrize(
    "tail", [b"LIST" + (20000).to_bytes(4, "little") + bytes(20000), b"TAG" + bytes(125), bytes(512)]
)
def test_what_follows_the_sound_is_not_sound(tmp_path: Path, tail: bytes) -> None:
    """Chunks, tags and padding after the sound."""
    soundfile.write(tmp_path / "a.wav", noise(22050), 22050)
    with (tmp_path / "a.wav").open("ab") as file:
        file.write(tail)
    assert len(audio.read_mono(tmp_path / "a.wav", 22050)) == 22050


def test_a_fifo_does_not_block(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.wav")
    assert "not a regular file" in refusal(tmp_path / "pipe.wav")


def test_a_header_without_sound_or_sense_is_refused(tmp_path: Path) -> None:
    soundfile.write(tmp_path / "none.wav", np.zeros(0, np.float32), 22050)
    assert "holds no samples" in refusal(tmp_path / "none.wav")
    soundfile.write(tmp_path / "slow.wav", noise(100), 1)
    assert "claims 1 Hz" in refusal(tmp_path / "slow.wav")


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_samples_that_are_no_numbers_are_refused_with_their_place(tmp_path: Path, bad: float) -> None:
    sound = noise(66150)
    sound[44100] = bad
    soundfile.write(tmp_path / "a.wav", sound, 22050, subtype="FLOAT")
    assert "NaN or infinite" in refusal(tmp_path / "a.wav")


@pytest.mark.parametrize("name", ["a.flac", "a.mp3"])
def test_damage_in_the_middle_is_told_after_the_head(tmp_path: Path, name: str) -> None:
    soundfile.write(tmp_path / name, noise(22050 * 6), 22050)
    data = bytearray((tmp_path / name).read_bytes())
    middle = len(data) // 2
    data[middle : middle + 4000] = bytes(4000)
    (tmp_path / name).write_bytes(data)
    blocks = audio.decode(tmp_path / name, 22050)
    head = []
    with pytest.raises(audio.Damaged, match=r"damaged at [123]\.\d\d s"):
        head.extend(blocks)
    assert 22050 < sum(map(len, head)) < 22050 * 4


@pytest.fixture
def readable_by_root_only() -> Iterator[Path]:
    """A file without permissions; as root, this process becomes nobody for a moment."""
    import shutil
    import tempfile

    folder = Path(tempfile.mkdtemp())
    folder.chmod(0o755)
    audio.write(folder / "a.wav", noise(100), 22050)
    (folder / "a.wav").chmod(0)
    root = os.geteuid() == 0
    if root:
        os.seteuid(65534)
    yield folder / "a.wav"
    if root:
        os.seteuid(0)
    shutil.rmtree(folder)


def test_an_unreadable_file_is_one_line(readable_by_root_only: Path) -> None:
    assert "Permission denied" in refusal(readable_by_root_only)


# ---------------------------------------------------------------- writing


@pytest.mark.parametrize(("name", "kind"), [("a.wav", "WAV"), ("a.FLAC", "FLAC")])
def test_what_is_written_block_by_block_is_read_back(tmp_path: Path, name: str, kind: str) -> None:
    sound = noise(5000)
    with audio.Writer(tmp_path / "new" / name, 22050) as out:
        for start in range(0, 5000, 777):
            out.write(sound[start : start + 777])
    info = soundfile.info(tmp_path / "new" / name)
    assert (info.format, info.subtype, info.frames, info.samplerate) == (kind, "PCM_24", 5000, 22050)
    assert np.abs(audio.read_mono(tmp_path / "new" / name, 22050) - sound).max() < 2**-23
    assert stat.S_IMODE((tmp_path / "new" / name).stat().st_mode) & 0o444


def test_clipping_is_counted_and_done(tmp_path: Path) -> None:
    with audio.Writer(tmp_path / "a.wav", 22050) as out:
        out.write(np.array([0.0, 1.0, 1.5, -2.0, -1.0], np.float32))
    assert out.clipped == 2
    back = audio.read_mono(tmp_path / "a.wav", 22050)
    np.testing.assert_allclose(back, [0, 1, 1, -1, -1], atol=1e-6)


def test_the_same_samples_are_the_same_bytes(tmp_path: Path) -> None:
    for name in ("a.wav", "b.wav", "a.flac", "b.flac"):
        audio.write(tmp_path / name, noise(5000), 22050)
    assert (tmp_path / "a.wav").read_bytes() == (tmp_path / "b.wav").read_bytes()
    assert (tmp_path / "a.flac").read_bytes() == (tmp_path / "b.flac").read_bytes()


def test_an_error_leaves_what_was_there(tmp_path: Path) -> None:
    audio.write(tmp_path / "a.wav", noise(10), 22050)
    before = (tmp_path / "a.wav").read_bytes()
    half_bad = np.r_[noise(100), np.full(3, np.nan, np.float32)]
    with pytest.raises(ValueError, match="NaN"):
        audio.write(tmp_path / "a.wav", half_bad, 22050)
    assert (tmp_path / "a.wav").read_bytes() == before
    assert [p.name for p in tmp_path.iterdir()] == ["a.wav"]


def test_what_a_killed_writer_left_is_swept_and_a_living_one_is_left_alone(tmp_path: Path) -> None:
    dead, alive = tmp_path / ".a.wav.999999999.part", tmp_path / f".a.wav.{os.getppid()}.part"
    dead.touch()
    alive.touch()
    audio.write(tmp_path / "a.wav", noise(10), 22050)
    assert not dead.exists()
    assert alive.exists()


def test_names_that_cannot_be_written_are_one_line(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"cannot write '\.mp3'; name a \.wav or \.flac"):
        audio.Writer(tmp_path / "a.mp3", 22050)
    with pytest.raises(UserError, match="no subtype 'FLOAT'"):
        audio.Writer(tmp_path / "a.flac", 22050, "FLOAT")
    (tmp_path / "file").touch()
    with pytest.raises(UserError, match="cannot be written"):
        audio.Writer(tmp_path / "file" / "a.wav", 22050)
    (tmp_path / "folder.wav").mkdir()
    with pytest.raises(UserError, match="a folder"):
        audio.Writer(tmp_path / "folder.wav", 22050)
    assert not (tmp_path / "a.mp3").exists()


@pytest.mark.parametrize("claimed", [1000, 22050])
def test_a_flac_whose_header_claims_too_few_is_read_to_its_last_frame(tmp_path: Path, claimed: int) -> None:
    sound = noise(44100)
    soundfile.write(tmp_path / "a.flac", sound, 22050, subtype="PCM_16")
    whole = audio.read_mono(tmp_path / "a.flac", 22050)
    claim(tmp_path / "a.flac", claimed)
    assert audio.probe(tmp_path / "a.flac").frames == 44100
    np.testing.assert_array_equal(audio.read_mono(tmp_path / "a.flac", 22050), whole)


@pytest.mark.parametrize("claimed", [4, 4 + 2 * 5000, -1])
def test_a_caf_of_a_recorder_that_crashed_is_read_to_its_end(tmp_path: Path, claimed: int) -> None:
    """4 is no sound; -1 is "all that follows", as recorders write it before they know."""
    soundfile.write(tmp_path / "a.caf", noise(44100), 22050, format="CAF", subtype="PCM_16")
    whole = audio.read_mono(tmp_path / "a.caf", 22050)
    data = bytearray((tmp_path / "a.caf").read_bytes())
    place = data.index(b"data") + 4
    data[place : place + 8] = claimed.to_bytes(8, "big", signed=True)
    (tmp_path / "a.caf").write_bytes(data)
    np.testing.assert_array_equal(audio.read_mono(tmp_path / "a.caf", 22050), whole)


def test_headers_that_are_right_are_left_alone(tmp_path: Path) -> None:
    for name in ("a.caf", "a.flac", "a.wav", "a.aiff", "a.au"):
        for samples in (50, 5000, 44100):
            soundfile.write(tmp_path / name, noise(samples), 22050, subtype="PCM_16")
            assert repair(tmp_path / name) is None, (name, samples)


def test_stereo_that_cancels_in_a_part_only_is_heard_there_too(tmp_path: Path) -> None:
    left = noise(44100)
    right = np.concatenate([left[:22050], -left[22050:]])
    soundfile.write(tmp_path / "half.wav", np.stack([left, right], 1), 22050, subtype="FLOAT")
    np.testing.assert_array_equal(audio.read_mono(tmp_path / "half.wav", 22050), left)
