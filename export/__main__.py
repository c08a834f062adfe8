"""`wavevae export`: a run becomes one streaming file."""

from __future__ import annotations

import argparse
import json
import sys
import warnings
from pathlib import Path
from typing import TYPE_CHECKING

from wavevae.cli import Parser, shown
from wavevae.console import say
from wavevae.errors import UserError
from wavevae.instruments import model_file
from wavevae.names import run_name

if TYPE_CHECKING:
    from wavevae.bundle import BundleInfo
    from wavevae.checkpoint import Checkpoint

    from .model_file import Choices

EXAMPLE = """\
  wavevae export runs/mine -o mine.ts
  wavevae export runs/mine -o mine-4.ts --latents 4 --checkpoint last
  wavevae export runs/mine -o mine-16bit.ts --weights float16
  wavevae export runs/mine -o mine.onnx --format onnx
  wavevae export runs/mine -o page --format web
"""

SUFFIX = {"torchscript": ".ts", "onnx": ".onnx", "web": ""}
"""Of the file, by format; a web page is a folder."""


def parser() -> Parser:
    made = Parser(
        "export",
        "Make MODEL.ts of a run: one streaming TorchScript file for nn~ (Max, Pd), nn.ar (SuperCollider),\n"
        "`wavevae serve` and `wavevae render`. It is compared with the model before it is put in place.",
        EXAMPLE,
    )
    made.add_argument(
        "run",
        metavar="RUN",
        type=Path,
        help="run folder of `wavevae train`, or a .ckpt file; with --format web also a MODEL.ts",
    )
    made.add_argument(
        "-o",
        "--out",
        metavar="MODEL.ts",
        type=Path,
        help="file to write (default: name of RUN + .ts or .onnx)",
    )
    made.add_argument(
        "--latents", metavar="N", type=int, help="keep the N strongest latent axes (default: all)"
    )
    made.add_argument("--checkpoint", metavar="best|last|PATH", default="best", help="default: best")
    made.add_argument(
        "--format", choices=list(SUFFIX), default="torchscript", help="torchscript [default]; onnx: two files, "
        "encoder and decoder, state as input and output, for a program of your own; web: a folder that a browser plays"
    )  # fmt: skip
    made.add_argument(
        "--weights", choices=["float32", "bfloat16", "float16"], default="float32", help="float32 plays everywhere "
        "[default]; bfloat16 does too, at the same speed, from a file less than half as large; float16 (codecs) is "
        "half as large and 1.2 to 1.5 times as fast, on x86-64 with AVX2 only"
    )  # fmt: skip
    made.add_argument(
        "--streaming", choices=["rows", "cached-conv"], default="rows", help="rows [default]; cached-conv: layers "
        "of that package, to compare with (its licence, CC BY-NC 4.0, then holds for the file)"
    )  # fmt: skip
    made.add_argument("--json", action="store_true", help="print what was made as JSON on standard output")
    return made


def main(argv: list[str]) -> int:
    """Raises: UserError; ExportRefused when the file is not the model."""
    options = parser().parse_args(argv)
    out = choose_output(options)
    if options.format == "web":
        from .web import export_web

        options.run = model_file(options.run, runs=True)
        return export_web(options, out)

    from wavevae.checkpoint import find_checkpoint, read_checkpoint

    from .model_file import Choices

    warnings.filterwarnings("ignore", category=DeprecationWarning)  # of torch.jit, which is what hosts load
    path = find_checkpoint(options.run, options.checkpoint)
    checkpoint = read_checkpoint(path)
    say(f"{path}: step {checkpoint.step}; scripting and comparing with the model ...")
    info, files = write_files(options, checkpoint, out, Choices(options.streaming, options.weights))
    report(files, info)
    if options.json:
        size = sum(file.stat().st_size for file in files)
        names = {"path": str(files[0]), "paths": [str(file) for file in files], "bytes": size}
        print(json.dumps({**names, **json.loads(info.to_json())}))
    return 0


def write_files(
    options: argparse.Namespace, checkpoint: Checkpoint, out: Path, choices: Choices
) -> tuple[BundleInfo, list[Path]]:
    """Export in the format asked for -> what was made, and the files."""
    if options.format == "onnx":
        if choices != type(choices)():
            raise UserError("--format onnx has no --streaming and no --weights to choose; leave them out")
        from .onnx_files import export_onnx

        return export_onnx(checkpoint, out, options.latents)
    from .model_file import export_checkpoint

    return export_checkpoint(checkpoint, out, options.latents, choices), [out]


def choose_output(options: argparse.Namespace) -> Path:
    """Where to write. Raises: UserError for a name that hosts do not load, or a folder."""
    suffix = SUFFIX[options.format]
    if options.format == "web":
        return options.out or Path(f"{run_name(options.run)}-web")
    out: Path = options.out or Path(f"{run_name(options.run)}{suffix}")
    if out.suffix != suffix:
        raise UserError(f"-o {out}: hosts load only names that end in {suffix}; write {out.name}{suffix}")
    if out.is_dir():
        raise UserError(f"-o {out} is a folder; name a file in it, e.g. {out / f'model{suffix}'}")
    return out


def report(files: list[Path], info: BundleInfo) -> None:
    """Say what was made and what to do with it."""
    milliseconds = 1000 * info.hop_length / info.sample_rate
    kept, trained = info.latent_dim, info.origin["latent_dim_trained"]
    share = sum(axis.share for axis in info.axes)
    axes = f"all {kept}" if kept == trained else f"{kept} of {trained} axes, {share:.1%} of the variance"
    rows = {
        "file": "  ".join(f"{file}  ({file.stat().st_size / 1e6:.1f} MB)" for file in files),
        "rate": f"{info.sample_rate} Hz, mono; hosts do not resample: run them at this rate",
        "block": f"{info.hop_length} samples ({milliseconds:.1f} ms) or a multiple",
        "delay": f"{info.algorithmic_latency_samples} samples beyond the block",
        "latents": f"{axes}; {info.frame_rate:.1f} frames/s",
        "hears": f"{1000 * info.receptive_field_samples / info.sample_rate:.0f} ms back",
        "streaming error": f"{info.streaming_error:.1e} of full scale (blocks of 1 to 64 frames)",
    }
    if "rounding_error" in info.origin:
        rows["16-bit weights"] = f"{info.origin['rounding_error']:.1e} of full scale from the trained model"
    for name, value in rows.items():
        say(f"{name + ':':<17}{value}")
    if files[0].suffix == ".ts":
        out = files[0]
        render = shown("render", out, "--input", "IN.wav", "-o", "OUT.wav")
        say(f"next:\n  {render}\n  {shown('serve', out)}")


if __name__ == "__main__":
    from wavevae import cli

    sys.exit(cli.main(["export", *sys.argv[1:]]))
