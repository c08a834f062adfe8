"""From the name of a bottleneck in a configuration to its class. The names are in `wavevae.model_config`."""

from __future__ import annotations

from importlib import import_module

from wavevae.model_config import BOTTLENECKS, ModelConfig
from wavevae.nn.bottlenecks.base import Bottleneck


def bottleneck_class(name: str) -> type[Bottleneck]:
    """Raises: KeyError for a name that no configuration lets through."""
    module, class_name = BOTTLENECKS[name].split(".")
    found: type[Bottleneck] = getattr(import_module(f"wavevae.nn.bottlenecks.{module}"), class_name)
    return found


def make_bottleneck(config: ModelConfig) -> Bottleneck:
    """Untrained, of the sizes that the configuration gives."""
    return bottleneck_class(config.bottleneck).from_config(config)


def codebook_sizes(config: ModelConfig) -> tuple[int, ...]:
    """Of each codebook; empty for a model without codes."""
    return bottleneck_class(config.bottleneck).codebook_sizes(config)
