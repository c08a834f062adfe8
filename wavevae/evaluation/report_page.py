"""report.html: the figures, players, spectrograms and latents on one page that needs nothing beside it.

Sounds are inside as FLAC, 16 bit; pictures as PNG. No script from elsewhere, no font, no request.
"""

from __future__ import annotations

import base64
import html
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import Any

import numpy as np
import soundfile

from wavevae.evaluation import glossary
from wavevae.files import native_name


@dataclass(frozen=True)
class Moment:
    """Sounds to hear and see: a pair, or one alone."""

    title: str
    sounds: Mapping[str, Path]
    """{reference, reconstruction: WAV}"""
    picture: Path


@dataclass(frozen=True)
class Played:
    """A group of sounds that shows how the model plays."""

    kind: str
    """held, sweep, transfer or performed."""
    moment: Moment


@dataclass(frozen=True)
class Material:
    """What lies beside the page already."""

    folder: Path
    moments: Sequence[Moment]
    generated: Sequence[Moment]
    latents: Mapping[str, Path]
    """{caption: picture}"""
    played: Sequence[Played] = ()


PLAYED = {
    "held": (
        "Held tones",
        "A sound, and the model brought to one moment of it (at 1 s), whose frame is held for two seconds.",
    ),
    "sweep": ("Sweeps", "A held tone while one control goes through its range in three seconds."),
    "transfer": ("Transfers", "Foreign sound, and what the model makes of it."),
    "performed": (
        "Performances",
        "A recording with the notes found in it, and the same notes played by the model.",
    ),
}
"""Kind -> heading and explanation."""


def asset(name: str) -> str:
    return (files("wavevae.evaluation") / "page_assets" / name).read_text(encoding="utf-8")


def sound_uri(path: Path) -> str:
    """A WAV as FLAC inside the page: half the size, the same to 16 bits."""
    samples, rate = soundfile.read(native_name(path), dtype="float32")
    packed = io.BytesIO()
    soundfile.write(packed, np.clip(samples, -1, 1), rate, format="FLAC", subtype="PCM_16")
    return "data:audio/flac;base64," + base64.b64encode(packed.getvalue()).decode()


def picture_uri(path: Path) -> str:
    return "data:image/png;base64," + base64.b64encode(path.read_bytes()).decode()


def _player(path: Path, label: str) -> str:
    name = html.escape(label)
    return (
        f'<figure class="player"><figcaption>{name}</figcaption>'
        f'<audio controls preload="metadata" aria-label="{name}" src="{sound_uri(path)}"></audio></figure>'
    )


def _picture(path: Path, caption: str) -> str:
    text = html.escape(caption)
    return f'<figure><img alt="{text}" src="{picture_uri(path)}"><figcaption>{text}</figcaption></figure>'


def _moment(moment: Moment) -> str:
    players = "".join(_player(path, kind) for kind, path in moment.sounds.items())
    several = len(moment.sounds) > 1
    switch = '<button type="button" class="switch">play, switching</button>' if several else ""
    return (
        f'<section class="moment"><h3>{html.escape(moment.title)}</h3>'
        f'<div class="players">{players}{switch}</div>'
        f'<img alt="spectrograms of {html.escape(moment.title)}" src="{picture_uri(moment.picture)}"></section>'
    )


def figures_table(report: Mapping[str, Any]) -> str:
    """Name with its meaning on hover, figure, interval, Opus, which way is better."""
    rows = glossary.lines(report)
    with_opus = bool(report.get("equals_opus"))
    about = report.get("about") or {}
    head = ["figure", "value", "95 % interval", *(["equals Opus, kbit/s"] if with_opus else []), "better"]
    body = []
    for name, value, width, opus, better in rows:
        cells = [value, width, *([opus] if with_opus else []), better]
        meaning = html.escape(str(about.get(name, "")), quote=True)
        tds = "".join(f"<td>{html.escape(cell)}</td>" for cell in cells)
        body.append(f'<tr><th scope="row" title="{meaning}">{html.escape(name)}</th>{tds}</tr>')
    return f"<table><thead><tr>{_heads(head)}</tr></thead><tbody>{''.join(body)}</tbody></table>"


def _heads(names: Sequence[str]) -> str:
    return "".join(f'<th scope="col">{html.escape(name)}</th>' for name in names)


