"""Experiments start: each tells its options. What they find is in docs/lab, dated."""

import runpy
import sys
from pathlib import Path

import pytest

EXPERIMENTS = sorted((Path(__file__).parent.parent / "experiments").glob("*.py"))


@pytest.mark.parametrize("program", EXPERIMENTS, ids=lambda path: path.stem)
def test_an_experiment_starts(
    program: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", [str(program), "--help"])
    with pytest.raises(SystemExit) as ended:
        runpy.run_path(str(program), run_name="__main__")
    assert not ended.value.code
    assert f"experiments/{program.name}" in capsys.readouterr().out
