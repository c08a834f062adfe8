"""Run by path in a process of its own: load a MODEL.ts with torch alone and compare it with reference tensors.

    python -I verify_subprocess.py MODEL.ts REFERENCE.pt      prints one JSON object

REFERENCE.pt holds a list; each has `attributes` to set, `audio` (B, 1, T) and what the offline model makes of it:
`latents` (B, D, F), `resynthesis` (B, 1, T), `sound` (B, 1, T, decoded from `latents`), `scale` (D,) by which latents
are weighed, `sure_latents` (B, 1, F) and `sure_sound` (B, 1, T), 0 where a difference does not count, `hop_length`;
of a quantizer `codes` (B, N, F) and `codes_scale` (N,), by which they are weighed.
"""

import io
import json
import sys
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

BLOCKS = ("1", "2", "3", "7", "64", "mixed")
"""Frames a call; mixed is a seeded draw of 1 to 9."""


def sizes(block: str, frames: int) -> list[int]:
    """The calls that make up `frames` frames."""
    if block != "mixed":
        whole, rest = divmod(frames, int(block))
        return [int(block)] * whole + [rest] * (rest > 0)
    found: list[int] = []
    draws = torch.randint(1, 10, (frames,), generator=torch.Generator().manual_seed(1)).tolist()
    while sum(found) < frames:
        found.append(min(draws[len(found)], frames - sum(found)))
    return found


def stream(method: Callable[[Tensor], Tensor], x: Tensor, calls: list[int], step: int) -> Tensor:
    """Feed x (B, C, frames * step) in calls of so many frames; everything that came out, joined in time."""
    return torch.cat([method(part) for part in x.split([n * step for n in calls], dim=-1)], dim=-1)


def contract(module: torch.jit.ScriptModule, latent_dim: int, hop_length: int, codes: int = 0) -> None:
    """What hosts rely on; `codes`: channels of a quantizer's methods. Raises: AssertionError."""
    wanted = {
        "encode": [1, 1, latent_dim, hop_length],
        "decode": [latent_dim, hop_length, 1, 1],
        "forward": [1, 1, 1, 1],
    }
    if codes:
        wanted |= {"encode_codes": [1, 1, codes, hop_length], "decode_codes": [codes, hop_length, 1, 1]}
    methods = list(module.get_methods())
    assert methods[: len(wanted)] == list(wanted), methods
    for name in methods:  # those after the wanted are a family's own
        found = getattr(module, f"{name}_params")
        assert found.dtype == torch.int64, f"{name}_params are {found.dtype}"
        assert found.tolist() == wanted.get(name, found.tolist()), f"{name}_params are {found.tolist()}"
        assert found.numel() == 4, f"{name}_params are {found.tolist()}"
    for name in module.get_attributes():
        values = getattr(module, f"get_{name}")()
        assert len(values) == len(getattr(module, f"{name}_params"))
        assert getattr(module, f"set_{name}")(*values) == 0
    assert not any(p.requires_grad for p in module.parameters())


def measure(module: torch.jit.ScriptModule, reference: dict[str, Any]) -> dict[str, dict[str, float]]:
    """Largest difference by method and block size; the state is cleared before each."""
    audio, latents, scale = reference["audio"], reference["latents"], reference["scale"][:, None]
    hop = int(reference["hop_length"])
    attributes: dict[str, float] = reference["attributes"]
    for name, value in attributes.items():
        assert getattr(module, f"set_{name}")(value) == 0, f"{name} cannot be set to {value}"
    under = "".join(f", {name} {value:g}" for name, value in attributes.items())
    errors: dict[str, dict[str, float]] = {}

    def compare(method: str, block: str, x: Tensor, step: int, expected: Tensor, weight: Tensor) -> None:
        module.reset()
        found = stream(getattr(module, method), x, sizes(block, latents.shape[-1]), step)
        errors.setdefault(method + under, {})[block] = ((found - expected) * weight).abs().max().item()

    for block in BLOCKS:
        compare("encode", block, audio, hop, latents, scale * reference["sure_latents"])
        compare("decode", block, latents, 1, reference["sound"], torch.ones(()))
        compare("forward", block, audio, hop, reference["resynthesis"], reference["sure_sound"])
        if "codes" in reference:
            codes, weight = reference["codes"], reference["codes_scale"][:, None] * reference["sure_latents"]
            compare("encode_codes", block, audio, hop, codes, weight)
            compare("decode_codes", block, codes, 1, reference["sound"], torch.ones(()))
    return errors


def main(model: str, reference_file: str) -> None:
    torch.set_num_threads(1)
    references = torch.load(reference_file, weights_only=True)
    try:
        model.encode("utf-8")
    except UnicodeEncodeError:  # torch opens files by names in UTF-8 only
        with open(model, "rb") as file:
            module = torch.jit.load(io.BytesIO(file.read())).eval()
    else:
        module = torch.jit.load(model).eval()
    assert "wavevae" not in sys.modules
    codes = references[0]["codes"].shape[1] if "codes" in references[0] else 0
    contract(module, references[0]["latents"].shape[1], int(references[0]["hop_length"]), codes)
    errors: dict[str, dict[str, float]] = {}
    with torch.inference_mode():
        for reference in references:
            errors |= measure(module, reference)
    print(json.dumps(errors))


if __name__ == "__main__":
    main(*sys.argv[1:])
