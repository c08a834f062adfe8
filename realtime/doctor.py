"""`wavevae doctor`: checks this machine, and says in plain words what is and what to do.

Each function of CHECKS returns a `Finding`. A problem is what makes a command fail that this machine ought to manage; a
note is what is slow, or missing and not needed for everything. So a machine without a sound card has a note, for
`--device none`, `render` and training work there, and a card that does not open is a problem.
"""

from __future__ import annotations

import contextlib
import importlib.util
import json
import locale
import os
import platform
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import Any

from wavevae.bundle import RUNTIMES, runtime
from wavevae.cli import Parser
from wavevae.corpus.cache import default_cache, usable_cores
from wavevae.errors import UserError
from wavevae.files import CACHE_ELSEWHERE, free_bytes, printable

from .control.midi_ports import find_inputs
from .control.network import LOOPBACK, open_tcp, open_udp
from .live.devices import CardStream, choose, find_devices, find_period, import_sounddevice
from .live.processes import PRIORITY, Found, ask_for_real_time, give_up_real_time
from .options import build_parser
from .serve import HTTP_PORT

STATUSES = OK, NOTE, PROBLEM = "ok", "note", "problem"
CHECK_AT_MOST_S, TORCH_AT_MOST_S = 1.0, 60.0
USUAL_RATES_HZ = (16_000, 22_050, 32_000, 44_100, 48_000)
INSTRUMENT_HZ = 22_050
SHARED_BYTES = 32 << 20
"""`serve` maps 22 MB."""
BUSY_SHARE = 0.75
SLEEPS, SLEEP_S, LATE_S = 20, 0.002, 0.005
CARDS, CARD_FILES, SHARED_MEMORY = Path("/proc/asound/cards"), Path("/dev/snd"), Path("/dev/shm")
CPUS, SUPPLIES = Path("/sys/devices/system/cpu"), Path("/sys/class/power_supply")
GOVERNORS = "cpu*/cpufreq/scaling_governor"
CPU_ONLY = "pip install uv && uv pip install --torch-backend cpu torch"
EXTRAS = {
    "live": ("aiohttp", "rtmidi"),
    "discovery": ("zeroconf",),
    "train": ("pytorch_lightning", "torchaudio", "matplotlib"),
    "onnx": ("onnx", "onnxruntime"),
    "sweep": ("optuna",),
    "explore": ("umap",),
}
"""Modules that an extra of the package brings."""
SHARED_ELSEWHERE = "enlarge it (Docker: `--shm-size=256m`)"
SHORT_DELAYS = "For short delays begin a command with `PIPEWIRE_LATENCY=128/48000`, or with `pw-jack`."
HANGS = "Restart the sound server, or unplug the device that it waits for."
RIGHTS = (
    "If sound breaks up, write `@audio - rtprio 80` and `@audio - memlock unlimited` into "
    "/etc/security/limits.d/audio.conf, run `sudo usermod -aG audio $USER`, and log in again."
)


@dataclass(frozen=True)
class Finding:
    """What a check found: a sentence that says what is, and one that says what to do ("": nothing)."""

    status: str
    what: str
    do: str = ""


Check = Callable[[], Finding]


def has(module: str) -> bool:
    """Whether a module is installed; it is not imported."""
    return importlib.util.find_spec(module) is not None


def read(path: Path) -> str:
    """A small file of the system; "" where it cannot be read."""
    with contextlib.suppress(OSError):
        return path.read_text(errors="replace").strip()
    return ""


def sentence(text: object) -> str:
    """With a capital letter and a full stop."""
    words = " ".join(str(text).split()).rstrip(".")
    return f"{words[:1].upper()}{words[1:]}."


def refused(error: UserError | str, status: str = PROBLEM) -> Finding:
    """An error's line says what is, and after a semicolon what to do."""
    what, _, do = str(error).partition("; ")
    return Finding(status, sentence(what), sentence(do) if do else "")


