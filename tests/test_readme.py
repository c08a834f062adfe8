"""README and docs: commands parse, Python runs, links hold, presets and loss weights are those of the code."""

import argparse
import os
import re
import shlex
import subprocess
import sys
from dataclasses import replace
from functools import cache
from pathlib import Path

import pytest
import soundfile
from small_instrument import RATE, melody, small

from wavevae.checkpoint import Checkpoint, write_checkpoint
from wavevae.cli import Parser, commands
from wavevae.config import OLD_NAMES, RunConfig, full_key
from wavevae.nn.instrument import Instrument
from wavevae.nn.model import Autoencoder
from wavevae.parts_command import main as parts
from wavevae.train.arguments import parse, resolve

ROOT = Path(__file__).parent.parent
README = ROOT / "README.md"
USER_PAGES = [README, *sorted((ROOT / "docs").glob("*.md"))]
PAGES = [*USER_PAGES, ROOT / "CHANGELOG.md", *sorted((ROOT / "docs" / "lab").glob("*.md"))]
LAUNCHERS = re.compile(r"^(\w+=\S+ |torchrun .*--no-python )+")
"""What may stand before `wavevae` on a line."""


def read(page: Path) -> str:
    return page.read_text(encoding="utf-8")


def shown(page: Path) -> set[str]:
    """Every `wavevae ...` of a page: lines of code, continued lines as one, and code within a sentence."""
    text = re.sub(r" \\\n\s+", " ", read(page))
    fenced = re.findall(r"^```\n(.*?)^```", text, flags=re.MULTILINE | re.DOTALL)
    lines = [*"\n".join(fenced).splitlines(), *re.findall(r"^ {4}(.*)$", text, flags=re.MULTILINE)]
    inline = re.findall(r"`(wavevae [^`]*)`", text)
    return {
        line
        for line in (*(LAUNCHERS.sub("", x.strip()) for x in lines), *inline)
        if line.startswith("wavevae ")
    }


LINES = sorted({line for page in USER_PAGES for line in shown(page)})


@cache
def help_of(command: str) -> str:
    done = subprocess.run(
        [sys.executable, "-c", "from wavevae.cli import main; raise SystemExit(main())", command, "--help"],
        capture_output=True,
        text=True,
        check=True,
    )
    return done.stdout


class Parsed(Exception):
    """A command's own parser took the line."""


def parsed(parser: Parser, argv: list[str]) -> argparse.Namespace:
    """Instead of Parser.parse_args: parses, and goes no further."""
    argparse.ArgumentParser.parse_args(parser, argv)
    raise Parsed


@pytest.mark.parametrize("line", LINES)
def test_every_command_shown_parses(line: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Parser, "parse_args", parsed)
    monkeypatch.setattr(os, "environ", dict(os.environ))
    words = [word for word in shlex.split(line, comments=True)[1:] if word != "--debug"]
    if words[0] == "--help":
        return
    main = commands()[words[0]].load()
    if len(words) == 1 and words[0] not in ("demo", "devices", "doctor"):
        return  # the name of a command within a sentence
    with pytest.raises((Parsed, SystemExit)) as end:
        main(words[1:])
    assert end.type is Parsed or (end.value.code == 0 and "--help" in words)


TRAININGS = [
    line for line in LINES if line.startswith("wavevae train") and not re.search("NAME|--resume|--help", line)
]


@pytest.mark.parametrize("line", TRAININGS)
def test_every_training_shown_has_settings_that_are(line: str) -> None:
    resolve(parse(shlex.split(line, comments=True)[2:]))


@pytest.mark.parametrize("page", USER_PAGES, ids=lambda page: page.name)
def test_every_setting_named_is_one(page: Path) -> None:
    for key in re.findall(r"--set ([a-z]\w*)=", read(page)):
        full_key(key)


@pytest.mark.parametrize("page", USER_PAGES, ids=lambda page: page.name)
def test_every_address_named_is_in_the_help_of_serve(page: Path) -> None:
    for address in re.findall(r"/wavevae/[a-z_/]+", read(page)):
        assert address.startswith("/wavevae/state/") or address in help_of("serve"), address


@pytest.mark.parametrize("command", sorted(commands()))
def test_every_help_ends_with_an_example_of_the_command(command: str) -> None:
    example = help_of(command).split("example:")[1]
    assert f"wavevae {command}" in example


