"""`wavevae export`: a run becomes one streaming file."""

from __future__ import annotations

import argparse
import json
import sys
import warnings
from pathlib import Path
from typing import TYPE_CHECKING

from wavevae.cli import Parser
from wavevae.errors import UserError

if TYPE_CHECKING:
    from wavevae.bundle import BundleInfo

EXAMPLE = """\
  wavevae export runs/mine -o mine.ts
  wavevae export runs/mine -o mine-4.ts --latents 4 --checkpoint last
"""


def parser() -> Parser:
    made = Parser(
        "export",
        "Make MODEL.ts of a run: one streaming TorchScript file for nn~ (Max, Pd), nn.ar (SuperCollider),\n"
        "`wavevae serve` and `wavevae render`. It is compared with the model before it is put in place.",
        EXAMPLE,
    )
    made.add_argument("run", metavar="RUN", type=Path, help="run folder of `wavevae train`, or a .ckpt file")
    made.add_argument(
        "-o", "--out", metavar="MODEL.ts", type=Path, help="file to write (default: name of RUN + .ts)"
    )
    made.add_argument(
        "--latents", metavar="N", type=int, help="keep the N strongest latent axes (default: all)"
    )
    made.add_argument("--checkpoint", metavar="best|last|PATH", default="best", help="default: best")
    made.add_argument("--json", action="store_true", help="print what was made as JSON on standard output")
    return made


def main(argv: list[str]) -> int:
    """Raises: UserError; ExportRefused when the file is not the model."""
    options = parser().parse_args(argv)
    out = choose_output(options)

    from wavevae.checkpoint import find_checkpoint, read_checkpoint

    from .model_file import export_checkpoint

    warnings.filterwarnings("ignore", category=DeprecationWarning)  # of torch.jit, which is what hosts load
    path = find_checkpoint(options.run, options.checkpoint)
    checkpoint = read_checkpoint(path)
    print(f"{path}: step {checkpoint.step}; scripting and comparing with the model ...", file=sys.stderr)
    info = export_checkpoint(checkpoint, out, options.latents)
    report(out, info)
    if options.json:
        print(json.dumps({"path": str(out), "bytes": out.stat().st_size, **json.loads(info.to_json())}))
    return 0


def choose_output(options: argparse.Namespace) -> Path:
    """Where to write. Raises: UserError for a name that hosts do not load, or a folder."""
    out: Path = options.out or Path(f"{run_name(options.run)}.ts")
    if out.suffix != ".ts":
        raise UserError(f"-o {out}: hosts load only names that end in .ts; write {out.name}.ts")
    if out.is_dir():
        raise UserError(f"-o {out} is a folder; name a file in it, e.g. {out / 'model.ts'}")
    return out


def run_name(run: Path) -> str:
    """'runs/mine' or 'runs/mine/checkpoints/best.ckpt' -> 'mine'."""
    run = run.resolve()
    if run.parent.name == "checkpoints":
        return run.parent.parent.name
    return run.stem if run.suffix == ".ckpt" else run.name


def report(out: Path, info: BundleInfo) -> None:
    """Say what was made and what to do with it."""
    milliseconds = 1000 * info.hop_length / info.sample_rate
    kept, trained = info.latent_dim, info.origin["latent_dim_trained"]
    share = sum(axis.share for axis in info.axes)
    axes = f"all {kept}" if kept == trained else f"{kept} of {trained} axes, {share:.1%} of the variance"
    rows = {
        "file": f"{out}  ({out.stat().st_size / 1e6:.1f} MB)",
        "rate": f"{info.sample_rate} Hz, mono; hosts do not resample: run them at this rate",
        "block": f"{info.hop_length} samples ({milliseconds:.1f} ms) or a multiple",
        "delay": f"{info.algorithmic_latency_samples} samples beyond the block",
        "latents": f"{axes}; {info.frame_rate:.1f} frames/s",
        "hears": f"{1000 * info.receptive_field_samples / info.sample_rate:.0f} ms back",
        "streaming error": f"{info.streaming_error:.1e} of full scale (fresh process, blocks of 1 to 64 frames)",
    }
    for name, value in rows.items():
        print(f"{name + ':':<17}{value}", file=sys.stderr)
    print(
        f"next:\n  wavevae render {out} --input IN.wav -o OUT.wav\n  wavevae serve {out}",
        file=sys.stderr,
    )


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
