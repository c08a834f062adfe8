"""What tests share: a cache of their own, so that the suite neither reads nor fills the user's, and sounds in one."""

import signal
from collections.abc import Iterator
from pathlib import Path

import pytest
from sound_folder import RATE

from wavevae.console import silent
from wavevae.corpus import Store, build_store
from wavevae.corpus import store as store_module

# A shell starts background jobs with Ctrl-C ignored, and children inherit that: the tests that press it would hang.
signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(scope="session", autouse=True)
def own_cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    with pytest.MonkeyPatch.context() as patch:
        folder = tmp_path_factory.mktemp("cache")
        patch.setenv("WAVEVAE_CACHE", str(folder))
        yield folder


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
