"""`wavevae serve` without a sound card: played over OSC, ended and killed in every way, wrong uses in one line."""

from __future__ import annotations

import contextlib
import http.client
import multiprocessing
import os
import signal
import socket
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import soundfile
from foreign_model import LATENTS as FOREIGN_LATENTS
from foreign_model import write_foreign
from live import Live, gone, live
from steady import TOO_LATE_MS, lost_nothing, steady
from toy_bundle import HOP, LATENTS, SAMPLE_RATE, write_toy

from wavevae.controls import ControlState, Share
from wavevae.errors import UserError
from wavevae.realtime import serve
from wavevae.realtime.live.engine_process import Player
from wavevae.realtime.live.processes import Load
from wavevae.realtime.live.shared_memory import LARGEST_LATENT_DIM, Shared
from wavevae.realtime.model_info import ModelInfo, largest_remainder
from wavevae.realtime.offline import render
from wavevae.realtime.serve import describe_delay

SHARED_MEMORY = Path("/dev/shm")
pytestmark = pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="needs Linux's /proc")


DEEP = ("--device", "none", "--ring-depth", "16")
"""A third of a second in store, so that a busy machine alone does not empty the ring."""


def shared_memory() -> set[str]:
    """Named segments of Python's kinds (a JACK server has its own)."""
    return {p.name for p in SHARED_MEMORY.glob("*") if p.name.startswith(("psm_", "pym-", "sem."))}


def nothing_left_since(before: set[str]) -> bool:
    """Whether every new segment is mapped by a process that runs: other tests play at the same time."""

    def unused() -> set[str]:
        left = shared_memory() - before
        for maps in Path("/proc").glob("[0-9]*/maps"):
            with contextlib.suppress(OSError):
                text = maps.read_text()
                left = {name for name in left if name not in text}
        return left

    return Live.soon(lambda: not unused(), patience_s=10.0)


def test_it_is_played_and_ended_by_ctrl_c(model: Path, tmp_path: Path) -> None:
    before = shared_memory()
    record = ("--record", tmp_path / "session.jsonl", "--record-audio", tmp_path / "live.wav")
    with (
        steady() as machine,
        live(model, *DEEP, "--block-size", 480, "--seed", 5, *record) as player,
    ):
        assert player.query("latent_dim") == [LATENTS]
        assert player.level_above(-30)
        check_controls(player)
        check_refusals(player)
        check_subscription(player)
        check_panic(player)
        children = player.children()
        assert len(children) >= 2
        assert player.end() == 0
    assert gone(children)
    assert nothing_left_since(before)
    for words in (
        "delay",
        "real-time factor",
        "headroom",
        "played",
        "4 refused",
    ):
        assert words in player.said
    assert "Traceback" not in player.said
    if not lost_nothing(player.said, machine):
        pytest.skip(
            f"the machine is too busy to play without a gap: a bystander was {machine.late_ms:.0f} ms late"
        )
    check_record(model, tmp_path)


def check_record(model: Path, folder: Path) -> None:
    """Rendered again it is the same, sample by sample."""
    again = folder / "again.wav"
    assert render.main([str(model), "--score", str(folder / "session.jsonl"), "-o", str(again)]) == 0
    played, rendered = (soundfile.read(path, dtype="int32")[0] for path in (folder / "live.wav", again))
    assert len(rendered) > 10 * 480
    np.testing.assert_array_equal(played[: len(rendered)], rendered)
    assert not played[len(rendered) :].any()


def check_controls(player: Live) -> None:
    player.send("/wavevae/smoothing", 0)
    player.send("/wavevae/latents", 1.0, -1.0, 0.5, 2)
    assert player.query("targets") == [1.0, -1.0, 0.5, 2.0]
    assert player.soon(lambda: player.query("latents") == [1.0, -1.0, 0.5, 2.0])


