"""A MIDI file becomes sound: in time, in tune, in every format, whatever is wrong with it."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import mido
import numpy as np
import pytest
import soundfile
import toy_playable
from signals import level_db
from test_export_prior import with_prior
from test_polyphony import pitch

from wavevae.errors import UserError
from wavevae.realtime.control.general_midi import PROGRAMS, class_of_program
from wavevae.realtime.offline.midi_file import fitted_keys, read_song
from wavevae.realtime.offline.render import main as render

RATE, HOP = 22050, 256
Note = tuple[float, float, int]
"""Begin and end, quarters; key."""


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Tones whose strongest partial is the first, no prior."""
    model = toy_playable.tones_only(toy_playable.make())
    model.decoder.life.spread.zero_()
    return toy_playable.write(model, tmp_path_factory.mktemp("toy") / "tones.ts")


@pytest.fixture(scope="module")
def performer(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return toy_playable.write(with_prior()[0], tmp_path_factory.mktemp("toy") / "performer.ts")


def track(
    notes: list[Note], channel: int = 0, more: list[tuple[float, mido.Message]] | None = None, name: str = ""
):
    events = [
        (begin, mido.Message("note_on", note=key, velocity=100, channel=channel)) for begin, _, key in notes
    ]
    events += [(end, mido.Message("note_off", note=key, channel=channel)) for _, end, key in notes]
    made, last = mido.MidiTrack(), 0
    if name:
        made.append(mido.MetaMessage("track_name", name=name))
    for beat, message in sorted([*(more or []), *events], key=lambda e: (e[0], e[1].type != "note_off")):
        tick = round(480 * beat)
        made.append(message.copy(time=tick - last))
        last = tick
    return made


def save(path: Path, *tracks: mido.MidiTrack, kind: int = 1) -> Path:
    mido.MidiFile(type=kind, ticks_per_beat=480, tracks=list(tracks)).save(path)
    return path


def play(model: Path, song: Path, *options: object) -> np.ndarray:
    out = song.with_suffix(".wav")
    render([str(a) for a in (model, "--midi", song, "-o", out, *options)])
    return soundfile.read(out, dtype="float32")[0]


def cents(sound: np.ndarray, begin: float, end: float, key: float) -> float:
    part = sound[round(begin * RATE) : round(end * RATE)]
    return 100 * (pitch(part[: len(part) // 2 * 2]) - key)


def refused(model: Path, song: Path, *options: object) -> str:
    with pytest.raises(UserError) as why:
        play(model, song, *options)
    assert "\n" not in str(why.value)
    return str(why.value)


def test_notes_are_in_time_and_in_tune(plain: Path, tmp_path: Path) -> None:
    sound = play(plain, save(tmp_path / "a.mid", track([(1, 1.8, 57), (2.1, 2.9, 64)])))
    assert cents(sound, 0.6, 0.85, 57) == pytest.approx(0, abs=1)
    assert cents(sound, 1.15, 1.4, 64) == pytest.approx(0, abs=1)
    first = np.flatnonzero(np.abs(sound) > 0.1 * np.abs(sound).max())[0] / RATE
    assert first == pytest.approx(0.5, abs=0.012)
    assert np.abs(sound[: round(0.48 * RATE)]).max() == 0


def test_a_tempo_map_of_another_track_counts(tmp_path: Path) -> None:
    tempo = mido.MidiTrack([mido.MetaMessage("set_tempo", tempo=1_000_000)])
    tempo.append(mido.MetaMessage("set_tempo", tempo=250_000, time=960))
    song = read_song(save(tmp_path / "a.mid", tempo, track([(0, 1, 60), (4, 6, 62)])))
    assert [m.time for m in song.parts[0].messages] == pytest.approx([0, 1, 2.5, 3])
    assert song.seconds == pytest.approx(3)


def test_format_0_has_a_part_for_each_channel(tmp_path: Path) -> None:
    both = mido.merge_tracks([track([(0, 1, 60)]), track([(0, 1, 50), (1, 2, 52)], channel=4)])
    parts = read_song(save(tmp_path / "a.mid", both, kind=0)).parts
    assert [(p.number, p.channel, p.keys) for p in parts] == [(1, 0, [60]), (2, 4, [50, 52])]


def test_the_pedal_holds_and_the_end_of_the_file_lets_go(plain: Path, tmp_path: Path) -> None:
    down = (0.0, mido.Message("control_change", control=64, value=127))
    sound = play(plain, save(tmp_path / "a.mid", track([(0, 0.5, 57), (3, 3.5, 60)], more=[down])))
    held = level_db(sound[round(1.0 * RATE) : round(1.4 * RATE)])
    assert held > -40
    assert len(sound) < 4 * RATE
    assert level_db(sound[-HOP:]) < -80


def test_a_stuck_note_ends_with_the_file(plain: Path, tmp_path: Path) -> None:
    stuck = mido.MidiTrack([mido.Message("note_on", note=57, velocity=90)])
    stuck.append(mido.MetaMessage("end_of_track", time=960))
    sound = play(plain, save(tmp_path / "a.mid", stuck))
    assert level_db(sound[round(0.8 * RATE) : RATE]) > -40
    assert RATE < len(sound) < 3 * RATE


def test_the_wheel_bends_as_far_as_its_registered_range(plain: Path, tmp_path: Path) -> None:
    def bent(*controls: tuple[int, int]) -> float:
        more = [(0.0, mido.Message("control_change", control=c, value=v)) for c, v in controls]
        more += [(0.5, mido.Message("pitchwheel", pitch=4096))]
        sound = play(plain, save(tmp_path / "a.mid", track([(0.1, 3, 57)], more=more)))
        return cents(sound, 0.7, 1.3, 57)

    assert bent() == pytest.approx(100, abs=2)
    assert bent((101, 0), (100, 0), (6, 12)) == pytest.approx(600, abs=2)


def test_volume_and_expression_are_those_of_general_midi(plain: Path, tmp_path: Path) -> None:
    def level(*controls: tuple[int, int]) -> float:
        more = [(0.0, mido.Message("control_change", control=c, value=v)) for c, v in controls]
        sound = play(plain, save(tmp_path / "a.mid", track([(0.1, 3, 57)], more=more)), "--dry")
        return level_db(sound[RATE // 2 : RATE])

    full = level()
    assert level((7, 64)) - full == pytest.approx(40 * np.log10(64 / 127), abs=0.1)
    assert level((7, 64), (11, 100)) - full == pytest.approx(40 * np.log10(64 / 127 * 100 / 127), abs=0.1)


def test_the_peak_is_where_it_is_asked_to_be(plain: Path, tmp_path: Path) -> None:
    song = save(tmp_path / "a.mid", track([(0, 1, 57), (1, 2, 60)]))
    usual, normal = play(plain, song), play(plain, song, "--normalize")
    assert 20 * np.log10(np.abs(normal).max()) == pytest.approx(-3, abs=0.001)
    np.testing.assert_allclose(normal, usual * np.abs(normal).max() / np.abs(usual).max(), atol=1e-5)
    assert "leave one of them out" in refused(plain, song, "--normalize", "--gain", -6)


def test_parts_are_mixed_and_others_may_play_some(
    plain: Path, performer: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    song = save(tmp_path / "a.mid", track([(0, 2, 57)], name="low"), track([(1, 2, 64)], 1, name="high"))
    both = play(plain, song, "--track", f"2={performer}", "--seed", 3)
    said = capsys.readouterr().err
    assert "part 1: low, channel 1, 1 note, tones.ts" in said
    assert "part 2: high, channel 2, 1 note, performer.ts" in said
    assert "tones.ts has no prior" in said
    assert np.abs(both).max() <= 1
    assert cents(both, 0.1, 0.45, 57) == pytest.approx(0, abs=2)
    assert "parts 1 to 2" in refused(plain, song, "--track", f"3={performer}")


def test_a_part_of_another_rate_is_in_tune_and_in_time(
    plain: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    model = toy_playable.tones_only(toy_playable.make("44.1 kHz"))
    model.decoder.life.spread.zero_()
    other = toy_playable.write(model, tmp_path / "fast.ts")
    song = save(tmp_path / "a.mid", track([(0, 1, 57)], name="low"), track([(2, 3, 64)], 1, name="high"))
    both = play(plain, song, "--track", f"2={other}")
    assert "part 2: fast.ts, 44100 Hz, is resampled to 22050 Hz" in capsys.readouterr().err
    assert soundfile.info(song.with_suffix(".wav")).samplerate == RATE
    assert cents(both, 0.1, 0.45, 57) == pytest.approx(0, abs=2)
    assert cents(both, 1.1, 1.4, 64) == pytest.approx(0, abs=2)
    second = both[round(0.9 * RATE) :]
    onset = 0.9 + np.flatnonzero(np.abs(second) > 0.1 * np.abs(second).max())[0] / RATE
    assert onset == pytest.approx(1.0, abs=0.012)


def test_a_performance_follows_its_seed(performer: Path, tmp_path: Path) -> None:
    song = save(tmp_path / "a.mid", track([(0, 1, 62), (1, 2, 64)]))
    first, again, other = (play(performer, song, "--seed", seed) for seed in (1, 1, 2))
    np.testing.assert_array_equal(first, again)
    assert not np.array_equal(first, other[: len(first)])
    assert not np.array_equal(first, play(performer, song, "--dry", "--seed", 1)[: len(first)])


def test_notes_out_of_range_are_moved_by_octaves_or_refused(
    performer: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    song = save(tmp_path / "a.mid", track([(0, 1, 24), (1, 2, 26)]))
    play(performer, song)
    assert "2 of 2 notes are moved by octaves into performer.ts's range" in capsys.readouterr().err
    assert "--strict" in refused(performer, song, "--strict")


def test_a_phrase_moves_as_a_whole_before_its_notes_do() -> None:
    assert fitted_keys([60, 62, 64], 48, 72) == {60: 60, 62: 62, 64: 64}
    moved = fitted_keys([36, 38, 40], 49, 80)
    assert {new - old for old, new in moved.items()} == {24}
    assert all(49 <= key <= 80 for key in fitted_keys(list(range(128)), 49, 80).values())


def test_a_program_chooses_the_class_by_name_then_by_number() -> None:
    assert len(PROGRAMS) == 128
    assert class_of_program(65, ("flute", "saxophone", "violin")) == 1
    assert class_of_program(40, ("flute", "string")) == 1
    assert class_of_program(1, ("a1", "b2")) == 1
    assert class_of_program(100, ("a1", "b2")) is None


def test_ten_thousand_notes_a_second_are_played_without_a_stall(plain: Path, tmp_path: Path) -> None:
    many = mido.MidiTrack()
    for n in range(10_000):
        many.append(mido.Message("note_on", note=40 + n % 40, velocity=80))
        many.append(mido.Message("note_off", note=40 + n % 40, time=n % 10 == 0))
    sound = play(plain, save(tmp_path / "a.mid", many))
    assert np.isfinite(sound).all()
    assert level_db(sound[: RATE // 2]) > -60


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "not a MIDI file"),
        (b"RIFF and more that is no MIDI file", "not a MIDI file"),
        (b"MThd\0\0\0\6\0\1\0\1\1\xe0MTrk\0\0\0\x40\0\x90", "not a MIDI file"),
        (b"MThd\0\0\0\6\0\1\0\0\1\xe0", "no notes in it"),
        (b"MThd\0\0\0\6\0\2\0\0\1\xe0", "format 2"),
        (b"MThd\0\0\0\6\0\1\0\0\0\0", "0 ticks a quarter"),
    ],
)
def test_a_file_that_cannot_be_played_is_refused_in_one_line(
    plain: Path, tmp_path: Path, content: bytes, said: str
) -> None:
    song = tmp_path / "a.mid"
    song.write_bytes(content)
    assert said in refused(plain, song)


def test_percussion_is_not_played_on_pitches(
    plain: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    drums = track([(0, 1, 36)], channel=9)
    assert "percussion only" in refused(plain, save(tmp_path / "a.mid", drums))
    play(plain, save(tmp_path / "b.mid", drums, track([(0, 1, 60)])))
    assert "percussion and is left out" in capsys.readouterr().err


def test_an_improvisation_follows_seed_and_prompt(performer: Path, tmp_path: Path) -> None:
    def improvised(name: str, *options: object) -> np.ndarray:
        out = tmp_path / f"{name}.wav"
        render([str(a) for a in (performer, "--sample", "--seconds", 1.5, "-o", out, *options)])
        return soundfile.read(out)[0]

    first = improvised("a", "--seed", 5)
    assert len(first) == round(1.5 * RATE)
    np.testing.assert_array_equal(first, improvised("b", "--seed", 5))
    assert not np.array_equal(first, improvised("c", "--seed", 6))
    tone = toy_playable.tone(RATE, 2 * RATE, 62.0)[0, 0].numpy()
    soundfile.write(tmp_path / "prompt.wav", tone, RATE)
    assert not np.array_equal(first, improvised("d", "--seed", 5, "--prompt", tmp_path / "prompt.wav"))
    soundfile.write(tmp_path / "silence.wav", 0 * tone, RATE)
    with pytest.raises(UserError, match="no note is found"):
        improvised("e", "--prompt", tmp_path / "silence.wav")


def test_drums_are_played_by_an_instrument_without_pitch(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    kit = toy_playable.write(with_prior("noise")[0], tmp_path / "kit.ts")
    song = save(tmp_path / "a.mid", track([(0, 1, 60)]), track([(1, 1.2, 36), (2, 2.2, 42)], channel=9))
    sound = play(kit, song)
    said = capsys.readouterr().err
    assert "part 1 (track 1) is pitched and is left out" in said
    assert "moved by octaves" not in said
    assert level_db(sound[: round(0.45 * RATE)]) < level_db(sound[round(0.5 * RATE) : round(0.6 * RATE)]) - 20


def test_the_piece_is_what_its_script_writes_and_a_saxophone_can_play_it(tmp_path: Path) -> None:
    root = Path(__file__).parent.parent
    written, kept = tmp_path / "piece.mid", root / "wavevae" / "piece.mid"
    subprocess.run([sys.executable, root / "examples" / "piece.py", written], check=True)
    assert written.read_bytes() == kept.read_bytes()
    song = read_song(kept)
    assert song.seconds == pytest.approx(20)
    assert [part.at_once() for part in song.parts] == [1, 1]
    assert all(49 <= key <= 80 for part in song.parts for key in part.keys)
