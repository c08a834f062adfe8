"""Settings: what is typed becomes what the field is, or is refused in one line; all are listed; old names are read."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from wavevae.config import (
    OLD_NAMES,
    SECTIONS,
    DataConfig,
    RunConfig,
    TrainConfig,
    from_tree,
    full_key,
    known_keys,
    override,
    parse_settings,
    to_tree,
)
from wavevae.errors import UserError
from wavevae.settings import docs_of, types_of
from wavevae.train.arguments import parse, preset_names, resolve
from wavevae.train.sweep.space import parse_space

PRESETS = Path(__file__).parent.parent / "train" / "presets"


@pytest.mark.parametrize("typed", ["ratios=4,2", "ratios=[4, 2]", "ratios=(4,2)", "model.ratios=4,2"])
def test_lists_as_they_are_typed(typed: str) -> None:
    assert override(RunConfig(), parse_settings([typed])).model.ratios == (4, 2)


@pytest.mark.parametrize(
    ("typed", "found"),
    [
        ("learning_rate=1e-3", 1e-3),
        ("batch_size=8.0", 8),
        ("max_time_s=none", None),
        ("sample_rate=44.1k", 44100),
        ("classes=[1, b]", ("1", "b")),
        ("class_field=5", "5"),
        ("decoder_dilations=3", (3,)),
        ("compile=true", True),
    ],
)
def test_values_as_they_are_typed(typed: str, found: object) -> None:
    config = override(RunConfig(), {"max_steps": 5, **parse_settings([typed])})
    section, name = full_key(typed.split("=")[0]).split(".")
    value = getattr(getattr(config, section), name)
    assert value == found
    assert type(value) is type(found)


@pytest.mark.parametrize(
    ("typed", "says"),
    [
        ("ratios=4,b", r"ratios is 4,b; use a list like 4,4, each a power of two"),
        ("ratios=4,3", r"ratios is 3; use powers of two"),
        ("latent_dim=many", "latent_dim is many; use a whole number, 1 or more"),
        ("latent_dim=true", "latent_dim is true; use a whole number"),
        ("overlap=1", r"overlap is 1; use a number, 0 up to \(not including\) 1"),
        ("gain_db=61", "gain_db is 61; use a number, 0 to 60 dB"),
        ("kl=-1", "kl is -1; use a number, 0 or more"),
        ("kl=.nan", "kl is nan; use a number, 0 or more"),
        ("compile=maybe", "compile is maybe; use true or false"),
        ("sample_rate=fast", "sample_rate: 'fast' is no sample rate; write 44100 or 44.1k"),
        ("discriminator_n_ffts=66", "a whole number, 32 or more samples, a multiple of 4"),
        ("max_steps=0", "max_steps is 0; use a whole number, 1 or more, or none"),
        ("lr_scaling=sqr", "unknown lr_scaling 'sqr'; did you mean 'sqrt'"),
        ("mr_stftt=1", "unknown key 'mr_stftt'; did you mean 'mr_stft'"),
    ],
)
def test_what_does_not_fit_is_refused_with_what_would(typed: str, says: str) -> None:
    with pytest.raises(UserError, match=says):
        override(RunConfig(), parse_settings([typed]))


def test_a_section_refuses_by_itself_what_is_out_of_range() -> None:
    with pytest.raises(UserError, match="unknown split 'notes'; did you mean 'note'"):
        DataConfig(split="notes")  # type: ignore[arg-type]
    with pytest.raises(UserError, match="neither max_time_s nor max_steps"):
        TrainConfig(max_time_s=None)


def test_every_setting_is_documented_and_has_a_short_name_of_its_own() -> None:
    for section, kind in SECTIONS.items():
        assert set(docs_of(kind)) >= set(types_of(kind)), section
    assert len(known_keys()) == 2 * sum(len(types_of(kind)) for kind in SECTIONS.values())
    assert not set(OLD_NAMES) & set(known_keys())


def test_all_settings_are_listed(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        parse(["--help-settings"])
    listed = capsys.readouterr().out
    for kind in SECTIONS.values():
        for name in types_of(kind):
            assert f"  {name} = " in listed
    assert "  latent_dim = 8  (a whole number, 1 or more)\n" in listed  # of the preset


def test_settings_are_listed_by_part_of_a_name(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        parse(["--preset", "codec", "--help-settings", "gain_"])
    names = [line.split()[0] for line in capsys.readouterr().out.splitlines() if " = " in line]
    assert names == ["gain_db", "encoder_gain_db"]
    with pytest.raises(UserError, match="contains 'ptich'; did you mean 'pitch'"):
        parse(["--help-settings", "ptich"])


OLD = """\
model: {family: codec, latent_dim: 8, bottleneck: ae}
data: {resident: never, tied_semitones: 3.0, tied_gain_db: 2.0}
objective: {hop_evenness: 0.5, evenness: 0.1}
adversarial: {adversarial_from: 0.25, discriminator_rate: 1.0e-3}
train: {rate_rule: linear, start: random, trunk_rate: 0.5, code_rate: 0.1, max_steps: 3}
reference: {spectrogram: stft, told: both, rate_schedule: plateau}
run: {preset: light}
"""


def test_old_names_are_read(tmp_path: Path) -> None:
    """From config.yaml, a checkpoint's tree and --config."""
    config = from_tree(yaml.safe_load(OLD))
    assert (config.data.cache_on_device, config.data.encoder_pitch_shift) == ("never", 3.0)
    assert (config.data.encoder_gain_db, config.train.init, config.train.lr_scaling) == (
        2.0,
        "random",
        "linear",
    )
    assert (config.objective.hop_modulation_loss, config.objective.codebook_entropy_weight) == (0.5, 0.1)
    assert (config.train.linear_init_lr_scale, config.train.pre_quantizer_lr_scale) == (0.5, 0.1)
    assert config.adversarial.adversarial_start == 0.25
    assert config.adversarial.discriminator_learning_rate == 1e-3
    assert (config.study.spectrogram, config.study.labels_to) == ("stft", "both")
    assert config.study.lr_schedule == "plateau"
    assert from_tree(to_tree(config)) == config
    (tmp_path / "old.yaml").write_text(OLD)
    study = resolve(parse(["--preset", "study-d", "--config", str(tmp_path / "old.yaml")])).study
    assert (study.labels_to, study.lr_schedule) == ("both", "plateau")


def test_old_names_can_be_typed_and_varied() -> None:
    config = resolve(parse(["--preset", "codec", "--set", "resident=never", "--set", "train.start=random"]))
    assert (config.data.cache_on_device, config.train.init) == ("never", "random")
    space = parse_space({"space": {"tied_semitones": {"low": 0, "high": 4}}}, Path("mine.yaml"))
    assert space.settings({"tied_semitones": 2.0}) == {"data.encoder_pitch_shift": 2.0}
    with pytest.raises(UserError, match="given twice"):
        parse_space(
            {"fixed": {"resident": "auto"}, "space": {"cache_on_device": ["auto"]}}, Path("mine.yaml")
        )


@pytest.mark.parametrize("preset", preset_names())
def test_presets_are_written_with_the_names_of_today(preset: str) -> None:
    tree = yaml.safe_load((PRESETS / f"{preset}.yaml").read_text())
    tree.pop("extends", None)
    assert not set(OLD_NAMES) & {*tree, *(name for section in tree.values() for name in section)}
