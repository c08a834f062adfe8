"""`wavevae train` as typed: what it comes to, what it refuses, and what it leaves behind."""

import argparse
import csv
from pathlib import Path

import pytest
import torch
import yaml
from tiny_run import TINY

from wavevae.checkpoint import Checkpoint, find_checkpoint, load_model, read_checkpoint, write_checkpoint
from wavevae.config import RunConfig, TrainConfig, to_tree
from wavevae.errors import UserError
from wavevae.latents import LatentStatistics
from wavevae.train import arguments
from wavevae.train.__main__ import main
from wavevae.train.arguments import make_plan
from wavevae.train.run_folder import RunFolder, lock, new_folder, notes


def parse(*argv: object) -> argparse.Namespace:
    return arguments.parse([str(a) for a in argv])


def resolve(*argv: object) -> RunConfig:
    return arguments.resolve(parse(*argv))


# -- what it comes to ----------------------------------------------------------------------------------------


def test_options_become_settings() -> None:
    config = resolve(
        *("--sr", 16000, "--bottleneck", "ae", "--latent-dim", 5, "--batch-size", 3, "--seed", 9),
        *("--chunk", 0.5, "--overlap", 0.25, "--set", "kl=1e-2", "--set", "train.warm_up=0"),
    )
    assert (config.model.sample_rate, config.model.bottleneck, config.model.latent_dim) == (16000, "ae", 5)
    assert (config.train.batch_size, config.train.seed, config.train.warm_up) == (3, 9, 0.0)
    assert (config.data.chunk_seconds, config.data.overlap, config.objective.kl) == (0.5, 0.25, 0.01)


def test_later_ones_win(tmp_path: Path) -> None:
    """Preset, then --config, then options, then --set."""
    file = tmp_path / "mine.yaml"
    file.write_text("model: {sample_rate: 11025, latent_dim: 7}\ntrain: {batch_size: 2, seed: 5}\n")
    config = resolve("--preset", "codec-studio", "--config", file, "--batch-size", 4, "--set", "seed=6")
    assert (config.model.sample_rate, config.model.latent_dim) == (11025, 7)
    assert (config.train.batch_size, config.train.seed) == (4, 6)
    assert config.model.widths == resolve("--preset", "codec-studio").model.widths
    assert resolve("--preset", "codec-studio").model.sample_rate == 44100


@pytest.mark.parametrize(
    ("argv", "limits"),
    [
        (["--max-time", "90s"], (90.0, None)),
        (["--max-steps", "7"], (None, 7)),
        (["--max-time", "2m", "--max-steps", "7"], (120.0, 7)),
    ],
)
def test_a_typed_budget_replaces_the_presets(
    argv: list[str], limits: tuple[float | None, int | None]
) -> None:
    config = resolve(*argv)
    assert (config.train.max_time_s, config.train.max_steps) == limits


@pytest.mark.parametrize("name", arguments.preset_names())
def test_presets_resolve(name: str) -> None:
    assert resolve("--preset", name).model.hop_length >= 64


def test_presets_named_in_the_issue_are_there() -> None:
    names = {"codec", "codec-large", "codec-low-latency", "codec-studio"}
    assert names <= set(arguments.preset_names())
    assert names == set(arguments.RENAMED_PRESETS.values())
    assert resolve("--preset", "codec-low-latency").model.hop_length == 128


def test_a_runs_config_can_be_given_again(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path / "run")
    folder.make()
    config = resolve("--sr", 16000, "--max-steps", 3)
    folder.write_config(config, notes([Path("a b")], "codec", ["a b", "--sr", "16000"]))
    read, about = folder.read_config()
    assert read == config == resolve("--config", folder.config)
    assert about["inputs"] == [str(Path.cwd() / "a b")]
    assert about["command"] == "wavevae train 'a b' --sr 16000"
    assert about["wavevae"]


def test_new_folders_never_meet(tmp_path: Path) -> None:
    first = new_folder([Path("/x/my sax")], tmp_path)
    assert first.name.startswith("my sax-2")
    first.mkdir()
    assert new_folder([Path("/x/my sax")], tmp_path) != first
    assert new_folder([], tmp_path).name.startswith("demo-")


