"""Speed of the streaming file of a preset, in turns with cached-conv's layers of the same weights.

    python benchmarks/decode.py --preset codec-large --at 44100
    python benchmarks/decode.py --preset codec-large --weights float16 --methods decode --blocks 512 2048
    python benchmarks/decode.py --preset instrument --blocks 256
    python benchmarks/decode.py --against none

Weights are random, on which speed does not depend. Both files are made as `wavevae export` makes them; the measuring
is `wavevae bench`, whose other options are taken too.
"""

import argparse
import os
import sys
import tempfile
from pathlib import Path

os.environ.setdefault("OMP_WAIT_POLICY", "passive")  # before torch loads its threads

import numpy as np
import torch

from wavevae.bundle import write_bundle
from wavevae.config import ModelConfig, RunConfig, override
from wavevae.export.model_file import Choices, axes_of, describe, exporter_of
from wavevae.export.torchscript import script
from wavevae.latents import LatentStatistics
from wavevae.nn.instrument import Instrument
from wavevae.nn.model import Autoencoder
from wavevae.realtime import bench
from wavevae.train.arguments import file_values, preset_values


def write(model: Autoencoder | Instrument, path: Path, choices: Choices) -> Path:
    """A model file, latents as they are: no statistics without training. An instrument plays middle C and drifts."""
    dim = model.latent_dim
    one, none = np.ones(dim), np.zeros(dim)
    if isinstance(model, Instrument):
        usual = {"pitch": 60.0, "loudness": -20.0, "periodicity": 0.9}
        none = np.array([usual.get(name, 0.0) for name in model.axis_names])
        model.decoder.life.spread.fill_(0.05)
    density = {"coefficients": np.zeros((dim, 2 * dim)), "innovation": np.eye(dim), "quantiles": []}
    axes = axes_of(model, LatentStatistics(none, np.eye(dim), one, -3 * one, 3 * one, density, frames=1))
    axes.density.clear()
    exporter = exporter_of(model)
    if choices.weights != "float32":
        model = exporter.rounded(model, choices.weights)
    module, deflated = script(exporter.module(model, axes, choices)), choices.weights == "bfloat16"
    write_bundle(path, module, describe(model, axes, {}), deflated=deflated)
    return path


def read_preset(name: str) -> ModelConfig:
    values = file_values(Path(name)) if Path(name).is_file() else preset_values(name)
    return override(RunConfig(), values).model


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--preset", default="codec-large", help="name of a preset, or a YAML file [codec-large]"
    )
    parser.add_argument(
        "--weights", default="float32", choices=["float32", "bfloat16", "float16"], help="of ours [float32]"
    )
    parser.add_argument("--against", default="cached-conv", choices=["cached-conv", "rows", "none"])
    options, others = parser.parse_known_args()
    torch.manual_seed(0)
    config = read_preset(options.preset)
    model = Instrument(config).eval() if config.is_instrument else Autoencoder(config).eval()
    with tempfile.TemporaryDirectory() as folder:
        ours = write(model, Path(folder) / f"{options.preset}.ts", Choices(weights=options.weights))
        arguments = [str(ours), *others]
        if options.against != "none" and not config.is_instrument:
            other = write(model, Path(folder) / f"{options.against}.ts", Choices(options.against))
            arguments += ["--against", str(other)]
        return bench.main(arguments)


if __name__ == "__main__":
    sys.exit(main())
