"""The example patches in Pd and SuperCollider themselves, without a window or a sound card, where these are installed.

nn~ and nn.ar are not packaged with them: a stand-in takes their place and records what a patch sends to it. The
emulator of nn~ (tests/nn_host.py) then plays the recording with a toy instrument of eleven latents.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

import pytest
import soundfile
import torch
from nn_host import Host
from signals import level_db
from test_examples import EXAMPLES, LATENTS, write_instrument
from torch import Tensor

RATE, BUFFER = 22050, 1024
in_pd = pytest.mark.skipif(shutil.which("pd") is None, reason="Pd is not installed (Debian's puredata-core)")
in_sclang = pytest.mark.skipif(
    shutil.which("sclang") is None, reason="SuperCollider is not installed (Debian's supercollider-language)"
)


@pytest.fixture(scope="module")
def model_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_instrument(tmp_path_factory.mktemp("model") / "mine.ts")


@dataclass(frozen=True, eq=False)
class Recorded:
    """What one nn~ object was given."""

    method: str
    messages: list[str]
    inlets: Tensor
    """(LATENTS, samples); those that the method does not have are zero."""

    def sound(self, file: Path) -> Tensor:
        """What nn~ would answer with this file: (outlets, samples). A message that it does not take fails."""
        host = Host(file, self.method, BUFFER)
        for message in self.messages:
            word, *values = message.split()
            if word == "set":
                assert host.message(values[0], float(values[1])) == 0, message
            else:
                assert word in ("bufsize", "enable"), message
        whole = self.inlets.size(1) // BUFFER * BUFFER
        return host.play(self.inlets[: host.params[0], :whole])[0]


# -- Pd --------------------------------------------------------------------------------------------------------


class Canvas:
    """A Pd patch in the making."""

    def __init__(self) -> None:
        self.records, self.wires, self.count = ["#N canvas 0 0 400 300 12"], [], 0

    def add(self, record: str) -> int:
        """An object's number."""
        self.records.append(f"#X {record}")
        self.count += 1
        return self.count - 1

    def connect(self, source: int, outlet: int, target: int, inlet: int) -> None:
        self.wires.append(f"#X connect {source} {outlet} {target} {inlet}")

    def write(self, path: Path) -> None:
        path.write_text(";\n".join([*self.records, *self.wires, ""]))


def write_stand_in(folder: Path, samples: int) -> None:
    """nn~.pd: eleven inlets that are recorded from the first sample on, eleven outlets that hold typical latents."""
    canvas = Canvas()
    begin = canvas.add("obj 0 0 loadbang")
    for i in range(LATENTS):
        inlet = canvas.add(f"obj {20 * i} 20 inlet~ fwd")
        table = canvas.add(f"obj 0 60 tabwrite~ \\$0-{i}")
        canvas.add(f"obj 0 80 table \\$0-{i} {samples}")
        canvas.connect(inlet, 0, table, 0)
        canvas.connect(begin, 0, table, 0)
        value, outlet = (
            canvas.add(f"obj 0 100 sig~ {[60, -20, 1][i] if i < 3 else 0}"),
            canvas.add(f"obj {20 * i} 120 outlet~"),
        )
        canvas.connect(value, 0, outlet, 0)
        if i == 0:
            said = canvas.add("obj 0 140 print nn \\$2 \\$0")
            canvas.connect(inlet, 1, said, 0)
    end, number = canvas.add("obj 0 160 r end-of-take"), canvas.add("obj 0 180 f \\$0")
    tables = " ".join(f"\\$1-{i}" for i in range(LATENTS))
    save = canvas.add(f"msg 0 200 write -wave -bytes 4 {folder}/\\$1.wav {tables}")
    write, said = canvas.add("obj 0 220 soundfiler"), canvas.add("obj 0 240 print exists \\$2 \\$0")
    for source, target in ((end, number), (number, save), (save, write), (write, said)):
        canvas.connect(source, 0, target, 0)
    canvas.write(folder / "nn~.pd")


