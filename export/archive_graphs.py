"""The ONNX graphs inside MODEL.ts, by which an instrument plays without torch; wavevae/onnx_module.py plays them.

    extra/NAME.onnx     encode, decode; fit where the corpus is known; with a prior perform, improvise
    extra/onnx.json     methods, attributes, and of each graph which records of the archive its weights are

No weight is stored twice: a large constant with the bytes of a record is external in its graph.
"""

from __future__ import annotations

import copy
import importlib.util
import itertools
import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from wavevae.console import say
from wavevae.onnx_module import INTERFACE, onnx_module

from .latent_pca import AxisMap
from .model_file import Choices, exporter_of
from .onnx_files import PACKAGES, Step, steps_of, to_onnx
from .onnx_operators import in_plain_operators
from .verify import Verdict
from .verify_subprocess import sizes

SMALL_BYTES = 1024
"""Constants below are stored in the graph."""
CHECKED_BLOCKS = ("1", "mixed")
CHECKED_FRAMES = 48
NOTES_CHECKED_FRAMES = 400


def packages_are_here() -> bool:
    """Whether graphs can be made; says so where they cannot."""
    missing = [name for name in PACKAGES if importlib.util.find_spec(name) is None]
    if missing:
        say(f"without {' and '.join(missing)} the file plays with torch alone; pip install 'wavevae[train]'")
    return not missing


class FitStep(Step):
    """The fitting of an input to the corpus, a frame a call."""

    inputs, outputs, free_time = "latents", "fitted", False

    def __init__(self, module: Any) -> None:
        settings = {"transposing": torch.zeros(1), "fit": torch.ones(1)}
        super().__init__(module.fitting, settings, torch.zeros(2, module.latent_dim, 1))


class Playing(nn.Module):
    """One of the methods of a host module with a prior, its state in buffers: "perform" or "improvise"."""

    def __init__(self, host: Any, method: str) -> None:
        super().__init__()
        self.host, self.method = host, method
        self.start(1)

    def start(self, voices: int) -> None:
        first = self.host.plays.initial(voices, torch.zeros(1))
        self.like = first.performer if self.method == "perform" else first.improviser
        self._store(self.like)

    def _store(self, state: Any) -> None:
        for number, value in enumerate(leaves(state)):
            # a copy: of one tensor under two names the second would not be listed
            self.register_buffer(f"part{number}", value.clone())

    def forward(
        self,
        x: Tensor,
        seed: Tensor,
        temperature: Tensor | None = None,
        density: Tensor | None = None,
        lowest: Tensor | None = None,
        highest: Tensor | None = None,
        classes: Tensor | None = None,
    ) -> Tensor:
        """perform: key and velocity (B, 2, 1); improvise: temperature (B, 1, 1). Settings (1,), classes (1, n)."""
        host, voices = self.host, x.size(0)
        state = rebuilt(self.like, iter(self.buffers(recurse=False)))
        seeds = seed + host.seed_of_row * torch.arange(voices, dtype=torch.float32)
        rows = x.new_zeros([voices, 0]) if classes is None else classes.expand(voices, -1)
        if self.method == "perform":
            key, velocity = x[:, 0].clamp(0.0, 127.0), x[:, 1].clamp(0.0, 1.0)
            whole = host.plays.initial(1, torch.zeros(1))._replace(performer=state)
            made, after = host.plays.perform(key, velocity, rows, temperature, seeds, whole)
            made, state = host.in_file_units(made), after.performer
        else:
            made, state = host.plays.notes(1, x[0, 0, :1], density, lowest, highest, seeds, state)
        self._store(state)
        return made


class PlayingStep(Step):
    """A frame a call. The last number of its state counts frames, or notes."""

    inputs, outputs, free_time = "asked", "made", False

    def __init__(self, module: Any, method: str) -> None:
        asks = ("temperature",) if method == "perform" else ("density", "lowest", "highest")
        settings = {name: torch.ones(1) for name in ("seed", *asks)}
        if module.class_count and method != "improvise":
            settings["classes"] = torch.zeros(1, module.class_count)
        example = torch.zeros(2, 2 if method == "perform" else 1, 1)
        super().__init__(Playing(copy.deepcopy(module), method), settings, example, counting=1)


def leaves(state: Any) -> Iterator[Tensor]:
    """Tensors of nested tuples, in order."""
    for part in state:
        yield from leaves(part) if isinstance(part, tuple) else (part,)


def rebuilt(like: Any, values: Iterator[Tensor]) -> Any:
    """The reverse."""
    return type(like)(*(rebuilt(p, values) if isinstance(p, tuple) else next(values) for p in like))


def archive_steps(model: Any, axes: AxisMap) -> dict[str, Step]:
    """All that the file does, by name."""
    steps = steps_of(model, axes)
    module: Any = in_plain_operators(exporter_of(model).module(model, axes, Choices()))
    module.eval().requires_grad_(False)
    if module.fitting is not None:
        steps["fit"] = FitStep(module)
    if model.prior is not None:
        steps |= {name: PlayingStep(module, name) for name in ("perform", "improvise")}
    return steps


