"""The live instrument under fire, beside a JACK server that needs no sound card; prints the table of its figures.

    python benchmarks/soak.py                         # ten minutes at each rate, then the short ones
    python benchmarks/soak.py --minutes 0.5 --rates 22050 --only fire latency

    fire      OSC 5000 messages a second, two processes that burn CPU, another model every 10 s
    small     block 128, nothing else
    latency   from an OSC packet, and from a MIDI event through a JACK port, to the sample that changed, as recorded
    hostile   a million random, mutated and hostile datagrams
    exact     a recorded session against its rendering
    start     from the command to the first sound

Needs jackd2 and libportaudio2. Figures hold for a machine that does nothing else.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
TESTS = HERE.parent / "tests"
sys.path[:0] = [str(HERE), str(TESTS)]

JACK_STUDIES = ("fire", "small", "latency", "exact", "start")
STUDIES = (*JACK_STUDIES, "hostile")


def write_models(folder: Path, preset: str, rate: int) -> list[Path]:
    """Two untrained models of a preset, and one that says its first latent."""
    import torch
    from decode import Choices, read_preset, write
    from soak_studies import write_speaking

    from wavevae.nn.model import Autoencoder

    paths = []
    for seed in (0, 1):
        torch.manual_seed(seed)
        config = replace(read_preset(preset), sample_rate=rate)
        paths.append(write(Autoencoder(config).eval(), folder / f"{preset}{seed}.ts", Choices()))
    write_speaking(folder / "speaking.ts", rate)
    return paths


def beside_jack(
    study: str, folder: Path, options: argparse.Namespace, rate: int, block: int
) -> dict[str, Any]:
    """One study in a process beside a server of its own."""
    command = [sys.executable, str(HERE / "soak_studies.py"), study, str(folder), options.preset]
    environment = {**os.environ, "SR": str(rate), "PERIOD": str(block), "SECONDS": str(60 * options.minutes)}
    done = subprocess.run(
        ["bash", str(TESTS / "with_jack.sh"), *command], env=environment, stdout=subprocess.PIPE, text=True
    )
    if done.returncode:
        return {"study": study, "failed": done.returncode}
    return json.loads(done.stdout.splitlines()[-1])


def show(study: str, rate: int, block: int, found: dict[str, Any]) -> None:
    figures = "; ".join(f"{name} {value}" for name, value in found.items() if name != "study")
    print(f"{study:<8} {rate:>6} Hz {block:>5}  {figures}", flush=True)


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--minutes", type=float, default=10.0, help="of fire [10]")
    parser.add_argument("--rates", type=int, nargs="+", default=[22050, 44100], help="[22050 44100]")
    parser.add_argument("--block", type=int, default=512, help="of fire [512]")
    parser.add_argument("--preset", default="default", help="[default]")
    parser.add_argument("--only", nargs="+", choices=STUDIES, default=STUDIES)
    parser.add_argument("--datagrams", type=int, default=1_000_000, help="of hostile [1000000]")
    options = parser.parse_args()
    if "hostile" in options.only:
        from soak_studies import hostile

        show("hostile", 0, 0, hostile(options.datagrams))
    for rate in options.rates:
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name)
            write_models(folder, options.preset, rate)
            for study in JACK_STUDIES:
                if study in options.only:
                    block = 128 if study == "small" else options.block
                    show(study, rate, block, beside_jack(study, folder, options, rate, block))
    return 0


if __name__ == "__main__":
    sys.exit(main())
