"""How far back a network hears: arithmetic over its layers, no audio needed."""

from __future__ import annotations

from torch import nn

from wavevae.nn.blocks import ResidualUnit
from wavevae.nn.bottlenecks.base import Bottleneck
from wavevae.nn.conv import CausalConv1d, Downsample, Upsample
from wavevae.nn.instrument import InstrumentDecoder
from wavevae.nn.networks import Decoder, Encoder
from wavevae.nn.noise import NoiseGate


def first_input(layer: nn.Module, frame: int) -> int:
    """The first input frame on which output frame `frame` of a layer or network depends.

    An Encoder's input frames are samples; a Decoder's output frames are of its outer rate (`fold` samples),
    an InstrumentDecoder's are hops.
    Raises: TypeError for a layer that it does not know.
    """
    match layer:
        case CausalConv1d():
            return frame - layer.past
        case Downsample():
            return frame * layer.ratio - layer.past
        case Upsample():
            return frame // layer.ratio - layer.past
        case ResidualUnit():
            return first_input_of((layer.dilated, layer.pointwise), frame)
        case NoiseGate():
            return first_input_of((layer.gate, layer.mix), frame)
        case Bottleneck():
            return layer.first_input(frame)
        case nn.Sequential() | nn.ModuleList():
            return first_input_of(tuple(layer), frame)
        case Encoder():
            deep = first_input_of((layer.core, layer.outlet), frame)
            first = first_input_of((layer.inlet, layer.stages), deep) * layer.fold
            return first if layer.partials is None else min(first, (deep - 1) * layer.partials.hop_length)
        case Decoder():
            gated = frame if layer.noise is None else first_input(layer.noise, frame)
            last = min(first_input(layer.outlet, frame), first_input(layer.outlet, gated))
            deep = first_input(layer.stages, last)
            if layer.partials is not None:  # amplitudes come from the hop before
                deep = min(deep, frame * layer.fold // layer.partials.hop_length - 1)
            return first_input_of((layer.inlet, layer.core), deep)
        case InstrumentDecoder():  # a hop begins where the frame before was reached
            return first_input_of((layer.inlet, layer.core, layer.outlet), frame - 1)
    raise TypeError(
        f"{type(layer).__name__} is not known to wavevae/nn/receptive_field.py; say there how far back it hears"
    )


def first_input_of(layers: tuple[nn.Module, ...], frame: int) -> int:
    """The same of layers called one after the other."""
    for layer in reversed(layers):
        frame = first_input(layer, frame)
    return frame


def receptive_field_samples(
    encoder: Encoder, bottleneck: Bottleneck, decoder: Decoder, hop_length: int
) -> int:
    """Samples that a resynthesised hop depends on, counted back from the hop's own end: the most that any hop needs.

    The hop's first sample hears furthest back. Where latents are held over a group, the group's last hop does.
    """
    outer = hop_length // encoder.fold
    hops = range(bottleneck.every)
    return max(
        (hop + 1) * hop_length - first_input_of((encoder, bottleneck, decoder), hop * outer) for hop in hops
    )
