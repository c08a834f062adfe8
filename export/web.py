"""An instrument as a web page: MODEL.ts becomes a folder of static files that any current browser plays.

    MODEL.ts --its module's state, wavevae.json--> instrument.js   description, numbers in base 85
    export/page/worklet.js and what it imports --> dsp.js          what sounds, one function of an AudioWorklet
    wavevae/page, export/page/connection.js ... -> page.js         what is seen: the control page of `serve`, whose
                                                                   connection is replaced by one to the AudioWorklet

A page that was opened as a file:// loads no modules, so they are joined to plain scripts.
"""

from __future__ import annotations

import argparse
import base64
import dataclasses
import hashlib
import json
import re
import tempfile
from html import escape
from importlib.resources import files
from importlib.resources.abc import Traversable
from pathlib import Path
from typing import Any

import numpy as np

from wavevae.bundle import TORCH_HINT, Bundle, BundleInfo, read_bundle, runtime
from wavevae.cli import shown
from wavevae.console import say
from wavevae.controls import (
    CONTROLS,
    GENERATE,
    MODES,
    NATURAL,
    NUMBERS,
    OF_FILE,
    PERFORM,
    SAMPLE,
    SPREAD,
    Control,
    ControlState,
)
from wavevae.errors import UserError
from wavevae.families import family_of
from wavevae.files import write_whole
from wavevae.latents import Plane
from wavevae.names import run_name

from .web_numbers import decoder_of, packed

VOICES = 8
SET_OTHERWISE = ("gain", "temperature", "reset", "class", "input_class")
"""Attributes of an instrument's file that are not among those that a preset keeps."""
DIGITS = 4
FOLDERS = (files("wavevae.export") / "page", files("wavevae") / "page")
"""Of modules; one in the first stands for one of its name in the second."""
STATIC = ("icon.svg", "manifest.webmanifest", "start.css")
IMPORT = re.compile(r'^import \{([^}]*)\} from "\./(\w+)\.js";\n', re.MULTILINE)
EXPORT = re.compile(r"^export (?=(?:async )?(?:const|function|class) (\w+))", re.MULTILINE)


def export_web(options: argparse.Namespace, out: Path) -> int:
    """`wavevae export --format web`. Raises: UserError, ExportRefused."""
    refuse_folder(out)
    if runtime() != "torch":
        raise UserError(f"--format web reads the file with torch; {TORCH_HINT}")
    with tempfile.TemporaryDirectory() as folder:
        bundle = read_bundle(model_file(options, Path(folder)), sample_rate=1)
        refuse_unplayable(bundle, options.run)
        made = page_files(bundle)
    for name, text in made.items():
        write_whole(out / name, text)
    size = sum(len(text) for text in made.values())
    say(f"{out}: {len(made)} files, {size / 1e6:.1f} MB; they need no server program and no other host")
    say(f"next: open {out / 'index.html'}\n  or serve the folder: python3 -m http.server -d {out}")
    if options.json:
        print(json.dumps({"path": str(out), "paths": [str(out / name) for name in made], "bytes": size}))
    return 0


def model_file(options: argparse.Namespace, folder: Path) -> Path:
    """MODEL.ts as it is; of a run, one that is made in `folder`. Raises: UserError, ExportRefused."""
    run: Path = options.run
    if (options.weights, options.streaming) != ("float32", "rows"):
        raise UserError("--format web has no --streaming and no --weights to choose; leave them out")
    if not run.exists() or (run.is_file() and run.suffix != ".ckpt"):
        if options.latents is not None:
            raise UserError(
                f"--latents {options.latents} is for a run; {run} has the latents it was exported with"
            )
        return run
    from wavevae.checkpoint import find_checkpoint, read_checkpoint

    from .model_file import export_checkpoint

    path = find_checkpoint(run, options.checkpoint)
    checkpoint = read_checkpoint(path)
    family = family_of(checkpoint.config)
    if family.name != "instrument":
        raise no_instrument(run, family.title)
    say(f"{path}: step {checkpoint.step}; scripting and comparing with the model ...")
    made = folder / f"{run_name(run)}.ts"
    export_checkpoint(checkpoint, made, options.latents)
    return made


def refuse_folder(out: Path) -> None:
    """Raises: UserError for a place that holds something else."""
    if out.is_file():
        raise UserError(f"-o {out} is a file; name a folder")
    if out.is_dir() and any(out.iterdir()) and not (out / "instrument.js").is_file():
        raise UserError(f"-o {out} holds other files; name a new folder")


def no_instrument(path: Path, kind: str) -> UserError:
    return UserError(
        f"{path} is {kind}; --format web is for instruments: train one with "
        f"`{shown('train', 'DATA', '--preset', 'instrument')}`"
    )


