"""The folder of a web page: what is in it, what it is made from, and what is refused."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import toy_playable
from test_export_prior import with_prior
from test_web_instrument import SCRIPTS, Page, for_page, needs_node, pages, run, small, write  # noqa: F401 - a fixture
from toy_bundle import write_toy

from wavevae.bundle import Bundle, read_bundle
from wavevae.checkpoint import write_checkpoint
from wavevae.config import RunConfig, override
from wavevae.controls import SAMPLE, Share
from wavevae.errors import UserError
from wavevae.export.__main__ import main
from wavevae.export.web import FOLDERS, refuse_unplayable
from wavevae.realtime.control.presets import preset_of, presets_of, recalled, write_preset
from wavevae.realtime.model_info import describe
from wavevae.train.arguments import preset_values


def test_the_kernel_is_what_its_source_says() -> None:
    source, assembled = ((FOLDERS[0] / name).read_bytes() for name in ("kernel.wat", "kernel.js"))
    assert hashlib.sha256(source).hexdigest() in assembled.decode()


def test_the_folder_is_small_and_asks_nobody(pages: Callable[[str], Page]) -> None:  # noqa: F811
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


def test_what_cannot_be_a_page_is_refused_in_a_line(tmp_path: Path, pages: Callable[[str], Page]) -> None:  # noqa: F811
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


def test_a_run_becomes_a_page_of_its_name(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    model, prior = with_prior()
    kept = toy_playable.checkpoint(model)
    kept.latents["prior"] = prior.to_dict()
    run = tmp_path / 'my "horn" <1>'
    write_checkpoint(run / "checkpoints/best.ckpt", kept)
    assert main([str(run), "--format", "web", "-o", str(tmp_path / "page"), "--json"]) == 0
    made = json.loads(capsys.readouterr().out)
    assert {Path(name).name for name in made["paths"]} == {
        part.name for part in (tmp_path / "page").iterdir()
    }
    assert "<title>my &quot;horn&quot; &lt;1&gt; · wavevae" in (tmp_path / "page/index.html").read_text()
    assert json.loads((tmp_path / "page/manifest.webmanifest").read_text())["name"] == run.name
    assert sorted(part.name for part in tmp_path.iterdir()) == sorted((run.name, "page"))


@pytest.mark.parametrize(("preset", "kind"), [("codec", "a codec"), ("study-a", "a spectrogram model")])
def test_a_run_of_another_family_is_refused_before_it_is_exported(
    tmp_path: Path, preset: str, kind: str
) -> None:
    config = override(RunConfig(), preset_values(preset))
    kept = replace(toy_playable.checkpoint(toy_playable.make()), config=config)
    write_checkpoint(tmp_path / "run/checkpoints/best.ckpt", kept)
    with pytest.raises(UserError, match=f"is {kind}; --format web is for instruments"):
        main([str(tmp_path / "run"), "--format", "web", "-o", str(tmp_path / "page")])


def test_a_file_of_before_voices_could_begin_anew_is_refused(pages: Callable[[str], Page]) -> None:  # noqa: F811
    path, _ = pages("dense prior")
    module: Any = SimpleNamespace(decoder=SimpleNamespace())
    with pytest.raises(UserError, match=r"older wavevae.* export its run again"):
        refuse_unplayable(Bundle(module, read_bundle(path).info, path), path)


@needs_node
def test_presets_beside_the_file_come_along(tmp_path: Path) -> None:
    path = write(small("class prior"), tmp_path / "toy.ts")
    model = describe(read_bundle(path))
    changed = replace(model.initial(), release_ms=900.0, mode=SAMPLE, mix=(Share(1, 0.5),))
    changed = replace(changed, latents=changed.latents[::-1], attributes=(0.5, *changed.attributes[1:]))
    write_preset(presets_of(path)[1], "mine", preset_of(changed, model))
    assert main([str(path), "--format", "web", "-o", str(tmp_path / "page")]) == 0
    told = run(tmp_path / "page", {"desk": SCRIPTS, "messages": [["preset/recall", "mine", 0.5]]})
    wanted = recalled(preset_of(changed, model), model.initial(), model, 0.5)
    names = [attribute.name for attribute in model.attributes]
    found, expected = json.loads(told)[0], json.loads(json.dumps(for_page(wanted, names)))
    for name in ("latents", "glides_ms", "release_ms", "mode", "mix", "attributes", "settle_ms"):
        assert found[name] == expected[name], name