@pytest.fixture
def workplace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with a run, an instrument of random weights, and a sound."""
    model = small()
    path = tmp_path / "runs" / "mine" / "checkpoints" / "best.ckpt"
    path.parent.mkdir(parents=True)
    write_checkpoint(path, Checkpoint(config=RunConfig(model=model.config), state=model.state_dict()))
    soundfile.write(tmp_path / "voice.wav", melody(20)[0, 0].numpy(), RATE)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def blocks(page: Path) -> list[str]:
    return re.findall(r"^```python\n(.*?)^```", read(page), flags=re.MULTILINE | re.DOTALL)


def test_the_python_of_the_readme_runs(workplace: Path) -> None:
    found: dict = {}
    exec("\n".join(blocks(README)), found)
    assert found["y"].shape == found["x"].shape
    assert found["z"].shape[1] == found["model"].latent_dim == len(found["model"].axis_names)


def test_the_python_of_its_page_runs(workplace: Path) -> None:
    loading, of_a_file, apart = blocks(ROOT / "docs" / "python.md")
    found: dict = {}
    exec(loading, found)
    assert found["again"].shape == found["y"].shape == found["x"].shape
    compile(of_a_file, "python.md", "exec")  # tests/test_export_instrument.py plays such a file
    parts(["runs/mine", "-o", "parts"])
    exec(apart, found)
    assert found["z"].shape[0] == found["y"].shape[0] == 1


def rows(page: Path, header: str) -> list[list[str]]:
    """Cells of the table that begins with a header."""
    table = read(page).split(header)[1].split("\n\n")[0]
    return [[cell.strip() for cell in line.strip("|").split(" |")] for line in table.splitlines()[2:]]


PRESETS = rows(README, "| preset |")


@pytest.mark.parametrize("row", PRESETS, ids=lambda row: row[0])
def test_the_table_of_presets_is_true(row: list[str]) -> None:
    name, rate, hop, parameters = re.match(r"`([\w-]+)`", row[0])[1], *row[1:4]  # type: ignore[index]
    config = resolve(parse(["--preset", name])).model
    if config.family == "instrument":
        config = replace(config, oscillators="harmonic")
    model = (Instrument if config.family == "instrument" else Autoencoder)(config)
    assert int(hop.split()[0]) == config.hop_length
    assert f"{1000 / config.frame_rate:.1f} ms" in hop
    assert not rate[0].isdigit() or float(rate.split()[0]) == config.sample_rate / 1000
    millions = sum(p.numel() for p in model.parameters()) / 1e6
    assert float(parameters.split()[0]) == pytest.approx(millions, abs=0.5 if millions > 10 else 0.05)


LOSSES = rows(ROOT / "docs" / "how-it-works.md", "| loss |")


@pytest.mark.parametrize("row", LOSSES, ids=lambda row: row[3])
def test_the_weights_of_the_losses_are_those_of_the_presets(row: list[str]) -> None:
    settings = re.findall(r"`(\w+)`", row[3])
    for name, cell in (("instrument", row[1]), ("codec", row[2])):
        config = resolve(parse(["--preset", name]))
        said = [float(x) for x in re.findall(r"(?<![\w.])\d[\d.]*", re.split(r",|\(| over", cell)[0])]
        ends = settings[:2] if settings[1:2] == [f"{settings[0]}_end"] else settings[:1]
        true = [getattr(getattr(config, full_key(k).split(".")[0]), k) for k in ends]
        if said:
            assert said[-1] == true[-1], settings
            assert len(true) == 1 or said[0] == true[0], settings


def test_every_make_target_named_exists() -> None:
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), flags=re.MULTILINE))
    named = set(re.findall(r"`make ([a-z-]+)`|^make ([a-z-]+)$", read(README), flags=re.MULTILINE))
    assert {a or b for a, b in named} <= targets
    assert {"setup", "demo", "test", "test-all", "lint", "bench"} <= targets


def test_folders_of_the_map_are_there() -> None:
    for folder in re.findall(r"^([a-z]+)/ ", read(README), flags=re.MULTILINE):
        assert (ROOT / folder).is_dir(), folder


def anchors(page: Path) -> set[str]:
    """The names that a reader's browser gives to the headings of a page."""
    headings = re.findall(r"^#+ (.*)$", read(page), flags=re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_link_leads_somewhere(page: Path) -> None:
    for target, anchor in re.findall(r"\]\(([^)#:\s]*)(?:#([^)]*))?\)", read(page)):
        there = page.parent / target if target else page
        assert there.exists(), target
        assert not anchor or anchor in anchors(there), f"{target}#{anchor}"


@pytest.mark.parametrize("page", USER_PAGES, ids=lambda page: page.name)
def test_every_page_begins_with_what_to_type(page: Path) -> None:
    top = read(page).splitlines()[1 : 20 if page == README else 3]
    assert any(line.startswith(("    ", "```")) for line in top)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_no_page_has_a_placeholder_or_a_conflict_left_in(page: Path) -> None:
    assert not re.search(
        r"@@|\bTODO\b|\bFIXME\b|\bXXX\b|^(<{7}|>{7}|={7})( |$)|\{\{|%\([a-z]+\)s", read(page), re.MULTILINE
    )


def test_every_renamed_setting_is_listed() -> None:
    text = read(ROOT / "docs" / "lab" / "README.md").split("## Settings that were renamed")[1]
    for old, new in OLD_NAMES.items():
        assert f"`{old}`" in text
        assert f"`{new}`" in text
