"""wavevae: a folder of sounds becomes a neural instrument that is played live."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from wavevae.checkpoint import load_model as load

__all__ = ["load"]


def __getattr__(name: str) -> Any:
    """`wavevae.load` on first use, so that `import wavevae` does not import torch."""
    if name == "load":
        from wavevae.checkpoint import load_model

        return load_model
    raise AttributeError(name)