def make_graphs(model: Any, axes: AxisMap, module: Any, records: Mapping[str, bytes]) -> dict[str, bytes]:
    """The files to add to an archive with these records; `module`: its host module."""
    names = {content: name for name, content in records.items() if len(content) >= SMALL_BYTES}
    files, weights = {}, {}
    for name, step in archive_steps(model, axes).items():
        files[f"{name}.onnx"], weights[name] = without_weights(to_onnx(step), names)
    files[INTERFACE] = json.dumps({**interface_of(module), "weights": weights}).encode()
    return files


def without_weights(content: bytes, records: Mapping[bytes, str]) -> tuple[bytes, dict[str, Any]]:
    """A graph whose large constants are external where the archive has them, and what they are: name -> record, type,
    shape."""
    import onnx

    graph = onnx.load_from_string(content)
    nodes = []
    for node in graph.graph.node:
        value = (
            node.attribute[0].t if node.op_type == "Constant" and node.attribute[0].name == "value" else None
        )
        if value is None or value.raw_data not in records:
            nodes.append(node)
            continue
        value.name = node.output[0]
        graph.graph.initializer.append(value)
    del graph.graph.node[:]
    graph.graph.node.extend(nodes)
    weights = {}
    for tensor in graph.graph.initializer:
        record = records.get(tensor.raw_data)
        if record is None:
            continue
        kind = onnx.helper.tensor_dtype_to_np_dtype(tensor.data_type)
        weights[tensor.name] = (record, np.dtype(kind).str, list(tensor.dims))
        tensor.ClearField("raw_data")
        tensor.data_location = onnx.TensorProto.EXTERNAL
        tensor.external_data.add(key="location", value=record)
    return graph.SerializeToString(), weights


def interface_of(module: Any) -> dict[str, Any]:
    """Methods and attributes of a host module: usual values, and the range that they are cut to, found by trying."""
    attributes = {}
    for name in module.attributes:
        kinds, usual = getattr(module, f"{name}_params").tolist(), getattr(module, f"get_{name}")()
        reached = [usual[0]]
        for extreme in (-1e9, 1e9):
            if getattr(module, f"set_{name}")(type(usual[0])(extreme)) == 0:
                reached.append(getattr(module, f"get_{name}")()[0])
        getattr(module, f"set_{name}")(*usual)
        attributes[name] = {"kinds": kinds, "values": list(usual), "range": [min(reached), max(reached)]}
    methods = {name: getattr(module, f"{name}_params").tolist() for name in module.methods}
    return {
        "methods": methods,
        "attributes": attributes,
        "classes": module.class_count,
        "controls": module.controls,
    }


# -- verification ----------------------------------------------------------------------------------------------


def compare(path: Path, expected: list[dict[str, Any]], module: Any) -> Verdict:
    """Measure the graphs of a finished file: encode and decode as the model does, what takes a frame a call as the host
    module does."""
    found = onnx_module(path)
    errors: dict[str, dict[str, float]] = {}
    for case in expected:
        for name, value in case["attributes"].items():
            getattr(found, f"set_{name}")(value)
        under = "".join(f", {name} {value:g}" for name, value in case["attributes"].items())
        latents, scale = case["latents"].numpy(), case["scale"].numpy()[:, None]
        wanted = {
            "encode": (case["audio"].numpy(), latents, int(case["hop_length"]), scale),
            "decode": (latents, case["sound"].numpy(), 1, 1.0),
        }
        for block in CHECKED_BLOCKS:
            found.reset()
            for method, (x, right, step, weight) in wanted.items():
                places = np.cumsum([0, *sizes(block, latents.shape[2])]) * step
                parts = [getattr(found, method)(x[..., a:b]) for a, b in itertools.pairwise(places)]
                error = np.abs((np.concatenate(parts, 2) - right) * weight).max()
                errors.setdefault(method + under, {})[block] = float(error)
    return Verdict({**errors, **_compare_frames(found, module, expected[0])})


def _compare_frames(found: Any, module: Any, case: dict[str, Any]) -> dict[str, dict[str, float]]:
    """Of fit, perform and improvise, whatever there is of it."""
    weight, errors = case["scale"].numpy()[:, None], {}

    def check(name: str, x: Any, weight: Any = 1.0, **settings: float) -> None:
        for part in (module, found):
            part.reset()
            for attribute, value in settings.items():
                getattr(part, f"set_{attribute}")(value)
        method = "encode" if name == "fit" else name
        with torch.inference_mode():
            right = getattr(module, method)(x).numpy()
        made = getattr(found, method)(x if isinstance(x, int) else x.numpy())
        errors[name] = {"1": float(np.abs((made - right) * weight).max())}

    if "fit" in module.attributes:
        audio = case["audio"][..., : CHECKED_FRAMES * module.hop_length]
        automatic = {"transpose_auto": 1} if "transpose_auto" in module.attributes else {}
        check("fit", audio, weight, fit=0.5, **automatic)
    if "prior_seed" in module.attributes:
        number = torch.arange(CHECKED_FRAMES)
        key, velocity = 50.0 + 5.0 * (number // 12), 0.75 * (number % 12 < 9)
        asked = torch.stack([key, velocity]).repeat(2, 1, 1)
        check("perform", asked, weight, prior_seed=3)
        check("improvise", NOTES_CHECKED_FRAMES)
    return errors
