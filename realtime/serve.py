"""`wavevae serve`: a model played live, under OSC control."""

from __future__ import annotations

import argparse
import contextlib
import os
import time
from pathlib import Path

from wavevae.cli import Parser, fail
from wavevae.controls import CONTROLS, SMOOTHING
from wavevae.errors import UserError

from .control import About, open_socket
from .devices import NO_DEVICE, Device, choose, find_outputs
from .player import Ready
from .processes import StopSignals, quiet
from .session import LOOK_EVERY_S, Interrupted, Session, Summary
from .shell import Callback, Watch
from .streams import CardStream, ClockStream, DeviceGone, Stream, channels_of
from .terminal import say
from .timing import FADE_MS, Delay, count_delay

DEVICE_GONE_S = 3.0
REPORT_EVERY_S = 1.0

EXAMPLE = f"""\
  wavevae serve mine.ts                        # then send OSC to 127.0.0.1:9000
  oscsend 127.0.0.1 9000 /wavevae/latent/0 f 1.5

OSC (UDP; ints may stand for floats; whatever is not exactly right changes nothing and is answered on
/wavevae/error):
  /wavevae/latent/<i> f        target of axis i, in standard deviations of the training data (0 = mean)
  /wavevae/latents f x all     every axis at once
  /wavevae/gain f              dB
  /wavevae/smoothing f         ms in which a latent glides to its target ({SMOOTHING.default:g} at first)
  /wavevae/temperature f       noise on the latents, new every frame
  /wavevae/freeze [0|1]        hold the latents, let go (nothing: the other way round)
  /wavevae/reset               clear the model's state, with a dip of {FADE_MS:g} ms
  /wavevae/panic               silence now, until a gain or reset message
  /wavevae/query s             answers with the value of that name on /wavevae/state/<name>
  /wavevae/subscribe i         a port of yours that then gets every /wavevae/state/... 30 times a second; 0 ends it

ranges:
""" + "\n".join(f"  {c.name:<12} {c.low:g} to {c.high:g} {c.unit}" for c in CONTROLS)


def build_parser() -> Parser:
    """The command line of `wavevae serve`."""
    parser = Parser("serve", "Play MODEL.ts live, under OSC control. Ctrl-C fades out and ends it.", EXAMPLE)
    add = parser.add_argument
    add("model", metavar="MODEL.ts", type=Path, help="a file that `wavevae export` wrote")
    add(
        "--device",
        metavar="NAME|INDEX",
        help=f"output device (`wavevae devices`), or '{NO_DEVICE}' for no sound",
    )
    add("--block-size", type=_whole(16, 16384), default=512, metavar="N", help="samples a callback [512]")
    add("--ring-depth", type=_whole(1, 64), default=2, metavar="N", help="blocks computed ahead [2]")
    add(
        "--osc-host",
        default="127.0.0.1",
        metavar="HOST",
        help="address to listen on [127.0.0.1: this machine only]",
    )
    add(
        "--osc-port",
        type=_whole(0, 65535),
        default=9000,
        metavar="PORT",
        help="UDP port; 0 takes a free one [9000]",
    )
    add("--sr", type=_whole(1, 768_000), metavar="HZ", help="refuse a model of another rate")
    add("--seconds", type=_seconds, metavar="S", help="end by itself")
    add("--seed", type=_whole(0, 2**63 - 1), default=0, metavar="N", help="of the noise on the latents [0]")
    return parser


def _whole(low: int, high: int):  # type: ignore[no-untyped-def]
    """A type for argparse: a whole number within a range."""

    def convert(text: str) -> int:
        value = int(text)
        if not low <= value <= high:
            raise argparse.ArgumentTypeError(f"{value} is out of range; use {low} to {high}")
        return value

    convert.__name__ = "whole number"
    return convert


def _seconds(text: str) -> float:
    value = float(text)
    if not 0 < value < float("inf"):
        raise argparse.ArgumentTypeError(f"{text} is no time; use seconds above 0")
    return value