def play_in_pd(
    patch: Path,
    folder: Path,
    seconds: float,
    notes: dict[int, str] | None = None,
    sent: dict[int, str] | None = None,
) -> list[Recorded]:
    """The patch for some seconds; `notes` are lists for MIDI (pitch velocity channel) by the millisecond, `sent` names
    that something in the patch receives, with a value."""
    write_stand_in(folder, int(seconds * RATE) - 512)  # full before the end
    canvas = Canvas()
    begin = canvas.add("obj 0 0 loadbang")
    events = {ms: f"\\; #notein list {note}" for ms, note in (notes or {}).items()}
    events |= {ms: f"\\; {message}" for ms, message in (sent or {}).items()}
    events[round(1000 * seconds)] = "\\; end-of-take bang \\; pd quit"
    for ms, message in events.items():
        wait, send = canvas.add(f"obj 0 20 delay {ms}"), canvas.add(f"msg 0 40 {message}")
        canvas.connect(begin, 0, wait, 0)
        canvas.connect(wait, 0, send, 0)
    canvas.write(folder / "driver.pd")
    command = [
        "pd",
        "-nogui",
        "-batch",
        "-noaudio",
        "-nomidi",
        "-stderr",
        "-r",
        str(RATE),
        "-path",
        str(folder),
    ]
    opened = ["-open", str(patch), "-open", str(folder / "driver.pd")]
    done = subprocess.run([*command, *opened], capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    lines = [
        line for line in done.stderr.splitlines() if "biggest amplitude" not in line
    ]  # soundfiler's word
    assert not [line for line in lines if not line.startswith(("nn ", "exists "))], done.stderr
    objects = [line.split(":")[0].split()[1:] for line in lines if line.startswith("exists ")]
    return [
        Recorded(
            method,
            [line.split(": ", 1)[1] for line in lines if line.startswith(f"nn {method} {number}:")],
            torch.from_numpy(soundfile.read(folder / f"{number}.wav", dtype="float32")[0].T.copy()),
        )
        for method, number in objects
    ]


@in_pd
def test_pd_complains_of_what_is_not_there(tmp_path: Path) -> None:
    patch = tmp_path / "broken.pd"
    patch.write_text("#N canvas 0 0 300 200 12;\n#X obj 10 10 osk~ 440;\n")
    with pytest.raises(AssertionError, match="osk~"):
        play_in_pd(patch, tmp_path, 0.1)


@in_pd
def test_controls_sound_when_the_patch_is_opened(tmp_path: Path, model_file: Path) -> None:
    (decode,) = play_in_pd(EXAMPLES / "pd/controls.pd", tmp_path, 2.0)
    assert decode.method == "decode"
    assert {"bufsize 1024", "enable 1", "set life 1", "set gain 0"} <= set(decode.messages)
    assert decode.inlets[:, -1].tolist() == [60.0, -20.0, 1.0, *[0.0] * 8]
    assert level_db(decode.sound(model_file)[0, RATE:]) == pytest.approx(-20.0, abs=1.5)


@in_pd
def test_keys_play_a_chord_and_let_it_go(tmp_path: Path, model_file: Path) -> None:
    notes = {300: "60 127 1", 310: "64 64 1", 1500: "60 0 1", 1510: "64 0 1"}
    voices = play_in_pd(EXAMPLES / "pd/keyboard.pd", tmp_path, 2.5, notes)
    assert len(voices) == 4
    held = round(1.2 * RATE)
    played = {round(float(v.inlets[0, held])): v for v in voices if v.inlets[1, held] > -90}
    assert set(played) == {60, 64}
    for pitch, loudness in ((60, -16.0), (64, -26.0)):  # 4 dB under the attack
        voice = played[pitch]
        assert float(voice.inlets[1, held]) == pytest.approx(loudness, abs=0.5)
        sound = voice.sound(model_file)[0]
        assert level_db(sound[held : held + RATE // 5]) == pytest.approx(loudness, abs=2.0)
        assert level_db(sound[: round(0.28 * RATE)]) < -90
        assert level_db(sound[-RATE // 4 :]) < -90
        assert "set life 1" in voice.messages
    assert all(v.inlets[1].max() == -100 for v in voices if v not in played.values())


@in_pd
def test_what_comes_in_is_transformed(tmp_path: Path, model_file: Path) -> None:
    (forward,) = play_in_pd(EXAMPLES / "pd/transform.pd", tmp_path, 0.3)
    assert forward.method == "forward"
    assert "bufsize 1024" in forward.messages
    assert {"set transpose_auto 1", "set fit 0.5", "set transpose 0"} <= set(forward.messages)
    assert level_db(forward.sound(model_file)) < -90  # silence in, silence out


@in_pd
def test_latents_are_bent_between_two_objects(tmp_path: Path, model_file: Path) -> None:
    objects = {o.method: o for o in play_in_pd(EXAMPLES / "pd/latents.pd", tmp_path, 0.5)}
    assert set(objects) == {"encode", "decode"}
    assert all("bufsize 1024" in o.messages for o in objects.values())
    assert objects["decode"].inlets[:, -1].tolist() == [48.0, -20.0, 1.0, 1.0, *[0.0] * 7]
    assert level_db(objects["decode"].sound(model_file)[0, RATE // 4 :]) > -26
    assert objects["encode"].sound(model_file).shape[0] == LATENTS


@in_pd
def test_keys_are_performed_and_the_prior_improvises(tmp_path: Path, model_file: Path) -> None:
    patch = tmp_path / "perform.pd"
    text = (EXAMPLES / "pd/perform.pd").read_text(encoding="utf-8")
    patch.write_text(text.replace(" dac~;", " nn~ mine.ts out;"), encoding="utf-8")  # records what is heard
    notes = {300: "64 100 1", 1200: "64 0 1"}
    objects = play_in_pd(patch, tmp_path, 3.0, notes, {2500: "improvise 1"})
    assert sorted(o.method for o in objects) == ["decode", "decode", "out", "perform", "prior"]
    perform, prior, out = (next(o for o in objects if o.method == m) for m in ("perform", "prior", "out"))
    assert perform.inlets[:2, round(0.7 * RATE)].tolist() == [64.0, pytest.approx(100 / 127, abs=1e-3)]
    assert float(perform.inlets[1, -1]) == float(perform.inlets[1, RATE // 10]) == 0.0
    assert float(prior.inlets[0, -1]) == 1.0
    assert {"set prior_density 1", "bufsize 1024"} <= set(prior.messages)
    assert all(o.sound(model_file).isfinite().all() for o in (perform, prior))
    for decode in (o for o in objects if o.method == "decode"):
        assert decode.inlets[:4, -1].tolist() == [60.0, -20.0, 1.0, 0.0]  # in the order of the outlets
    heard = [
        float(out.inlets[0, round(s * RATE)]) / 60 for s in (1.95, 2.4, 2.8)
    ]  # 60 is the stand-in's outlet
    assert heard == pytest.approx([0.0, 0.7, 1.4], abs=1e-3)


def test_every_pd_patch_is_played_here() -> None:
    assert {p.stem for p in (EXAMPLES / "pd").glob("*.pd")} == {
        "controls",
        "keyboard",
        "voice",
        "transform",
        "latents",
        "perform",
    }


# -- SuperCollider ---------------------------------------------------------------------------------------------


def blocks_of(path: Path) -> list[str]:
    """What a player evaluates one after the other: blocks in parentheses, and the lines between them."""
    code = re.sub(r"//[^\n]*", "", re.sub(r"https?://", "", path.read_text(encoding="utf-8")))
    blocks, inside = [""], False
    for line in code.splitlines():
        if line.strip() in ("(", ")"):
            inside = line.strip() == "("
            blocks.append("")
        elif line.strip():
            blocks[-1] += line + "\n"
            blocks += [] if inside else [""]
    return [block for block in blocks if block.strip()]


def run_sclang(blocks: list[str], folder: Path, after: str = "0.exit;") -> str:
    """What sclang says of blocks with the stand-in for nn.ar, and then of `after`."""
    files = [folder / f"{n:02}.scd" for n in range(len(blocks))]
    for file, block in zip(files, blocks, strict=True):
        file.write_text(block)
    quoted = ", ".join(f'"{file}"' for file in files)
    (folder / "all.scd").write_text(f"NN.evaluate([{quoted}]);\n{after}\n")
    (folder / "sclang.yaml").write_text(f"includePaths:\n  - {Path(__file__).parent / 'supercollider'}\n")
    shown_nowhere = {"QT_QPA_PLATFORM": "offscreen", "QTWEBENGINE_DISABLE_SANDBOX": "1", "HOME": str(folder)}
    done = subprocess.run(
        ["sclang", "-D", "-l", str(folder / "sclang.yaml"), str(folder / "all.scd")],
        env={**os.environ, **shown_nowhere},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@in_sclang
def test_sclang_complains_of_what_is_wrong(tmp_path: Path) -> None:
    said = run_sclang([r"{ NN(\mine, \decode).ar(DC.kr(0)) }.asSynthDef;", "(1 + ;"], tmp_path)
    assert "is no audio signal" in said
    assert "ERROR: no code" in said


@in_sclang
def test_every_supercollider_example_is_evaluated(tmp_path: Path, model_file: Path) -> None:
    blocks = blocks_of(EXAMPLES / "supercollider/wavevae.scd")
    assert len(blocks) > 10
    said = run_sclang(blocks, tmp_path)
    assert "ERROR" not in said, said[said.index("ERROR") :]
    takes = [line.split(" ")[1:] for line in said.splitlines() if line.startswith("TAKE ")]
    module = torch.jit.load(str(model_file))
    assert {method for method, *_ in takes} == {"encode", "decode", "forward", "perform", "prior"}
    for method, inputs, buffer, warmup, attributes in takes:
        assert int(inputs) == int(getattr(module, f"{method}_params")[0])
        assert (int(buffer), int(warmup)) == (BUFFER, 2)
        assert set(filter(None, attributes.split(","))) <= set(module.get_attributes())
    used = {name for *_, names in takes for name in names.split(",")}
    assert {"life", "transpose", "transpose_auto", "fit", "class", "reset", "prior_seed"} <= used


@in_sclang
@pytest.mark.skipif(shutil.which("scsynth") is None, reason="no scsynth (Debian's supercollider-server)")
def test_a_key_of_the_supercollider_keyboard_sounds(tmp_path: Path, model_file: Path) -> None:
    """Silent, then a key of the loudness that was set, then its release; the file as the emulator plays it."""
    events = r"[[0.5, \pitch, 67, \loudness, -20, \key, 1], [1.5, \key, 0]]"
    wav = tmp_path / "inputs.wav"
    run_sclang(
        blocks_of(EXAMPLES / "supercollider/wavevae.scd"),
        tmp_path,
        f'NN.render(\\voice0, {events}, 2.5, "{wav}");',
    )
    inlets = torch.from_numpy(soundfile.read(wav, dtype="float32")[0].T.copy())[16 : 16 + LATENTS]
    sound = Recorded("decode", [], inlets).sound(model_file)[0]
    assert inlets[:3, round(1.2 * RATE)].tolist() == [67.0, pytest.approx(-24.0, abs=0.1), 1.0]
    held = slice(round(1.0 * RATE), round(1.5 * RATE))
    assert level_db(sound[held]) == pytest.approx(-24.0, abs=2.0)
    assert level_db(sound[: round(0.48 * RATE)]) < -90
    assert level_db(sound[round(1.9 * RATE) :]) < -90


@in_sclang
@pytest.mark.skipif(shutil.which("scsynth") is None, reason="no scsynth (Debian's supercollider-server)")
def test_the_reset_of_the_supercollider_example_outlasts_a_buffer(tmp_path: Path) -> None:
    """nn.ar looks at attributes when a buffer is full."""
    wav = tmp_path / "attributes.wav"
    blocks = blocks_of(EXAMPLES / "supercollider/wavevae.scd")
    run_sclang(blocks, tmp_path, f'NN.render(\\again, [], 1.0, "{wav}");')
    reset = soundfile.read(wav, dtype="float32")[0][:, 16 + LATENTS]
    assert 2 * BUFFER < (reset > 0).sum() < RATE // 2
