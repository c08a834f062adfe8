"""What is left behind: report.json, chunks.csv, sound pairs, pictures; and the table on the terminal."""

from __future__ import annotations

import csv
import json
import os
import re
import shutil
import tempfile
from collections.abc import Mapping, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

from wavevae import audio
from wavevae.errors import UserError
from wavevae.evaluation import plots
from wavevae.evaluation.judge import Verdict
from wavevae.evaluation.listen import Excerpt
from wavevae.evaluation.measure import Measure
from wavevae.evaluation.metrics import FLOOR_DBFS
from wavevae.evaluation.selection import Selection
from wavevae.evaluation.subject import Facts

PARTS = ("pairs", "spectrograms", "overview.png", "chunks.csv", "report.json")
"""Everything an evaluation writes; report.json comes last, so that it stands only beside the rest."""

ABOUT = {
    "mr_stft": "auraloss 0.4 MultiResolutionSTFTLoss, defaults; lower is better, 0 is a copy",
    "log_mel_l1": "L1 of log-mel spectra (n_fft 2048, hop 512, 128 HTK mels, power; dB below the reference chunk's "
    "peak, floor -80, [-80, 0] -> [-1, 1]); 0.1 = 4 dB; lower is better",
    "si_sdr_db": "scale-invariant SDR, means removed, within +-100 dB; higher is better; needs the right phase",
    "accuracy_waveform": "100 * max(0, 1 - |x-y|^2/|x|^2) of the samples, percent",
    "accuracy_stft": "the same of STFT magnitudes (Hann 2048, hop 512), percent",
    "mse": "mean squared difference of the samples, full scale = 1",
    "cosine_similarity": "<x,y> / (|x||y|) of the samples",
    "level_difference_db": "RMS level of the output less that of the reference, mean over chunks; 0 is right",
    "hop_rate_energy_db": "periodicity of the high-frequency envelope at the hop rate and its harmonics, output less "
    "reference; 0 = no clicks at frame edges, above 3 = likely audible",
    "kl_nats": "KL of the posterior to the standard normal a frame, summed over dimensions; none without a posterior "
    "(a MODEL.ts has none)",
    "active_dims": "latent dimensions whose posterior mean varies by more than 0.01 over the data (Burda et al. 2016)",
}
MEANS = (
    "means over 1 s chunks whose reference RMS is above -60 dBFS; files are reconstructed whole and cut afterwards; "
    "a rest of half a second or more is covered by a last chunk that ends with the file"
)


def compose(facts: Facts, selection: Selection, verdict: Verdict) -> dict[str, Any]:
    """The content of report.json. Raises: UserError when every chunk is silent."""
    measure = verdict.measure
    figures = measure.means()
    return {
        **figures,
        "chunks_used": len(measure.rows),
        "chunks_left_out": measure.left_out,
        "subject": str(facts.path),
        "subject_kind": facts.kind,
        "sample_rate": facts.sample_rate,
        "hop_length": facts.hop_length,
        "latent_dim": facts.latent_dim,
        "bottleneck": facts.bottleneck,
        "details": facts.details,
        "data": selection.how,
        "files": len(selection.sources),
        "files_skipped": [
            {"path": path, "reason": reason} for path, reason in (*selection.skipped, *verdict.damaged)
        ],
        "seconds": round(verdict.seconds, 3),
        "silence_dbfs": FLOOR_DBFS,
        "wavevae": version("wavevae"),
        "means": MEANS,
        "about": {name: text for name, text in ABOUT.items() if name in figures},
    }


def check_folder(folder: Path) -> None:
    """Raises: UserError where the report would replace something that no evaluation wrote."""
    if folder.exists() and not folder.is_dir():
        raise UserError(f"-o {folder} is a file; name a folder")
    found = [name for name in PARTS if (folder / name).exists()]
    if found and not _is_ours(folder / "report.json"):
        raise UserError(f"-o {folder} holds '{found[0]}' from elsewhere; name another folder")


def _is_ours(report: Path) -> bool:
    try:
        return "chunks_used" in json.loads(report.read_text())
    except (OSError, ValueError, TypeError):
        return False


