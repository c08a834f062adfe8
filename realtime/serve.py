"""`wavevae serve`: plays a model live, controlled by OSC, MIDI and a web page."""

from __future__ import annotations

import argparse
import contextlib
import importlib.util
import math
import secrets
import time
from importlib.metadata import version

from wavevae.bundle import runtime
from wavevae.console import say
from wavevae.controls import SMOOTHING
from wavevae.errors import Failure, UserError
from wavevae.instruments import companion, model_file

from .control.addresses import ROOT
from .control.network import LOOPBACK, WebSetup, in_url, open_tcp, open_udp
from .live.devices import NO_DEVICE
from .live.processes import (
    ControlSetup,
    DeviceChoice,
    Found,
    Load,
    MidiSetup,
    Open,
    Opened,
    Ready,
    RecordSetup,
    StopSignals,
)
from .live.supervisor import LOOK_EVERY_S, Interrupted, Supervisor
from .model_info import ModelInfo, largest_remainder
from .options import AUTO, build_parser

HTTP_PORT = 9001
SMALLEST_IN_CALLBACK = 512
REPORT_EVERY_S = 1.0
NO_PAGE = "no control page: `pip install 'wavevae[live]'` brings it"


def _check(arguments: argparse.Namespace) -> None:
    """What can be said before anything starts; `model` becomes the file that is meant. Raises: UserError."""
    arguments.model = model_file(arguments.model)
    runtime()  # said here, before there are processes that would end
    if arguments.in_callback and arguments.block_size and arguments.block_size < SMALLEST_IN_CALLBACK:
        raise UserError(
            f"--in-callback with --block-size {arguments.block_size}; use {SMALLEST_IN_CALLBACK} or more, or leave "
            "--in-callback out"
        )
    if arguments.input is not None and arguments.device == NO_DEVICE:
        raise UserError(
            "--input with --device none: without a device there is no input; leave one of them out"
        )
    for name in ("transpose", "fit"):
        if getattr(arguments, name) is not None and arguments.input is None:
            raise UserError(f"--{name} is of a live input; add --input, or leave --{name} out")
    if arguments.http_host not in LOOPBACK and not arguments.allow_remote:
        raise UserError(
            f"--http-host {arguments.http_host} lets other machines in; add --allow-remote if that is meant"
        )
    if arguments.announce and importlib.util.find_spec("zeroconf") is None:
        raise UserError("--announce needs zeroconf; `pip install 'wavevae[discovery]'`")
    if arguments.announce and arguments.http_port == -1:
        raise UserError("--announce tells of the OSCQuery server; leave --http-port none out")
    if arguments.map is not None and arguments.midi is None:
        raise UserError("--map goes with --midi PORT; `wavevae devices` lists the ports")
    if arguments.mpe and arguments.midi is None:
        raise UserError("--mpe goes with --midi PORT; `wavevae devices` lists the ports")
    for path in (arguments.record, arguments.record_audio):
        if path is not None and not path.parent.is_dir():
            raise UserError(f"{path}: there is no folder {path.parent}; make it first")


def _open_web(arguments: argparse.Namespace, sockets: contextlib.ExitStack) -> WebSetup | None:
    """The page's socket. Raises: UserError for a port in use, or a page asked for that cannot be had."""
    if arguments.http_port == -1:
        return None
    if importlib.util.find_spec("aiohttp") is None:
        if arguments.http_port is not None or arguments.allow_remote:
            raise UserError("the control page needs aiohttp; `pip install 'wavevae[live]'`")
        say(NO_PAGE)
        return None
    host = arguments.http_host
    if arguments.allow_remote and host in LOOPBACK:
        host = "::" if ":" in host else "0.0.0.0"
    port = HTTP_PORT if arguments.http_port is None else arguments.http_port
    tcp = sockets.enter_context(contextlib.closing(open_tcp(host, port)))
    token = secrets.token_urlsafe(16) if arguments.allow_remote else ""
    return WebSetup(tcp, host, tcp.getsockname()[1], token)


def _set_up(arguments: argparse.Namespace, sockets: contextlib.ExitStack) -> ControlSetup:
    """Everything that the control process listens on. Raises: UserError."""
    udp = sockets.enter_context(contextlib.closing(open_udp(arguments.osc_host, arguments.osc_port)))
    web = _open_web(arguments, sockets)
    midi = None
    if arguments.midi is not None:
        midi = MidiSetup(
            arguments.midi, arguments.map or companion(arguments.model, ".midi.yaml"), arguments.mpe
        )
        if arguments.map is not None and not arguments.map.is_file():
            raise UserError(f"no map at {arguments.map}; `wavevae midi --learn` makes one")
    return ControlSetup(
        udp,
        arguments.osc_host,
        udp.getsockname()[1],
        web,
        midi,
        arguments.midi_out,
        RecordSetup(arguments.record, arguments.record_audio, arguments.seed, version("wavevae")),
        arguments.announce,
    )


