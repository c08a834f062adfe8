"""SPACE.yaml: what it comes to, what it refuses; what `wavevae train` is told."""

from pathlib import Path
from typing import Any

import pytest
import yaml

from wavevae.errors import UserError
from wavevae.train import arguments
from wavevae.train.sweep.space import Space, parse_space, read_space
from wavevae.train.sweep.trial import command, must_resolve

EXAMPLES = sorted((Path(__file__).parent.parent / "examples" / "sweeps").glob("*.yaml"))


def space_of(**tree: Any) -> Space:
    return parse_space(tree, Path("mine.yaml"))


def test_a_grid_spans_every_point_once_and_its_first_key_first() -> None:
    space = space_of(sampler="grid", space={"latent_dim": [4, 8], "seed": [0, 1, 2]})
    points = space.grid()
    assert space.name == "mine"
    assert space.size == len(points) == len({tuple(p.items()) for p in points}) == 6
    assert [p["latent_dim"] for p in points[:2]] == [4, 8]
    assert [p["seed"] for p in points] == [0, 0, 1, 1, 2, 2]


def test_a_named_choice_sets_several_settings() -> None:
    choices = {
        "soft": {"kl_schedule": "logistic", "kl_baseline": "1e-1"},
        "hard": {"kl_schedule": "constant"},
    }
    space = space_of(sampler="grid", fixed={"sr": 8000, "max_time": "90s"}, space={"rise": choices})
    settings = space.settings({"rise": "soft"})
    assert settings == {
        "model.sample_rate": 8000,
        "max_time": "90s",
        "objective.kl_schedule": "logistic",
        "objective.kl_baseline": 0.1,
    }


def test_train_understands_what_a_point_is_called() -> None:
    choices = {"latent_dim": [4], "learning_rate": ["3e-4"], "n_ffts": [[256], [512, 256]], "max_steps": [7]}
    space = space_of(sampler="grid", preset="codec-low-latency", fixed={"batch_size": 3}, space=choices)
    words = command(space, space.settings(space.grid()[1]), ["a folder"], Path("run"))
    args = arguments.parse(words)
    config = arguments.resolve(args)
    assert (args.data, args.out) == ([Path("a folder")], Path("run"))
    assert (config.model.latent_dim, config.train.learning_rate) == (4, 3e-4)
    assert config.objective.n_ffts == (512, 256)
    assert (config.train.batch_size, config.train.max_steps, config.train.max_time_s) == (3, 7, None)
    assert config.model.hop_length == 128


@pytest.mark.parametrize(
    ("tree", "said"),
    [
        ({"spaze": {}}, "unknown key 'spaze'; did you mean 'space'"),
        ({"space": {"latent_dimm": [1, 2]}}, "unknown key 'latent_dimm'; did you mean 'latent_dim'"),
        ({"space": {"seed": [0, 1]}, "fixed": {"batchsize": 2}}, "did you mean 'batch_size'"),
        (
            {"space": {"rise": {"a": {"kl_shedule": "linear"}}}},
            "rise: a: unknown key 'kl_shedule'; did you mean",
        ),
        ({"space": {"kl": {"low": 1, "hihg": 2}}}, "kl: unknown key 'hihg'; did you mean 'high'"),
        ({"space": {"kl": {"low": 2, "high": 1}}}, "low below high"),
        ({"space": {"kl": {"low": 0, "high": 1, "log": True}}}, "a low above 0"),
        ({"space": {"kl": 3}}, "write a list"),
        ({"space": {}}, "nothing to vary"),
        ({"space": {"seed": [1, 1]}}, "same choice twice"),
        ({"space": {"seed": [1, 2]}, "fixed": {"train.seed": 3}}, "train.seed is given twice"),
        ({"space": {"kl": {"low": 1, "high": 2}}, "sampler": "grid"}, "kl is a range"),
        ({"space": {"seed": [1]}, "sampler": "grd"}, "did you mean 'grid'"),
        ({"space": {"seed": [1]}, "objective": "val_mrstft"}, "did you mean 'val_mr_stft'"),
        ({"space": {"seed": [1]}, "group": "sed"}, "did you mean 'seed'"),
        ({"space": {"log_mel_end": [1, 2]}}, "no yardstick"),
        ({"space": {"seed": [1]}, "prune": "maybe"}, "true or false"),
        ({"space": {"seed": [1]}, "data": "nowhere"}, "nothing at"),
    ],
)
def test_what_cannot_be_is_refused_in_one_line(tree: dict[str, Any], said: str) -> None:
    with pytest.raises(UserError, match=said):
        parse_space(tree, Path("mine.yaml"))


def test_a_setting_that_train_refuses_is_told_before_anything_is_trained() -> None:
    tree = {"bottleneck": ["vae", "hvae"], "latent_dim": [8, 64]}
    space = space_of(sampler="grid", fixed={"top_dim": 16}, space=tree)
    with pytest.raises(UserError, match="bottleneck hvae, latent_dim 8: top_dim is 16"):
        must_resolve(space)
    must_resolve(space_of(space={"latent_dim": {"low": 4, "high": 8}, "kl": {"low": 0.1, "high": 0.2}}))
    with pytest.raises(UserError, match="latent_dim is 0"):
        must_resolve(space_of(space={"latent_dim": {"low": 0, "high": 8}}))


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda p: p.stem)
def test_every_example_is_a_search_that_train_understands(path: Path) -> None:
    must_resolve(read_space(path))


def test_the_space_in_the_docs_is_one() -> None:
    docs = (Path(__file__).parent.parent / "docs" / "lab" / "sweep.md").read_text(encoding="utf-8")
    tree = yaml.safe_load(docs.split("```yaml")[1].split("```")[0])
    assert tree.pop("data") == ["sounds"]
    must_resolve(parse_space(tree, Path("docs.yaml")))


def test_the_examples_are_the_studies() -> None:
    grid = read_space(next(p for p in EXAMPLES if p.stem == "study-a-grid"))
    points = {(p["latent_dim"], p["learning_rate"]) for p in grid.grid()}
    assert points == {(d, r) for d in (64, 128, 256) for r in (3e-4, 1e-4)}
    assert grid.preset == "study-a"
    schedules = read_space(next(p for p in EXAMPLES if p.stem == "kl-schedules"))
    assert schedules.size == 5 * 3
    ends = {schedules.settings(point)["objective.kl"] for point in schedules.grid()}
    assert len(ends) == 1  # all end at the same beta


def test_a_file_that_is_no_space_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="No such file"):
        read_space(tmp_path / "none.yaml")
    for text, said in (
        ("a: [", "line 1: not valid YAML"),
        ("- 1", "must hold space:"),
        ("{}", "nothing to vary"),
    ):
        path = tmp_path / "s.yaml"
        path.write_text(text)
        with pytest.raises(UserError, match=said):
            read_space(path)


def test_data_is_found_from_where_the_file_lies(tmp_path: Path) -> None:
    (tmp_path / "sounds").mkdir()
    path = tmp_path / "s.yaml"
    path.write_text(yaml.safe_dump({"data": ["sounds"], "space": {"seed": [1]}}))
    assert read_space(path).data == (str(tmp_path / "sounds"),)