def check_refusals(player: Live) -> None:
    player.send(f"/wavevae/latent/{LATENTS}", 1.0)
    assert "0 to 3" in player.receive("/wavevae/error")[0]
    player.send("/wavevae/latent/0", float("nan"))
    assert "finite" in player.receive("/wavevae/error")[0]
    player.send("/wavevae/preset/************Q")
    assert "wildcards" in player.receive("/wavevae/error")[0]
    player.udp.sendto(b"\xff" * 60_000, player.address)
    player.receive("/wavevae/error")
    assert player.query("rejected") == [4]
    assert player.query("targets") == [1.0, -1.0, 0.5, 2.0]


def check_subscription(player: Live) -> None:
    player.send("/wavevae/subscribe", player.udp.getsockname()[1])
    for name in ("level", "latents", "real_time_factor", "underflows", "rejected"):
        assert player.receive(f"/wavevae/state/{name}")
    player.send("/wavevae/subscribe", 0)
    player.query("level")


def check_panic(player: Live) -> None:
    player.send("/wavevae/temperature", 0.5)
    player.send("/wavevae/mode", "sample")
    player.send("/wavevae/preset/store", "moving")
    player.send("/wavevae/preset/recall", "moving", 0.2)
    player.send("/wavevae/panic")
    assert player.level_below(-100)
    player.send("/wavevae/latent/0", 3.0)
    assert player.level_below(-100)
    player.send("/wavevae/gain", -6)
    assert player.level_above(-40)


def test_children_of_a_killed_parent_end_and_leave_nothing(model: Path) -> None:
    before = shared_memory()
    with live(model, *DEEP) as player:
        children = player.children()
        os.kill(player.process.pid, signal.SIGKILL)
        player.process.wait()
        assert gone(children)
    assert nothing_left_since(before)


def test_whatever_dies_is_replaced_and_the_controls_stay(model: Path) -> None:
    with live(model, *DEEP) as player:
        player.send("/wavevae/latent/0", 2.0)
        player.send("/wavevae/gain", -20.0)
        assert player.query("targets")[0] == 2.0
        with steady() as machine:
            os.kill(player.child("control"), signal.SIGKILL)
            assert player.says("another takes its place")
            assert player.query("gain") == [-20.0]
            player.send("/wavevae/gain", -6.0)
            assert player.level_above(-25)
            underflows = player.query("underflows")
        assert underflows == [0] or machine.late_ms > TOO_LATE_MS  # the sound went on
        os.kill(player.child("sound"), signal.SIGKILL)
        assert player.says("the device is back")
        assert "trying again until it is back" in player.said
        os.kill(player.child("engine"), signal.SIGKILL)
        assert player.says("toy.ts plays")
        assert "engine process ended (signal SIGKILL); the spare takes over" in player.said
        assert player.query("targets")[0] == 2.0
        assert player.level_above(-30)
        children = player.children()
        assert player.end() == 0
    assert gone(children)


def test_another_model_comes_without_a_gap_and_a_broken_one_changes_nothing(
    model: Path, tmp_path: Path
) -> None:
    write_toy(tmp_path / "wide.ts", latent_dim=6)
    write_toy(tmp_path / "fast.ts", sample_rate=44100)
    write_foreign(tmp_path / "theirs.ts")
    (tmp_path / "broken.ts").write_bytes(b"no model")
    with steady() as machine, live(model, *DEEP) as player:
        player.send("/wavevae/latents", 1.0, 2.0, 3.0, 4.0)
        player.send("/wavevae/model", str(tmp_path / "nothing.ts"))
        assert "no model file" in player.receive("/wavevae/error")[0]
        player.send("/wavevae/model", str(tmp_path / "broken.ts"))
        assert "not a TorchScript" in player.receive("/wavevae/error")[0]
        player.send("/wavevae/model", str(tmp_path / "fast.ts"))
        assert "44100 Hz" in player.receive("/wavevae/error")[0]
        assert player.query("model") == ["toy.ts"]
        player.send("/wavevae/model", str(tmp_path / "wide.ts"))
        assert player.says("wide.ts plays")
        assert player.query("model") == ["wide.ts"]
        assert player.query("targets") == [1.0, 2.0, 3.0, 4.0, 0.0, 0.0]
        player.send("/wavevae/latent/5", 1.0)
        assert player.query("targets")[5] == 1.0
        player.send("/wavevae/model", str(tmp_path / "theirs.ts"))  # of another program
        assert player.says("theirs.ts plays")
        player.send("/wavevae/attribute/loud", 1)
        assert player.query("attribute/loud") == [1.0]
        assert player.query("latent_dim") == [FOREIGN_LATENTS]
        assert player.end() == 0
    lost_nothing(player.said, machine)


