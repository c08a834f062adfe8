"""The control process: OSC, MIDI, the control page, presets, recording. Imports no torch.

One asyncio loop runs everything except what may block (files, MIDI drivers), which has its own threads.
"""

from __future__ import annotations

import asyncio
import contextlib
import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from multiprocessing.connection import Connection
from pathlib import Path

from wavevae.cli import expanded
from wavevae.controls import MODES, TRANSFORM, ControlState, Refused
from wavevae.errors import Failure, UserError
from wavevae.instruments import NAMES, model_file

from ..control.addresses import ROOT, Arguments, Value, text
from ..control.dispatcher import Dispatcher, Line
from ..control.midi_mapper import MidiMapper
from ..control.midi_out import MELODY, PERCUSSION, Outputs, Sender
from ..control.network import Announcement, reachable
from ..control.osc import ERROR, OscServer, Reply, encode
from ..control.presets import Preset, Presets, PresetsFile, presets_of, write_preset
from ..model_info import ModelInfo
from .processes import (
    Begin,
    ControlSetup,
    Listening,
    Problem,
    RecordingLost,
    WantModel,
    ask_to_be_preferred,
    settle,
)
from .recorder import Recorder
from .shared_memory import Count, DeckCount, Shared, SoundingNotes

STATE_RATE_HZ = 30.0
LARGEST_UDP = 65536
MOST_AT_ONCE = 200
"""Datagrams read before anything else has its turn."""
FLOOR_DB = -120.0


def control(setup: ControlSetup, shared: Shared, pipe: Connection) -> None:
    """Entry point of the process: until QUIT."""
    settle()
    ask_to_be_preferred()
    try:
        begin = pipe.recv()
        controller = Controller(setup, begin, shared, pipe)
    except EOFError:
        return
    except UserError as error:
        pipe.send(Problem(str(error)))
        return
    except Failure as error:
        pipe.send(RecordingLost(str(error)))
        return
    if sys.platform == "win32":  # its default loop cannot watch a socket
        asyncio.set_event_loop_policy(asyncio.WindowsSelectorEventLoopPolicy())
    asyncio.run(controller.run())


def _natural(model: ModelInfo, latents: list[float]) -> dict[str, Value]:
    """Pitch (MIDI), loudness (dB) and periodicity of what sounds, as far as it has them."""
    controls = model.axes[: model.n_controls]
    return {axis.name: axis.natural(value) for axis, value in zip(controls, latents, strict=False)}


