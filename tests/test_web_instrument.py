"""An instrument as a web page: it plays what MODEL.ts plays, and what cannot be a page is refused."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import re
import shutil
import subprocess
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import toy_playable
from numpy.typing import NDArray
from test_export_prior import with_prior
from toy_bundle import write_toy

from wavevae.bundle import read_bundle
from wavevae.controls import SAMPLE, ControlState, Note, Share
from wavevae.errors import UserError
from wavevae.export.__main__ import main
from wavevae.export.web import FOLDERS
from wavevae.export.web_numbers import is_halved, rounded
from wavevae.realtime.engine.engine import PlayableModel

needs_node = pytest.mark.skipif(shutil.which("node") is None, reason="no node here")
Page = tuple[Path, Path]
"""MODEL.ts and the folder."""
Score = Sequence[tuple[int, ControlState]]
"""Blocks, and the controls that hold for them."""


@pytest.fixture(scope="module")
def pages(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Page]:
    """Small instruments of each kind with random weights, and their pages."""
    made: dict[str, Page] = {}

    def page(kind: str) -> Page:
        if kind not in made:
            folder = tmp_path_factory.mktemp("page")
            model = with_prior(kind.removesuffix(" prior"))[0] if "prior" in kind else toy_playable.make(kind)
            path = toy_playable.write(model, folder / "toy.ts")
            assert main([str(path), "--format", "web", "-o", str(folder / "page")]) == 0
            made[kind] = path, folder / "page"
        return made[kind]

    return page


def play(folder: Path, **job: Any) -> NDArray[np.float32]:
    """What tests/play_page.js plays."""
    file, out = folder.parent / "job.json", folder.parent / "sound.bin"
    file.write_text(json.dumps(job))
    script = Path(__file__).parent / "play_page.js"
    done = subprocess.run(["node", script, folder, file, out], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return np.fromfile(out, np.float32)


def round_weights(module: Any) -> Any:
    """As the page keeps them, 16 bits and a scale a column."""
    for name, weight in module.state_dict().items():
        if name.startswith("decoder.") and is_halved(name, weight.numpy()):
            weight.copy_(torch.from_numpy(rounded(weight.numpy())))
        elif name.startswith("plays.performer.") and "weight" in name and weight.numel() >= 2048:
            weight.copy_(torch.from_numpy(rounded(weight.numpy().T).T.copy()))
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
@pytest.mark.parametrize("kind", ["vae", "both", "short hop", "dense prior", "class prior"])
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
    notes, mix = [n._asdict() for n in state.notes], [list(m) for m in state.mix]
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
    assert np.abs(play(folder, **job) - wanted).max() < 1e-4
    if kind == "vae":  # a browser without the kernel's instructions
        assert np.abs(play(folder, kernel=False, **job) - wanted).max() < 1e-4


def test_the_kernel_is_what_its_source_says() -> None:
    source, assembled = ((FOLDERS[0] / name).read_bytes() for name in ("kernel.wat", "kernel.js"))
    assert hashlib.sha256(source).hexdigest() in assembled.decode()


def test_the_folder_is_small_and_asks_nobody(pages: Callable[[str], Page]) -> None:
    _, folder = pages("dense prior")
    names = {part.name for part in folder.iterdir()}
    page = (folder / "index.html").read_text()
    assert set(re.findall(r'(?:src|href)="(?!data:)([^"]+)"', page)) < names
    assert set(json.loads(re.search(r"NAMES = (.*);", (folder / "offline.js").read_text())[1])) == {
        "./",
        *names - {"offline.js"},
    }
    for part in folder.iterdir():
        hosts = set(re.findall(r"https?://([\w.]+)", part.read_text()))
        assert hosts <= {"www.w3.org", "localhost"}, part  # of SVG, and in a word to the user


def test_what_cannot_be_a_page_is_refused_in_a_line(tmp_path: Path, pages: Callable[[str], Page]) -> None:
    path, folder = pages("vae")
    codec = tmp_path / "codec.ts"
    write_toy(codec)
    (tmp_path / "text.ts").write_text("not a model")
    (tmp_path / "full").mkdir()
    (tmp_path / "full/song.mid").write_text("")
    cases = {
        "for instruments: train one": [str(codec), "-o", str(tmp_path / "a")],
        "not a TorchScript model file": [str(tmp_path / "text.ts"), "-o", str(tmp_path / "a")],
        "holds other files": [str(path), "-o", str(tmp_path / "full")],
        "is a file": [str(path), "-o", str(tmp_path / "text.ts")],
        "is for a run": [str(path), "-o", str(tmp_path / "a"), "--latents", "2"],
        "no --streaming": [str(path), "-o", str(tmp_path / "a"), "--weights", "float16"],
    }
    for why, words in cases.items():
        with pytest.raises(UserError, match=why):
            main(["--format", "web", *words])
    assert not (tmp_path / "a").exists()
    assert main([str(path), "--format", "web", "-o", str(folder)]) == 0  # its own page is replaced