def check_remote(player: Live) -> None:
    """The page is for who has its link."""
    address = next(line for line in player.said.splitlines() if "  page" in line).split()[1]
    port, token = address.split(":")[-1].split("/?token=")
    page = http.client.HTTPConnection("127.0.0.1", int(port), timeout=60)
    for query, status in (("/", 403), (f"/?token={token}", 302)):
        page.request("GET", query, headers={"Accept": "text/html"})
        answer = page.getresponse()
        answer.read()
        assert answer.status == status


def test_presets_lie_beside_the_model_and_are_there_the_next_time(tmp_path: Path) -> None:
    write_toy(tmp_path / "mine.ts")
    with live(tmp_path / "mine.ts", "--device", "none", "--http-port", 0, "--allow-remote") as player:
        check_remote(player)
        player.send("/wavevae/latent/2", 1.5)
        player.send("/wavevae/preset/store", "warm one")
        assert player.query("presets") == ["warm one"]
        assert player.end() == 0
    assert (tmp_path / "mine.presets.json").exists()
    with live(tmp_path / "mine.ts", "--device", "none", "--in-callback") as player:
        player.send("/wavevae/preset/recall", "warm one", 0.1)
        assert player.query("targets") == [0.0, 0.0, 1.5, 0.0]
        player.send("/wavevae/model", "mine.ts")
        assert player.says("--in-callback")
        assert player.level_above(-30)
        assert player.end() == 0


def test_it_ends_by_itself_and_terminated(model: Path) -> None:
    player = Live(model, "--device", "none", "--seconds", 0.3, "--block-size", 64, "--ring-depth", 16)
    assert player.finish() == 0
    assert "rest of a hop" in player.said
    assert "block 64 " in player.said


@pytest.mark.slow
def test_a_model_of_another_rate_than_asked_for_is_refused(model: Path) -> None:
    player = Live(model, "--sr", 44100, "--device", "none")
    assert player.finish() == 2
    assert "22050 Hz" in player.said
    assert player.said.count("\n") == 1


def test_what_the_engine_cannot_play_is_told_to_the_shell(tmp_path: Path) -> None:
    (tmp_path / "no.ts").write_text("no model")
    shared = Shared(multiprocessing.get_context("spawn"), 2, 512)
    with pytest.raises(UserError, match="not a TorchScript"):
        Player(Load(str(tmp_path / "no.ts")), 0, shared)
    write_toy(tmp_path / "wide.ts", latent_dim=LARGEST_LATENT_DIM + 1)
    with pytest.raises(UserError, match="257 latents"):
        Player(Load(str(tmp_path / "wide.ts")), 0, shared)
    write_toy(tmp_path / "plain.ts")
    with pytest.raises(UserError, match="no pitch"):
        Player(Load(str(tmp_path / "plain.ts"), voices=2), 0, shared)


def test_controls_of_the_model_before_are_not_followed(model: Path) -> None:
    """A control process that is late must not make the next engine begin with what does not fit it."""
    shared = Shared(multiprocessing.get_context("spawn"), 2, 512)
    controls = shared.decks[0].controls
    wide = replace(ControlState.initial(LATENTS + 5), mix=(Share(7, 1.0),), gain_db=-60.0)
    controls.write(wide.pack())
    player = Player(Load(str(model), while_playing=True), 0, shared)
    player.begin()
    shared.decks[0].ring.put(player.next_block())
    assert np.abs(player.next_block()).max() > 0.05
    controls.write(replace(ControlState.initial(LATENTS), gain_db=-120.0).pack())
    for _ in range(4):
        block = player.next_block()
    assert np.abs(block).max() < 1e-4