def check_python() -> Finding:
    """The interpreter, and whether it reads and writes UTF-8."""
    python, system = platform.python_version(), platform.platform(terse=True)
    what = f"wavevae {version('wavevae')} runs in Python {python} on {system}."
    codings = {sys.getfilesystemencoding(), locale.getpreferredencoding(False), sys.stdout.encoding or "none"}
    wrong = sorted(c for c in codings if c.lower().replace("-", "") != "utf8")
    if sys.maxsize < 2**32:
        return Finding(PROBLEM, what, "Install a 64-bit Python: there is no torch for 32 bits.")
    if wrong:
        return Finding(NOTE, f"{what} Its text is in {', '.join(wrong)}.", "Set the variable PYTHONUTF8=1.")
    return Finding(OK, what)


def check_runtime() -> Finding:
    """What computes the sound. Raises: UserError where nothing does."""
    package = RUNTIMES[runtime()]
    what = f"{package} {version(package)} plays."
    if not has("torch"):
        return Finding(OK, f"{what} Training, export and codecs need torch, which is not installed.")
    gpu = Path("/proc/driver/nvidia/version").exists() or shutil.which("nvidia-smi") is not None
    if has("nvidia") and not gpu:  # the packages of CUDA
        how = f"To save gigabytes, in a new environment: `{CPU_ONLY}`."
        return Finding(OK, f"{what} torch brought CUDA, and there is no NVIDIA GPU.", how)
    return Finding(OK, f"{what} {'An' if gpu else 'No'} NVIDIA GPU is here.")


def check_extras() -> Finding:
    missing = [name for name, modules in EXTRAS.items() if not all(map(has, modules))]
    what = f"Extras that are installed: {', '.join(n for n in EXTRAS if n not in missing) or 'none'}"
    what += f"; not installed: {', '.join(missing)}." if missing else "."
    if "live" in missing:
        return Finding(NOTE, what, "For MIDI and the control page run `pip install 'wavevae[live]'`.")
    return Finding(OK, what)


def check_torch() -> Finding:
    """`--full`: torch loaded, in a process of its own."""
    code = "import torch as t; print(t.get_num_threads(), t.backends.cpu.get_cpu_capability(), t.cuda.is_available())"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    if done.returncode:
        why = (done.stderr.strip().splitlines() or ["it says nothing"])[-1]
        return Finding(PROBLEM, f"torch does not load: {sentence(why)}", "Install it anew.")
    threads, kind, cuda = done.stdout.split()
    return Finding(OK, f"torch has {threads} threads, {kind} and {'a' if cuda == 'True' else 'no'} GPU.")


def check_processor() -> Finding:
    cores, features = usable_cores(), read(Path("/proc/cpuinfo")).split()
    kind = next((k for k in ("avx512f", "avx2", "avx", "asimd") if k in features), platform.machine())
    threads = os.environ.get("OMP_NUM_THREADS")
    what = f"{cores} cores with {kind}" + (f"; OMP_NUM_THREADS is {threads}." if threads else ".")
    if cores < 2 or (features and kind in ("avx", "x86_64")):
        return Finding(NOTE, what, "It may be slow: `wavevae bench MODEL.ts` says whether it is fast enough.")
    return Finding(OK, what)


def check_load() -> Finding:
    """How busy the machine is, how late a short sleep ends, and whether the processor saves power."""
    late = 0.0
    for _ in range(SLEEPS):
        begin = time.perf_counter()
        time.sleep(SLEEP_S)
        late = max(late, time.perf_counter() - begin - SLEEP_S)
    load = os.getloadavg()[0] if hasattr(os, "getloadavg") else 0.0
    what = f"Load {load:.1f} on {usable_cores()} cores; a sleep of 2 ms ended {1000 * late:.1f} ms late."
    if any(read(path) == "0" for path in SUPPLIES.glob("A*/online")):
        return Finding(NOTE, f"{what} The computer runs on its battery.", "Plug it in before you play.")
    drivers = "".join(read(path) for path in CPUS.glob("cpu*/cpufreq/scaling_driver"))
    if "pstate" not in drivers and any(read(p) == "powersave" for p in CPUS.glob(GOVERNORS)):
        how = "Run `sudo cpupower frequency-set -g performance` before you play."
        return Finding(NOTE, f"{what} The governor powersave keeps the processor slow.", how)
    if load > BUSY_SHARE * usable_cores() or late > LATE_S:
        return Finding(NOTE, what, "Close other programs before you play.")
    return Finding(OK, what)


