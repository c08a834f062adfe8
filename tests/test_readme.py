"""The README is a test: its commands exist, take the options shown, and its Python runs."""

import re
import shlex
import subprocess
import sys
from functools import cache
from pathlib import Path

import pytest

from wavevae.cli import commands

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")
SHOWN = re.findall(r"^(wavevae .*)$|`(wavevae [^`]*)`", README, flags=re.MULTILINE)
LINES = sorted({a or b for a, b in SHOWN})


@cache
def help_of(command: str) -> str:
    done = subprocess.run(
        [sys.executable, "-c", "from wavevae.cli import main; raise SystemExit(main())", command, "--help"],
        capture_output=True,
        text=True,
        check=True,
    )
    return done.stdout


@pytest.mark.parametrize("line", LINES)
def test_every_command_shown_takes_what_is_shown(line: str) -> None:
    words = shlex.split(line, comments=True)[1:]
    assert words[0] in commands()
    for word in words[1:]:
        if word.startswith("-"):
            assert re.search(rf"(?<![\w-]){re.escape(word)}(?![\w-])", help_of(words[0])), word


@pytest.mark.parametrize("command", sorted(commands()))
def test_every_help_ends_with_an_example_of_the_command(command: str) -> None:
    example = help_of(command).split("example:")[1]
    assert f"wavevae {command}" in example


def test_every_make_target_named_exists() -> None:
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), flags=re.MULTILINE))
    named = set(re.findall(r"`make ([a-z-]+)`|^make ([a-z-]+)$", README, flags=re.MULTILINE))
    assert {a or b for a, b in named} <= targets
    assert {"setup", "demo", "test", "test-all", "lint", "bench"} <= targets


def test_pictures_and_folders_named_are_there() -> None:
    for picture in re.findall(r"\]\((docs/[^)]+)\)", README):
        assert (ROOT / picture).is_file(), picture
    for folder in re.findall(r"^([a-z]+)/ ", README, flags=re.MULTILINE):
        assert (ROOT / folder).is_dir(), folder


PAGES = [ROOT / "README.md", ROOT / "CHANGELOG.md", *sorted((ROOT / "docs").glob("*.md"))]


@pytest.mark.parametrize("page", PAGES, ids=[page.name for page in PAGES])
def test_no_page_has_a_placeholder_or_a_conflict_left_in(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    assert not re.search(
        r"@@|\bTODO\b|\bFIXME\b|\bXXX\b|^(<{7}|>{7}|={7})( |$)|\{\{|%\([a-z]+\)s", text, re.MULTILINE
    )
