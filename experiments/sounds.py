"""The sounds of the first page of the docs, made again by the commands of that page.

    python experiments/sounds.py [--only NAME ...] [--instrument sax=runs/sax.ts voice=runs/voice.ts]

Recordings are read from a folder with sax/ and voice/ (--recordings); what needs one that is not there is left out.
Every sound comes to one loudness, is checked, and is written with its spectrogram: docs/sounds/NAME.mp3, NAME.png.
"""

import argparse
import re
import shlex
import shutil
import subprocess
import sys
import tempfile
from itertools import pairwise
from pathlib import Path

import numpy as np
import soundfile
from matplotlib import colormaps
from PIL import Image

from wavevae.audio import read_mono
from wavevae.synthesis.syllables import sung_syllables

ROOT = Path(__file__).resolve().parents[1]
SOUNDS = ROOT / "docs" / "sounds"
RATE = 22050
RECORDINGS = {
    "speech": ["voice/arctic_a0138_1592745484.flac"],
    "saxophone": ["sax/d3_p_rr1_cnd.flac", "sax/gb3_p_rr2_cnd.flac", "sax/a3_f_rr2_cnd.flac"],
}
"""Files that the instruments were not trained on; of several, the first NOTE_S seconds of each."""
NOTE_S = 2.2
LOUDNESS_DB, PEAK_DB, ACTIVE_DB = -20.0, -1.5, 30.0
"""RMS of the 50 ms frames within ACTIVE_DB of the loudest; the peak goes before."""
FADE_S, KBIT_S = 0.02, 64
WIDTH, HEIGHT, TOP_HZ, DEPTH_DB, COLOURS = 400, 88, 8000, 70, 40


def faded(sound: np.ndarray) -> np.ndarray:
    """`(T,)` with its first and last FADE_S raised from and lowered to zero."""
    ramp = np.linspace(0.0, 1.0, round(FADE_S * RATE))
    sound = sound.copy()
    sound[: len(ramp)] *= ramp
    sound[-len(ramp) :] *= ramp[::-1]
    return sound


def prepare(folder: Path, recordings: Path) -> None:
    """What the commands read: recordings, singing, scores, the piece."""
    for name, files in RECORDINGS.items():
        paths = [recordings / file for file in files]
        if not all(path.is_file() for path in paths):
            print(f"{name}: no {paths[0].parent}; sounds made from it are left out")
            continue
        heard = [read_mono(path, RATE) for path in paths]
        parts = heard if len(heard) == 1 else [faded(x[: round(NOTE_S * RATE)]) for x in heard]
        soundfile.write(folder / f"{name}.wav", np.concatenate(parts), RATE)
    soundfile.write(folder / "singing.wav", sung_syllables(8.0, RATE, seed=1), RATE)
    shutil.copy(ROOT / "wavevae" / "piece.mid", folder)
    for score in SOUNDS.glob("*.jsonl"):
        shutil.copy(score, folder)


def commands(instruments: dict[str, str]) -> dict[str, list[str]]:
    """What to run for each sound of the page, instruments replaced by files where some are named."""
    page = (ROOT / "docs" / "index.md").read_text(encoding="utf-8")
    found = {}
    for line in re.findall(r"^  `(wavevae render .*)`$", page, flags=re.MULTILINE):
        words = shlex.split(line)
        name = Path(words[-1]).stem
        words[2] = instruments.get(words[2], words[2])
        found[name] = [re.sub(r"=(\w+)$", lambda m: "=" + instruments.get(m[1], m[1]), w) for w in words]
    return {name: found.get(name, []) for name in re.findall(r"\(sounds/([\w-]+)\.mp3\)", page)}


