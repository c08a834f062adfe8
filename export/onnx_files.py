"""A checkpoint becomes two ONNX files, encoder and decoder, with the state as input and output.

    NAME.encode.onnx   audio (voices, 1, frames x hop_length), state -> latents (voices, latent_dim, frames), next_state
    NAME.decode.onnx   latents, state -> audio, next_state

Hand zeros as the first state and each call's `next_state` to the next; voices and frames may differ from run to
run. The state is float32, of an instrument float64. An instrument's decoder has one more input, `life` (1,), how much a
held tone drifts, 0 to 2 and usually 1; both files of one with classes have `classes` (rows, classes), shares of them,
for all voices or a row each. Each file's metadata holds `wavevae.json`. Latents are the axes of MODEL.ts, so the two
can be mixed.
"""

from __future__ import annotations

import copy
import dataclasses
import importlib.util
import io
import os
import tempfile
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from wavevae.bundle import EXTRA_FILE, BundleInfo
from wavevae.checkpoint import Checkpoint
from wavevae.errors import UserError
from wavevae.files import write_errors

from .latent_pca import AxisMap
from .model_file import (
    Choices,
    FamilyExporter,
    describe,
    describe_origin,
    exporter_of,
    read_model,
    refuse_beyond_plain,
)
from .onnx_operators import in_plain_operators, register
from .torchscript import HostModule
from .verify import Verdict, references
from .verify_subprocess import BLOCKS, sizes

PACKAGES = ("onnx", "onnxruntime")
OPSET = 17
"""Of 2022: runtimes of the last years know it."""
STATES = {"tensor(float)": torch.float32, "tensor(double)": torch.float64}
"""What a state is made of, by onnxruntime's name."""
USUAL = {"life": np.float32(1), "classes": np.float32(0)}


def refuse_without_packages() -> None:
    """Raises: UserError where the extra is not installed."""
    missing = [name for name in PACKAGES if importlib.util.find_spec(name) is None]
    if missing:
        raise UserError(
            f"--format onnx needs packages that are not here ({', '.join(missing)}); pip install 'wavevae[onnx]'"
        )


def export_onnx(checkpoint: Checkpoint, path: Path, keep: int | None = None) -> tuple[BundleInfo, list[Path]]:
    """Write NAME.encode.onnx and NAME.decode.onnx -> their description, and where they are.

    Raises: UserError for what cannot be exported, ExportRefused where onnxruntime does not get what the model does.
    """
    refuse_without_packages()
    model, axes = read_model(checkpoint, keep)
    refuse_beyond_plain(model.config, "--format onnx", exporter_of(model).labels_are_plain)
    graphs = {name: to_onnx(step) for name, step in steps_of(model, axes).items()}
    error = compare(list(graphs.values()), references(model, axes)).checked("onnxruntime's")
    info = describe(model, axes, {**describe_origin(checkpoint), "weights": "float32"})
    info = dataclasses.replace(info, streaming_error=error)
    written = {path.with_suffix(f".{name}.onnx"): describing(graph, info) for name, graph in graphs.items()}
    write(written)
    return info, list(written)


def steps_of(model: Any, axes: AxisMap) -> dict[str, Step]:
    """Both methods, their state in the open."""
    exporter = exporter_of(model)
    module = in_plain_operators(exporter.module(model, axes, Choices())).eval().requires_grad_(False)
    if hasattr(module, "fitting"):  # to the corpus: another graph, see archive_graphs
        module.fitting = None
    return {method: HostStep(copy.deepcopy(module), method, exporter) for method in ("encode", "decode")}


