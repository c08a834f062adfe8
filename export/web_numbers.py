"""What the page's synthesiser reads of a loaded MODEL.ts: plain values, and arrays in one row of bytes.

Names are those of the module's state; export/page/decoder.js, synthesis.js and prior.js take them by these names.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from wavevae.bundle import Bundle

Arrays = dict[str, NDArray[Any]]
SHORTENED = 2048
"""Values of a matrix, from which on it is kept in fewer bits."""
BITS, PRIOR_BITS = 15, 20
"""Of a weight. What a performer draws leads to what it draws next, so that its errors grow."""
ALIGNMENT = 8
"""Bytes."""
LIMITS = ("lowest", "highest", "low", "high", "middle", "size", "life.spread", "class_bias.classes")
OF_NOTES = ("legato_frames", "width")
OF_PERFORMER = ("smallest", "largest", "rarest", "settled", "drift_rate")
OF_IMPROVISER = (
    *("shortest_rest", "longest_rest", "key_width", "leap_width", "length_width", "narrowest"),
    *("level_jitter", "length_jitter"),
)


def decoder_of(bundle: Bundle) -> tuple[dict[str, Any], Arrays]:
    """Plain values and arrays of the decoder; and of the prior, under "prior", where the file has one."""
    module: Any = bundle.module
    state = {name: value.numpy() for name, value in module.state_dict().items()}
    decoder = {n.removeprefix("decoder."): v for n, v in state.items() if n.startswith("decoder.")}
    sines = decoder.get("synthesis.wavetable.sines", np.zeros((0, 0), np.float32))
    arrays = {"offset": state["offset"], "factor": state["factor"]}
    for name, values in decoder.items():
        shares = name.startswith("synthesis.shares.") and values.size > 1
        if name in (*LIMITS, "synthesis.tents") or ".product." in name or shares:
            arrays[name] = values
    arrays |= noise_bands(decoder["synthesis.noise.shares"])
    arrays["wavetable.phases"] = phases(sines)
    for name in ("frequency", "offset"):
        if f"synthesis.carriers.offline.{name}" in decoder:
            arrays[f"carriers.{name}"] = decoder[f"synthesis.carriers.offline.{name}"]
    numbers = {name: float(v[0]) for name, v in decoder.items() if v.shape == (1,)}
    plain = {
        "rate": bundle.info.sample_rate,
        "hop": bundle.info.hop_length,
        "loudnessAt": int(module.decoder.loudness_at),
        "quietest": float(module.decoder.synthesis.quietest),
        "dilations": [int(unit.dilated.dilation) for unit in module.decoder.core.layers.children()],
        "tableLength": sines.shape[1],
        "sizes": sizes(module.decoder.synthesis.shares, decoder),
        "numbers": {
            **numbers,
            **{f"life.{n}": float(getattr(module.decoder.life, n)) for n in ("slow", "fast")},
        },
    }
    if hasattr(module, "plays"):
        plain["prior"], prior = prior_of(module, state)
        arrays |= {f"prior.{name}": values for name, values in prior.items()}
    return plain, arrays


def sizes(shares: Any, decoder: Arrays) -> dict[str, int]:
    """Of the network's layers and of what its output is made of."""
    names = ("partials", "envelope", "noise", "carriers", "curve")
    inputs, channels = decoder["outlet.product.weight"].shape
    latents = len(decoder["lowest"])
    parts = {name: int(getattr(shares, name)) for name in names}
    return {**parts, "latents": latents, "width": inputs - latents, "channels": channels}


def noise_bands(shares: NDArray[np.float32]) -> Arrays:
    """(bands, bins) of triangles -> for every bin the first of its two neighbouring bands, and its share in each."""
    first = np.array([min(int(c.argmax()), len(shares) - 2) for c in (shares > 0).T], np.int32)
    bins = np.arange(shares.shape[1])
    return {"noise.band": first, "noise.low": shares[first, bins], "noise.high": shares[first + 1, bins]}


def phases(sines: NDArray[np.float32]) -> NDArray[np.float64]:
    """(partials, points) of one period each -> where they begin, in turns."""
    if not len(sines):
        return np.zeros(0)
    spectrum = np.fft.rfft(sines.astype(np.float64), axis=1)[np.arange(len(sines)), 1 + np.arange(len(sines))]
    return np.angle(spectrum) / (2 * np.pi) + 0.25