class Controller:
    """Carries messages to the dispatcher and replies back; feeds those who watch."""

    def __init__(self, setup: ControlSetup, begin: Begin, shared: Shared, pipe: Connection) -> None:
        self.setup, self.shared, self._pipe = setup, shared, pipe
        self._files = ThreadPoolExecutor(1)
        self.dispatcher = Dispatcher(begin.model, self._publish, self._presets(begin.model))
        self._deck = shared.decks[begin.deck]
        self._notes = SoundingNotes(self._deck, begin.model.sample_rate)
        self.osc_server = OscServer(self.dispatcher, self.look_up)
        self._add_model_address()
        self._watchers: list[Callable[[], None]] = []
        """Called 30 times a second."""
        self._closers: list[Callable[[], object]] = [self._files.shutdown]
        self._timer: asyncio.TimerHandle | None = None
        self._model_asked_by: tuple = ()
        self.midi = self._make_midi()
        self.midi_out = self._make_midi_out()
        self._recorder: Recorder | None = None
        if begin.resumed:
            self._resume()
        if setup.record.score or setup.record.audio:
            self._recorder = self._make_recorder(begin.resumed)
        if begin.model.live_input and not begin.resumed:
            self.osc_server.act(f"{ROOT}/mode", (MODES[TRANSFORM],))
        for path, arguments in begin.first:
            self.osc_server.act(path, arguments)

    # the loop

    async def run(self) -> None:
        """Until QUIT."""
        loop = asyncio.get_running_loop()
        lines = await self._start_parts()
        loop.add_reader(self.setup.udp.fileno(), self._receive)
        self._pipe.send(Listening(tuple(lines)))
        due = time.monotonic()
        while not self.shared.counts[Count.QUIT]:
            due = max(due + 1 / STATE_RATE_HZ, time.monotonic())
            await asyncio.sleep(due - time.monotonic())
            self._tick()
        loop.remove_reader(self.setup.udp.fileno())
        if self._recorder is not None:
            self._recorder.finish()
        for close in self._closers:
            outcome = close()
            if asyncio.iscoroutine(outcome):
                await outcome

    def _tick(self) -> None:
        with contextlib.suppress(EOFError, OSError):
            while self._pipe.poll():
                self._handle_order(self._pipe.recv())
        self._count()
        if self._recorder is not None:
            self._recorder.look()
        for note in self._notes.due(time.monotonic()):
            self.dispatcher.improvised = (note.key, note.velocity)
        if self.osc_server.subscribers:
            messages = self.osc_server.state_messages()
            for subscriber in self.osc_server.subscribers:
                for data in messages:
                    self._send(Reply(data, subscriber))
        for watcher in self._watchers:
            watcher()

    def _handle_order(self, message: object) -> None:
        """From the supervisor."""
        if isinstance(message, Begin):
            self._change(message)
        elif isinstance(message, Problem) and self._model_asked_by:
            self._send(Reply(encode(ERROR, f"{ROOT}/model: {message.message}"[:200]), self._model_asked_by))
            self._model_asked_by = ()

    # OSC

    def _receive(self) -> None:
        """What has come in, up to MOST_AT_ONCE."""
        for _ in range(MOST_AT_ONCE):
            try:
                datagram, sender = self.setup.udp.recvfrom(LARGEST_UDP)
            except BlockingIOError:
                break
            except OSError:  # some systems report here that an earlier reply found nobody
                continue
            for reply in self.osc_server.handle(datagram, sender):
                self._send(reply)
        self._count()
        self._set_timer()

    def _set_timer(self) -> None:
        """Wake up for what is dated."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self.osc_server.next_due is not None:
            delay = max(0.0, self.osc_server.next_due - time.time())
            self._timer = asyncio.get_running_loop().call_later(delay, self._run_due)

    def _run_due(self) -> None:
        for reply in self.osc_server.run_due():
            self._send(reply)
        self._count()
        self._set_timer()

    def _send(self, reply: Reply) -> None:
        """A listener that is gone or too slow is no reason to stop."""
        with contextlib.suppress(OSError, OverflowError):
            self.setup.udp.sendto(reply.data, reply.to)

    def _count(self) -> None:
        self.shared.counts[Count.ACCEPTED] = self.osc_server.accepted
        self.shared.counts[Count.REJECTED] = self.osc_server.rejected

    # values for queries

    def look_up(self) -> dict[str, Value]:
        """Values that the dispatcher does not have."""
        fields, latents = self._deck.meter.read()
        model = self.dispatcher.model
        return {
            "level": fields.get("level_db", FLOOR_DB),
            "real_time_factor": fields.get("real_time_factor", 0.0),
            "worst_block_ms": fields.get("worst_block_ms", 0.0),
            "latents": latents,
            **_natural(model, latents),
            **(
                {"confidence": fields.get("confidence", 0.0)}
                if model.live_input and model.plays_pitch
                else {}
            ),
            "underflows": self.shared.lost,
            "limited": int(self._deck.counts[DeckCount.LIMITED]),
            "presets": list(self.dispatcher.presets.named),
            "midi": self.midi.port if self.midi else "",
            "learning": (self.midi.translator.learning or "") if self.midi else "",
            "model": model.name,
            "sample_rate": model.sample_rate,
            "hop_length": model.hop_length,
            "latent_dim": model.latent_dim,
        }

    def say(self, text: str) -> None:
        """Prints a line on the terminal of `serve`."""
        self._pipe.send(Problem(text))

    # the state

    def _publish(self, state: ControlState, lines: list[Line]) -> None:
        self._deck.controls.write(state.pack())
        if self._recorder is not None:
            self._recorder.note(self._deck.controls.version, lines)

    def _make_recorder(self, resumed: bool) -> Recorder | None:
        """Raises: UserError or Failure for files that cannot be made, at the start."""
        setup = self.setup.record
        try:
            recorder = Recorder(
                setup,
                self.shared,
                self._deck,
                self.dispatcher,
                self.later,
                self.say,
                self._lose_recording,
                resumed,
            )
        except (UserError, Failure) as error:
            if not resumed:
                raise
            self._lose_recording(f"no longer recording ({error}); the sound goes on")
            return None
        if resumed:
            self.say(f"the recording goes on in {recorder.names}")
        return recorder

    def _lose_recording(self, why: str) -> None:
        self._pipe.send(RecordingLost(why))

    def _resume(self) -> None:
        """After an earlier control process that died."""
        _, packed = self._deck.controls.read()
        if len(packed):
            self.dispatcher.resume(ControlState.unpack(packed.tolist()))

    def _presets(self, model: ModelInfo) -> Presets:
        """Those of the model; stored by a thread, so that a slow disk delays no message."""
        presets, path = presets_of(Path(model.path))
        file = PresetsFile(path)
        if presets.problem:
            self.say(presets.problem)

        def save(name: str, preset: Preset | None) -> None:
            self.later(partial(write_preset, path, name, preset), str(path))

        def reload() -> dict[str, Preset]:
            found = file.reload()
            if found and self._recorder is not None:
                self._recorder.add_presets(found)
            return found

        presets.save, presets.reload = save, reload
        return presets

    def later(self, work: Callable[[], None], what: str) -> None:
        """Write a file in a thread, one after the other."""
        self._files.submit(self._write, work, what)

    def _write(self, work: Callable[[], None], what: str) -> None:
        try:
            work()
        except (Failure, UserError) as error:
            self.say(f"{error}; the sound goes on without it")
        except (OSError, ValueError) as error:
            self.say(f"{what} cannot be written ({error}); the sound goes on without it")

    # another model

    def _add_model_address(self) -> None:
        def ask(state: ControlState, arguments: Arguments) -> ControlState:
            named = text(arguments, "model")
            path = Path(self.dispatcher.model.path).parent / expanded(named)
            if not path.is_file():
                try:
                    path = model_file(Path(named) if named in NAMES else path)
                except UserError as error:
                    raise Refused(str(error)[:300]) from None
            self._model_asked_by = self.osc_server.sender
            self._pipe.send(WantModel(str(path)))
            return state

        doc = "change to another MODEL.ts without a gap (a name without folder: beside the present one)"
        self.dispatcher.add("model", "s", doc, ask, lambda: self.dispatcher.model.name)

    def _change(self, begin: Begin) -> None:
        """The controls go to another deck, as far as they fit its model."""
        self._deck = self.shared.decks[begin.deck]
        self._notes = SoundingNotes(self._deck, begin.model.sample_rate)
        self.dispatcher.improvised = (0.0, 0.0)
        if self.midi_out is not None:
            self._play_out(self.midi_out, begin.model)
        if begin.model != self.dispatcher.model:
            self.dispatcher.change(begin.model, self._presets(begin.model))
        self.dispatcher.resume(self.dispatcher.state)
        self._deck.controls.write(self.dispatcher.state.pack())
        if self._recorder is not None:
            self._recorder.change(begin.model, self._deck)

    # optional parts

    def _make_midi(self) -> MidiMapper | None:
        """Raises: UserError."""
        setup = self.setup.midi
        if setup is None:
            return None
        mapper = MidiMapper(self.osc_server, setup.port, setup.map_file, self.say, self.later, setup.mpe)
        self._closers.insert(0, mapper.stop)
        return mapper

    def _make_midi_out(self) -> Sender | None:
        """Raises: UserError where there is no MIDI."""
        if self.setup.midi_out is None:
            return None
        sender = Sender(self.setup.midi_out, list, self.say, Outputs())
        self._play_out(sender, self.dispatcher.model)
        self._closers.insert(0, sender.stop)
        return sender

    def _play_out(self, sender: Sender, model: ModelInfo) -> None:
        """The notes of this model, from its deck, go out."""
        notes = SoundingNotes(self._deck, model.sample_rate)

        def due() -> list[tuple[float, float]]:
            return [(note.key, note.velocity) for note in notes.due(time.monotonic())]

        sender.play(due, MELODY if model.plays_pitch else PERCUSSION)

    async def _start_parts(self) -> list[str]:
        """Starts MIDI, the page and the announcement. Returns lines for the terminal."""
        lines = []
        if self._recorder is not None:
            lines += [
                f"  record   {self._recorder.names}",
                *(f"           {r}" for r in self._recorder.remarks),
            ]
        if self.midi is not None:
            lines.append(self.midi.start(asyncio.get_running_loop()))
        if self.midi_out is not None:
            waits = "" if self.dispatcher.model.performs else "; this model has no prior, so nothing goes out"
            lines.append(f"  MIDI out {self.midi_out.start()}{waits}")
        if self.setup.web is not None:
            from ..control.web import PageView, Web

            view = PageView(self.dispatcher, self.shared.played, self.look_up, self.midi)
            page = Web(self.setup.web, self.osc_server, view, self.setup.udp.getsockname()[:2])
            lines.append(await page.start())
            self._watchers.append(page.tick)
            self._closers.insert(0, page.stop)
        if self.setup.announce:
            lines.append(await self._announce())
        return lines

    async def _announce(self) -> str:
        """Tell the network. Needs zeroconf."""
        assert self.setup.web is not None
        places = {"http": self.setup.web.socket, "osc": self.setup.udp}
        announcement = Announcement(
            self.dispatcher.model.name,
            {kind: (reachable(s), s.getsockname()[1]) for kind, s in places.items()},
        )
        self._closers.insert(0, announcement.stop)
        return await announcement.start()
