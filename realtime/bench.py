"""`wavevae bench`: measures the time a model file takes per block on one thread, alone or in turns with another
file."""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from wavevae.cli import Parser, parse_sample_rate
from wavevae.console import say
from wavevae.errors import UserError
from wavevae.files import printable
from wavevae.instruments import model_file

if TYPE_CHECKING:
    import torch

BLOCKS = (64, 128, 256, 512, 1024, 2048, 4096, 8192)
METHODS = ("decode", "forward")
CHAIN = "encode+decode"
"""Two objects of a patch, one wire a latent between them."""
EXAMPLE = """\
  wavevae bench mine.ts
  wavevae bench mine.ts --against mine-cached-conv.ts --methods decode
  wavevae bench mine.ts --methods encode+decode --blocks 256 1024 4096
  wavevae bench rave.ts --sr 44100 --json
"""


@dataclass(frozen=True)
class BenchedModel:
    """A loaded file that keeps nn~'s contract."""

    path: Path
    module: torch.jit.ScriptModule
    sample_rate: int
    parameters: int
    ratios: dict[str, tuple[int, int, int, int]]
    """(in_channels, in_ratio, out_channels, out_ratio) of each method."""

    @property
    def hop(self) -> int:
        """The fewest samples that hosts call with: the largest ratio of all methods."""
        return max(ratio for _, into, _, out in self.ratios.values() for ratio in (into, out))

    def call(self, method: str, samples: int) -> Callable[[], object]:
        """One call of so many samples, or a hop where that is more."""
        import torch

        samples = max(samples, self.hop)
        if method == CHAIN:
            return partial(self._chained, 0.1 * torch.randn(1, 1, samples))
        channels, in_ratio = self.ratios[method][:2]
        x = 0.1 * torch.randn(1, channels, samples // in_ratio)
        return partial(getattr(self.module, method), x)

    def has(self, method: str) -> bool:
        """Whether it can be called; the chain needs two methods."""
        return all(part in self.ratios for part in method.split("+"))

    def _chained(self, x: torch.Tensor) -> object:
        """encode, wires that hold each value for a hop as a host's do, decode of the last value of each hop."""
        hop = self.ratios["decode"][1]
        wires = self.module.encode(x).repeat_interleave(hop, -1)
        return self.module.decode(wires[..., hop - 1 :: hop])


def load(path: Path, sample_rate: int | None) -> BenchedModel:
    """Any nn~ file. Raises: UserError for what is none, or does not say its rate where none is given."""
    import torch

    from wavevae.bundle import EXTRA_FILE, BundleInfo

    path = model_file(path)
    extra = {EXTRA_FILE: ""}
    try:
        module = torch.jit.load(str(path), map_location="cpu", _extra_files=extra).eval()
        ratios = {name: read_ratios(module, name) for name in module.get_methods()}
    except (RuntimeError, ValueError, EOFError, AttributeError) as error:
        raise UserError(f"{path} is no file that nn~ plays; export one with `wavevae export`") from error
    parameters = sum(p.numel() for p in module.parameters())
    if extra[EXTRA_FILE]:
        info = BundleInfo.from_json(str(extra[EXTRA_FILE], "utf-8"))  # type: ignore[call-overload]
        sample_rate, parameters = info.sample_rate, info.origin.get("parameters", parameters)
    if sample_rate is None and hasattr(module, "sampling_rate"):  # as RAVE's exports have it
        sample_rate = int(module.sampling_rate)
    if sample_rate is None:
        raise UserError(f"{path} does not say its sample rate; give it with --sr")
    return BenchedModel(path, module, sample_rate, parameters, ratios)


def read_ratios(module: Any, method: str) -> tuple[int, int, int, int]:
    """Raises: AttributeError or ValueError where they are not as nn~ has them."""
    a, b, c, d = (int(n) for n in getattr(module, f"{method}_params"))
    return a, b, c, d


def start_of(player: BenchedModel, method: str, block: int) -> dict[str, Any]:
    """Load time, first calls, memory, as a fresh process finds them. Raises: RuntimeError where it fails."""
    method = method.split("+")[0]
    channels, in_ratio = player.ratios[method][:2]
    frames = max(block, player.hop) // in_ratio
    command = [
        sys.executable,
        "-I",
        str(Path(__file__).with_name("block_timing.py")),
        str(player.path),
        method,
        str(channels),
        str(frames),
    ]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(
            f"{player.path} does not play in a fresh process: {done.stderr.strip().splitlines()[-1]}"
        )
    found = json.loads(done.stdout.splitlines()[-1])
    return {
        "method": method,
        "block": block,
        "load_s": found["load_s"][0],
        "load_cpu_s": found["load_s"][1],
        "first_calls_ms": [round(1e3 * wall, 2) for wall, _ in found["calls_s"]],
        "first_calls_cpu_ms": [round(1e3 * cpu, 2) for _, cpu in found["calls_s"]],
        "load_and_first_sound_s": found["load_s"][0] + found["calls_s"][0][0],
        "load_and_first_sound_cpu_s": found["load_s"][1] + found["calls_s"][0][1],
        "memory_mb": found["memory_bytes"] / 1e6,
    }


def describe(player: BenchedModel) -> dict[str, Any]:
    return {
        "path": printable(player.path),
        "file_mb": player.path.stat().st_size / 1e6,
        "parameters": player.parameters,
        "sample_rate": player.sample_rate,
        "methods": {name: list(ratios) for name, ratios in player.ratios.items()},
    }


def measure(
    players: list[BenchedModel], method: str, block: int, rounds: int, rate: int
) -> list[dict[str, Any]]:
    """A row a file of one method and block size, at a rate; the first file's row has the ratio to the second."""
    from .block_timing import in_turns, peak_flops, ratio, work_of

    calls = [player.call(method, block) for player in players]
    before = peak_flops()
    times = in_turns(calls, rounds)
    peak = (before + peak_flops()) / 2
    rows: list[dict[str, Any]] = []
    for player, call, spent in zip(players, calls, times, strict=True):
        row: dict[str, Any] = {
            "method": method,
            "block": block,
            "samples_a_call": max(block, player.hop),
        }
        row |= spent.summary()
        seconds = block / rate
        row["real_time_factor"] = 1e3 * seconds / row["median_ms"]
        row["real_time_factor_cpu"] = 1e3 * seconds / row["cpu_median_ms"]
        row["peak_gflops"] = peak / 1e9
        row["share_of_peak"] = work_of(call) / (row["cpu_median_ms"] / 1e3) / peak
        rows.append(row)
    if len(players) == 2:
        rows[0]["faster_than_other"] = ratio(*times)
        rows[1]["mark"] = "   (other)"
    return rows


HEADER = "method         block   ms: median     p99     max   CPU: median     p99   real time: clock      CPU   of peak"


def line(row: dict[str, Any]) -> str:
    mark = "*" if row["samples_a_call"] > row["block"] else " "
    ratio = f"   {row['faster_than_other']:5.2f}x" if "faster_than_other" in row else row.get("mark", "")
    return (
        f"{row['method']:<14}{row['block']:>5}{mark}   {row['median_ms']:>10.3f} {row['p99_ms']:>7.2f} "
        f"{row['max_ms']:>7.2f}   {row['cpu_median_ms']:>11.3f} {row['cpu_p99_ms']:>7.2f}   "
        f"{row['real_time_factor']:>15.1f}x {row['real_time_factor_cpu']:>7.1f}x   {row['share_of_peak']:>6.0%}{ratio}"
    )


def describe_start(player: BenchedModel, start: dict[str, Any]) -> str:
    """What the file is, and how it starts."""
    calls = ", ".join(f"{ms:.0f}" for ms in start["first_calls_cpu_ms"])
    return (
        f"{printable(player.path)}: {player.path.stat().st_size / 1e6:.1f} MB, {player.parameters / 1e6:.2f} M "
        f"parameters, {player.sample_rate} Hz\n"
        f"  fresh process: load {start['load_cpu_s']:.2f} s, then {start['method']} of {start['block']} samples: "
        f"{calls} ms (CPU); load + first sound {start['load_and_first_sound_s']:.2f} s by the clock, "
        f"{start['load_and_first_sound_cpu_s']:.2f} s CPU; {start['memory_mb']:.0f} MB"
    )


def run(players: list[BenchedModel], options: argparse.Namespace) -> dict[str, Any]:
    """Measures everything and prints each row as it is found."""
    rate = options.at or players[0].sample_rate
    methods = [m for m in options.methods if all(player.has(m) for player in players)]
    if not methods:
        known = sorted(set.intersection(*(set(player.ratios) for player in players)))
        raise UserError(
            f"--methods {' '.join(options.methods)}: these files have {', '.join(known) or 'none'}"
        )
    found: dict[str, Any] = {"threads": 1, "rate": rate, "load_average": os.getloadavg()[0], "files": []}
    for player in players:
        start = start_of(player, methods[0], 512)
        say(describe_start(player, start))
        found["files"].append({**describe(player), "start": start, "rows": []})
    other = "   other / this, CPU" if len(players) == 2 else ""
    note = f"one thread, {rate} Hz, {options.rounds} bursts of 8 calls"
    say(f"{note}, load average {found['load_average']:.1f}\n{HEADER}{other}")
    for method in methods:
        for block in options.blocks:
            for file, row in zip(
                found["files"], measure(players, method, block, options.rounds, rate), strict=True
            ):
                file["rows"].append(row)
                print(line(row), file=sys.stderr if options.json else sys.stdout, flush=True)
    if any(row["samples_a_call"] > row["block"] for row in found["files"][0]["rows"]):
        say("* a hop is longer: the block in which one is computed")
    return found


def parser() -> Parser:
    made = Parser(
        "bench",
        "Measure any nn~ model file on one thread: time a block (median, 99th percentile, largest; by the clock and\n"
        "of the CPU), times real time, share of what a large matrix product reaches on this core at that moment;\n"
        "file size, loading, first calls, memory. Two files are measured in turns, a burst of calls each.",
        EXAMPLE,
    )
    made.add_argument("model", metavar="MODEL.ts", type=Path, help="any file that nn~ plays")
    made.add_argument("--against", metavar="OTHER.ts", type=Path, help="measure this one in turns with it")
    made.add_argument(
        "--methods",
        nargs="+",
        default=list(METHODS),
        help=f"default: decode forward; {CHAIN}: as two objects of a patch",
    )
    made.add_argument(
        "--blocks", nargs="+", type=int, default=list(BLOCKS), help="samples; default: 64 to 8192"
    )
    made.add_argument("--rounds", type=int, default=25, help="bursts of 8 calls a block size [25]")
    made.add_argument("--sr", type=parse_sample_rate, help="sample rate of a file that does not say it, Hz")
    made.add_argument("--at", type=int, help="count real time at this rate instead of the file's, Hz")
    made.add_argument(
        "--json", action="store_true", help="print everything as one JSON object on standard output"
    )
    return made


def check(options: argparse.Namespace) -> None:
    """Raises: UserError for numbers that make no sense."""
    for name, values in (("--blocks", options.blocks), ("--rounds", [options.rounds])):
        if any(value < 1 for value in values):
            raise UserError(f"{name} is {' '.join(map(str, values))}; use 1 or more")
    for block in options.blocks:
        if block & (block - 1) or block < 32:
            raise UserError(f"--blocks has {block}; hosts call with powers of two from 32 on")
    for name in ("sr", "at"):
        rate = getattr(options, name)
        if rate is not None and not 1000 <= rate <= 192000:
            raise UserError(f"--{name} is {rate}; use 1000 to 192000 Hz")


def main(argv: list[str]) -> int:
    """Entry point of `wavevae bench`."""
    options = parser().parse_args(argv)
    check(options)
    os.environ.setdefault("OMP_WAIT_POLICY", "passive")  # before torch loads its threads
    import torch

    torch.set_num_threads(1)
    players = [load(path, options.sr) for path in (options.model, options.against) if path is not None]
    with torch.inference_mode():
        found = run(players, options)
    if options.json:
        print(json.dumps(found, indent=1))
    return 0
