"""Makes the built-in instruments anew: sounds, training, export, presets, story.

    python experiments/instruments.py [sax voice strings bells] [--work DIR] [--data ../shared/data]

`make instruments` runs it. Each instrument is trained for a fixed number of steps (about ten minutes of a thread) in
DIR/NAME; a run that is there already is not trained again. Files go to wavevae/instruments/.
"""

from __future__ import annotations

import argparse
import csv
import hashlib
import json
import shlex
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import soundfile
import soxr
import yaml

from wavevae.bundle import BundleInfo, read_bundle
from wavevae.demo import wavevae_command
from wavevae.files import write_whole
from wavevae.instruments import FOLDER, NAMES, PRESETS
from wavevae.realtime.control.presets import FORMAT, NUMBERS, preset_of
from wavevae.realtime.model_info import ModelInfo, describe
from wavevae.synthesis.corpus import RATE, Piece, ScoreNote, perform, phrase, pitch_name

ROOT = Path(__file__).parent.parent
SAMPLE_RATE = 22050
STEPS = 2668
"""Of training: what ten minutes of one thread are for the saxophone; the prior's come on top."""
VELOCITIES = (0.2, 0.45, 0.7, 0.95)
OURS = "synthesised by wavevae from a physical model: notes at four dynamics, and phrases"


@dataclass(frozen=True)
class About:
    """What the story says that cannot be measured."""

    title: str
    what: str
    corpus: str
    licence: str
    range_midi: tuple[int, int]
    """Of the notes in the corpus."""


ABOUT = {
    "sax": About(
        "alto saxophone",
        "A close, dry alto saxophone: every key speaks as the player tongued it.",
        "one player, one microphone: sustained notes and scales",
        "CC0 1.0",
        (49, 80),
    ),
    "voice": About(
        "speaking voice",
        "One speaker. Keys sing syllables without words, and left alone it talks.",
        "one speaker, one microphone: short sentences",
        "CC0 1.0",
        (46, 62),
    ),
    "strings": About(
        "bowed string", "A cello's body from C2 to C6, with bow noise and vibrato.", OURS, "MIT", (36, 84)
    ),
    "bells": About(
        "vibraphone", "Struck metal bars with a soft motor, from F3 to G6.", OURS, "MIT", (53, 91)
    ),
}


@dataclass(frozen=True)
class Score:
    """What a synthesised instrument plays for its corpus."""

    family: str
    low: int
    high: int
    """MIDI pitches, every semitone between them at every velocity."""
    longest_s: float
    phrases: int

    def pieces(self) -> Iterator[Piece]:
        """Single notes of 0.7 s to `longest_s`, then phrases on tonics spread over the range."""
        rng = np.random.default_rng([7, *self.family.encode()])
        for pitch in range(self.low, self.high + 1):
            for velocity in VELOCITIES:
                seconds = rng.uniform(0.7, self.longest_s)
                hard = velocity + rng.uniform(-0.05, 0.05)
                name = f"{pitch_name(pitch)}-{round(100 * velocity):02d}"
                yield Piece(name, (ScoreNote(pitch, 0.03, seconds, hard),))
        for index, tonic in enumerate(
            np.linspace(self.low, self.high - 12, self.phrases).round().astype(int)
        ):
            yield phrase(int(tonic), index, rng)


SCORES = {"strings": Score("bowed", 36, 84, 3.5, 24), "bells": Score("struck", 53, 91, 3.5, 24)}


def synthesise(score: Score, folder: Path) -> None:
    """Writes the corpus as FLAC, unless it is there."""
    if folder.is_dir():
        return
    part = folder.with_name(f".{folder.name}.part")
    part.mkdir(parents=True, exist_ok=True)
    for piece in score.pieces():
        sound = soxr.resample(perform(piece, score.family, 0), RATE, SAMPLE_RATE, quality="HQ")
        soundfile.write(part / f"{piece.name}.flac", sound, SAMPLE_RATE, subtype="PCM_16")
    part.rename(folder)


def run(*words: str | Path) -> None:
    print("$ wavevae", *words, file=sys.stderr, flush=True)
    subprocess.run([*wavevae_command(), *map(str, words)], check=True, stdout=sys.stderr)


