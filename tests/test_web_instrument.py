"""An instrument as a web page: it plays what MODEL.ts plays, and what cannot be a page is refused."""

from __future__ import annotations

import base64
import contextlib
import dataclasses
import importlib.util
import io
import json
import shutil
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
import torch
import toy_playable
from numpy.typing import NDArray
from test_export_prior import with_prior

from wavevae.bundle import read_bundle, write_bundle
from wavevae.controls import SAMPLE, ControlState, Note, Refused, Share
from wavevae.export import model_file
from wavevae.export.__main__ import main
from wavevae.export.instrument import instrument_module
from wavevae.export.model_file import axes_of
from wavevae.export.torchscript import script
from wavevae.export.web import joined
from wavevae.export.web_numbers import bits_of, rounded
from wavevae.nn.instrument import Instrument
from wavevae.realtime.control.dispatcher import Dispatcher
from wavevae.realtime.engine.engine import PlayableModel
from wavevae.realtime.model_info import describe

needs_browser = pytest.mark.skipif(
    shutil.which("chromium") is None or importlib.util.find_spec("playwright") is None,
    reason="no chromium or no playwright here",
)
needs_node = pytest.mark.skipif(shutil.which("node") is None, reason="no node here")
SAME = 1e-4
"""Of full scale. A page differs by 1e-6, and a note by far more from one that began a frame later."""
SCRIPTS = f"{joined('desk')} modules.midi = (() => {{ {joined('midi')} return modules.midi; }})();"
"""Of the page, without what is seen."""
Page = tuple[Path, Path]
"""MODEL.ts and the folder."""
Score = Sequence[tuple[int, ControlState]]
"""Blocks, and the controls that hold for them."""


def small(kind: str) -> Instrument:
    if "prior" in kind:
        return with_prior(kind.removesuffix(" prior"))[0]
    if "short hop" in kind:
        return toy_playable.make_of(toy_playable.config("both", frames_per_second=172.0))
    return toy_playable.make(kind)


def write(model: Instrument, path: Path) -> Path:
    """Exported, but not compared with the model."""
    model.profile = toy_playable.profile(model)
    axes = axes_of(model, toy_playable.statistics(model))
    write_bundle(path, script(instrument_module(model, axes)), model_file.describe(model, axes, {}))
    return path


@pytest.fixture(scope="module")
def pages(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Page]:
    """Small instruments of each kind with random weights, and their pages."""
    made: dict[str, Page] = {}

    def page(kind: str) -> Page:
        if kind not in made:
            folder = tmp_path_factory.mktemp("page")
            path = write(small(kind), folder / "toy.ts")
            assert main([str(path), "--format", "web", "-o", str(folder / "page")]) == 0
            made[kind] = path, folder / "page"
        return made[kind]

    return page