def prior_of(module: Any, state: Arrays) -> tuple[dict[str, Any], Arrays]:
    """Plain values and arrays of performer and improviser."""
    plays = module.plays
    performer, features, improviser = plays.performer, plays.performer.features, plays.improviser
    own = {n.removeprefix("plays."): v for n, v in state.items() if n.startswith("plays.")}
    arrays = {n.removeprefix("performer."): v for n, v in own.items() if n.startswith("performer.")}
    cell = {kind: f"cell.{{}}_{kind}_l0" for kind in ("ih", "hh")}
    arrays = {
        **{n: v for n, v in arrays.items() if not n.startswith(("cell.", "outlet."))},
        "notes": own["improviser.notes"],
    }
    for name, kind in (("input", "ih"), ("hidden", "hh")):
        arrays[f"{name}.weight"] = own["performer." + cell[kind].format("weight")].T
        arrays[f"{name}.bias"] = own["performer." + cell[kind].format("bias")]
    arrays["outlet.weight"], arrays["outlet.bias"] = (
        own["performer.outlet.weight"].T,
        own["performer.outlet.bias"],
    )
    counts = ("latents", "width", "components")
    numbers = {f"features.{n}": float(getattr(features, n)) for n in OF_NOTES}
    return {
        "loudest": float(plays.loudest),
        "softest": float(plays.softest),
        "seedOfRow": float(module.seed_of_row),
        "meanwhile": float(features.meanwhile),
        "sizes": {
            **{n: int(getattr(performer, n)) for n in counts},
            **{n: int(getattr(features, n)) for n in ("classes", "timbres")},
            "count": arrays["input.weight"].shape[0] - int(performer.latents),
            "pitched": bool(performer.pitched),
        },
        "numbers": {**numbers, **{n: float(getattr(performer, n)) for n in OF_PERFORMER}},
        "improviser": {
            "columns": arrays["notes"].shape[1],
            **{n: float(getattr(improviser, n)) for n in OF_IMPROVISER},
        },
    }, arrays


def packed(arrays: Arrays) -> tuple[list[list[Any]], bytes]:
    """-> [name, kind, place in bytes, values] of each, and the bytes. Large matrices are whole numbers of few bits
    and a scale for every column: at 15 bits half the error of half-precision floats, whose exponents help no weight."""
    layout: list[list[Any]] = []
    made = bytearray()

    def put(name: str, kind: str, count: int, content: bytes) -> None:
        made.extend(bytes(-len(made) % ALIGNMENT))
        layout.append([name, kind, len(made), count])
        made.extend(content)

    for name, values in arrays.items():
        bits = bits_of(name, values)
        kind = {"f": "f4", "d": "f8", "l": "i4", "i": "i4"}[values.dtype.char]
        if bits:
            scale = column_scale(values, bits)
            put(name, f"q{bits}", values.size, shortened(values, scale, bits))
            name, kind, values = f"{name}.scale", "f4", scale
        put(name, kind, values.size, np.ascontiguousarray(values).astype(f"<{kind}").tobytes())
    return layout, bytes(made)


def bits_of(name: str, values: NDArray[Any]) -> int:
    """Of a value of an array that is kept in whole numbers; 0 for another."""
    if not name.endswith("weight") or values.size < SHORTENED:
        return 0
    return PRIOR_BITS if name.startswith("prior.") else BITS


def column_scale(weight: NDArray[np.float32], bits: int) -> NDArray[np.float32]:
    """(inputs, outputs) -> (outputs,)."""
    return np.maximum(np.abs(weight).max(0) / (2 ** (bits - 1) - 1), 1e-30).astype(np.float32)


def shortened(weight: NDArray[np.float32], scale: NDArray[np.float32], bits: int) -> bytes:
    """Whole numbers of so many bits in a row, the lowest bit first, half of their range added."""
    whole = np.rint(weight / scale).astype(np.int32).ravel() + 2 ** (bits - 1)
    digits = (whole[:, None] >> np.arange(bits)).astype(np.uint8) & 1
    return np.packbits(digits, bitorder="little").tobytes() + bytes(4)


def rounded(weight: NDArray[np.float32], bits: int) -> NDArray[np.float32]:
    """A matrix as the page plays it."""
    scale = column_scale(weight, bits)
    return np.rint(weight / scale).astype(np.float32) * scale
