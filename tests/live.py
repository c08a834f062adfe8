"""A `wavevae serve` in a process of its own, and someone who talks to it over OSC; for tests."""

from __future__ import annotations

import os
import re
import shlex
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from pythonosc.osc_message import OscMessage

from wavevae.realtime.control.osc import encode

COMMAND = [sys.executable, "-c", "import sys; from wavevae.cli import main; sys.exit(main())"]
PATIENCE_S = 300.0


class Live:
    """A running instrument. Everything it says gathers in `said`."""

    def __init__(self, *arguments: object) -> None:
        self.said = ""
        self.process = subprocess.Popen(
            [*COMMAND, "serve", "--osc-port", "0", "--http-port", "none", *map(str, arguments)],
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()
        self.udp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.udp.bind(("127.0.0.1", 0))
        self.udp.settimeout(PATIENCE_S)

    def _read(self) -> None:
        assert self.process.stderr is not None
        for line in self.process.stderr:
            self.said += line

    def wait_until_playing(self) -> Live:
        deadline = time.monotonic() + PATIENCE_S
        while "playing;" not in self.said and self.process.poll() is None and time.monotonic() < deadline:
            time.sleep(0.02)
        assert "playing;" in self.said, self.said
        match = re.search(r"OSC +127\.0\.0\.1:(\d+)", self.said)
        assert match
        self.address = ("127.0.0.1", int(match[1]))
        return self

    def send(self, address: str, *values: float | int | str) -> None:
        self.udp.sendto(encode(address, *values), self.address)

    def receive(self, address: str) -> list:
        """The arguments of the next message to `address`."""
        while True:
            message = OscMessage(self.udp.recv(65536))
            if message.address == address:
                return list(message.params)

    def query(self, name: str) -> list:
        self.send("/wavevae/query", name)
        return self.receive(f"/wavevae/state/{name}")

    def query_late(self, name: str) -> list:
        """The same, when many other answers may wait to be read."""
        self.udp.settimeout(0.2)
        try:
            while True:
                self.udp.recv(65536)
        except TimeoutError:
            self.udp.settimeout(PATIENCE_S)
        return self.query(name)

    def level_below(self, level_db: float) -> bool:
        """Whether the level falls below."""
        return self.soon(lambda: self.query("level")[0] < level_db)

    def level_above(self, level_db: float) -> bool:
        return self.soon(lambda: self.query("level")[0] > level_db)

    @staticmethod
    def soon(test, patience_s: float = PATIENCE_S) -> bool:  # type: ignore[no-untyped-def]
        """Whether it comes true. The patience only ends a test that fails: a busy machine may take its time."""
        deadline = time.monotonic() + patience_s
        while time.monotonic() < deadline:
            if test():
                return True
            time.sleep(0.02)
        return False

    def says(self, words: str) -> bool:
        """Whether it says so."""
        return self.soon(lambda: words in self.said)

    def children(self) -> list[int]:
        """Every process that descends from it."""
        found: list[int] = []
        for folder in Path("/proc").glob("[0-9]*"):
            try:
                status = (folder / "stat").read_text().rsplit(")", 1)[1].split()
            except OSError:
                continue
            if int(status[2]) == self.process.pid or int(status[3]) == self.process.pid:
                found.append(int(folder.name))
        return [pid for pid in found if pid != self.process.pid]

    def child(self, name: str) -> int:
        """The one that calls itself so; of several the oldest."""
        pids = [
            p for p in self.children() if Path(f"/proc/{p}/comm").read_text().strip() == f"wavevae {name}"
        ]
        return min(pids, key=_started)  # numbers begin again when they have run out

    def finish(self) -> int:
        """Wait until it ends by itself."""
        try:
            return self.process.wait(PATIENCE_S)
        finally:
            if self.process.poll() is None:
                os.killpg(self.process.pid, signal.SIGKILL)
            self._reader.join(PATIENCE_S)
            self.udp.close()

    def end(self, how: signal.Signals = signal.SIGINT) -> int:
        """Signal the whole group, as a terminal does, and wait."""
        os.killpg(self.process.pid, how)
        code = self.process.wait(PATIENCE_S)
        self._reader.join(PATIENCE_S)
        return code


def _started(pid: int) -> int:
    """When a process began, in ticks of the system's clock."""
    return int(Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[19])


def gone(pids: list[int]) -> bool:
    """Whether all of them end."""
    deadline = time.monotonic() + PATIENCE_S
    while time.monotonic() < deadline:
        if not any(_runs(pid) for pid in pids):
            return True
        time.sleep(0.05)
    return False


def _runs(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] not in "ZX"
    except OSError:
        return False


@contextmanager
def live(*arguments: object) -> Iterator[Live]:
    """Playing inside the block; nothing is left of it after."""
    instrument = Live(*arguments)
    try:
        yield instrument.wait_until_playing()
    finally:
        if instrument.process.poll() is None:
            os.killpg(instrument.process.pid, signal.SIGKILL)
            instrument.process.wait()
        instrument.udp.close()


@contextmanager
def jack_again(period: str = "") -> Iterator[None]:
    """Starts JACK's server again (JACK_COMMAND of with_jack.sh), with another period where one is given."""
    command = os.environ["JACK_COMMAND"]
    if period:
        command = re.sub(r"-p \d+", f"-p {period}", command)
    server = subprocess.Popen(shlex.split(command), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        yield
    finally:
        server.terminate()  # not killed: JACK's registry would keep its name
        try:
            server.wait(5)
        except subprocess.TimeoutExpired:
            server.kill()
            server.wait()