def ladder_table(report: Mapping[str, Any]) -> str:
    anchors = report.get("anchors")
    if not anchors:
        return ""
    names = [
        "kbps",
        "coded_kbps",
        *(n for n in ("mr_stft", "log_mel_l1", "si_sdr_db", "accuracy_stft", "fad")),
    ]
    rows = "".join(
        "<tr>" + "".join(f"<td>{glossary.number(rung.get(name))}</td>" for name in names) + "</tr>"
        for rung in anchors["rungs"]
    )
    codec = html.escape(anchors["codec"])
    head = f"<h2>Anchors</h2><p>{codec}, the same chunks.</p><table><thead><tr>{_heads(names)}</tr></thead>"
    return f"{head}<tbody>{rows}</tbody></table>"


def playing_section(report: Mapping[str, Any], played: Sequence[Played]) -> str:
    """The figures of playing with their meanings, and players of held tones, sweeps, transfers and performances."""
    playing = report.get("playing")
    if not playing:
        return ""
    rows = "".join(
        f"<tr><th scope='row'>{html.escape(name)}</th><td>{html.escape(value)}</td><td>{html.escape(text)}</td></tr>"
        for name, value, text in glossary.playing_lines(playing)
    )
    parts = [
        f"<h2>Playing</h2><table class='meanings'><thead><tr>{_heads(('figure', 'value', 'what it is'))}</tr></thead>"
        f"<tbody>{rows}</tbody></table>"
    ]
    for kind, (heading, text) in PLAYED.items():
        shown = [one.moment for one in played if one.kind == kind]
        if shown:
            parts.append(f"<h3>{heading}</h3><p class='note'>{text}</p>" + "".join(map(_moment, shown)))
    return "".join(parts)


def _facts(report: Mapping[str, Any]) -> str:
    details = ", ".join(f"{k} {v}" for k, v in report["details"].items() if v is not None)
    rows = {
        "subject": f"{report['subject']} ({report['subject_kind']}; {details})",
        "model": f"{report['bottleneck']}, {report['sample_rate']} Hz, hop {report['hop_length']} samples, "
        f"{report['latent_dim']} latents",
        "data": f"{report['data']}: {report['files']} files, {report['seconds']:.0f} s; "
        f"{report['chunks_used']} seconds used, {report['chunks_left_out']} silent ones left out, "
        f"{len(report['files_skipped'])} files skipped",
        "embedding": str(report["fad_embedding"]),
    }
    return "".join(f"<dt>{html.escape(k)}</dt><dd>{html.escape(v)}</dd>" for k, v in rows.items())


def body(report: Mapping[str, Any], material: Material) -> str:
    said = [*glossary.extras(report), *report.get("remarks", [])]
    parts = [
        f"<h1>{html.escape(Path(report['subject']).name or 'evaluation')}</h1><dl>{_facts(report)}</dl>",
        f"<h2>Figures</h2>{figures_table(report)}<p class='note'>{html.escape(report['means'])}</p>",
        "".join(f"<p>{html.escape(sentence.strip())}</p>" for sentence in said),
        ladder_table(report),
    ]
    if material.moments:
        parts.append("<h2>Hear and see</h2>" + "".join(map(_moment, material.moments)))
    parts.append(playing_section(report, material.played))
    if material.generated:
        parts.append("<h2>What it says by itself</h2>" + "".join(map(_moment, material.generated)))
    if material.latents:
        pictures = "".join(_picture(path, caption) for caption, path in material.latents.items())
        parts.append(f"<h2>Latents</h2>{pictures}")
    return "\n".join(parts)


def document(title: str, content: str) -> str:
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        '<meta http-equiv="Content-Security-Policy" content="default-src \'none\'; img-src data:; media-src data:; '
        "style-src 'unsafe-inline'; script-src 'unsafe-inline'\">"
        f"<title>{html.escape(title)}</title><style>{asset('report.css')}</style></head>\n"
        f"<body>\n{content}\n<script>{asset('report.js')}</script></body></html>\n"
    )


def write(path: Path, report: Mapping[str, Any], material: Material) -> None:
    title = f"wavevae: {Path(report['subject']).name}"
    path.write_bytes(document(title, body(report, material)).encode("utf-8", "backslashreplace"))
