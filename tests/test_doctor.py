"""`wavevae doctor` says what this machine lacks and what to do; stand-ins for what it does not lack."""

from __future__ import annotations

import json
import socket
import threading
from functools import partial
from pathlib import Path
from types import SimpleNamespace

import pytest
from test_devices import device

from wavevae.errors import UserError
from wavevae.realtime import doctor
from wavevae.realtime.control.network import open_udp
from wavevae.realtime.doctor import NOTE, OK, PROBLEM, STATUSES, Finding, examine, main
from wavevae.realtime.live import devices


def only(monkeypatch: pytest.MonkeyPatch, **checks: object) -> None:
    """The machine is asked for nothing else."""
    monkeypatch.setattr(doctor, "CHECKS", checks)


def test_this_machine_is_examined_in_whole_sentences() -> None:
    found = examine(doctor.CHECKS)
    assert set(found) == set(doctor.CHECKS)
    for name, finding in found.items():
        assert finding.status in STATUSES, name
        assert finding.what.endswith("."), name
        assert finding.do.endswith(".") or (not finding.do and finding.status != PROBLEM), name
        assert "check itself failed" not in finding.what, finding


def test_the_exit_status_is_that_of_the_worst_and_json_says_the_same(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for worst, status in ((OK, 0), (NOTE, 0), (PROBLEM, 1)):
        only(
            monkeypatch,
            one=lambda: Finding(OK, "Good."),
            two=lambda worst=worst: Finding(worst, "So.", "Do."),
        )
        assert main(["--json"]) == status
        said = json.loads(capsys.readouterr().out)
        assert said["status"] == worst
        assert said["checks"][1] == {"name": "two", "status": worst, "what": "So.", "do": "Do."}
        assert main([]) == status
        lines = capsys.readouterr().out.splitlines()
        assert [line.split()[0] for line in lines] == [OK, worst, "->"]


def test_a_check_that_fails_or_hangs_is_a_problem_and_the_others_go_on() -> None:
    def fail() -> Finding:
        raise RuntimeError("no such thing")

    end = threading.Event()

    def hang() -> Finding:
        end.wait()
        return Finding(OK, "Too late.")

    found = examine({"fail": fail, "hang": hang, "good": lambda: Finding(OK, "Good.")}, 0.2)
    end.set()
    assert found["fail"].status == found["hang"].status == PROBLEM
    assert "no such thing" in found["fail"].what
    assert "0.2 s" in found["hang"].what
    assert found["good"].status == OK


def test_a_port_in_use_is_a_problem_with_its_number() -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as taken:
        taken.bind(("127.0.0.1", 0))
        port = taken.getsockname()[1]
        finding = examine({"OSC": partial(doctor.check_port, open_udp, port)})["OSC"]
    assert finding.status == PROBLEM
    assert str(port) in finding.what
    assert "--osc-port" in finding.do
    assert doctor.check_port(open_udp, port).status == OK


@pytest.mark.parametrize(("free", "status"), [(0, PROBLEM), (1 << 30, NOTE), (10 << 30, OK)])
def test_a_disk_that_is_full_or_nearly(
    free: int, status: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WAVEVAE_CACHE", str(tmp_path / "not/made/yet"))
    monkeypatch.setattr(doctor, "free_bytes", lambda folder: free if folder == tmp_path else None)
    finding = doctor.CHECKS["cache"]()
    assert finding.status == status
    assert str(tmp_path / "not/made/yet") in finding.what
    assert ("WAVEVAE_CACHE" in finding.do) == (status != OK)
    assert not list(tmp_path.iterdir())


def test_a_folder_that_takes_no_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("WAVEVAE_CACHE", str(tmp_path / "file/cache"))
    finding = doctor.CHECKS["cache"]()
    assert finding.status == PROBLEM
    assert "cannot be written" in finding.what


@pytest.mark.parametrize(("cards", "status"), [("--- no soundcards ---", NOTE), (" 0 [PCH]: HDA", PROBLEM)])
def test_without_portaudio_a_machine_with_a_sound_card_has_a_problem(
    cards: str, status: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def none() -> None:
        raise UserError("no PortAudio here (not found); install it, or `--device none` plays without sound")

    monkeypatch.setattr(doctor, "find_devices", none)
    monkeypatch.setattr(doctor, "read", lambda path: cards if path == doctor.CARDS else "")
    monkeypatch.setattr(doctor.sys, "platform", "linux")
    finding = doctor.check_audio()
    assert (finding.status, finding.what) == (status, "No PortAudio here (not found).")
    assert "--device none" in finding.do


@pytest.mark.parametrize(("takes", "status"), [((22_050, 48_000), OK), ((48_000,), NOTE)])
def test_a_card_is_opened_at_a_rate_that_it_takes_and_not_started(
    takes: tuple[int, ...], status: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened: list[object] = []

    class Stream:
        latency = 0.012

        def __init__(self, **options: object) -> None:
            opened.append(options["samplerate"])

        def stop(self) -> None: ...

        def close(self) -> None:
            opened.append("closed")

    def check(samplerate: int, **options: object) -> None:
        if samplerate not in takes:
            raise ValueError(samplerate)

    stand_in = SimpleNamespace(check_output_settings=check, OutputStream=Stream, PortAudioError=OSError)
    for module in (devices, doctor):
        monkeypatch.setattr(module, "import_sounddevice", lambda: stand_in)
    monkeypatch.setattr(doctor, "find_devices", lambda: [device(2, "USB Audio", is_default=True)])
    finding = doctor.check_audio()
    assert finding.status == status
    assert "USB Audio" in finding.what
    assert "12.0 ms" in finding.what
    assert opened == [takes[0], "closed"]
    assert ("--sr 48000" in finding.do) == (status == NOTE)


def test_real_time_refused_names_the_file_that_allows_it(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("resource")
    monkeypatch.setattr(doctor.sys, "platform", "linux")
    monkeypatch.setattr(doctor, "ask_for_real_time", lambda: "SCHED_FIFO refused (not permitted); so it is")
    finding = doctor.check_real_time()
    assert finding.status == NOTE
    assert "SCHED_FIFO refused (not permitted)." in finding.what
    assert "limits.d" in finding.do


def test_without_torch_the_other_runtime_will_do(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor, "has", lambda module: False)
    monkeypatch.setattr(doctor, "version", lambda package: f"of {package}")
    monkeypatch.setattr(doctor, "runtime", lambda: "onnx")
    finding = doctor.check_runtime()
    assert finding.status == OK
    assert finding.what.startswith("onnxruntime of onnxruntime plays.")
    assert "wavevae[live]" in doctor.check_extras().do


def test_without_any_runtime_the_extras_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    finding = examine({"runtime": doctor.check_runtime})["runtime"]
    assert finding.status == PROBLEM
    assert "wavevae[stage]" in finding.do
