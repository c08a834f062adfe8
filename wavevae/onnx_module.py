"""An instrument of MODEL.ts without torch: its graphs in onnxruntime, with the methods and attributes of the scripted
module. Arrays stand for tensors.

The graphs and `onnx.json` are extra files of the archive, see export/archive_graphs.py; their weights are its records.
"""

from __future__ import annotations

import json
import math
import zipfile
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from wavevae.errors import UserError

INTERFACE = "onnx.json"
Array = NDArray[Any]
AUDIO_LIMIT, LATENT_LIMIT = 16.0, 1e6
"""As export/torchscript.py has them."""
STATES = {"tensor(float)": np.float32, "tensor(double)": np.float64}
"""What a state is made of, by onnxruntime's name."""
SAME = -2
"""Of `input_class`: the class that is played."""
OF_HOSTS = ("gain", "temperature", "reset")
"""Attributes that hosts set and wavevae does not."""


def read_graphs(path: Path) -> tuple[dict[str, Any], dict[str, bytes], dict[str, bytes]]:
    """`onnx.json`, the graphs by name and the records that are their weights.

    Raises: KeyError for a file without them, zipfile.BadZipFile for what is no archive.
    """
    with zipfile.ZipFile(path) as archive:
        top = archive.namelist()[0].partition("/")[0]
        interface = json.loads(archive.read(f"{top}/extra/{INTERFACE}"))
        graphs = {name: archive.read(f"{top}/extra/{name}.onnx") for name in interface["weights"]}
        needed = {row[0] for weights in interface["weights"].values() for row in weights.values()}
        return interface, graphs, {name: archive.read(f"{top}/{name}") for name in needed}


class Graph:
    """One graph on one thread, and its state: a row a voice."""

    def __init__(self, content: bytes, weights: Mapping[str, Array]) -> None:
        import onnxruntime

        onnxruntime.set_default_logger_severity(3)
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        self._weights = {n: onnxruntime.OrtValue.ortvalue_from_numpy(values) for n, values in weights.items()}
        options.add_external_initializers(list(self._weights), list(self._weights.values()))
        self._session = onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])
        first, state, *others = self._session.get_inputs()
        self._x, self._settings = first.name, [more.name for more in others]
        self._first = np.zeros((1, state.shape[1]), STATES[state.type])
        self.state: Array | None = None

    def __call__(self, x: Array, settings: Mapping[str, Array]) -> Array:
        """x (B, ...); it starts anew where B is another than before."""
        if self.state is None or len(self.state) != len(x):
            self.state = np.repeat(self._first, len(x), 0)
        given = {self._x: x, "state": self.state, **{name: settings[name] for name in self._settings}}
        y, self.state = self._session.run(None, given)
        made: Array = y
        return made

    def restart(self, voice: int) -> None:
        """One row begins anew; its last number, which counts frames, stays."""
        if self.state is not None and 0 <= voice < len(self.state):
            self.state = self.state.copy()
            self.state[voice, :-1] = 0.0