def refuse_unplayable(bundle: Bundle, path: Path) -> None:
    """Raises: UserError."""
    module = bundle.module
    if bundle.foreign or not bundle.info.is_instrument:
        raise no_instrument(path, "of another program" if bundle.foreign else f"a {bundle.info.family}")
    if not hasattr(module, "restart") or not hasattr(getattr(module, "decoder", None), "synthesis"):
        raise UserError(
            f"{path} is of an older wavevae and holds less than a page needs; export its run again"
        )


def page_files(bundle: Bundle) -> dict[str, str]:
    """Name -> text of every file."""
    static = {name: (FOLDERS[0] / name).read_text(encoding="utf-8") for name in STATIC}
    dsp = joined("worklet")
    made = {
        "index.html": index_page(bundle.path.stem),
        "style.css": (FOLDERS[1] / "style.css").read_text(encoding="utf-8") + static.pop("start.css"),
        "instrument.js": instrument_script(bundle),
        "dsp.js": f"const wavevaeDsp = function () {{\n{dsp}return modules;\n}};\n"
        'if (typeof module !== "undefined") module.exports = wavevaeDsp;\n',
        "page.js": f"(() => {{\n{joined('main')}}})();\n",
        **{name: text.replace("@NAME@", json.dumps(bundle.path.stem)[1:-1]) for name, text in static.items()},
    }
    version = hashlib.sha256("".join(made.values()).encode()).hexdigest()[:16]
    worker = (FOLDERS[0] / "offline.js").read_text(encoding="utf-8")
    made["offline.js"] = worker.replace("@VERSION@", version).replace("@FILES@", json.dumps(["./", *made]))
    return made


def index_page(name: str) -> str:
    """The control page, with scripts beside it."""
    text = (FOLDERS[1] / "index.html").read_text(encoding="utf-8")
    scripts = "\n".join(
        f'  <script defer src="{part}.js"></script>' for part in ("instrument", "dsp", "page")
    )
    text = text.replace('  <script type="module" src="/page/main.js"></script>', scripts)
    return text.replace("/page/style.css", "style.css").replace(
        "<title>wavevae", f"<title>{escape(name)} · wavevae"
    )


# modules to scripts


def module_text(name: str) -> str:
    part: Traversable = next(f / f"{name}.js" for f in FOLDERS if (f / f"{name}.js").is_file())
    return part.read_text(encoding="utf-8")


def joined(entry: str) -> str:
    """A module and all that it imports, as one script: each becomes a function that returns what it exports."""
    found: dict[str, str] = {}

    def add(name: str) -> None:
        if name in found:
            return
        text = module_text(name)
        found[name] = ""
        for _, wanted in IMPORT.findall(text):
            add(wanted)
        del found[name]  # after what it imports
        found[name] = as_function(text)

    add(entry)
    parts = (f"modules.{name} = (() => {{\n{text}}})();\n" for name, text in found.items())
    return '"use strict";\nconst modules = {};\n' + "".join(parts)


def as_function(text: str) -> str:
    exported = EXPORT.findall(text)
    text = IMPORT.sub(lambda m: f"const {{{' '.join(m[1].split())}}} = modules.{m[2]};\n", text)
    return EXPORT.sub("", text) + f"return {{ {', '.join(exported)} }};\n"


# the instrument


def instrument_script(bundle: Bundle) -> str:
    """Description, controls and numbers as a script."""
    plain, arrays = decoder_of(bundle)
    layout, numbers = packed(arrays)
    state, controls = initial_state(bundle), controls_of(bundle)
    file = {**plain, "layout": layout, "about": about(bundle)}
    head = {
        "voices": VOICES,
        "controls": controls,
        "state": state,
        "presets": presets_of(bundle),
        "file": file,
    }
    text = json.dumps(head, separators=(",", ":"))
    return f'const INSTRUMENT = {text};\nINSTRUMENT.numbers = "{base64.b85encode(numbers).decode()}";\n'


def about(bundle: Bundle) -> dict[str, Any]:
    """As the control page takes it, and what the voices need to know."""
    info, performs = bundle.info, hasattr(bundle.module, "plays")
    axes = [axis_of(axis) for axis in info.axes]
    n_controls = sum(axis.name in NATURAL for axis in info.axes)
    return {
        "name": bundle.path.stem,
        "sample_rate": info.sample_rate,
        "n_controls": n_controls,
        "plays_notes": True,
        "plays_pitch": info.axes[0].name == "pitch",
        "performs": performs,
        "axes": axes,
        "classes": list(info.labels.get("class", ())),
        **dict.fromkeys(("hears", "has_input_class", "has_input_pitch"), False),
        "modes": [],
        "typical": list(info.typical()),
        "loudest": info.loudest_db,
        **map_of(info, axes[n_controls:], n_controls),
    }