def train(name: str, data: Path, work: Path) -> Path:
    """The run folder, trained unless it is there."""
    out = work / name
    if not (out / "checkpoints" / "best.ckpt").is_file():
        run("train", data, "--sr", str(SAMPLE_RATE), "--max-steps", str(STEPS), "--out", out)
    return out


# -- presets ---------------------------------------------------------------------------------------------------

PAD = {"perform": 0, "attack": 350, "release": 1600, "life": 1.6}
IMPROVISER = ("plays by itself; nothing to press", {"mode": "sample"})
FOLLOWER = (
    "for a live input: by octaves into its range, fitted to its sounds",
    {"transpose_auto": 1, "fit": 1},
)
VOICINGS: dict[str, dict[str, tuple[str, dict[str, Any]]]] = {
    "sax": {
        "as recorded": ("notes tongued and held as the player does", {}),
        "breathy": ("half air, for ballads", {"noisiness": 6.5, "brightness": -1.2}),
        "brassy": ("bright and forward", {"brightness": 3.2, "timbre 3": 1.5}),
        "hollow": (
            "its fundamental and little else, as a clarinet's low notes",
            {"timbre 1": 3.0, "brightness": -0.8},
        ),
        "pad": ("a slow section of saxophones", {**PAD, "brightness": -1.0}),
        "improviser": IMPROVISER,
        "follower": FOLLOWER,
    },
    "voice": {
        "as spoken": ("keys speak syllables", {}),
        "choir": ("held vowels, slow to come and go", {**PAD, "timbre 2": 2.2, "noisiness": -1.0}),
        "whisper": (
            "no tone, breath alone",
            {"periodicity": 0.0, "noisiness": 4.0, "timbre 2": 1.5, "perform": 0, "attack": 60},
        ),
        "machine": (
            "one vowel, straight as an organ",
            {"perform": 0, "life": 0, "attack": 5, "release": 40, "timbre 1": -2.0},
        ),
        "talker": ("talks by itself", {"mode": "sample"}),
        "follower": FOLLOWER,
    },
    "strings": {
        "as bowed": ("a bow stroke a key", {}),
        "ensemble pad": ("slow bows, long ends", {**PAD, "brightness": -0.7}),
        "at the bridge": ("bright, with much bow", {"brightness": 3.0, "noisiness": 1.8}),
        "pizzicato": (
            "plucked: it dies away",
            {"perform": 0, "attack": 3, "decay": 900, "sustain": 0, "release": 300},
        ),
        "improviser": IMPROVISER,
        "follower": FOLLOWER,
    },
    "bells": {
        "as struck": ("a mallet a key", {"release": 900}),
        "bowed bars": (
            "the bars held, as by a bow",
            {**PAD, "noisiness": -2.5, "attack": 500, "release": 2500},
        ),
        "music box": (
            "short and bright",
            {"noisiness": -3.0, "brightness": 2.5, "perform": 0, "attack": 1, "decay": 700, "sustain": 0},
        ),
        "felt": ("soft mallets, dark", {"timbre 1": -3.0, "release": 900}),
        "improviser": IMPROVISER,
        "follower": FOLLOWER,
    },
}


def preset(model: ModelInfo, changes: dict[str, Any]) -> dict[str, Any]:
    """The controls as they begin, changed by name: an axis (standard deviations, periodicity from 0 to 1), a number of
    the whole sound, an attribute of the file, the mode."""
    state = model.initial()
    latents, attributes = list(state.latents), list(state.attributes)
    names = [attribute.name for attribute in model.attributes]
    numbers = {control.name: control.field for control in NUMBERS}
    rest: dict[str, Any] = {}
    for name, value in changes.items():
        if name in numbers:
            state = replace(state, **{numbers[name]: float(value)})
        elif name in names:
            attributes[names.index(name)] = float(value)
        elif name == "mode":
            rest[name] = value
        else:
            axis = model.axis(name)
            latents[axis] = model.axes[axis].standard(value) if name == "periodicity" else float(value)
    return preset_of(replace(state, latents=tuple(latents), attributes=tuple(attributes)), model) | rest


# -- story -----------------------------------------------------------------------------------------------------