def _describe(
    arguments: argparse.Namespace, ready: Ready, device: Device | None, delay: Delay, port: int
) -> str:
    rate, block = ready.sample_rate, arguments.block_size
    where = f"{device}, {channels_of(device)} channels" if device else "none: a clock, no sound"
    speed, headroom = ready.real_time_factor, 1 - 1 / ready.real_time_factor
    lines = [
        f"{arguments.model.name}: {ready.latent_dim} latents at {rate / ready.hop_length:.1f} frames/s",
        f"  device   {where}; {rate} Hz, block {block} ({1000 * block / rate:.1f} ms), ring {arguments.ring_depth}",
        f"  delay    {delay}",
        f"  compute  real-time factor {speed:.1f}: a block takes {ready.block_ms:.2f} ms, "
        f"at most {ready.worst_block_ms:.2f}; headroom {100 * headroom:.0f} %",
        f"  priority {ready.priority}",
        f"  OSC      {arguments.osc_host}:{port}, /wavevae/latent/0 to /{ready.latent_dim - 1}, "
        "/wavevae/gain, /wavevae/panic ... (`wavevae serve --help`)",
    ]
    if speed < 1:
        lines.append(
            "  warning  this machine is too slow for this model: expect gaps; a lighter preset plays"
        )
    return "\n".join([*lines, "playing; Ctrl-C ends it"])


def _open(device: Device | None, ready: Ready, block_size: int, callback: Callback) -> Stream:
    if device is None:
        return ClockStream(ready.sample_rate, block_size, callback)
    return CardStream(device, ready.sample_rate, block_size, callback)


def _watch(session: Session, watch: Watch, seconds: float | None) -> None:
    """Until it is time to end: report lost sound when it happens. Raises: Interrupted, EngineDied, DeviceGone."""
    start = reported_at = time.monotonic()
    reported = 0
    while seconds is None or time.monotonic() - start < seconds:
        time.sleep(LOOK_EVERY_S)
        watch.look()
        if watch.lost > reported and time.monotonic() - reported_at >= REPORT_EVERY_S:
            say(f"underflow: {watch.lost - reported} blocks lost ({watch.lost} so far)")
            reported, reported_at = watch.lost, time.monotonic()
        if watch.silent_for_s > DEVICE_GONE_S:
            raise DeviceGone(
                f"the device has not asked for sound for {DEVICE_GONE_S:g} s; is it unplugged, or its server gone?"
            )
        session.check()


def _perform(session: Session, stream: Stream, watch: Watch, seconds: float | None) -> Summary:
    """Sound, from the first block to the fade-out."""
    began = time.monotonic()
    stream.start()
    with contextlib.suppress(Interrupted):
        _watch(session, watch, seconds)
    session.fade_out(stream.latency_s)
    stream.close()
    return session.summary(watch, time.monotonic() - began)


def _serve(arguments: argparse.Namespace, stop: StopSignals) -> Summary:
    """Everything between the command line and the summary."""
    with open_socket(arguments.osc_host, arguments.osc_port) as udp:
        port = udp.getsockname()[1]
        device = None if arguments.device == NO_DEVICE else choose(find_outputs(), arguments.device)
        with Session(arguments.ring_depth, arguments.block_size, stop) as session:
            ready = session.load(arguments.model, arguments.seed)
            if arguments.sr not in (None, ready.sample_rate):
                raise UserError(
                    f"--sr {arguments.sr}: {arguments.model} is a model of {ready.sample_rate} Hz; leave --sr out, "
                    "and set the device to the model's rate"
                )
            callback = Callback(session.shared, channels_of(device) if device else 1)
            stream = _open(device, ready, arguments.block_size, callback)
            with contextlib.closing(stream):
                about = About(arguments.model.name, ready.sample_rate, ready.hop_length, ready.latent_dim)
                session.listen(about, udp)
                session.fill()
                delay = count_delay(ready, arguments.block_size, arguments.ring_depth, stream.latency_s)
                say(_describe(arguments, ready, device, delay, port))
                quiet()
                watch = Watch(callback, session.shared, arguments.block_size / ready.sample_rate)
                return _perform(session, stream, watch, arguments.seconds)


def main(argv: list[str]) -> int:
    """Entry point of `wavevae serve`."""
    arguments = build_parser().parse_args(argv)
    if not arguments.model.is_file():
        raise UserError(f"no model file at {arguments.model}; make one with `wavevae export RUN -o MODEL.ts`")
    with StopSignals() as stop:
        try:
            say(str(_serve(arguments, stop)))
        except Interrupted:
            say("stopped before it played")
        except DeviceGone as gone:
            os._exit(fail(str(gone), 1))
    return 0