class OnnxModule:
    """encode, decode, reset, restart, and `set_NAME`, `get_NAME` and `NAME_params` of every attribute."""

    def __init__(
        self, interface: Mapping[str, Any], graphs: Mapping[str, bytes], records: Mapping[str, bytes]
    ) -> None:
        self._interface, self._graphs, self._records = interface, graphs, records
        self._loaded: dict[str, Graph] = {}
        self._values = {name: tuple(row["values"]) for name, row in interface["attributes"].items()}
        self._weights = np.zeros(interface["classes"], np.float32)
        """Of the classes that are played."""
        self._hop, self._latent_dim = interface["methods"]["encode"][3], interface["methods"]["encode"][2]
        self.heard = np.zeros((1, interface["controls"]), np.float32)
        """The last frame's controls, before they are moved."""

    def __getattr__(self, name: str) -> Any:
        verb, _, attribute = name.partition("_")
        attributes = self.__dict__.get("_interface", {}).get("attributes", {})
        if verb in ("get", "set") and attribute in attributes:
            return partial(self._get if verb == "get" else self._set, attribute)
        if name.endswith("_params"):
            name = name.removesuffix("_params")
            return attributes[name]["kinds"] if name in attributes else self._interface["methods"][name]
        raise AttributeError(name)

    def get_methods(self) -> list[str]:
        return list(self._interface["methods"])

    def get_attributes(self) -> list[str]:
        return list(self._interface["attributes"])

    def _get(self, name: str) -> tuple[Any, ...]:
        return self._values[name]

    def _set(self, name: str, value: float) -> int:
        """0, or -1 for what is not taken. Raises: UserError for an attribute of hosts."""
        if name in OF_HOSTS:
            raise UserError(f"attribute {name} is for hosts of nn~; without torch it cannot be set")
        low, high = self._interface["attributes"][name]["range"]
        if not math.isfinite(value):
            return -1
        if name in ("class", "input_class"):
            if not (SAME if name == "input_class" else -1) <= value < len(self._weights):
                return -1
            if name == "class":
                self._weights = self._one(int(value))
        else:
            value = min(max(value, low), high)
        self._values[name] = (value,)
        return 0

    def _one(self, number: int) -> Array:
        return (np.arange(len(self._weights)) == number).astype(np.float32)

    def mix_classes(self, weights: Array) -> int:
        """Shares (n_classes,), in all at most 1, in place of one class, until `set_class`."""
        self._values["class"] = (-1,)
        self._weights = (weights / max(float(weights.sum()), 1.0)).astype(np.float32)
        return 0

    def _value(self, name: str) -> float:
        return float(self._values[name][0]) if name in self._values else 0.0

    def _run(self, name: str, x: Array, **settings: float | Array) -> Array:
        if name not in self._loaded:
            weights = {
                weight: np.frombuffer(self._records[record], kind).reshape(shape)
                for weight, (record, kind, shape) in self._interface["weights"][name].items()
            }
            self._loaded[name] = Graph(self._graphs[name], weights)
        arrays = {key: np.atleast_1d(np.asarray(value, np.float32)) for key, value in settings.items()}
        return self._loaded[name](np.ascontiguousarray(x), {"classes": self._weights[None], **arrays})

    def encode(self, x: Array) -> Array:
        """Audio (B, 1, T) -> axes (B, latent_dim, ceil(T / hop_length))."""
        x = conform(np.pad(x, ((0, 0), (0, 0), (0, -x.shape[2] % self._hop))), AUDIO_LIMIT)
        if not x.size:
            return np.zeros((len(x), self._latent_dim, 0), np.float32)
        kind = int(self._value("input_class")) if "input_class" in self._values else SAME
        classes = self._weights if kind == SAME else self._one(kind)
        z = self._run("encode", x, classes=classes[None])
        self.heard = z[:, : self.heard.shape[1], -1].copy()
        fit, octaves = self._value("fit"), self._value("transpose_auto")
        if fit > 0 or octaves:
            z = self._frame_by_frame("fit", z, transposing=octaves, fit=fit)
        if self._value("transpose"):
            z[:, 0] += np.float32(self._value("transpose"))
        return z

    def decode(self, z: Array) -> Array:
        """Axes (B, latent_dim, F) -> audio (B, 1, F * hop_length)."""
        z = conform(z, LATENT_LIMIT)
        if not z.size:
            return np.zeros((len(z), 1, 0), np.float32)
        return self._run("decode", z, life=self._value("life"))

    def _frame_by_frame(self, name: str, x: Array, **settings: float) -> Array:
        """Of a graph that takes a frame a call."""
        return np.concatenate([self._run(name, x[:, :, n : n + 1], **settings) for n in range(x.shape[2])], 2)

    def restart(self, voice: int) -> None:
        """Of those decoded, and performed, together one begins anew."""
        self._restart("decode", voice)
        self._restart("perform", voice)

    def restart_performer(self, voice: int) -> None:
        """Of those performed together one forgets its note; its sound goes on."""
        self._restart("perform", voice)

    def _restart(self, name: str, voice: int) -> None:
        if name in self._loaded:
            self._loaded[name].restart(voice)

    def _forget(self, *names: str) -> None:
        for name in names:
            if name in self._loaded:
                self._loaded[name].state = None

    def restart_prior(self) -> None:
        """What is improvised begins anew."""
        self._forget("improvise")

    def reset(self) -> None:
        """Forget the past."""
        self._forget(*self._loaded)


class OnnxPlayer(OnnxModule):
    """Of an instrument with a prior."""

    def perform(self, x: Array) -> Array:
        """Key and velocity (B, 2, F) -> (B, latent_dim, F)."""
        if not x.size:
            return np.zeros((len(x), self._latent_dim, 0), np.float32)
        x = np.nan_to_num(x.astype(np.float32))
        asked = {"seed": self._value("prior_seed"), "temperature": self._value("prior_temperature")}
        return self._frame_by_frame("perform", x, **asked)

    def improvise(self, frames: int) -> Array:
        """(1, 3, frames): key, velocity (0 in rests) and class number."""
        x = np.full((1, 1, frames), self._value("prior_temperature"), np.float32)
        drawing = {name: self._value(f"prior_{name}") for name in ("seed", "density", "lowest", "highest")}
        return self._frame_by_frame("improvise", x, **drawing)


def onnx_module(path: Path) -> OnnxModule:
    """Raises: as read_graphs."""
    interface, graphs, records = read_graphs(path)
    return (OnnxPlayer if "perform" in graphs else OnnxModule)(interface, graphs, records)


def conform(x: Array, limit: float) -> Array:
    """Finite float32 within the limit."""
    return np.clip(np.nan_to_num(x.astype(np.float32), nan=0.0, posinf=0.0, neginf=0.0), -limit, limit)
