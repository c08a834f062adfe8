"""report.html and the comparison: whole, self-contained, the same figures as report.json; differences in pairs."""

from __future__ import annotations

import base64
import csv
import io
import json
import re
import shutil
import subprocess
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch
from toy_bundle import write_toy

from wavevae import audio
from wavevae.errors import UserError
from wavevae.evaluation import codec, compare, judged_latents
from wavevae.evaluation.__main__ import main
from wavevae.evaluation.compare import verdict

pytestmark = pytest.mark.usefixtures("drawn_pictures")

RATE = 8000


class Page(HTMLParser):
    """Tags with their attributes, and the text."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.feed(path.read_text(encoding="utf-8"))

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.text += data

    def of(self, tag: str) -> list[dict[str, str | None]]:
        return [attrs for name, attrs in self.tags if name == tag]


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Four named sounds, two toy models, and the evaluation of both with anchors, by one command."""
    folder = tmp_path_factory.mktemp("compare")
    t = np.arange(round(1.2 * RATE)) / RATE
    for number in range(4):
        tone = sum(np.sin(2 * np.pi * k * (150 + 40 * number) * t) / k for k in range(1, 6))
        name = "<b>&amp;.wav" if number == 0 else f"{number}.wav"
        audio.write(folder / "sounds" / f"kind {number % 2}" / name, (0.1 * tone).astype(np.float32), RATE)
    for hop, name in ((64, "first"), (128, "second")):
        write_toy(folder / f"{name}.ts", sample_rate=RATE, hop_length=hop)
    argv = [str(folder / "first.ts"), str(folder / "sounds"), "--also", str(folder / "second.ts")]
    assert main([*argv, "-o", str(folder / "out"), "--pairs", "2", "--generate", "5", "--anchors"]) == 0
    return folder


def test_the_page_needs_nothing_beside_it(place: Path) -> None:
    page = Page(place / "out" / "first.ts" / "report.html")
    for tag, attrs in page.tags:
        for name in ("src", "href", "data", "poster"):
            value = attrs.get(name)
            assert value is None or value.startswith("data:"), (tag, name)
    raw = (place / "out" / "first.ts" / "report.html").read_text()
    assert not re.search(r"https?://|url\(|@import|fetch\(", raw)
    assert page.of("meta")[-1]["content"].startswith("default-src 'none'")  # type: ignore[union-attr]


def test_the_page_says_what_the_report_says(place: Path) -> None:
    folder = place / "out" / "first.ts"
    page, report = Page(folder / "report.html"), json.loads((folder / "report.json").read_text())
    for name in ("mr_stft", "log_mel_l1", "fad"):
        assert f"{report[name]:.4g}" in page.text
    for name in ("hop_lock", "transfer_loudness_r", "crossfade_db"):
        assert f"{report['playing'][name]:.4g}" in page.text
    assert report["playing"]["why"]["knob_monotonic"] in page.text
    assert "<b>&amp;.wav" in page.text  # a file's name is text, whatever it holds
    assert not page.of("b")
    if codec.coder() is not None:
        assert report["equals_opus"]["mr_stft"] in page.text
        assert [rung["kbps"] for rung in report["anchors"]["rungs"]][::8] == [6, 96]


def test_players_hold_the_sounds_and_pictures_are_pictures(place: Path) -> None:
    folder = place / "out" / "first.ts"
    page = Page(folder / "report.html")
    players = [attrs["src"] or "" for attrs in page.of("audio")]
    wavs = [
        path for part in ("pairs", "generated", "playing") for path in sorted((folder / part).glob("*.wav"))
    ]
    assert len(players) == len(wavs)
    assert len([path for path in wavs if path.parent.name != "playing"]) == 2 * 2 + 1
    assert len([path for path in wavs if path.parent.name == "playing"]) >= 2 * (
        1 + 3
    )  # held tones, transfers
    inside = []
    for uri in players:
        heard, rate = soundfile.read(io.BytesIO(base64.b64decode(uri.split(",")[1])), dtype="float32")
        assert rate == RATE
        inside.append(heard)
    for path in wavs:
        wanted = audio.read_mono(path, RATE)
        assert any(len(x) == len(wanted) and np.abs(x - wanted).max() < 1e-4 for x in inside)
    pictures = [attrs["src"] or "" for attrs in page.of("img")]
    seen = [*(folder / "playing").glob("*.png"), *(folder / "generated").glob("*.png")]
    assert len(pictures) == 2 + 3 + len(seen)
    assert all(base64.b64decode(uri.split(",")[1])[:4] == b"\x89PNG" for uri in pictures)