def levelled(name: str, sound: np.ndarray) -> np.ndarray:
    """At LOUDNESS_DB, without offset and the silence at its ends. Raises: SystemExit where a sound is unfit."""
    size = RATE // 20
    sound = sound - sound.mean()
    frames = sound[: len(sound) // size * size].reshape(-1, size)
    level = 10 * np.log10((frames**2).mean(1) + 1e-12)
    active = level > level.max() - ACTIVE_DB
    audible = np.flatnonzero(level > level.max() - 2 * ACTIVE_DB)
    if not np.isfinite(sound).all() or level.max() < -60:
        sys.exit(f"{name} is silent or broken")
    if np.abs(sound).max() >= 0.999:
        sys.exit(f"{name} is clipped")
    gain_db = LOUDNESS_DB - 10 * np.log10((frames[active] ** 2).mean())
    gain_db = min(gain_db, PEAK_DB - 20 * np.log10(np.abs(sound).max()))
    return faded(sound[audible[0] * size : (audible[-1] + 2) * size] * 10 ** (gain_db / 20))


def draw(sound: np.ndarray, path: Path) -> None:
    """A spectrogram of WIDTH x HEIGHT pixels, 0 to TOP_HZ, the upper DEPTH_DB in few colours."""
    window = np.hanning(1024)
    starts = np.linspace(0, len(sound) - 1024, WIDTH).astype(int)
    bins = round(TOP_HZ / RATE * 1024)
    power = np.stack([np.abs(np.fft.rfft(window * sound[s : s + 1024]))[:bins] for s in starts], axis=1)
    rows = np.stack([r.max(0) for r in np.array_split(power, HEIGHT)])
    db = 20 * np.log10(rows / rows.max() + 1e-9)
    levels = np.clip((1 + db / DEPTH_DB) * COLOURS, 0, COLOURS - 1).astype(np.uint8)
    picture = Image.fromarray(levels[::-1].copy(), "P")
    picture.putpalette(
        (255 * colormaps["magma"](np.linspace(0, 1, COLOURS))[:, :3]).astype(np.uint8).tobytes()
    )
    picture.save(path, optimize=True)


def write(name: str, sound: np.ndarray) -> str:
    """The MP3 and the picture; returns a line about what an ear would hear."""
    sound = levelled(name, sound)
    path = SOUNDS / f"{name}.mp3"
    rate = (160 - KBIT_S) / (160 - 8)  # libsndfile: 0 is the highest of the bit rates of MPEG-2, 1 the lowest
    with soundfile.SoundFile(
        path, "w", RATE, 1, format="MP3", compression_level=rate, bitrate_mode="CONSTANT"
    ) as file:
        file.write(sound)
    draw(sound, path.with_suffix(".png"))
    heard, _ = soundfile.read(path)
    peak, size = 20 * np.log10(np.abs(heard).max()), path.stat().st_size / 1000
    return f"{name}: {len(heard) / RATE:.1f} s, peak {peak:.1f} dBFS, {size:.0f} kB"


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    options.add_argument("--recordings", type=Path, default=ROOT.parent / "shared" / "data", metavar="DIR")
    options.add_argument("--only", nargs="+", metavar="NAME", help="of these sounds (default: all)")
    options.add_argument("--instrument", nargs="+", default=[], metavar="NAME=MODEL.ts", help="in its place")
    args = options.parse_args()
    instruments = {k: str(Path(v).resolve()) for k, v in (x.split("=", 1) for x in args.instrument)}
    with tempfile.TemporaryDirectory() as work:
        folder = Path(work)
        prepare(folder, args.recordings)
        for name, words in commands(instruments).items():
            needed = [folder / w for flag, w in pairwise(words) if "input" in flag]
            if (args.only and name not in args.only) or not all(p.exists() for p in needed):
                continue
            if words:
                program = [sys.executable, "-c", "from wavevae.cli import main; raise SystemExit(main())"]
                subprocess.run([*program, *words[1:]], cwd=folder, check=True, stderr=subprocess.DEVNULL)
            if (folder / f"{name}.wav").exists():
                sound, _ = soundfile.read(folder / f"{name}.wav")
                print(write(name, sound if sound.ndim == 1 else sound.mean(1)), flush=True)


if __name__ == "__main__":
    main()
