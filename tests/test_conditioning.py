"""Labels: what they change, that none is a label too, and what is refused."""

import pytest
import torch
import toy_model

from wavevae.config import ModelConfig
from wavevae.errors import UserError
from wavevae.nn.conditioning import Condition, FiLM, LabelEmbedding, PitchEmbedding, one_hot, unlabelled
from wavevae.nn.model import Autoencoder

CLASSES = ("bass", "flute", "organ")


def shape(condition: str) -> ModelConfig:
    classes = CLASSES if "class" in condition else ()
    return ModelConfig(
        widths=(8, 12, 16), latent_dim=6, noise_bands=2, dilations=(1, 3), condition=condition, classes=classes,
        partials=8,
    )  # fmt: skip


def listening(condition: str) -> Autoencoder:
    """A model whose FiLM layers are no longer the identity."""
    model = toy_model.make(shape(condition))
    with torch.no_grad():
        for module in model.modules():
            if isinstance(module, FiLM):
                module.affine.weight.normal_(0, 0.5)
    return model


def test_film_starts_as_the_identity_and_then_acts() -> None:
    film, h, label = FiLM(5), torch.randn(2, 5, 9), torch.randn(2, 64)
    assert torch.equal(film(h, label), h)
    torch.nn.init.normal_(film.affine.weight)
    changed = film(h, label)
    assert not torch.allclose(changed, h, atol=0.1)
    ratio = (changed[..., 1:] - changed[..., :-1]) / (h[..., 1:] - h[..., :-1])
    torch.testing.assert_close(
        ratio, ratio[..., :1].expand_as(ratio), rtol=1e-2, atol=1e-2
    )  # one gain a channel


@pytest.mark.parametrize("condition", ["class", "pitch", "class+pitch"])
def test_labels_change_the_sound_and_the_latents(condition: str) -> None:
    model, x = listening(condition), toy_model.sound(2048)
    kinds = [k for k in ("class_name", "pitch") if k.split("_")[0] in condition]
    values = {"class_name": ("bass", "organ"), "pitch": (50.0, 61.0)}
    for kind in kinds:
        one, other = (model.condition(**{kind: value}) for value in values[kind])  # type: ignore[arg-type]
        with torch.inference_mode():
            z = model.encode(x, condition=one)
            assert not torch.allclose(z, model.encode(x, condition=other), atol=1e-4)
            assert not torch.allclose(
                model.decode(z, condition=one), model.decode(z, condition=other), atol=1e-4
            )
            assert not torch.allclose(model.decode(z, condition=one), model.decode(z), atol=1e-4)


def test_no_label_is_what_is_told_when_nothing_is() -> None:
    model, x = listening("class+pitch"), toy_model.sound(2048, voices=2)
    with torch.inference_mode():
        assert torch.equal(model(x), model(x, unlabelled(2, model.config)))
        assert torch.equal(model(x), model(x, model.condition(batch=2)))


def test_an_unconditional_model_has_nothing_of_it() -> None:
    names = [name for name, _ in Autoencoder(shape("none")).named_parameters()]
    assert not [n for n in names if "conditioning" in n or "partials" in n]
    assert Autoencoder(shape("none")).condition() is None
    x, model = toy_model.sound(1024), toy_model.make(shape("none"))
    with torch.inference_mode():
        assert torch.equal(model(x), model(x, Condition(torch.zeros(1, 0), torch.tensor([60.0]))))


def test_each_item_has_its_own_label() -> None:
    model, x = listening("class+pitch"), toy_model.sound(2048, voices=2)
    condition = Condition(one_hot(torch.tensor([0, -1]), 3), torch.tensor([55.0, torch.nan]))
    with torch.inference_mode():
        together = model(x, condition)
        first = model(x[:1], model.condition("bass", 55.0))
        second = model(x[1:])
    torch.testing.assert_close(together[:1], first, rtol=0, atol=1e-5)
    torch.testing.assert_close(together[1:], second, rtol=0, atol=1e-5)


def test_a_mix_of_classes_lies_between_them() -> None:
    embedding = LabelEmbedding(shape("class"))
    none = torch.tensor([torch.nan])
    one, other, mix = (
        embedding(Condition(torch.tensor([w]), none))
        for w in ([1.0, 0.0, 0.0], [0.0, 1.0, 0.0], [0.25, 0.75, 0.0])
    )
    torch.testing.assert_close(mix, 0.25 * one + 0.75 * other)


def test_neighbouring_pitches_are_alike_and_octaves_more_than_tritones() -> None:
    embedding = PitchEmbedding()
    torch.nn.init.normal_(embedding.table, std=0.1)
    with torch.no_grad():
        at = embedding(torch.tensor([60.0, 60.01, 60.5, 61.0, 66.0, 72.0]))
    apart = (at[1:] - at[:1]).norm(dim=1)
    assert apart[0] < 0.05 * apart[2]
    assert apart[0] < apart[1] < apart[2]


def test_class_numbers_become_weights() -> None:
    assert one_hot(torch.tensor([1, -1]), 3).tolist() == [[0, 1, 0], [0, 0, 0]]


@pytest.mark.parametrize(
    ("condition", "labels", "says"),
    [
        ("none", {"class_name": "bass"}, "class 'bass' given, but the model is not told classes"),
        ("none", {"pitch": 60.0}, "pitch 60 given, but the model is not told pitches"),
        ("class", {"pitch": 60.0}, "not told pitches"),
        ("pitch", {"class_name": "bass"}, "not told classes"),
        ("class", {"class_name": "flutte"}, "unknown class 'flutte'; did you mean 'flute'"),
        ("pitch", {"pitch": 128.0}, "pitch is 128; use a MIDI pitch from 0 to 127"),
        ("pitch", {"pitch": float("nan")}, "pitch is nan; use a MIDI pitch"),
    ],
)
def test_labels_that_cannot_be_are_refused(condition: str, labels: dict, says: str) -> None:
    with pytest.raises(UserError, match=says.replace("(", r"\(")):
        Autoencoder(shape(condition)).condition(**labels)