# -- what it refuses, on one line, with nothing touched --------------------------------------------------------


@pytest.mark.parametrize(
    ("argv", "says"),
    [
        (["--preset", "codek"], "unknown preset 'codek'; did you mean 'codec'"),
        (["--preset", "light"], "unknown preset 'light'; it is now called codec"),
        (["--preset", "default"], "unknown preset 'default'; it is now called codec-large"),
        (["--set", "family=violin"], "unknown family 'violin'; known: codec, instrument"),
        (["--set", "latent_dmi=3"], "unknown key 'latent_dmi'; did you mean 'latent_dim'"),
        (["--set", "latent_dim"], "no '='"),
        (["--set", "latent_dim=many"], "latent_dim is many; use a whole number, 1 or more"),
        (["--bottleneck", "vea"], "did you mean 'vae'"),
        (["--set", "kl_schedule=liner"], "unknown kl_schedule 'liner'; did you mean 'linear'"),
        (["--set", "learning_rate=0"], "learning_rate is 0; use a number above 0"),
        (["--max-time", "soon"], "--max-time is 'soon'"),
        (["--max-steps", "0"], "max_steps is 0"),
        (["--max-steps", "x"], "invalid int value"),
        (["--sr", "1"], "sample_rate is 1; use a whole number, 1000 to 192000 Hz"),
        (["--chunk", "0"], "chunk_seconds is 0; use a number above 0, up to 60 s"),
        (["--overlap", "1"], "overlap is 1"),
        (["--batch-size", "0"], "batch_size is 0"),
        (["--latent-dim", "0"], "latent_dim is 0"),
        (["--config", "nowhere.yaml"], "--config nowhere.yaml: No such file"),
        (["--resume"], "--resume needs the run to go on with: --out RUN"),
        (["--resume", "--out", "x", "--preset", "codec"], "--preset cannot change a run"),
        (["--resume", "--out", "x", "--set", "kl=1"], "--set cannot change a run"),
        (["--resume", "--out", "nowhere"], "no run at nowhere to resume"),
        (["--devices", "many"], "--devices is 'many'"),
        (["--devices", "0"], "--devices is '0'; give a number from 1"),
        (["--precision", "bf17"], "--precision bf17: Precision 'bf17' is invalid"),
        (["--strategy", "foo"], "--strategy foo: You selected an invalid strategy"),
        (["--lr", "3"], "unrecognized arguments: --lr"),
    ],
)
def test_wrong_use_is_one_line(
    argv: list[str], says: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UserError) as caught:
        main([*argv])
    assert says in str(caught.value)
    assert list(tmp_path.iterdir()) == []


def test_out_that_exists_is_left_alone(tmp_path: Path) -> None:
    kept = tmp_path / "run" / "precious.txt"
    kept.parent.mkdir()
    kept.write_text("mine")
    for out, says in (
        (kept.parent, "exists already"),
        (kept, "exists already"),
        (kept / "in", "no writing in"),
    ):
        with pytest.raises(UserError, match=says):
            main(["--out", str(out)])
    assert kept.read_text() == "mine"
    assert list(kept.parent.iterdir()) == [kept]


