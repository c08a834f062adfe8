"""RUN/: an experiment is a folder. Where its parts lie, how it is made, found again and kept to one process."""

from __future__ import annotations

import datetime
import os
import shlex
import subprocess
from collections.abc import Mapping, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any, TextIO

import yaml

import wavevae
from wavevae.cli import shown
from wavevae.config import NOTES, RunConfig, from_tree, to_tree
from wavevae.errors import UserError
from wavevae.files import DISK_ERRORS, cannot_write, write_whole


class RunFolder:
    """The paths of a run, named in INTERFACE."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.config = path / "config.yaml"
        self.report = path / "data_report.csv"
        self.metrics = path / "metrics.csv"
        self.best = path / "checkpoints" / "best.ckpt"
        self.last = path / "checkpoints" / "last.ckpt"
        self.validation = path / "validation"
        self.tensorboard = path / "tensorboard"
        self.losses_picture = path / "losses.png"
        self.kl_picture = path / "beta_vs_kl.png"
        self.terms_picture = path / "term_losses.png"
        self.codebooks_picture = path / "codebooks.png"
        self.overfit_picture = path / "overfit.png"

    @property
    def resume_command(self) -> str:
        """What to type to go on with it."""
        return shown("train", "--resume", "--out", self.path)

    def must_be_new(self) -> None:
        """Raises: UserError where something stands already."""
        if self.path.exists() or self.path.is_symlink():
            how = f"; go on with `{self.resume_command}`" if self.config.is_file() else ""
            raise UserError(f"--out {self.path} exists already{how or '; name a new folder'}")
        above = next(folder for folder in self.path.absolute().parents if folder.exists())
        if not above.is_dir() or not os.access(above, os.W_OK | os.X_OK):
            raise UserError(f"cannot make {self.path}: no writing in {above}; name another --out")

    def must_be_a_run(self) -> None:
        """Raises: UserError where there is no run to go on with."""
        if not self.config.is_file():
            raise UserError(f"no run at {self.path} to resume; leave --resume out to start one there")

    def make(self) -> None:
        """Create it. Raises: UserError where it exists or may not be made."""
        try:
            self.path.mkdir(parents=True)
        except OSError as error:
            if error.errno in DISK_ERRORS:
                raise cannot_write(self.path, error) from None
            raise UserError(f"cannot make {self.path}: {error.strerror}; name another --out") from None

    def write_config(self, config: RunConfig, notes: Mapping[str, Any]) -> None:
        """Everything resolved, then a `run` section that says where it comes from."""
        head = "# Everything resolved. Give this file to `wavevae train --config` to repeat the run.\n"
        tree = {**to_tree(config), NOTES: dict(notes)}
        write_whole(self.config, head + yaml.safe_dump(tree, sort_keys=False, allow_unicode=True))

    def read_config(self) -> tuple[RunConfig, dict[str, Any]]:
        """The run's configuration and its `run` section. Raises: UserError for a file that is no such thing."""
        try:
            tree = yaml.safe_load(self.config.read_text(encoding="utf-8"))
            return from_tree(tree), dict(tree[NOTES])
        except UserError:
            raise
        except (OSError, ValueError, TypeError, KeyError, AttributeError, yaml.YAMLError) as error:
            raise UserError(
                f"{self.config} is not the config.yaml of a run ({type(error).__name__})"
            ) from error


def new_folder(inputs: Sequence[Path], root: Path = Path("runs")) -> Path:
    """runs/NAME-YYYYmmdd-HHMMSS, NAME from the data; a number is added where two start in one second."""
    name = inputs[0].resolve().stem if inputs else "demo"
    stem = f"{name or 'run'}-{datetime.datetime.now():%Y%m%d-%H%M%S}"
    candidates = [root / stem, *(root / f"{stem}-{n}" for n in range(2, 1000))]
    return next(path for path in candidates if not path.exists())


def lock(folder: RunFolder) -> TextIO | None:
    """Hold the run for this process; the system lets go when the process ends, however it ends.

    Raises: UserError while another process trains there. Returns none where the system has no such lock.
    """
    try:
        import fcntl
    except ImportError:  # Windows
        return None
    file = (folder.path / ".lock").open("w")
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        file.close()
        raise UserError(
            f"{folder.path} is being trained by another process; wait for it or stop it"
        ) from None
    except OSError:  # a file system without locks
        pass
    return file


def commit() -> str | None:
    """The git commit of this source tree, '+' where it was changed since; none when installed as a package."""
    root = Path(wavevae.__file__).resolve().parent.parent

    def git(*arguments: str) -> str:
        done = subprocess.run(
            ["git", "-C", str(root), *arguments], capture_output=True, text=True, timeout=10
        )
        return done.stdout.strip() if done.returncode == 0 else ""

    try:
        if not git("ls-files", "--error-unmatch", "wavevae/__init__.py"):
            return None
        changed = "+" if git("status", "--porcelain", "--untracked-files=no") else ""
        return git("rev-parse", "HEAD") + changed
    except (OSError, subprocess.SubprocessError):
        return None


def notes(inputs: Sequence[Path], preset: str, command: Sequence[str]) -> dict[str, Any]:
    """The `run` section of config.yaml; no inputs means the demo corpus."""
    return {
        "wavevae": version("wavevae"),
        "commit": commit(),
        "command": shlex.join(["wavevae", "train", *command]),
        "preset": preset,
        "inputs": [str(path.absolute()) for path in inputs],
        "started": datetime.datetime.now().isoformat(timespec="seconds"),
    }