class Step(nn.Module):
    """What a module does with a call, its state as argument and result.

        (x, state, settings ...) -> (y, next state)       state (B, numbers), zeros at first; one row a voice

    The streaming body itself is traced. Its state is found and not declared: the buffers of which there is more where
    there are more voices, and the whole numbers that a call moves, at the end of a row. The first number of a row is 0
    before the first call and 1 after: with 0 there a voice begins anew, but its last numbers, which count frames, go
    on. The state is float64 where a buffer is.
    """

    inputs, outputs = "x", "y"
    """What the graph calls x and y."""
    free_time = True
    """Whether a call has any number of frames, or one."""

    def __init__(self, module: Any, settings: dict[str, Tensor], example: Tensor, counting: int = 0) -> None:
        """Usual `settings`; `example` of x, with two voices; `counting`: how many of the last numbers of the buffers
        count frames."""
        super().__init__()
        self.module, self.settings, self.example = module, settings, example
        self.kept = self._buffers_by_voice()
        self.counters = self._counters()
        self.counting = counting or len(self.counters)
        self.first = torch.zeros_like(self._state_of(2))

    def start(self, voices: int) -> None:
        self.module.start(voices)

    def call(self, x: Tensor, settings: dict[str, Tensor]) -> Tensor:
        made: Tensor = self.module(x, **settings)
        return made

    def _buffers_by_voice(self) -> list[tuple[nn.Module, str, Tensor]]:
        """Owner, name, value for one voice."""
        self.start(2)
        two = {id(part): {n: len(b) for n, b in own_buffers(part).items()} for part in self.module.modules()}
        self.start(1)
        return [
            (part, name, buffer)
            for part in self.module.modules()
            for name, buffer in own_buffers(part).items()
            if two[id(part)][name] != len(buffer)
        ]

    def _counters(self) -> list[tuple[nn.Module, str]]:
        def whole_numbers() -> dict[tuple[nn.Module, str], int]:
            parts = self.module.modules()
            return {(part, name): n for part in parts for name, n in vars(part).items() if type(n) is int}

        self.start(2)
        before = whole_numbers()
        with torch.no_grad():
            self.call(self.example, self.settings)
        return [key for key, value in whole_numbers().items() if value != before[key]]

    def _state_of(self, voices: int) -> Tensor:
        """What the module remembers now."""
        parts = [torch.ones(voices, 1)]
        for owner, name, one in self.kept:  # rows: time first, then voices
            rows = getattr(owner, name).reshape(len(one), voices, one[0].numel())
            parts.append(rows.transpose(0, 1).flatten(1))
        exact = any(part.dtype == torch.float64 for part in parts)
        parts += [
            torch.zeros(voices, 1, dtype=torch.float64) + getattr(*counter) for counter in self.counters
        ]
        return torch.cat([part.to(torch.float64 if exact else torch.float32) for part in parts], 1)

    def _remember(self, state: Tensor, voices: int) -> None:
        """The reverse."""
        parts = state.split([1, *(one.numel() for _, _, one in self.kept), *(1 for _ in self.counters)], 1)
        for (owner, name, one), part in zip(self.kept, parts[1:], strict=False):
            rows = part.to(one.dtype).reshape(voices, len(one), one[0].numel()).transpose(0, 1)
            setattr(owner, name, rows.reshape(-1, *one.shape[1:]))
        for (owner, name), part in zip(self.counters, parts[1 + len(self.kept) :], strict=True):
            number = part.amax(0)  # (1,): of a number without a shape the exporter makes float32
            setattr(owner, name, number if state.dtype == torch.float64 else number.to(torch.int64))

    def forward(self, x: Tensor, state: Tensor, *given: Tensor) -> tuple[Tensor, Tensor]:
        voices = x.size(0)
        self.start(voices)
        goes_on = (state[:, :1] > 0) | (torch.arange(state.size(1)) >= self.first.size(1) - self.counting)
        self._remember(torch.where(goes_on, state, self._state_of(voices)), voices)
        return self.call(x, dict(zip(self.settings, given, strict=True))), self._state_of(voices)


class HostStep(Step):
    """A method of a host module, "encode" or "decode"."""

    def __init__(self, module: HostModule, method: str, exporter: FamilyExporter) -> None:
        self.method, self.exporter = method, exporter
        self.inputs, self.outputs = ("audio", "latents") if method == "encode" else ("latents", "audio")
        shape = (2, 1, 3 * module.hop_length) if method == "encode" else (2, module.latent_dim, 3)
        super().__init__(module, exporter.settings(module, method), torch.zeros(shape))

    def start(self, voices: int) -> None:
        (self.module.start_encoder if self.method == "encode" else self.module.start_decoder)(voices)

    def call(self, x: Tensor, settings: dict[str, Tensor]) -> Tensor:
        frames = x.size(2) // self.module.hop_length if self.method == "encode" else x.size(2)
        self.exporter.apply(self.module, self.method, settings, (x.size(0), frames))
        if self.method == "encode":
            return self.module.to_host(self.module.to_latents(x), x.size(0))
        return self.module.to_sound(self.module.from_host(x), x.size(0))


def own_buffers(module: nn.Module) -> dict[str, Tensor]:
    """Those of at least one axis."""
    return {name: buffer for name, buffer in module.named_buffers(recurse=False) if buffer.dim()}