SMALLEST_RING, SMALLEST_RING_MS = 2, 25.0


def good_depth(block_size: int, sample_rate: int) -> int:
    """Blocks to compute ahead: at least two, and 25 ms."""
    return max(SMALLEST_RING, math.ceil(SMALLEST_RING_MS * sample_rate / 1000 / block_size))


def _prepare(arguments: argparse.Namespace, session: Supervisor) -> tuple[Found, Ready, Opened]:
    """Devices found and opened, the model loaded and warm. Raises: UserError, Interrupted."""
    found = session.find()
    block = arguments.block_size or found.good_block
    live_input = arguments.input is not None
    load = Load(str(arguments.model.resolve()), arguments.seed, arguments.voices, live_input, arguments.sr)
    if arguments.in_callback:
        session.shared.lay_out(1, max(block, SMALLEST_IN_CALLBACK))
        opened = session.open(Open(0, load))
        assert opened.engine is not None
        return found, opened.engine, opened
    session.shared.lay_out(1, block)
    ready = session.load(load)
    rate = ready.model.sample_rate
    session.shared.lay_out(arguments.ring_depth or good_depth(block, rate), block)
    return found, ready, session.open(Open(rate))


def first_messages(
    arguments: argparse.Namespace, model: ModelInfo
) -> tuple[tuple[str, tuple[object, ...]], ...]:
    """What --transpose and --fit set. Raises: UserError where the file has nothing of the kind."""
    wanted: dict[str, object] = {}
    if arguments.transpose is not None:
        auto = arguments.transpose == AUTO
        wanted["transpose_auto" if auto else "transpose"] = 1 if auto else arguments.transpose
    if arguments.fit is not None:
        wanted["fit"] = arguments.fit
    known = {attribute.name for attribute in model.attributes} if model.is_instrument else set()
    for name in wanted:
        if name not in known:
            option = "--fit" if name == "fit" else f"--transpose {arguments.transpose}"
            raise UserError(f"{option}: {model.name} has no such attribute, {_why_not(model)}; leave it out")
    return tuple((f"{ROOT}/{name}", (value,)) for name, value in wanted.items())


def _why_not(model: ModelInfo) -> str:
    if not model.is_instrument:
        return "it is a codec and gives its input back as it is"
    return "it knows nothing of its corpus" if model.plays_pitch else "it has no pitch"


def describe_delay(model: ModelInfo, block_size: int, ring_depth: int, device_s: float) -> str:
    """From a message to its sound, at most; controls are read once a block."""
    samples = (
        block_size,
        ring_depth * block_size,
        largest_remainder(model.hop_length, block_size),
        model.algorithmic_latency_samples,
    )
    parts = [*(1000 * n / model.sample_rate for n in samples), 1000 * device_s]
    return (
        f"control to sound at most {sum(parts):.1f} ms = {parts[0]:.1f} until the next block "
        f"+ {parts[1]:.1f} ring + {parts[2]:.1f} rest of a hop + {parts[3]:.1f} model "
        f"+ {parts[4]:.1f} device (latents glide {SMOOTHING.default:g} ms)"
    )


def describe_input_delay(model: ModelInfo, block_size: int, ring_depth: int, opened: Opened) -> str:
    """From a live input to its sound: what is computed here, and what the device states of itself."""
    per_sample = 1000 / model.sample_rate
    parts = (
        ring_depth * block_size * per_sample,
        largest_remainder(model.hop_length, block_size) * per_sample,
        model.input_latency_samples * per_sample,
        1000 * opened.rebuffered_s,
    )
    cut = f" + {parts[3]:.1f} cutting periods into blocks" if parts[3] else ""
    return (
        f"heard to sound {sum(parts):.1f} ms = {parts[0]:.1f} ring + {parts[1]:.1f} rest of a hop + "
        f"{parts[2]:.1f} model{cut}, and the device's {1000 * opened.input_latency_s:.1f} in and "
        f"{1000 * (opened.latency_s - opened.rebuffered_s):.1f} out"
    )