def test_help_ends_in_an_example(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stop:
        main(["--help"])
    assert stop.value.code == 0
    text = capsys.readouterr().out
    assert "wavevae train recordings/ --sr 22050" in text.split("example:")[1]


# -- resuming: what may change, and what it needs --------------------------------------------------------------


def a_run(tmp_path: Path, steps: int | None = None, **train: float) -> RunFolder:
    """A run folder as training leaves it, with a checkpoint after `steps` where asked for."""
    folder = RunFolder(tmp_path / "run")
    folder.make()
    sounds = tmp_path / "sounds"
    sounds.mkdir()
    config = RunConfig(train=TrainConfig(max_time_s=None, max_steps=10))
    folder.write_config(config, notes([sounds], "codec", []))
    if steps is not None:
        write_checkpoint(folder.last, Checkpoint(config, {}, step=steps, elapsed_s=60.0))
    return folder


def test_resuming_takes_the_runs_own_settings(tmp_path: Path) -> None:
    folder = a_run(tmp_path, steps=4)
    plan = make_plan(parse("--resume", "--out", folder.path))
    assert plan.config == folder.read_config()[0]
    assert plan.resumed is not None
    assert plan.resumed.step == 4
    assert not plan.fresh
    assert plan.inputs == (tmp_path / "sounds",)
    assert plan.remarks == ("from step 4",)


def test_what_is_trained_unless_asked_is_an_instrument(tmp_path: Path) -> None:
    assert resolve().model.is_instrument
    assert resolve() == resolve("--preset", "instrument")
    assert "(default: instrument)" in " ".join(arguments.parser().format_help().split())


def test_a_configuration_of_an_earlier_version_is_a_codec_s(tmp_path: Path) -> None:
    """Before there were families `config.yaml` named none."""
    file = tmp_path / "config.yaml"
    file.write_text("model:\n  fold: 32\n  ratios: [4]\n  widths: [8, 12]\ntrain:\n  start: linear\n")
    config = resolve("--config", file)
    assert not config.model.is_instrument
    assert config.model.hop_length == 128
    file.write_text("model:\n  latent_dim: 6\n")
    assert resolve("--config", file).model.is_instrument


def test_a_run_of_an_earlier_version_resumes(tmp_path: Path) -> None:
    """Its config.yaml names its preset by the old name and knows no families of models."""
    folder = a_run(tmp_path, steps=4)
    text = folder.config.read_text()
    assert "preset: codec" in text
    assert "  family: codec\n" in text
    folder.config.write_text(text.replace("preset: codec", "preset: light").replace("  family: codec\n", ""))
    plan = make_plan(parse("--resume", "--out", folder.path))
    assert plan.config.model.family == "codec"
    assert plan.preset == "light"


def test_resuming_before_the_first_checkpoint_starts_over(tmp_path: Path) -> None:
    plan = make_plan(parse("--resume", "--out", a_run(tmp_path).path))
    assert plan.resumed is None
    assert "from the beginning" in plan.remarks[0]


def test_a_used_up_budget_wants_a_longer_one(tmp_path: Path) -> None:
    folder = a_run(tmp_path, steps=10)
    with pytest.raises(UserError, match=r"\(10 steps\) is used up after 10 steps.*longer --max-time"):
        make_plan(parse("--resume", "--out", folder.path))
    with pytest.raises(UserError, match=r"\(1m\) is used up"):
        make_plan(parse("--resume", "--out", folder.path, "--max-time", "1m"))
    plan = make_plan(parse("--resume", "--out", folder.path, "--max-steps", 20))
    assert plan.config.train.max_steps == 20
    assert "budget 20 steps instead of 10 steps" in plan.remarks[1]


def test_data_that_moved_is_asked_for(tmp_path: Path) -> None:
    folder = a_run(tmp_path, steps=4)
    (tmp_path / "sounds").rename(tmp_path / "moved")
    with pytest.raises(UserError, match="no longer at"):
        make_plan(parse("--resume", "--out", folder.path))
    plan = make_plan(parse(tmp_path / "moved", "--resume", "--out", folder.path))
    assert plan.inputs == (tmp_path / "moved",)


def test_a_damaged_run_is_one_line(tmp_path: Path) -> None:
    folder = a_run(tmp_path, steps=4)
    folder.last.write_bytes(b"half")
    with pytest.raises(UserError, match="not a wavevae checkpoint"):
        make_plan(parse("--resume", "--out", folder.path))
    folder.config.write_text(yaml.safe_dump(to_tree(RunConfig())))  # without its `run` section
    with pytest.raises(UserError, match=r"not the config\.yaml of a run"):
        make_plan(parse("--resume", "--out", folder.path))


def test_one_process_a_run(tmp_path: Path) -> None:
    folder = a_run(tmp_path)
    held = lock(folder)
    if held is None:
        pytest.skip("no file locks here")
    with pytest.raises(UserError, match="another process"):
        lock(folder)
    held.close()
    again = lock(folder)
    assert again is not None
    again.close()


# -- whole runs ------------------------------------------------------------------------------------------------


def test_a_run_leaves_what_the_interface_names(sounds: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (sounds / "notes.txt").write_text("not a sound")
    (sounds / "broken.wav").write_bytes(b"RIFF")
    assert main([str(sounds), *TINY, "--max-steps", "22"]) == 0
    (run,) = Path("runs").iterdir()
    assert run.name.startswith("sounds-")
    names = "config.yaml data_report.csv metrics.csv losses.png beta_vs_kl.png checkpoints/best.ckpt"
    for name in [*names.split(), "checkpoints/last.ckpt", "validation/original-1.wav"]:
        assert (run / name).stat().st_size > 0, name
    assert list((run / "tensorboard").iterdir())
    assert {p.name for p in run.glob("validation/*-1.png")} >= {"000-percent-1.png", "100-percent-1.png"}
    rows = {Path(r["path"]).name: r for r in csv.DictReader((run / "data_report.csv").open())}
    assert rows["broken.wav"]["status"] == rows["notes.txt"]["status"] == "skipped"
    assert sum(r["status"] == "used" for r in rows.values()) == 5
    said = capsys.readouterr()
    assert said.out == ""
    for words in ("data    5 files, 5.0 s at 8000 Hz", "hop 64 (8.0 ms)", "budget  22 steps", "audio-s/s"):
        assert words in said.err
    assert f"wavevae export {run} -o {run.name}.ts" in said.err


def test_what_the_checkpoint_says(sounds: Path) -> None:
    assert main([str(sounds), *TINY, "--max-steps", "5", "--out", "run", "--bottleneck", "ae"]) == 0
    checkpoint = read_checkpoint(find_checkpoint("run", "last"))
    config = RunFolder(Path("run")).read_config()[0]
    assert checkpoint.config == config
    assert (checkpoint.step, config.model.bottleneck) == (5, "ae")
    assert checkpoint.audio_s == pytest.approx(5 * 2 * 0.25)
    assert {"data", "commit", "torch"} <= set(checkpoint.origin)
    statistics = LatentStatistics.from_dict(checkpoint.latents)
    assert statistics.mean.shape == (3,)
    assert not Path("run/beta_vs_kl.png").exists()  # there is no KL
    model = load_model("run")
    x = torch.randn(1, 1, 999)
    with torch.no_grad():
        assert model(x).shape == x.shape
    assert not model.training


def test_a_finished_run_goes_on_with_a_longer_budget(
    sounds: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([str(sounds), *TINY, "--max-steps", "3", "--out", "run"]) == 0
    assert main(["--resume", "--out", "run", "--max-steps", "6"]) == 0
    assert "budget 6 steps instead of 3 steps" in capsys.readouterr().err
    assert read_checkpoint("run/checkpoints/last.ckpt").step == 6
    config, about = RunFolder(Path("run")).read_config()
    assert config.train.max_steps == 6
    assert about["inputs"] == [str(sounds)]
    assert about["resumed"]


def test_no_usable_sound_leaves_no_run(tmp_path: Path, sounds: Path) -> None:
    empty = tmp_path / "empty"
    empty.mkdir()
    for inputs in (empty, tmp_path / "nowhere"):
        with pytest.raises(UserError):
            main([str(inputs), "--out", "run"])
    assert not Path("run").exists()


def test_one_file_is_enough_and_held_out_is_optional(
    sounds: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    one = str(sounds / "tone-0.wav")
    assert main([one, *TINY, "--max-steps", "2", "--out", "a"]) == 0
    assert main([one, *TINY, "--max-steps", "2", "--out", "b", "--set", "validation_share=0"]) == 0
    assert "none held out: validated on what is learned" in capsys.readouterr().err
    assert read_checkpoint("b/checkpoints/best.ckpt").best_score is not None


def test_a_run_that_diverges_ends_with_advice(sounds: Path, capsys: pytest.CaptureFixture[str]) -> None:
    options = ("--set", "learning_rate=1e30", "--set", "warm_up=0", "--set", "ema_decay=0")
    assert main([str(sounds), *TINY, *options, "--max-steps", "60", "--out", "run"]) == 1
    (line,) = [text for text in capsys.readouterr().err.splitlines() if "error" in text]
    assert line.startswith("wavevae: error: the loss was not finite for 20 steps in a row")
    assert "--set learning_rate=2.5e+29" in line