def run(folder: Path, job: dict[str, Any]) -> bytes:
    """What tests/play_page.js writes."""
    file, out = folder.parent / "job.json", folder.parent / "out"
    file.write_text(json.dumps(job))
    script = Path(__file__).parent / "play_page.js"
    done = subprocess.run(["node", script, folder, file, out], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return out.read_bytes()


def play(folder: Path, **job: Any) -> NDArray[np.float32]:
    return np.frombuffer(run(folder, job), np.float32)


def round_weights(module: Any) -> Any:
    """As the page keeps them."""
    for name, weight in module.state_dict().items():
        performer = name.startswith("plays.performer.") and "weight" in name
        values = weight.numpy().T if performer else weight.numpy()
        bits = bits_of("prior.weight" if performer else name, values)
        if bits and (performer or name.startswith("decoder.")):
            made = rounded(values, bits)
            weight.copy_(torch.from_numpy((made.T if performer else made).copy()))
    return module


def moving(bundle: Any, voices: int, frames: int) -> NDArray[np.float32]:
    """(voices, latents, frames): held and moving latents of each voice."""
    random = np.random.default_rng(1)
    steps = random.standard_normal((voices, bundle.info.latent_dim, frames)).astype(np.float32)
    z = steps[:, :, np.arange(frames) // 12 * 12]
    z[:, :, frames // 2 :: 2] += 0.1 * steps[:, :, frames // 2 :: 2]
    mean = np.array([axis.mean for axis in bundle.info.axes], np.float32)
    std = np.array([min(axis.std, 6) for axis in bundle.info.axes], np.float32)
    return z * std[:, None] + mean[:, None]


@needs_node
@pytest.mark.parametrize("kind", ["vae", "both, short hop", "dense prior", "class prior"])
def test_voices_sound_as_in_the_file(pages: Callable[[str], Page], kind: str) -> None:
    path, folder = pages(kind)
    bundle, frames = read_bundle(path), 60
    z = moving(bundle, 3, frames)
    shares = [0.25, 0.5] if "class" in kind else []
    found = play(folder, latents=z.transpose(0, 2, 1).tolist(), life=1, classes=shares, restart=[40, 1])

    def decoded(module: Any) -> NDArray[np.float32]:
        if shares:
            module.mix_classes(torch.tensor(shares))
        with torch.inference_mode():
            first = module.decode(torch.from_numpy(z[..., :40].copy()))
            module.restart(1)
            return torch.cat([first, module.decode(torch.from_numpy(z[..., 40:].copy()))], 2)[:, 0].numpy()

    exact, same = decoded(bundle.module), decoded(round_weights(read_bundle(path).module))
    found = found.reshape(exact.shape)
    assert np.abs(exact).max() > 0.05
    assert np.abs(found - same).max() < 1e-5
    assert np.abs(found - exact).max() < 1e-3


def piece(first: ControlState, performs: bool) -> Score:
    """A chord that is bent, pressed and let go, a legato line, a reset, and what a prior makes up."""

    def note(pitch: int, serial: int, held: bool = True, **more: float) -> Note:
        return Note(pitch, 0.8, held, serial, held, **more)

    state, score = first, []
    moves: tuple[tuple[int, dict[str, Any]], ...] = (
        (1, {}),
        (30, {"keyed": True, "idle": False, "notes": (note(60, 1),)}),
        (30, {"notes": (note(60, 1), note(64, 2), note(67, 3))}),
        (20, {"notes": (note(60, 1, False), note(64, 2), note(67, 3, bend=0.5, pressure=0.7, slide=0.8))}),
        (30, {"notes": (note(60, 1, False), note(64, 2, False)), "latents": first.latents[::-1]}),
        (20, {"perform": 0.0, "attack_ms": 60.0, "notes": (note(55, 4),), "mix": (Share(1, 0.5),)}),
        (20, {"mono": True, "notes": (note(55, 4), note(59, 5))}),
        (10, {"mono": False, "notes": (), "resets": 1}),
        (10, {"keyed": False, "perform": 1.0, "gain_db": -6.0}),
        (60, {"mode": SAMPLE}),
    )
    for blocks, change in moves if performs else moves[:-1]:
        state = dataclasses.replace(state, **change)
        score.append((blocks, state))
    return score


def for_page(state: ControlState, names: Sequence[str]) -> dict[str, Any]:
    """As the page's own desk sends it."""
    notes = [{name: v for name, v in n._asdict().items() if name != "offsets"} for n in state.notes]
    mix = [list(m) for m in state.mix]
    attributes = dict(zip(names, state.attributes, strict=True))
    return {**dataclasses.asdict(state), "notes": notes, "mix": mix, "attributes": attributes}


def engine(path: Path) -> PlayableModel:
    """The player of `serve`, with the page's weights."""
    player = PlayableModel(path, 0)
    round_weights(player._cores[0].module)
    return player


def expected(player: PlayableModel, score: Score, block: int) -> NDArray[np.float32]:
    blocks = [player.engine.process(state, block) for count, state in score for _ in range(count)]
    return np.concatenate(blocks)


@needs_node
@pytest.mark.parametrize("kind", ["vae", "dense prior", "class prior"])
def test_notes_are_played_as_serve_plays_them(pages: Callable[[str], Page], kind: str) -> None:
    """Envelopes, voices that are taken over, glides, gain; where there is a prior, how it performs and improvises."""
    path, folder = pages(kind)
    player = engine(path)
    score, names = piece(player.controls, player.model.performs), [a.name for a in player.model.attributes]
    block = player.model.hop_length // 2
    wanted = expected(player, score, block)
    job = {"score": [[count, for_page(state, names)] for count, state in score], "block": block}
    assert np.abs(wanted).max() > 0.05
    assert np.abs(play(folder, **job) - wanted).max() < SAME
    if kind == "vae":  # a browser without the kernel's instructions
        assert np.abs(play(folder, kernel=False, **job) - wanted).max() < SAME


def browse(*words: object) -> str:
    script = Path(__file__).parent / "browser_instrument.py"
    done = subprocess.run([sys.executable, script, *words], capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    return done.stdout


@needs_browser
def test_a_browser_plays_it_as_serve_does(pages: Callable[[str], Page], tmp_path: Path) -> None:
    path, folder = pages("dense prior")
    player = engine(path)
    score, names = piece(player.controls, performs=True), [a.name for a in player.model.attributes]
    block = player.model.hop_length // 2  # what a browser asks for at a time
    wanted, at, timed = expected(player, score, block), 0, []
    for count, state in score:
        timed.append([at, for_page(state, names)])
        at += count * block
    (tmp_path / "score.json").write_text(json.dumps([timed, at / player.model.sample_rate]))
    browse("render", folder, tmp_path / "score.json", tmp_path / "sound.bin")
    found = np.fromfile(tmp_path / "sound.bin", np.float32)
    assert len(found) == len(wanted)
    assert np.abs(found - wanted).max() < SAME


@pytest.mark.slow
@needs_browser
def test_a_chord_by_touch_is_recorded_as_the_file_sounds(
    pages: Callable[[str], Page], tmp_path: Path
) -> None:
    path, folder = pages("vae prior")
    answer = json.loads(browse("play", folder, tmp_path))
    assert answer["problems"] == []
    for size in ("laptop", "phone"):
        assert not answer[size]["wider_than_screen"]
        assert answer[size]["keyboard_visible"]
        assert answer[size]["room_for_controls"] > 0.45
        assert (tmp_path / f"{size}.png").stat().st_size > 20_000
    sound, rate = soundfile.read(io.BytesIO(base64.b64decode(answer["recording"])), dtype="float32")
    assert rate == read_bundle(path).info.sample_rate
    assert np.abs(sound).max() > 0.02
    assert np.abs(sound).max() < 1
    assert replayed(path, answer["sent"], sound) < SAME


@pytest.mark.slow
@needs_browser
def test_once_loaded_it_opens_without_its_server(pages: Callable[[str], Page]) -> None:
    _, folder = pages("dense prior")
    assert json.loads(browse("offline", folder))["problems"] == []


def replayed(path: Path, sent: list[dict[str, Any]], sound: NDArray[np.float32]) -> float:
    """The largest difference of a recording from the same controls played by `serve`. The first frame begins at one of
    two blocks, the softest samples being 0 in 16 bits."""
    block = read_bundle(path).info.hop_length // 2
    first = int(np.flatnonzero(sound)[0]) // block * block
    return min(difference(path, sent, sound[max(0, start) :]) for start in (first, first - block))


def difference(path: Path, sent: list[dict[str, Any]], sound: NDArray[np.float32]) -> float:
    """When a set of controls came is found from the sound: it holds from the first frame on that differs without it."""
    hop = read_bundle(path).info.hop_length
    frames = sound[: len(sound) // hop * hop].reshape(-1, hop)
    times = [0]
    while True:
        player = engine(path)
        player.engine._gate.jump(1.0)
        states, worst = [from_page(player.controls, one) for one in sent], 0.0
        for n, frame in enumerate(frames):
            state = states[sum(time <= n for time in times) - 1]
            worst = max(worst, float(np.abs(player.engine.process(state, hop) - frame).max()))
            if worst > SAME:
                break
        if worst <= SAME or len(times) == len(sent):
            return worst
        times.append(n)


def from_page(first: ControlState, sent: dict[str, Any]) -> ControlState:
    """The reverse of `for_page`."""
    known = {f.name for f in dataclasses.fields(ControlState)} - {"notes", "attributes", "mix"}
    plain = {n: tuple(v) if isinstance(v, list) else v for n, v in sent.items() if n in known}
    return dataclasses.replace(first, **plain, notes=tuple(Note(**note) for note in sent["notes"]))


@needs_node
@pytest.mark.parametrize("rate", [48000, 16000])
def test_at_another_rate_it_is_read_in_straight_lines(pages: Callable[[str], Page], rate: int) -> None:
    path, folder = pages("vae")
    player = engine(path)
    held = dataclasses.replace(player.controls, idle=False)
    names = [a.name for a in player.model.attributes]
    own = player.model.sample_rate
    whole = expected(player, [(200, held)], 128)
    found = play(folder, score=[[100, for_page(held, names)]], block=128, rate=rate)
    at = np.arange(len(found)) * own / rate
    wanted = np.interp(at, np.arange(len(whole) + 1), [0.0, *whole])
    assert np.abs(whole).max() > 0.05
    assert np.abs(found - wanted).max() < SAME


@needs_node
def test_the_page_allots_voices_as_serve_does(pages: Callable[[str], Page]) -> None:
    """Keys, pedal, one voice at a time, expression, latents, the map and classes, in any order."""
    path, folder = pages("class prior")
    desk = Dispatcher(describe(read_bundle(path)), lambda state, lines: None)
    messages = messages_at_random(300)
    states = []
    for name, *values in messages:
        with contextlib.suppress(Refused):  # of a note that does not sound
            desk.apply(f"/wavevae/{name}", tuple(values))
        states.append(desk.state)
    told = run(folder, {"desk": SCRIPTS, "messages": messages})
    for state, found, message in zip(states, json.loads(told), messages, strict=True):
        wanted = for_page(state, [a.name for a in desk.model.attributes])
        for name in (
            "notes",
            "keyed",
            "idle",
            "mono",
            "pedal",
            "mode",
            "muted",
            "mix",
            "frozen",
            "release_ms",
        ):
            assert found[name] == wanted[name], (message, name)
        for name in ("latents", "glides_ms"):
            assert found[name] == pytest.approx(wanted[name], abs=1e-3), (message, name)
        assert found["attributes"]["life"] == wanted["attributes"]["life"]


def messages_at_random(count: int) -> list[list[Any]]:
    random = np.random.default_rng(3)

    def one() -> list[Any]:
        pitch, share = int(random.integers(60, 72)), round(float(random.random()), 3)
        kinds: list[list[Any]] = [
            *[["note", pitch, share + 0.001], ["note", pitch, 0]] * 6,
            *(["pedal", int(share > 0.5)], ["mono", int(share > 0.7)], ["note/bend", pitch, share]),
            *(["note/pressure", pitch, share], ["note/slide", pitch, share], ["xy", share, 1 - share]),
            *(["latent/3", share], ["pitch", 50 + share], ["life", share], ["release", 100 * share]),
            *(
                ["smoothing", 100 * share],
                ["mix/1", share],
                ["class", "reed"],
                ["freeze"],
                ["mode", "sample"],
            ),
            *(["panic"], ["reset"], ["drone"], ["gain", -6 * share]),
        ]
        return kinds[int(random.integers(len(kinds)))]

    return [one() for _ in range(count)]


@needs_node
def test_a_controller_with_a_channel_a_note_is_understood(pages: Callable[[str], Page]) -> None:
    """MPE: bend of 48 semitones, pressure and slide of one note; on the first channel, of all."""
    _, folder = pages("dense prior")
    midi = [
        [0x91, 60, 127],
        [0x92, 64, 127],
        [0xE1, 0, 96],
        [0xD2, 127],
        [0xB1, 74, 0],
        [0xE0, 0, 0],
        [0xD0, 127],
    ]
    midi += [[0xB0, 64, 127], [0x91, 60, 0], [0x82, 64, 10]]
    assert json.loads(run(folder, {"desk": SCRIPTS, "midi": midi})) == [
        *(
            ["note", 60, 1],
            ["note", 64, 1],
            ["note/bend", 60, 24],
            ["note/pressure", 64, 1],
            ["note/slide", 60, 0],
        ),
        *(["bend", -2], ["pressure", 1], ["pedal", 1], ["note", 60, 0], ["note", 64, 0]),
    ]
