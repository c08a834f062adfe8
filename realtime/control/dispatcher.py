"""Applies messages of OSC, MIDI, the page and scores to one `ControlState`, through one table of addresses."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from wavevae.controls import OF_FILE, ControlState, Refused, Share
from wavevae.names import matching

from ..model_info import LatentMap, ModelInfo
from . import addresses, note_addresses
from .addresses import ROOT, Act, Address, Arguments, Value, prepare
from .presets import Presets

MOST_JOURNAL = 100_000
Line = tuple[str, Arguments]
"""An address and its arguments, as they were accepted."""


class Dispatcher:
    """Holds the state. `flush` calls `publish` with the new state and the messages that changed it."""

    def __init__(
        self,
        model: ModelInfo,
        publish: Callable[[ControlState, list[Line]], None] = lambda state, lines: None,
        presets: Presets | None = None,
    ) -> None:
        self.presets = presets or Presets()
        self._publish = publish
        self._lines: list[Line] = []
        self.state = self._published = model.initial()
        self.extra: dict[str, Address] = {}
        self.improvised = (0.0, 0.0)
        """Key (MIDI) and velocity that the prior makes up now; velocity 0 in rests."""
        self._take(model)

    def _take(self, model: ModelInfo) -> None:
        self.model, self.map = model, LatentMap(model)
        rows = (*addresses.rows(self), *note_addresses.rows(self))
        self.table = {row.path: row for row in rows}

    def add(self, name: str, tags: str, doc: str, act: Act, value: Callable[[], Value] | None = None) -> None:
        """An address that does not change the state: a query, another model, learning."""
        self.extra[f"{ROOT}/{name}"] = Address(name, tags, doc, act, value)

    def change(self, model: ModelInfo, presets: Presets | None = None) -> None:
        """Another model: what fits is kept, classes by their names, notes as far as there are voices. To be
        published by the caller."""
        before, old = self.state, self.model
        fitted = before.fitted(model.initial())
        named = [(old.classes[label], weight) for label, weight in before.mix] if model.has_class else []
        kept = [(matching(name, model.classes) or name, weight) for name, weight in named]
        mix = tuple(Share(model.classes.index(name), w) for name, w in kept if name in model.classes)
        notes = before.notes[: model.voices] if model.plays_notes else ()
        self.state = replace(
            fitted,
            attributes=self._same_attributes(model),
            latents=self._carried(model, fitted.latents),
            mix=mix if model.can_mix else mix[:1],
            notes=notes,
            keyed=before.keyed and model.plays_notes,
            idle=before.idle and model.is_instrument,
        )
        self.presets = presets or self.presets
        self._take(model)

    def _same_attributes(self, model: ModelInfo) -> tuple[float, ...]:
        """The file's own; what every instrument has (life, transpose, fit) keeps its value from one to the next."""
        old, before, place = self.model, self.state.attributes, 0
        kept: dict[str, tuple[float, ...]] = {}
        for attribute in old.attributes:
            if attribute.name in OF_FILE:
                kept[attribute.name] = before[place : place + len(attribute.kinds)]
            place += len(attribute.kinds)
        return tuple(v for a in model.attributes for v in kept.get(a.name, a.values))

    def _carried(self, model: ModelInfo, latents: tuple[float, ...]) -> tuple[float, ...]:
        """The present controls of an instrument (pitch, loudness ...) in another's standard deviations."""
        old, before = self.model, self.state
        natural = {
            a.name: a.natural(v) for a, v in zip(old.axes[: old.n_controls], before.latents, strict=False)
        }
        controls = tuple(
            axis.standard(natural[axis.name]) if axis.name in natural and not before.idle else value
            for axis, value in zip(model.axes[: model.n_controls], model.initial().latents, strict=False)
        )
        return (*controls, *latents[model.n_controls :])

    def resume(self, state: ControlState) -> None:
        """Go on from a state that was already published."""
        self.state = self._published = state

    def apply(self, path: str, arguments: Arguments) -> None:
        """Raises: Refused; then nothing has changed."""
        row = self.table.get(path) or self.extra.get(path)
        if row is None or row.act is None:
            last = self.model.latent_dim - 1
            raise Refused(f"no such address here (latents are 0 to {last}); see `wavevae serve --help`")
        prepared = prepare(row, arguments)
        if prepared is None:
            return
        self.state = row.act(self.state, prepared)
        if path in self.table:
            self._lines.append((path, prepared))

    def flush(self) -> None:
        """After a group of messages that belong together."""
        lines, self._lines = self._lines, []
        if self.state is not self._published:
            self._published = self.state
            self._publish(self.state, lines)
        elif lines:
            self._lines = lines[-MOST_JOURNAL:]  # a preset stored: published with the next change

    def rows(self) -> list[Address]:
        """The whole table."""
        return [*self.table.values(), *self.extra.values()]