@pytest.mark.skipif(shutil.which("chromium") is None, reason="no chromium")
def test_a_browser_shows_it_and_its_scripts_run(place: Path, tmp_path: Path) -> None:
    page = tmp_path / "report.html"
    text = (place / "out" / "first.ts" / "report.html").read_text()
    probe = (
        "addEventListener('load', () => { document.body.dataset.shown = "
        "[...document.images].every((i) => i.naturalWidth > 100) + ' ' + "
        "getComputedStyle(document.querySelector('.players')).display + ' ' + "
        "(document.querySelector('.switch').click(), document.querySelector('.switch').textContent); });"
    )
    page.write_text(text.replace("</body>", f"<script>{probe}</script></body>"))
    options = ["--headless", "--no-sandbox", "--disable-gpu", f"--user-data-dir={tmp_path / 'profile'}"]
    done = subprocess.run(
        ["chromium", *options, "--dump-dom", page.as_uri()], capture_output=True, text=True, timeout=120
    )
    found = re.search(r'data-shown="([^"]*)"', done.stdout)
    assert found is not None, done.stderr[-500:]
    assert found[1] == "true flex stop"


def test_a_comparison_is_in_pairs_over_the_same_seconds(place: Path) -> None:
    found = json.loads((place / "out" / "comparison.json").read_text())
    assert found["names"] == ["first.ts", "second.ts"]
    rows = [
        {
            (r["file"], r["start_s"]): float(r["mr_stft"])
            for r in csv.DictReader((place / "out" / n / "chunks.csv").open())
        }
        for n in found["names"]
    ]
    gaps = [rows[1][key] - rows[0][key] for key in rows[0]]
    difference = found["differences_to_first"]["mr_stft"][1]
    assert difference["mean"] == pytest.approx(np.mean(gaps), abs=1e-4)
    assert difference["interval"][0] <= difference["mean"] <= difference["interval"][1]
    assert found["remarks"] == []
    table = (place / "out" / "comparison.csv").read_text().splitlines()
    assert table[0] == "figure,first.ts,second.ts"
    assert "mr_stft" in Page(place / "out" / "comparison.html").text


def test_reports_of_different_sounds_are_told_apart(place: Path, tmp_path: Path) -> None:
    argv = [
        str(place / "first.ts"),
        str(place / "sounds" / "kind 1"),
        "--generate",
        "0",
        "--probe-files",
        "0",
    ]
    assert main([*argv, "-o", str(tmp_path / "half"), "--pairs", "0"]) == 0
    assert (
        main(
            [
                "--compare",
                str(place / "out" / "first.ts"),
                str(tmp_path / "half"),
                "-o",
                str(tmp_path / "both"),
            ]
        )
        == 0
    )
    found = json.loads((tmp_path / "both" / "comparison.json").read_text())
    assert "not the same seconds" in found["remarks"][0]
    difference = found["differences_to_first"]["mr_stft"][1]
    assert difference["mean"] == pytest.approx(0.0, abs=1e-5)  # the same model on what both have judged
    with pytest.raises(UserError, match="same folder"):
        compare.names_of([tmp_path, tmp_path])


def test_better_and_worse_are_said_only_beyond_luck() -> None:
    assert verdict("mr_stft", (-0.3, -0.1)) == "better"
    assert verdict("si_sdr_db", (-0.3, -0.1)) == "worse"
    assert verdict("mr_stft", (-0.3, 0.1)) == "no difference seen"
    assert verdict("kl_nats", (1.0, 2.0)) == ""
    assert verdict("mr_stft", None) == ""


def test_without_a_codec_anchors_are_left_out_and_it_is_said(
    place: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(codec, "coder", lambda: None)
    argv = [str(place / "first.ts"), str(place / "sounds" / "kind 1"), "--anchors", "--generate", "0"]
    assert main([*argv, "-o", str(tmp_path), "--pairs", "0"]) == 0
    found = json.loads((tmp_path / "report.json").read_text())
    assert found["equals_opus_kbps"] is None
    assert "install ffmpeg" in found["remarks"][0]
    assert "install ffmpeg" in capsys.readouterr().err


def test_principal_axes_are_those_of_the_covariance() -> None:
    frames = torch.randn(500, 4, generator=torch.Generator().manual_seed(0)).numpy() * np.array(
        [3.0, 1.0, 2.0, 0.1]
    )
    _, directions, shares = judged_latents.principal(frames)
    values, vectors = np.linalg.eigh(np.cov(frames.T))
    assert shares == pytest.approx(values[::-1][:2] / values.sum(), rel=1e-4)
    assert abs(directions[0] @ vectors[:, -1]) == pytest.approx(1.0, abs=1e-4)
