"""What tests share: a cache of their own, so that the suite neither reads nor fills the user's, and sounds in one."""

import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from sound_folder import RATE
from tiny_run import workplace
from toy_bundle import write_toy

from wavevae import plots
from wavevae.console import silent
from wavevae.corpus import Store, build_store
from wavevae.corpus import store as store_module
from wavevae.export import archive_graphs, verify, verify_subprocess
from wavevae.files import replacing

# A shell starts background jobs with Ctrl-C ignored, and children inherit that: the tests that press it would hang.
signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(scope="session", autouse=True)
def own_cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    with pytest.MonkeyPatch.context() as patch:
        folder = tmp_path_factory.mktemp("cache")
        patch.setenv("WAVEVAE_CACHE", str(folder))
        patch.setenv("WAVEVAE_DATA", str(folder / "data"))
        yield folder


@pytest.fixture(scope="session", autouse=True)
def verified_here() -> Iterator[None]:
    """Exported files are compared with their models in this process, in blocks of two sizes: another torch takes
    seconds to import. test_export.py and whole commands compare as users do. Nor do files get the graphs by which they
    play without torch, four seconds each: test_stage.py and whole commands make them."""

    def compare(path: Path, expected: list[dict[str, Any]]) -> verify.Verdict:
        module, first = torch.jit.load(str(path)).eval(), expected[0]
        codes = first["codes"].shape[1] if "codes" in first else 0
        verify_subprocess.contract(module, first["latents"].shape[1], int(first["hop_length"]), codes)
        errors: dict[str, dict[str, float]] = {}
        with torch.inference_mode():
            for case in expected:
                errors |= verify_subprocess.measure(module, case)
        return verify.Verdict(errors)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(verify, "compare", compare)
        patch.setattr(verify_subprocess, "BLOCKS", ("3", "mixed"))
        patch.setattr(archive_graphs, "packages_are_here", lambda: False)
        yield


DRAW = plots.save


@pytest.fixture(scope="session", autouse=True)
def blank_pictures() -> Iterator[None]:
    """Figures are made but not drawn, which is most of the time of a tiny run; see `drawn_pictures`."""

    def save(figure: object, path: Path, dpi: int = 110) -> None:
        with replacing(Path(path)) as part:
            part.write_bytes(b"\x89PNG\r\n\x1a\n")

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(plots, "save", save)
        yield


@pytest.fixture(scope="module")
def drawn_pictures() -> Iterator[None]:
    """Figures are drawn from here to the end of the test file, as users have them."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(plots, "save", DRAW)
        yield


@pytest.fixture
def sounds(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Tones to learn from; the test runs in an empty folder."""
    with workplace(tmp_path, monkeypatch) as folder:
        yield folder


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A playable toy MODEL.ts. Test files about other models have a `model` of their own."""
    path = tmp_path_factory.mktemp("toy") / "toy.ts"
    write_toy(path)
    return path


@pytest.fixture
def build(tmp_path: Path):
    """build_store at 8 kHz with a cache of the test's own."""

    def build(*inputs: Path, **options) -> Store:
        options = {"cache": tmp_path / "cache", "progress": silent} | options
        return build_store(list(inputs), options.pop("sample_rate", RATE), **options)

    return build


@pytest.fixture
def decoded(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Names of the files that were handed to the decoders."""
    names: list[str] = []
    real = store_module.run_tasks

    def spy(tasks, workers):
        names.extend(Path(task["path"]).name for task in tasks)
        return real(tasks, workers)

    monkeypatch.setattr(store_module, "run_tasks", spy)
    return names
