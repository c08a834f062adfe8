"""What is typed and what is printed to be typed: quoting, home folders, sample rates."""

import argparse
import os
import shlex
import subprocess
from pathlib import Path

import pytest

from wavevae.cli import Parser, expanded, parse_sample_rate, shown
from wavevae.config import RunConfig, override
from wavevae.corpus.cache import default_cache
from wavevae.errors import UserError

NAMES = (
    *(
        "plain",
        "with space",
        "it's",
        'a "quoted" one',
        "-dash",
        "--out",
        "a;b",
        "$HOME",
        "*",
        "~",
        "Flöte",
        "a&b",
    ),
    *("back\\slash", "line\nend", "tab\t", "#", "!x", os.fsdecode(b"no\xffutf")),
)


@pytest.mark.parametrize("name", NAMES)
def test_a_printed_command_names_the_same_file_when_it_is_pasted(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_text("here")
    command = shown("info", Path(name)).replace("wavevae info", "cat", 1)
    done = subprocess.run(["bash", "-c", command], cwd=tmp_path, capture_output=True, text=True)
    assert done.stdout == "here", command


def test_its_options_stay_options() -> None:
    assert shlex.split(shown("train", "--resume", "--out", Path("-x y"))) == [
        *("wavevae", "train", "--resume", "--out", "./-x y"),
    ]


def parsed(*words: str) -> argparse.Namespace:
    parser = Parser("x", "", "")
    parser.add_argument("data", type=Path, nargs="*")
    parser.add_argument("--out", type=Path)
    parser.add_argument("--name", default="~")
    return parser.parse_args(list(words))


def test_the_home_folder_is_meant_wherever_a_path_is(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    found = parsed("--out=~/x", "~/a", "b~", "~nobody-of-this-name/c")
    assert found.out == tmp_path / "x"
    assert found.data == [tmp_path / "a", Path("b~"), Path("~nobody-of-this-name/c")]
    assert found.name == "~"
    assert expanded("~") == tmp_path
    monkeypatch.setenv("WAVEVAE_CACHE", "~/kept")
    assert default_cache() == tmp_path / "kept"


@pytest.mark.parametrize("text", ["44100", "44100.0", "44.1k", "44.1 kHz", "44100 Hz", "44.1K", " 44100hz"])
def test_sample_rates_as_people_write_them(text: str) -> None:
    assert parse_sample_rate(text) == 44100
    assert override(RunConfig(), {"model.sample_rate": text}).model.sample_rate == 44100


@pytest.mark.parametrize(
    "text", ["", "k", "0", "-44100", "44100.5", "44.10055k", "nan", "inf", "fast", "1e9", "1/0"]
)
def test_what_is_no_sample_rate_is_refused(text: str) -> None:
    with pytest.raises(argparse.ArgumentTypeError, match=r"44\.1k"):
        parse_sample_rate(text)
    with pytest.raises(UserError, match="sample_rate"):
        override(RunConfig(), {"model.sample_rate": text})