def check_folder(
    use: str,
    folder: Callable[[], Path],
    advice: str,
    little_bytes: int = 2 << 30,
    full_bytes: int = 200 << 20,
) -> Finding:
    """Whether a folder, or the one that it will be made in, takes a file, and how much room there is."""
    path = folder()
    place = next(p for p in (path, *path.parents) if p.exists())
    what = f"{use} {printable(path)}"
    try:
        with tempfile.TemporaryFile(dir=place) as file:
            file.write(b"\0")
    except OSError as error:
        return Finding(PROBLEM, f"{what}, which cannot be written ({error.strerror}).", sentence(advice))
    free = free_bytes(place)
    what += "." if free is None else f", {free / 2**20:,.0f} MB free."
    if free is not None and free < little_bytes:
        return Finding(PROBLEM if free < full_bytes else NOTE, what, f"Free some space, or {advice}.")
    return Finding(OK, what)


def shared_folder() -> Path:
    """Where multiprocessing puts shared memory."""
    return SHARED_MEMORY if SHARED_MEMORY.is_dir() else Path(tempfile.gettempdir())


def check_sound_system() -> Finding:
    """Linux: sound servers, and the right to open a card."""
    if not sys.platform.startswith("linux"):
        return Finding(OK, f"Sound goes through {'CoreAudio' if sys.platform == 'darwin' else 'Windows'}.")
    runtime = Path(os.environ.get("XDG_RUNTIME_DIR", f"/run/user/{os.getuid()}"))
    sockets = {"PipeWire": "pipewire-0", "PulseAudio": "pulse/native"}
    servers = " and ".join(name for name, file in sockets.items() if (runtime / file).exists())
    closed = [p.name for p in CARD_FILES.glob("pcm*p") if not os.access(p, os.R_OK | os.W_OK)]
    if closed and not servers:
        how = "Run `sudo usermod -aG audio $USER`, and log in again."
        return Finding(PROBLEM, f"You may not open the sound card ({CARD_FILES / closed[0]}).", how)
    what = f"{servers or 'No PipeWire or PulseAudio'} is running."
    return Finding(OK, what, SHORT_DELAYS if "PipeWire" in servers else "")


def check_audio() -> Finding:
    """The default output is opened as `serve` does it, and not started."""
    no_card = sys.platform.startswith("linux") and "[" not in read(CARDS)
    try:
        device = choose(find_devices(), None)
    except UserError as error:
        return refused(error, NOTE if no_card else PROBLEM)
    rates = []
    for rate in USUAL_RATES_HZ:
        with contextlib.suppress(Exception):  # PortAudioError
            import_sounddevice().check_output_settings(device=device.index, samplerate=rate, dtype="float32")
            rates.append(rate)
    what = f"Output {device} takes {', '.join(map(str, rates)) or 'no usual rate'}"
    rate = INSTRUMENT_HZ if INSTRUMENT_HZ in rates else int(device.sample_rate)
    period = find_period(device)
    block = Found(device, None, period).good_block
    stream = CardStream(device, None, rate, block, lambda *_: None, period)
    what += f" Hz; opened at {rate} Hz in blocks of {block} it adds {1000 * stream.latency_s:.1f} ms."
    stream.close()
    if rate != INSTRUMENT_HZ:
        how = f"The usual instruments need {INSTRUMENT_HZ} Hz: choose another device, or train with `--sr {rate}`."
        return Finding(NOTE, what, how)
    return Finding(OK, what)


def check_real_time() -> Finding:
    """The priority that the engine asks for, and the right to stay in memory."""
    if sys.platform == "darwin":
        return Finding(OK, "macOS gives the sound card's thread its priority.")
    if os.name == "nt":
        return Finding(OK, "Windows has no such rights.", "Choose the power plan High performance to play.")
    from resource import RLIM_INFINITY, RLIMIT_MEMLOCK, getrlimit

    said = ask_for_real_time()
    give_up_real_time()
    if said != f"SCHED_FIFO {PRIORITY}":
        return Finding(NOTE, f"The engine gets no real-time priority: {said.split(';')[0]}.", RIGHTS)
    if getrlimit(RLIMIT_MEMLOCK)[0] != RLIM_INFINITY and os.getuid():
        return Finding(NOTE, f"The engine gets {said}; its memory may be swapped out.", RIGHTS)
    return Finding(OK, f"The engine gets {said}.")


