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
from torch import Tensor

from wavevae.bundle import EXTRA_FILE, BundleInfo
from wavevae.checkpoint import Checkpoint
from wavevae.errors import UserError
from wavevae.files import write_errors
from wavevae.nn.instrument import Instrument
from wavevae.nn.model import Autoencoder

from . import onnx_operators
from .latent_pca import AxisMap
from .model_file import describe, describe_origin, read_model, refuse_beyond_plain
from .stateless_instrument import instrument_steps
from .stateless_layers import Fold, Step, Unfold, explicit_twin_of
from .streaming import StreamingDecoder, StreamingEncoder
from .torchscript import outlet_to_axes, pointwise
from .verify import LIMIT, ExportRefused, Verdict, references
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
    """Write NAME.encode.onnx and NAME.decode.onnx -> what they say of themselves, and where they are.

    Raises: UserError for what cannot be exported, ExportRefused where onnxruntime does not get what the model does.
    """
    refuse_without_packages()
    refuse_beyond_plain(checkpoint.config.model, "--format onnx")
    model, axes = read_model(checkpoint, keep)
    graphs = {name: to_onnx(step, name, model.hop_length) for name, step in steps_of(model, axes).items()}
    error = refuse_wrong(list(graphs.values()), references(model, axes))
    info = describe(model, axes, {**describe_origin(checkpoint), "weights": "float32"})
    info = dataclasses.replace(info, streaming_error=error)
    written = {path.with_suffix(f".{name}.onnx"): describing(graph, info) for name, graph in graphs.items()}
    write(written)
    return info, list(written)


def steps_of(model: Autoencoder | Instrument, axes: AxisMap) -> dict[str, Step]:
    """Both methods, their state in the open."""
    if isinstance(model, Instrument):
        return instrument_steps(model, axes)
    return {"encode": encoder_step(model, axes), "decode": decoder_step(model, axes)}


def encoder_step(model: Autoencoder, axes: AxisMap) -> Step:
    """Audio (B, 1, T) -> axes (B, latent_dim, F)."""
    encoder = StreamingEncoder(model.encoder, explicit_twin_of)
    encoder.outlet = explicit_twin_of(outlet_to_axes(model.encoder.outlet, axes))
    return Step([Fold(model.config.fold), encoder], channels=1)


def decoder_step(model: Autoencoder, axes: AxisMap) -> Step:
    """Axes (B, latent_dim, F) -> audio (B, 1, T)."""
    to_raw = explicit_twin_of(pointwise(axes.from_matrix, axes.from_offset))
    return Step([to_raw, StreamingDecoder(model.decoder, explicit_twin_of), Unfold()], channels=axes.kept)


def to_onnx(step: Step, name: str, hop_length: int) -> bytes:
    """The graph of one method. Frames and voices are free.

    torch's older exporter (`dynamo=False`) is used: equal to the bit here, it takes 0.7 s instead of 20.
    """
    import onnx

    listens = name == "encode"
    x = torch.zeros(2, 1, 3 * hop_length) if listens else torch.zeros(2, step.channels, 3)
    inputs, outputs = ("audio", "latents") if listens else ("latents", "audio")
    time = {"audio": "samples", "latents": "frames"}
    content = io.BytesIO()
    onnx_operators.register(OPSET)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of the exporter's age
        torch.onnx.export(
            step.eval().requires_grad_(False),
            (x, step.first(2), *step.settings.values()),
            content,  # type: ignore[arg-type]
            dynamo=False,
            opset_version=OPSET,
            input_names=[inputs, "state", *step.settings],
            output_names=[outputs, "next_state"],
            dynamic_axes={
                **{kind: {0: "voices", 2: time[kind]} for kind in time},
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


def refuse_wrong(files: list[bytes], cases: list[dict[str, Any]]) -> float:
    """Run both in onnxruntime against the offline model. Raises: ExportRefused with figure, method and block."""
    error, method, block = compare(files, cases).worst
    if not error <= LIMIT:
        raise ExportRefused(
            f"onnxruntime's {method} in blocks of {block} frames differs from the offline model by {error:.2g} of "
            f"full scale (at most {LIMIT:g} is let through); nothing was written"
        )
    return error


def compare(files: list[bytes], cases: list[dict[str, Any]]) -> Verdict:
    """Largest differences of encode and decode, in several block sizes, of each of `references`."""
    encoder, decoder = (Session(content) for content in files)
    errors: dict[str, dict[str, float]] = {}
    for case in cases:
        hop, scale = int(case["hop_length"]), case["scale"][:, None]
        audio, latents, sound = case["audio"], case["latents"], case["sound"]
        under = "".join(f", {name} {value:g}" for name, value in case["attributes"].items())
        for session in (encoder, decoder):
            session.tell(case["attributes"].get("class"))
        heard, played = errors.setdefault(f"encode{under}", {}), errors.setdefault(f"decode{under}", {})
        for block in BLOCKS:
            calls = sizes(block, latents.shape[-1])
            found = encoder.stream(audio, [n * hop for n in calls])
            heard[block] = ((found - latents) * scale).abs().max().item()
            played[block] = (decoder.stream(latents, calls) - sound).abs().max().item()
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

    def tell(self, number: int | None) -> None:
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