def held_out(folder: Path) -> list[str]:
    """Files of the corpus that the run was not trained on, and all that it used."""
    with open(folder / "data_report.csv", newline="", encoding="utf-8") as file:
        return [row["path"] for row in csv.DictReader(file) if row["reason"].startswith("validation")]


def corpus_of(folder: Path) -> dict[str, float]:
    """Minutes and files that were used."""
    with open(folder / "data_report.csv", newline="", encoding="utf-8") as file:
        used = [float(row["seconds"]) for row in csv.DictReader(file) if row["status"] == "used"]
    return {"minutes": round(sum(used) / 60, 1), "files": len(used)}


def command_of(folder: Path) -> str:
    """How the run was trained, of paths only the last part."""
    command = yaml.safe_load((folder / "config.yaml").read_text(encoding="utf-8"))["run"]["command"]
    words = shlex.split(command)
    place = words.index("--out") if "--out" in words else len(words)
    return shlex.join(Path(word).name for word in words[:place] + words[place + 2 :])


def figures(path: Path, folder: Path, work: Path) -> dict[str, float | None]:
    """Of the finished file, on the sounds held out."""
    report = work / f"{path.stem}-report"
    run("evaluate", path, *held_out(folder), "--generate", "0", "--pairs", "2", "-o", report)
    found = json.loads((report / "report.json").read_text())
    playing = found["playing"]
    return {
        **{key: round(found[key], 4) for key in ("mr_stft", "log_mel_l1", "pitch_error_cents")},
        **{key: playing[key] and round(playing[key], 3) for key in ("held_pitch_ok", "held_pitch_cents")},
    }


def checksum(file: str) -> str:
    return hashlib.sha256((FOLDER / file).read_bytes()).hexdigest()


def tell(name: str, info: BundleInfo, folder: Path, work: Path) -> dict[str, Any]:
    """The story of an instrument whose files are in place; of the same training the figures are not measured again."""
    about, path = ABOUT[name], FOLDER / f"{name}.ts"
    sums = {file: checksum(file) for file in (path.name, f"{name}{PRESETS}")}
    before = json.loads(path.with_suffix(".json").read_text()) if path.with_suffix(".json").is_file() else {}
    training = {
        "command": command_of(folder),
        **{key: info.origin[key] for key in ("steps", "commit", "trained_with")},
    }
    same = before.get("training") == training
    return {
        "format": 1,
        "title": about.title,
        "what": about.what,
        "corpus": {"what": about.corpus, **corpus_of(folder), "licence": about.licence},
        "training": training,
        "range_midi": about.range_midi,
        "figures": before["figures"] if same else figures(path, folder, work),
        "presets": {voicing: words for voicing, (words, _) in VOICINGS[name].items()},
        "sha256": sums,
    }


def make(name: str, data: Path, work: Path, exported: bool) -> None:
    """All files of one instrument; its MODEL.ts is kept where it is `exported` already."""
    folder, path = train(name, data, work), FOLDER / f"{name}.ts"
    if not exported:
        run("export", folder, "--weights", "bfloat16", "-o", path)
    bundle = read_bundle(path)
    model = describe(bundle)
    presets = {voicing: preset(model, changes) for voicing, (_, changes) in VOICINGS[name].items()}
    write_whole(FOLDER / f"{name}{PRESETS}", json.dumps({"format": FORMAT, "presets": presets}, indent=1))
    write_whole(FOLDER / f"{name}.json", json.dumps(tell(name, bundle.info, folder, work), indent=1) + "\n")


def main() -> None:
    options = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    options.add_argument("names", nargs="*", metavar="NAME", help="default: all")
    options.add_argument("--work", type=Path, default=ROOT / "build" / "instruments", metavar="DIR")
    options.add_argument(
        "--data", type=Path, default=ROOT.parent / "shared" / "data", help="with sax/ and voice/"
    )
    options.add_argument(
        "--presets", action="store_true", help="only presets and story, of the files that are there"
    )
    args = options.parse_args()
    for name in args.names or NAMES:
        data = args.data / name
        if name in SCORES:
            data = args.work / f"{name}-sounds"
            synthesise(SCORES[name], data)
        make(name, data, args.work, args.presets)


if __name__ == "__main__":
    main()