def check_midi() -> Finding:
    names, why = find_inputs()
    return refused(why, NOTE) if why else Finding(OK, f"Inputs: {', '.join(names)}.")


def check_port(opener: Callable[[str, int], Any], port: int) -> Finding:
    """Raises: UserError for one that is in use."""
    opener(LOOPBACK[0], port).close()
    return Finding(OK, f"Port {port} is free.")


CHECKS: Mapping[str, Check] = {
    "python": check_python,
    "runtime": check_runtime,
    "extras": check_extras,
    "processor": check_processor,
    "load": check_load,
    "memory": partial(check_folder, "Shared memory is in", shared_folder, SHARED_ELSEWHERE, SHARED_BYTES, 0),
    "cache": partial(check_folder, "Decoded sounds are kept in", default_cache, CACHE_ELSEWHERE),
    "work folder": partial(check_folder, "Runs, models and presets go to", Path.cwd, "go to another folder"),
    "sound system": check_sound_system,
    "audio": check_audio,
    "real time": check_real_time,
    "MIDI": check_midi,
    "OSC": partial(check_port, open_udp, int(build_parser().get_default("osc_port"))),
    "page": partial(check_port, open_tcp, HTTP_PORT),
}


def examine(checks: Mapping[str, Check], at_most_s: float = CHECK_AT_MOST_S) -> dict[str, Finding]:
    """Every check in turn; one that fails, or does not end in time, is a finding too."""
    found: dict[str, Finding] = {}

    def run(name: str, check: Check) -> None:
        try:
            found[name] = check()
        except UserError as error:
            found[name] = refused(error)
        except Exception as error:
            said = f"the check itself failed ({type(error).__name__}: {error})"
            found[name] = Finding(PROBLEM, sentence(said), "Please report it; the other checks went on.")

    for name, check in checks.items():
        thread = threading.Thread(target=run, args=(name, check), daemon=True)
        thread.start()
        thread.join(at_most_s)
        found.setdefault(name, Finding(PROBLEM, f"It gave no answer within {at_most_s:g} s.", HANGS))
    return dict(found)


def report(found: Mapping[str, Finding]) -> str:
    """A line a check, and below it what to do."""
    width = max(map(len, found))
    lines = []
    for name, finding in found.items():
        lines.append(f"{finding.status:<8} {name:<{width}}  {finding.what}")
        lines += [f"{'':<{width + 9}}  -> {finding.do}"] if finding.do else []
    return "\n".join(lines)


def main(argv: list[str]) -> int:
    """Entry point of `wavevae doctor`. Exit status 1 if anything is a problem."""
    parser = Parser(
        "doctor",
        "Check this machine, and say what to do: programs, processor, folders, sound, rights, MIDI, ports. Exit status "
        "1 if anything is a problem, else 0; what one can do without, such as a sound card, is a note.",
        "  wavevae doctor\n  wavevae doctor --full --json",
    )
    parser.add_argument("--json", action="store_true", help="for programs: an object of a list of checks")
    parser.add_argument("--full", action="store_true", help="load torch as well, which takes seconds")
    arguments = parser.parse_args(argv)
    found = examine(CHECKS)
    if arguments.full and has("torch"):
        found |= examine({"torch": check_torch}, TORCH_AT_MOST_S)
    worst = max((f.status for f in found.values()), key=STATUSES.index)
    rows = [{"name": name, **asdict(finding)} for name, finding in found.items()]
    print(json.dumps({"status": worst, "checks": rows}, indent=1) if arguments.json else report(found))
    status = int(worst == PROBLEM)
    if any(f.do == HANGS for f in found.values()):  # PortAudio would wait for it at the end
        sys.stdout.flush()
        os._exit(status)
    return status