def to_onnx(step: Step) -> bytes:
    """The graph of one method. Voices are free, and frames unless it takes one a call.

    torch's older exporter (`dynamo=False`) is used: equal to the bit here, it takes 0.7 s instead of 20.
    """
    import onnx

    time = {name: "samples" if name == "audio" else "frames" for name in (step.inputs, step.outputs)}
    content = io.BytesIO()
    register(OPSET)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of the exporter's age
        torch.onnx.export(
            step.eval(),
            (step.example, step.first, *step.settings.values()),
            content,  # type: ignore[arg-type]
            dynamo=False,
            opset_version=OPSET,
            do_constant_folding=False,  # weights stay as they are, and what follows from them is not stored
            input_names=[step.inputs, "state", *step.settings],
            output_names=[step.outputs, "next_state"],
            dynamic_axes={
                **{kind: {0: "voices", **({2: time[kind]} if step.free_time else {})} for kind in time},
                **{kind: {0: "voices"} for kind in ("state", "next_state")},
                **({"classes": {0: "rows"}} if "classes" in step.settings else {}),
            },
        )
    graph = onnx.load_from_string(content.getvalue())
    for node in graph.graph.node:
        node.doc_string = ""  # source lines of this machine
    onnx.checker.check_model(graph)
    return bytes(graph.SerializeToString())


def describing(content: bytes, info: BundleInfo) -> bytes:
    """A graph with `wavevae.json` in its metadata."""
    import onnx

    graph = onnx.load_from_string(content)
    onnx.helper.set_model_props(graph, {EXTRA_FILE: info.to_json()})
    return bytes(graph.SerializeToString())


def compare(files: list[bytes], cases: list[dict[str, Any]]) -> Verdict:
    """Largest differences of encode and decode, in several block sizes, of each of `references`."""
    encoder, decoder = (Session(content) for content in files)
    errors: dict[str, dict[str, float]] = {}
    for case in cases:
        hop, scale = int(case["hop_length"]), case["scale"][:, None]
        audio, latents, sound = case["audio"], case["latents"], case["sound"]
        under = "".join(f", {name} {value:g}" for name, value in case["attributes"].items())
        for session in (encoder, decoder):
            session.set_class(case["attributes"].get("class"))
        encoded, decoded = errors.setdefault(f"encode{under}", {}), errors.setdefault(f"decode{under}", {})
        for block in BLOCKS:
            calls = sizes(block, latents.shape[-1])
            found = encoder.stream(audio, [n * hop for n in calls])
            encoded[block] = ((found - latents) * scale).abs().max().item()
            decoded[block] = (decoder.stream(latents, calls) - sound).abs().max().item()
    return Verdict(errors)


class Session:
    """One of the two files in onnxruntime, one thread."""

    def __init__(self, content: bytes) -> None:
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        self.session = onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])
        self.input = self.session.get_inputs()[0].name
        _, state, *others = self.session.get_inputs()
        self.numbers, self.kind = int(state.shape[1]), STATES[state.type]
        self.settings = {more.name: np.full((1, *more.shape[1:]), USUAL[more.name]) for more in others}
        """What else goes in."""

    def set_class(self, number: int | None) -> None:
        """Class of this number, or none."""
        if "classes" in self.settings:
            self.settings["classes"] = np.zeros_like(self.settings["classes"])
            if number is not None:
                self.settings["classes"][:, number] = 1.0

    def stream(self, x: Tensor, calls: list[int]) -> Tensor:
        """Feed x (B, C, T) in calls of so many frames or samples, the state handed on."""
        state = torch.zeros(x.shape[0], self.numbers, dtype=self.kind).numpy()
        found = []
        for part in x.split(calls, 2):
            given = {self.input: part.contiguous().numpy(), "state": state, **self.settings}
            y, state = self.session.run(None, given)
            found.append(torch.from_numpy(y))
        return torch.cat(found, 2)


def write(files: dict[Path, bytes]) -> None:
    """Put them in place together, each whole or not at all."""
    first = next(iter(files))
    with write_errors(first, sum(map(len, files.values()))):
        first.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=first.parent, prefix=".onnx.", suffix=".part") as aside:
            for target, content in files.items():
                with open(Path(aside) / target.name, "wb") as file:
                    file.write(content)
                    file.flush()
                    os.fsync(file.fileno())
            for target in files:
                os.replace(Path(aside) / target.name, target)
