"""The docs as a site: it builds without a warning, its links lead somewhere, its sounds are fit to be heard, and the
figures of the pages are those of docs/figures.json."""

import json
import runpy
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

import numpy as np
import pytest
import soundfile

ROOT = Path(__file__).parent.parent
SOUNDS = ROOT / "docs" / "sounds"
FIGURES = runpy.run_path(str(ROOT / "experiments" / "figures.py"))


@pytest.mark.parametrize("page", FIGURES["PAGES"], ids=lambda page: page.name)
def test_the_figures_of_a_page_are_those_of_the_file(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    assert "<!-- figures: " in text
    assert FIGURES["filled"](text) == text


def test_figures_are_taken_from_a_report(tmp_path: Path) -> None:
    report = tmp_path / "report.json"
    report.write_text(json.dumps({"mr_stft": 0.71234567, "log_mel_l1": 0.059, "other": 1.0}))
    assert FIGURES["taken"]("codec_large_sax", report) == {"mr_stft": 0.71235, "log_mel_l1": 0.059}
    report.write_text(json.dumps({"mr_stft": 0.7, "log_mel_l1": None}))
    with pytest.raises(SystemExit, match="no figure log_mel_l1"):
        FIGURES["taken"]("codec_large_sax", report)


def test_figures_are_taken_from_the_lines_of_a_benchmark_and_the_section_of_a_report(tmp_path: Path) -> None:
    lines = tmp_path / "playing.jsonl"
    lines.write_text('loading\n{"study": "tuning", "median_cents": 0.3}\n{"study": "hour", "hours": 1}\n')
    assert FIGURES["measured"](lines) == {"tuning": {"median_cents": 0.3}, "hour": {"hours": 1}}
    lines.write_text(json.dumps({"fad": 1.0, "playing": {"liveliness": 0.9}}))
    assert FIGURES["measured"](lines)["liveliness"] == 0.9


class Links(HTMLParser):
    """What a page loads, where it leads, and the names of its parts."""

    def __init__(self, page: Path) -> None:
        super().__init__()
        self.loaded: list[str] = []
        self.led: list[str] = []
        self.parts: set[str] = set()
        self.players = 0
        self.feed(page.read_text(encoding="utf-8"))

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = {name: value or "" for name, value in attrs}
        self.parts.add(given.get("id", ""))
        self.players += tag == "audio"
        if tag == "a" and "href" in given:
            self.led.append(given["href"])
        loads = {"link": "href", "script": "src", "img": "src", "audio": "src"}.get(tag)
        if loads in given:
            self.loaded.append(given[loads])


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> dict[Path, Links]:
    """Every page that `make docs` builds."""
    for package in ("sphinx", "myst_parser", "furo"):
        pytest.importorskip(package, reason="no docs extra")
    out = tmp_path_factory.mktemp("site")
    command = [
        "-q",
        "-W",
        "--keep-going",
        "-E",
        "-c",
        "docs",
        "-b",
        "html",
        "-d",
        str(out / "cache"),
        ".",
        str(out / "site"),
    ]
    done = subprocess.run(
        [sys.executable, "-m", "sphinx", *command], cwd=ROOT, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    return {page: Links(page) for page in (out / "site").rglob("*.html")}


def test_every_page_of_the_docs_is_in_the_site(site: dict[Path, Links]) -> None:
    names = {page.stem for page in site}
    assert names >= {"README", "CHANGELOG", *(page.stem for page in (ROOT / "docs").rglob("*.md"))}


def test_every_link_within_the_site_leads_somewhere(site: dict[Path, Links]) -> None:
    for page, links in site.items():
        for link in (*links.loaded, *links.led):
            parts = urlsplit(link)
            if parts.scheme:
                continue
            there = (page.parent / unquote(parts.path)).resolve() if parts.path else page
            assert there.is_file(), f"{page.name}: {link}"
            if parts.fragment and there.suffix == ".html":
                assert unquote(parts.fragment) in site[there].parts, f"{page.name}: {link}"


def test_the_site_loads_nothing_from_elsewhere(site: dict[Path, Links]) -> None:
    for page, links in site.items():
        assert not [link for link in links.loaded if urlsplit(link).netloc], page.name


def test_every_sound_has_a_player(site: dict[Path, Links]) -> None:
    (first,) = (links for page, links in site.items() if page.match("docs/index.html"))
    heard = {Path(link).name for link in first.loaded if link.endswith(".mp3")}
    assert heard == {path.name for path in SOUNDS.glob("*.mp3")}
    assert first.players == len(heard)


def test_every_sound_has_a_command_or_is_an_input() -> None:
    makes = runpy.run_path(str(ROOT / "experiments" / "sounds.py"))["commands"]({"sax": "/a.ts"})
    assert set(makes) == {path.stem for path in SOUNDS.glob("*.mp3")}
    assert {name for name, words in makes.items() if not words} == {"saxophone", "singing", "speech"}
    assert makes["piece-of-two"][2:5] == ["/a.ts", "--midi", "piece.mid"]


@pytest.mark.parametrize("path", sorted(SOUNDS.glob("*.mp3")), ids=lambda path: path.stem)
def test_a_sound_is_fit_to_be_heard(path: Path) -> None:
    sound, rate = soundfile.read(path)
    frames = sound[: len(sound) // 1000 * 1000].reshape(-1, 1000)
    level = 10 * np.log10((frames**2).mean(1) + 1e-12)
    loudness = 10 * np.log10((frames[level > level.max() - 30] ** 2).mean())
    peak = 20 * np.log10(np.abs(sound).max())
    assert 3.0 < len(sound) / rate < 30.0
    assert peak < -1.0
    assert loudness == pytest.approx(-20.0, abs=1.0) or (peak > -2.5 and -26.0 < loudness < -20.0)
    assert np.abs(sound[[0, -1]]).max() < 0.01
    assert abs(sound.mean()) < 1e-3
    assert path.with_suffix(".png").is_file()


def test_the_sounds_are_small() -> None:
    assert sum(path.stat().st_size for path in SOUNDS.iterdir()) < 6e6
