"""The live instrument under fire, beside a JACK server that needs no sound card; prints the table of its figures.

    python benchmarks/soak.py                         # ten minutes at each rate, then the short ones
    python benchmarks/soak.py --minutes 0.5 --rates 22050 --only fire latency

    fire      OSC 5000 messages a second, two processes that burn CPU, another model every 10 s
    small     block 128, nothing else
    latency   from an OSC packet, and from a MIDI event through a JACK port, to the sample that changed, as recorded
    midi      10,000 events through a JACK port
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
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
TESTS = HERE.parent / "tests"
sys.path[:0] = [str(HERE), str(TESTS)]

JACK_STUDIES = ("fire", "small", "latency", "midi", "exact", "start")
STUDIES = (*JACK_STUDIES, "hostile")
SMALL_BLOCK = 128

Found = dict[str, Any]
Row = tuple[str, str, str, Callable[[Found], str]]
"""What, bar, goal, and how what was found is said."""

ROWS: dict[str, tuple[Row, ...]] = {
    "fire": (
        (
            "{minutes:g} min at block {block} under fire: underflows + missing callbacks",
            "0",
            "0",
            lambda f: (
                f"{f['underflows']} ({f['empty']} ring empty, {f['device']} device, {f['missing']} missing) in "
                f"{f['blocks']} blocks; {f['models_changed']} models, {f['messages_a_s']} messages a s, "
                f"a bystander at most {f['bystander_late_ms']} ms late, {f['stolen_ms']} ms stolen by the host"
            ),
        ),
        ("audio callback p99, ms", "0.2", "0.05", lambda f: f"{f['callback_p99_ms']}"),
        (
            "memory growth over it, MB",
            "5",
            "0",
            lambda f: f"{f['growth_mb']} of {f['memory_mb']}",
        ),
    ),
    "small": (
        (
            f"{{small:g}} min at block {SMALL_BLOCK}: underflows + missing callbacks",
            "reported",
            "0",
            lambda f: (
                f"{f['underflows']} ({f['empty']} ring empty, {f['device']} device, {f['missing']} missing) in "
                f"{f['blocks']} blocks; callback p99 {f['callback_p99_ms']} ms"
            ),
        ),
    ),
    "latency": (
        (
            "OSC packet to changed sound less ring + block, ms: median, p99",
            "5",
            "2",
            lambda f: _beyond(f, "osc"),
        ),
        ("MIDI event at the port to changed sound, the same", "5", "2", lambda f: _beyond(f, "midi")),
    ),
    "midi": (
        (
            "MIDI events through a JACK port",
            "all, in order",
            "",
            lambda f: f"{f['arrived']} of {f['sent']}{', in order' if f['in_order'] else ', out of order'}",
        ),
    ),
    "hostile": (
        (
            "hostile datagrams: alive, state unchanged, all counted, the dearest in ms of CPU",
            "1",
            "",
            lambda f: (
                f"{f['datagrams']}, state {'unchanged' if f['state_unchanged'] else 'CHANGED'}, {f['refused']} "
                f"refusals counted; mean {f['mean_ms']}, p99.99 {f['p99.99_ms']}, {f['over_1_ms']} over 1 ms, dearest "
                f"{f['max_ms']}; the {f['kept']} dearest again, one by one: {f['again_ms']} at most"
            ),
        ),
    ),
    "exact": (
        (
            "recorded output against the engine offline: samples that differ",
            "0",
            "",
            lambda f: f"{f['different']} of {f['samples']}",
        ),
    ),
    "start": (("start to first sound, warm file cache, s", "3", "1.5", lambda f: f"{f['seconds']}"),),
}


def _beyond(found: Found, hand: str) -> str:
    parts = found["ring_and_block_ms"]
    median, late = found[f"{hand}_median_ms"], found[f"{hand}_p99_ms"]
    return f"{median - parts:+.1f}, {late - parts:+.1f} ({median:.1f}, {late:.1f} of {parts:.1f})"


def write_models(folder: Path, preset: str, rate: int) -> None:
    """Two untrained models of a preset, and one that says its first latent."""
    import torch
    from decode import Choices, read_preset, write
    from soak_latency import write_speaking

    from wavevae.nn.model import Autoencoder

    for seed in (0, 1):
        torch.manual_seed(seed)
        config = replace(read_preset(preset), sample_rate=rate)
        write(Autoencoder(config).eval(), folder / f"{preset}{seed}.ts", Choices())
    write_speaking(folder / "speaking.ts", rate)


def beside_jack(study: str, folder: Path, options: argparse.Namespace, rate: int, block: int) -> Found:
    """One study in a process beside a server of its own."""
    command = [sys.executable, str(HERE / "soak_studies.py"), study, str(folder), options.preset]
    settings = {
        "SR": rate,
        "PERIOD": block,
        "SECONDS": 60 * options.minutes,
        "BURNER_NICE": options.burner_nice,
    }
    environment = {**os.environ, **{name: str(value) for name, value in settings.items()}}
    done = subprocess.run(
        ["bash", str(TESTS / "with_jack.sh"), *command], env=environment, stdout=subprocess.PIPE, text=True
    )
    if done.returncode:
        return {"failed": done.returncode}
    found: Found = json.loads(done.stdout.splitlines()[-1])
    return found


def show(study: str, where: str, found: Found, words: dict[str, float]) -> None:
    """Its rows of the table."""
    for what, bar, goal, said in ROWS[study]:
        figure = f"failed, status {found['failed']}" if "failed" in found else said(found)
        print(f"| {what.format(**words)} | {where} | {bar} | {goal} | {figure} |", flush=True)


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--minutes", type=float, default=10.0, help="of fire [10]")
    parser.add_argument("--rates", type=int, nargs="+", default=[22050, 44100], help="[22050 44100]")
    parser.add_argument("--block", type=int, default=512, help="of fire [512]")
    parser.add_argument("--preset", default="codec-large", help="[codec-large]")
    parser.add_argument(
        "--burner-nice", type=int, default=0, help="where others want the machine as well [0]"
    )
    parser.add_argument("--only", nargs="+", choices=STUDIES, default=STUDIES)
    parser.add_argument("--datagrams", type=int, default=1_000_000, help="of hostile [1000000]")
    options = parser.parse_args()
    words = {"minutes": options.minutes, "small": min(options.minutes, 2.0), "block": options.block}
    print("| what | at | bar | goal | found |\n|---|---|---|---|---|", flush=True)
    for rate in options.rates:
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name)
            write_models(folder, options.preset, rate)
            for study in JACK_STUDIES:
                if study in options.only:
                    block = SMALL_BLOCK if study == "small" else options.block
                    found = beside_jack(study, folder, options, rate, block)
                    show(study, f"{rate} Hz, {block}", found, words)
    if "hostile" in options.only:
        from soak_studies import hostile

        show("hostile", "", hostile(options.datagrams), words)
    return 0


if __name__ == "__main__":
    sys.exit(main())