def test_too_slow_a_model_is_told_with_the_block_that_would_do(
    model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shared = Shared(multiprocessing.get_context("spawn"), 2, 256)
    for fixed_ms, each_ms, enough in ((1.0, 0.01, None), (30.0, 0.01, 2048), (30.0, 0.1, 0)):

        def slow(
            self: Player, size: int, seconds: float, a: float = fixed_ms, b: float = each_ms
        ) -> np.ndarray:
            return np.full(9, (a + b * size) / 1000)

        monkeypatch.setattr(Player, "_measure", slow)
        monkeypatch.setattr(Player, "ask_for_priority", lambda self: None)
        ready = Player(Load(str(model)), 0, shared).get_ready()
        assert ready.enough == enough
        if enough is not None:
            words = "no block size" if enough == 0 else f"--block-size {enough}"
            assert words in serve._warning(ready, 256, SAMPLE_RATE)


def refused(*arguments: object) -> str:
    with pytest.raises(UserError) as error:
        serve.main([str(a) for a in arguments])
    return str(error.value)


def test_wrong_uses_are_refused_before_anything_starts(model: Path, tmp_path: Path) -> None:
    assert "no model file" in refused(tmp_path / "nothing.ts")
    assert "block-size" in refused(model, "--block-size", 0)
    assert "ring-depth" in refused(model, "--ring-depth", "many")
    assert "seconds" in refused(model, "--seconds", "nan")
    assert "osc-port" in refused(model, "--osc-port", 70000)
    assert "osc-host" in refused(model, "--osc-host", "nowhere.invalid", "--device", "none")
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as other:
        other.bind(("127.0.0.1", 0))
        port = other.getsockname()[1]
        said = refused(model, "--osc-port", port, "--device", "none")
        assert f"OSC port {port}" in said
        assert f"by process {os.getpid()} (" in said
    with socket.socket() as web:
        web.bind(("127.0.0.1", 0))
        web.listen()
        port = web.getsockname()[1]
        said = refused(model, "--osc-port", 0, "--http-port", port, "--device", "none")
        assert f"HTTP port {port}" in said
    assert "--allow-remote" in refused(model, "--http-host", "0.0.0.0")
    assert "--input" in refused(model, "--input", "--device", "none")
    assert "--in-callback" in refused(model, "--in-callback", "--block-size", 128)
    assert "no folder" in refused(model, "--record", tmp_path / "none" / "a.jsonl")
    assert "--midi" in refused(model, "--map", "x.yaml")
    assert "no map" in refused(model, "--midi", "x", "--map", tmp_path / "x.yaml", "--osc-port", 0)


def test_the_shell_and_the_control_process_are_free_of_torch() -> None:
    code = "import sys, wavevae.realtime.serve; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0


def test_memory_is_kept_and_more_can_still_be_had() -> None:
    """Also where locking it is not allowed (`ulimit -l`)."""
    code = (
        "import resource, sys, numpy; from wavevae.realtime.live.processes import stay_in_memory\n"
        "resource.setrlimit(resource.RLIMIT_MEMLOCK, (65536, 65536))\n"
        "stay_in_memory(); sys.exit(int(numpy.ones(20_000_000).sum()) != 20_000_000)"
    )
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0


@pytest.mark.parametrize(
    ("block", "rest"), [(512, 0), (256, 0), (128, 128), (64, 192), (480, 224), (441, 255)]
)
def test_the_delay_is_the_sum_of_its_parts(block: int, rest: int) -> None:
    assert largest_remainder(HOP, block) == rest
    about = ModelInfo("", "", SAMPLE_RATE, HOP, (), algorithmic_latency_samples=32)
    total_ms = 1000 * (4 * block + rest + 32) / SAMPLE_RATE + 5
    assert f"at most {total_ms:.1f} ms" in describe_delay(about, block, 3, 0.005)