def write(folder: Path, report: Mapping[str, Any], verdict: Verdict) -> None:
    """Everything to a hidden folder first, then into place, report.json last; an older report is replaced."""
    folder.mkdir(parents=True, exist_ok=True)
    for left in folder.glob(".report.*.part"):  # by an evaluation that was killed
        shutil.rmtree(left, ignore_errors=True)
    part = Path(tempfile.mkdtemp(dir=folder, prefix=".report.", suffix=".part"))
    try:
        _write_chunks(part / "chunks.csv", verdict.measure)
        _write_excerpts(part, verdict.excerpts, verdict.measure.sample_rate)
        (part / "report.json").write_text(json.dumps(report, indent=1, allow_nan=False) + "\n")
        (folder / "report.json").unlink(missing_ok=True)
        for name in PARTS:
            _put(part / name, folder / name)
    finally:
        shutil.rmtree(part, ignore_errors=True)


def _put(new: Path, place: Path) -> None:
    if place.is_dir() and not place.is_symlink():
        shutil.rmtree(place)
    elif place.exists():
        place.unlink()
    if new.exists():
        os.replace(new, place)


def _write_chunks(path: Path, measure: Measure) -> None:
    """One row a chunk that was heard."""
    names = list(measure.rows[0].figures)
    with open(path, "w", newline="", encoding="utf-8") as file:
        table = csv.writer(file)
        table.writerow(["file", "start_s", "level_dbfs", *names])
        for row in measure.rows:
            figures = [f"{row.figures[name]:.6g}" for name in names]
            table.writerow([row.file, f"{row.start_s:.3f}", f"{row.level_dbfs:.2f}", *figures])


def _write_excerpts(folder: Path, excerpts: Sequence[Excerpt], sample_rate: int) -> None:
    """pairs/NN-name-{reference,reconstruction}.wav, spectrograms/NN-name.png, overview.png."""
    pairs = []
    for number, excerpt in enumerate(excerpts, 1):
        stem = f"{number:02d}-{re.sub(r'[^A-Za-z0-9._-]+', '-', excerpt.source.name.rsplit('.', 1)[0]).strip('-')}"
        start_s = excerpt.start / sample_rate
        title = excerpt.source.name + (f", from {start_s:.1f} s" if excerpt.start else "")
        pair = plots.Pair(title, excerpt.reference, excerpt.estimate)
        pairs.append(pair)
        for kind, sound in (("reference", pair.reference), ("reconstruction", pair.reconstruction)):
            audio.write(folder / "pairs" / f"{stem}-{kind}.wav", sound, sample_rate)
        picture = folder / "spectrograms" / f"{stem}.png"
        plots.spectrogram_pair(pair.reference, pair.reconstruction, sample_rate, picture, title)
    if pairs:
        plots.overview(pairs, sample_rate, folder / "overview.png")


BETTER = {
    "mr_stft": "lower",
    "log_mel_l1": "lower",
    "si_sdr_db": "higher",
    "accuracy_waveform": "higher, %",
    "accuracy_stft": "higher, %",
    "mse": "lower",
    "cosine_similarity": "higher",
    "level_difference_db": "near 0",
    "hop_rate_energy_db": "near 0; above 3: clicks at frame edges",
    "kl_nats": "nats a frame",
    "active_dims": "of {latent_dim}",
}


def table(report: Mapping[str, Any]) -> str:
    """The figures for people."""
    lines = []
    for name, better in BETTER.items():
        value = report.get(name)
        text = "-" if value is None else f"{value:d}" if isinstance(value, int) else f"{value:.4g}"
        lines.append(f"  {name:<20} {text:>10}   {better.format(**report)}")
    lines.append(
        f"means over {report['chunks_used']} seconds of {report['files']} files ({report['data']}); "
        f"{report['chunks_left_out']} silent seconds left out"
    )
    skipped = len(report["files_skipped"])
    if skipped:
        lines.append(f"{skipped} files were skipped; report.json says why")
    return "\n".join(lines)