def axis_of(axis: Any) -> dict[str, Any]:
    """`low` and `high` in standard deviations; `mean`, `std` and `limits` in its own unit."""
    known = NATURAL.get(axis.name)
    low, high = ((end - axis.mean) / axis.std for end in (axis.low, axis.high))
    values = {**dataclasses.asdict(axis), "low": low, "high": high, "unit": known.unit if known else ""}
    return {**values, "limits": [known.low, known.high] if known else None}


def map_of(info: BundleInfo, axes: list[dict[str, Any]], first: int) -> dict[str, Any]:
    """The map of the learned latents: its axes, the training sounds on it, and their latents."""
    points = np.array(info.density.get("points", ()), np.float64).reshape(-1, info.latent_dim)[:, first:]
    ends = (np.array([axis[end] for axis in axes[:2]]) for end in ("low", "high"))
    plane = Plane.of(points) if len(points) else Plane.between(*ends)
    labels = list(info.density.get("point_labels", ()))
    names = sorted(set(labels))
    return {
        "bounds": np.stack([plane.low, plane.high], 1).tolist(),
        "map": np.round(plane.places(points), DIGITS).tolist(),
        "map_axes": [axis["name"] for axis in axes[:2]],
        "map_labels": [names.index(label) for label in labels],
        "map_names": names,
        "points": np.round(points, DIGITS).tolist(),
    }


def initial_state(bundle: Bundle) -> dict[str, Any]:
    """The fields of ControlState at the start; the file's attributes by name."""
    info, module = bundle.info, bundle.module
    names = [n for n in module.get_attributes() if n in OF_FILE or n.startswith("prior_")]
    attributes = {name: getattr(module, f"get_{name}")()[0] for name in names}
    state = dataclasses.asdict(ControlState.initial(info.latent_dim, latents=info.typical(), idle=True))
    return {**state, "attributes": attributes}


def presets_of(bundle: Bundle) -> dict[str, Any]:
    """Those stored beside MODEL.ts, as parts of the state; none where their file is missing or another's."""
    numbers = [control.field for control in NUMBERS]
    names = [name for name in bundle.module.get_attributes() if name not in SET_OTHERWISE]
    classes = list(bundle.info.labels.get("class", ()))

    def part_of_state(kept: dict[str, Any]) -> dict[str, Any]:
        mix = [[classes.index(name), weight] for name, weight in kept["class"].items()]
        attributes = dict(zip(names, kept["attributes"], strict=False))
        found = {
            **{n: kept[n] for n in (*numbers, "latents") if n in kept},
            "mix": mix,
            "attributes": attributes,
        }
        if len(found["latents"]) != bundle.info.latent_dim:
            raise ValueError("of another model")
        return {**found, "mode": SAMPLE if kept["mode"] == MODES[SAMPLE] else GENERATE}

    try:
        stored = json.loads(bundle.path.with_suffix(".presets.json").read_text(encoding="utf-8"))["presets"]
        return {name: part_of_state(kept) for name, kept in stored.items()}
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return {}


def controls_of(bundle: Bundle) -> dict[str, Any]:
    """Every control that the page has, by its address; `field`: its place in the state."""
    performs, axes = hasattr(bundle.module, "plays"), [axis.name for axis in bundle.info.axes]
    attributes = {control: name for name, control in OF_FILE.items()}
    made = {}
    for control in CONTROLS:
        prior = control.name.startswith("prior/") or control is PERFORM
        field = control.field or (f"attributes.{attributes[control]}" if control in attributes else "")
        wanted = control.name in axes or (field and control is not SPREAD and control.group != "live input")
        if control.name in ("bend", "pressure"):
            wanted, field = True, control.name
        if wanted and (performs or not prior):
            made[control.name] = {**faders_of(control), "field": field}
    for name in ("freeze", "mono", "pedal"):
        made[name] = {"low": 0, "high": 1, "whole": True, "field": "frozen" if name == "freeze" else name}
    for i, name in enumerate(bundle.info.labels.get("class", ())):
        made[f"mix/{i}"] = {"low": 0, "high": 1, "unit": "", "doc": f"class {name}"}
    return made


def faders_of(control: Control) -> dict[str, Any]:
    """As the control page takes one."""
    names = ("low", "high", "unit", "doc", "fader", "group")
    return {**{n: getattr(control, n) for n in names}, "whole": False, "home": control.default}
