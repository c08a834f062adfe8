"""What the supervisor and the control process say to each other. Light: everybody imports it."""

from __future__ import annotations

import socket
from dataclasses import dataclass, field
from pathlib import Path

from ..model_info import About
from .recorder import RecordSetup


@dataclass(frozen=True)
class WebSetup:
    """The control page's socket and who may use it."""

    socket: socket.socket
    host: str
    port: int
    token: str = ""
    """Asked of every visitor, when it is not empty."""


@dataclass(frozen=True)
class MidiSetup:
    """A port by name, and where its map lies."""

    port: str
    map_file: Path


@dataclass(frozen=True)
class ControlSetup:
    """What the control process is to do."""

    udp: socket.socket
    osc_host: str
    osc_port: int
    web: WebSetup | None = None
    midi: MidiSetup | None = None
    record: RecordSetup = field(default_factory=RecordSetup)
    announce: bool = False


@dataclass(frozen=True)
class Begin:
    """A model is about to play on a deck; `resumed`: the controls go on as they are in the shared memory."""

    about: About
    deck: int
    resumed: bool
    first: tuple[tuple[str, tuple[object, ...]], ...] = ()
    """Messages that count as sent before the first sound."""


@dataclass(frozen=True)
class Listening:
    """Messages are heard; `lines` says what else is there."""

    lines: tuple[str, ...]


@dataclass(frozen=True)
class Problem:
    """Something to say."""

    message: str


@dataclass(frozen=True)
class RecordingLost(Problem):
    """A recording ended before the performance did."""


@dataclass(frozen=True)
class WantModel:
    """Somebody asks for another model."""

    path: str
