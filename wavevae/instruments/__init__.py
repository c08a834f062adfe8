"""The built-in instruments: NAME.ts, its presets and its story, in this folder; a name stands wherever a MODEL.ts does.

`make instruments` makes them anew. Imports no torch.
"""

from __future__ import annotations

import hashlib
import json
import os
from functools import cache
from pathlib import Path
from typing import Any

from wavevae.cli import Parser, expanded, shown
from wavevae.errors import UserError, nearest

FOLDER = Path(__file__).parent
NAMES = ("sax", "voice", "strings", "bells")
"""The first plays where none is named."""
PRESETS = ".presets.json"
"""Suffix of the file of presets beside a model."""

Story = dict[str, Any]


@cache
def story(name: str) -> Story:
    """What NAME.json says: title, corpus, training, figures, range, presets, checksums. Raises: UserError."""
    path = FOLDER / f"{name}.json"
    try:
        found: Story = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise damaged(name, f"{path.name}: {type(error).__name__}") from None
    return found


def damaged(name: str, why: str) -> UserError:
    return UserError(f"the built-in instrument '{name}' is damaged ({why}); install wavevae again")


def built_in(name: str) -> Path:
    """The file of a built-in instrument. Raises: UserError where one of its files is not what was shipped."""
    for file, expected in story(name)["sha256"].items():
        try:
            found = hashlib.sha256((FOLDER / file).read_bytes()).hexdigest()
        except OSError as error:
            raise damaged(name, f"{file}: {error.strerror}") from None
        if found != expected:
            raise damaged(name, f"{file} is not as it was shipped")
    return FOLDER / f"{name}.ts"


def model_file(path: Path, runs: bool = False) -> Path:
    """The file that is meant by what stands where a MODEL.ts does: the file of that name, else the built-in instrument.

    `runs`: a folder may be meant as well. Raises: UserError where there is neither, with the nearest name.
    """
    if path.is_file() or (runs and path.exists()):
        return path
    if str(path) in NAMES:
        return built_in(str(path))
    if str(path) == path.stem and not path.exists():
        raise UserError(f"{path} is neither a file nor a built-in instrument; {nearest(str(path), NAMES)}")
    if runs:
        raise UserError(f"nothing at {path}; give a run folder or a MODEL.ts")
    make = f"make one with `{shown('export', 'RUN', '-o', Path(path.name))}`"
    raise UserError(
        f"no model file at {path}; {f'{path.stem} is built in' if str(path)[:-3] in NAMES else make}"
    )


def data_folder() -> Path:
    """For what a user keeps: `WAVEVAE_DATA`, or wavevae in `XDG_DATA_HOME`, or ~/.local/share/wavevae."""
    if named := os.environ.get("WAVEVAE_DATA"):
        return expanded(named)
    return expanded(os.environ.get("XDG_DATA_HOME") or Path.home() / ".local" / "share") / "wavevae"


def companion(model: Path, suffix: str) -> Path:
    """The file that goes with a model and is written while it plays (presets, a MIDI map): beside it, or in the user's
    data folder where that may not be written."""
    model = model.absolute()
    if model.parent == FOLDER:
        return data_folder() / model.with_suffix(suffix).name
    if os.access(model.parent, os.W_OK):
        return model.with_suffix(suffix)
    place = hashlib.sha256(os.fsencode(model.parent)).hexdigest()[:8]
    return data_folder() / f"{model.stem}-{place}{suffix}"


# -- `wavevae instruments` ---------------------------------------------------------------------------------------


def size(name: str) -> int:
    """Bytes of all its files."""
    return sum((FOLDER / file).stat().st_size for file in (f"{name}.json", *story(name)["sha256"]))


def table() -> str:
    """A row an instrument."""
    rows = [("name", "what", "range", "corpus", "licence", "size")]
    for name in NAMES:
        told = story(name)
        low, high = told["range_midi"]
        corpus = told["corpus"]
        minutes = f"{corpus['minutes']:.0f} min"
        rows.append(
            (
                name,
                told["title"],
                f"MIDI {low} to {high}",
                minutes,
                corpus["licence"],
                f"{size(name) / 1e6:.1f} MB",
            )
        )
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return "\n".join("  ".join(c.ljust(w) for c, w in zip(row, widths, strict=True)).rstrip() for row in rows)


def told(name: str) -> str:
    """The story of one."""
    found = story(name)
    corpus, training, figures = found["corpus"], found["training"], found["figures"]
    low, high = found["range_midi"]
    lines = {
        "what": found["what"],
        "corpus": f"{corpus['what']}; {corpus['minutes']:.1f} min in {corpus['files']} files, {corpus['licence']}",
        "training": f"{training['steps']} steps of `{training['command']}`, commit {training['commit'][:10]}",
        "figures": ", ".join(f"{key} {value:.3g}" for key, value in figures.items() if value is not None),
        "range": f"MIDI {low} to {high}",
        "file": f"{FOLDER / name}.ts, {size(name) / 1e6:.1f} MB with its presets",
        "presets": "",
        **{f"  {preset}": what for preset, what in found["presets"].items()},
        "play it": shown("serve", name),
    }
    width = max(map(len, lines)) + 2
    return "\n".join(
        [f"{name}: {found['title']}", *(f"  {k:<{width}}{v}".rstrip() for k, v in lines.items())]
    )


def main(argv: list[str]) -> int:
    """Entry point of `wavevae instruments`. Raises: UserError."""
    parser = Parser(
        "instruments",
        "List the built-in instruments; their names stand wherever a MODEL.ts does.",
        "  wavevae instruments\n  wavevae instruments sax          its story and its presets\n  wavevae serve sax",
    )
    parser.add_argument("name", nargs="?", metavar="NAME", help="tell of this one")
    parser.add_argument("--json", action="store_true", help="for programs")
    options = parser.parse_args(argv)
    if options.name is not None and options.name not in NAMES:
        raise UserError(f"no built-in instrument '{options.name}'; {nearest(options.name, NAMES)}")
    names = NAMES if options.name is None else (options.name,)
    if options.json:
        stories = [
            {"name": name, "path": str(built_in(name)), "bytes": size(name), **story(name)} for name in names
        ]
        print(json.dumps(stories if options.name is None else stories[0], indent=1))
    else:
        print(table() if options.name is None else told(options.name))
    return 0