def _describe(
    arguments: argparse.Namespace,
    session: Supervisor,
    setup: ControlSetup,
    found: Found,
    ready: Ready,
    opened: Opened,
) -> list[str]:
    model, ring = ready.model, session.shared.deck.ring
    rate, block, depth = model.sample_rate, ring.block_size, ring.depth
    speed, headroom = ready.real_time_factor, 1 - 1 / ready.real_time_factor
    how = "in the callback" if arguments.in_callback else f"ring {depth}"
    delay = describe_delay(model, block, 0 if arguments.in_callback else depth, opened.latency_s)
    lines = [
        f"{model.name}: {model.latent_dim} latents at {rate / model.hop_length:.1f} frames/s",
        f"  device   {found}; {rate} Hz, block {block} ({1000 * block / rate:.1f} ms), {how}",
        f"  delay    {delay}",
        f"  compute  real-time factor {speed:.1f}: a block takes {ready.block_ms:.2f} ms, "
        f"at most {ready.worst_block_ms:.2f}; headroom {100 * headroom:.0f} %{_burden(model)}",
        f"  priority {ready.priority}",
        *_keys(model),
        f"  OSC      {in_url(arguments.osc_host)}:{setup.osc_port}, {'/wavevae/note, ' if model.plays_notes else ''}"
        f"/wavevae/latent/0 to /{model.latent_dim - 1}, "
        "/wavevae/gain, /wavevae/panic ... (`wavevae serve --help`)",
    ]
    if model.live_input:
        said = describe_input_delay(model, block, 0 if arguments.in_callback else depth, opened)
        lines.insert(3, f"  input    {said}{_moved(arguments)}")
    if ready.enough is not None:
        lines.append(_warning(ready, block, rate))
    return lines


def _keys(model: ModelInfo) -> list[str]:
    """What keys do with an instrument, and why nothing sounds yet."""
    if not model.is_instrument:
        return []
    waits = (
        "the input sounds; keys give it their pitches"
        if model.live_input
        else "silent until a key or a control moves"
    )
    axis = model.axes[0]
    low, high = (round(axis.natural(end)) for end in (axis.low, axis.high))
    what = f"its sounds lie from MIDI {low} to {high}" if model.plays_pitch else NO_PITCH_KEYS
    lines = [f"  keys     {model.voices} notes at a time, {what}; {waits}"]
    if not model.restarts:
        lines.append(
            "  note     a file of an older wavevae: notes begin with a trace of earlier ones; export it again"
        )
    return lines


NO_PITCH_KEYS = "played by brightness: it has no pitch"


def _moved(arguments: argparse.Namespace) -> str:
    """What is done to it."""
    moves = [
        f"{name} {value}" for name in ("transpose", "fit") if (value := getattr(arguments, name)) is not None
    ]
    return f"; {', '.join(moves)}" if moves else ""


def _burden(model: ModelInfo) -> str:
    """What was computed at once when the time was taken, if it is more than one voice."""
    voices = [f"{model.voices} voices"] if model.voices > 1 else []
    parts = [*voices, *(["the input"] if model.live_input else [])]
    return f" with {' and '.join(parts)}" if parts else ""


def _warning(ready: Ready, block: int, rate: int) -> str:
    """Too slow for its block: with the numbers, and what would do."""
    text = f"  warning  a block of {1000 * block / rate:.1f} ms takes {ready.block_ms:.1f} ms: expect gaps; "
    if ready.enough:
        return text + f"--block-size {ready.enough} would do"
    return text + "no block size would do here: a lighter preset plays"


def _watch(session: Supervisor, seconds: float | None) -> None:
    """Until it is time to end: report lost sound when it happens. Raises: Interrupted, EngineDied."""
    start = reported_at = time.monotonic()
    reported = 0
    while seconds is None or time.monotonic() - start < seconds:
        time.sleep(LOOK_EVERY_S)
        session.look()
        lost = session.shared.lost
        if lost > reported and time.monotonic() - reported_at >= REPORT_EVERY_S:
            say(f"underflow: {lost - reported} blocks lost ({lost} so far)")
            reported, reported_at = lost, time.monotonic()


def _serve(arguments: argparse.Namespace, stop: StopSignals) -> None:
    """Everything after the command line. Raises: Interrupted, UserError, Failure."""
    wanted = DeviceChoice(arguments.device, arguments.input or None, arguments.input is not None)
    with contextlib.ExitStack() as open_things:
        setup = _set_up(arguments, open_things)
        session = open_things.enter_context(Supervisor(wanted, stop, arguments.in_callback))
        session.prepare_control(setup)
        found, ready, opened = _prepare(arguments, session)
        listening = session.listen(ready.model, first_messages(arguments, ready.model))
        session.start()
        say("\n".join([*_describe(arguments, session, setup, found, ready, opened), *listening.lines]))
        say("playing; Ctrl-C ends it")
        began = time.monotonic()
        with contextlib.suppress(Interrupted):
            _watch(session, arguments.seconds)
        session.fade_out(opened.latency_s)
        summary = session.summary(time.monotonic() - began)
    say(summary)
    if session.lost_recordings:
        raise Failure("a recording ended before the performance did, as was said above")


def main(argv: list[str]) -> int:
    """Entry point of `wavevae serve`."""
    arguments = build_parser().parse_args(argv)
    _check(arguments)
    with StopSignals() as stop:
        try:
            _serve(arguments, stop)
        except Interrupted:
            say("stopped before it played")
    return 0
