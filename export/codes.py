"""Methods of files with codebooks: sound to codes and back, for programs that model or store tokens.

    encode_codes   audio (B, 1, T) -> (B, codebooks, F), whole numbers as floats, as signals are
    decode_codes   the reverse; numbers are rounded and cut to the codebook

They share the state of encode and decode, and decode_codes(encode_codes(x)) is forward(x) to the last bit. An
instrument's controls (pitch, loudness, periodicity) are not coded: they go first, in natural units. Its `transpose`
acts on them; `fit`, which moves learned latents, does not act on codes.

No `from __future__ import annotations` here: TorchScript reads the annotations.
"""

# mypy: disable-error-code="operator, union-attr, arg-type, misc, attr-defined, call-overload, index, has-type"
# (what a host module has is not known to what is mixed into it)

from typing import Any

import torch
from torch import Tensor, nn

from wavevae.nn.bottlenecks.codebook import Codebook

from .layers import from_rows, to_rows
from .torchscript import HostModule, conform

LARGEST = 1e6
"""What a signal of codes is cut to before it is cut to the codebook."""


class CodeMethods(nn.Module):
    """What both families have; to be put before a host module in its bases."""

    def __init__(self, *arguments: Any, **named: Any) -> None:
        super().__init__(*arguments, **named)
        host: Any = self
        books: list[Codebook] = host.bottleneck.quantizer.codebooks()
        self.codebook_size = books[0].size
        self.uncoded: int = getattr(host, "controls", 0)
        self.code_channels, self.code_limit = self.uncoded + len(books), LARGEST
        names = [f"code {n + 1} (0 to {self.codebook_size - 1})" for n in range(len(books))]
        labels = [*host.decode_input_labels[: self.uncoded], *names]
        for method, params, inputs, outputs in (
            ("encode_codes", [1, 1, self.code_channels, host.hop_length], host.encode_input_labels, labels),
            ("decode_codes", [self.code_channels, host.hop_length, 1, 1], labels, host.decode_output_labels),
        ):
            self.register_buffer(f"{method}_params", torch.tensor(params))
            setattr(self, f"{method}_input_labels", list(inputs))
            setattr(self, f"{method}_output_labels", list(outputs))

    def hear_codes(self, x: Tensor) -> Tensor:
        """Audio (B, 1, T) -> (B, code_channels, F)."""
        raise AssertionError("a family says how it hears")

    def axes_of_codes(self, codes: Tensor) -> Tensor:
        """(B, code_channels, F), whole numbers within the codebook -> axes as `speak` takes them."""
        raise AssertionError("a family says what its codes stand for")

    @torch.jit.export
    def get_methods(self) -> list[str]:
        return ["encode", "decode", "forward", "encode_codes", "decode_codes"]

    @torch.jit.export
    def encode_codes(self, x: Tensor) -> Tensor:
        """Audio (B, 1, T) -> codes (B, code_channels, ceil(T / hop_length))."""
        x = conform(x, 1, self.hop_length, self.audio_limit)
        if x.numel() == 0:
            return x.new_zeros([x.size(0), self.code_channels, 0])
        voices = x.size(0)
        if voices != self.encoder_voices:
            self.encoder_voices = voices
            self.start_encoder(voices)
        return self.hear_codes(x).to(torch.float32).contiguous()

    @torch.jit.export
    def decode_codes(self, codes: Tensor) -> Tensor:
        """Codes (B, code_channels, F) -> audio (B, 1, F * hop_length)."""
        codes = conform(codes, self.code_channels, 1, self.code_limit)
        if codes.numel() == 0:
            return codes.new_zeros([codes.size(0), 1, 0])
        coded = torch.round(codes[:, self.uncoded :]).clamp(0.0, float(self.codebook_size - 1))
        return self._speak(self.axes_of_codes(torch.cat([codes[:, : self.uncoded], coded], 1)), codes.size(0))


class CodecCodes(CodeMethods):
    """Of a codec."""

    def hear_codes(self, x: Tensor) -> Tensor:
        rows = self.encoder(self.layout(x.reshape(x.size(0), -1, self.fold)))
        return self.layout.back(self.bottleneck.codes(rows), x.size(0)).transpose(1, 2)

    def axes_of_codes(self, codes: Tensor) -> Tensor:
        return self.to_axes(self.bottleneck.from_codes(self.layout(codes.transpose(1, 2))))


class InstrumentCodes(CodeMethods):
    """Of an instrument."""

    def hear_codes(self, x: Tensor) -> Tensor:
        controls, rows = self.encoder(x[:, 0])
        codes = from_rows(self.bottleneck.codes(rows), x.size(0)).transpose(1, 2)
        if self.pitched and self.transpose != 0.0:
            controls = torch.cat([controls[:, :1] + self.transpose, controls[:, 1:]], 1)
        return torch.cat([controls, codes.to(controls.dtype)], 1)

    def axes_of_codes(self, codes: Tensor) -> Tensor:
        rows = self.bottleneck.from_codes(to_rows(codes[:, self.uncoded :].transpose(1, 2)))
        learned = from_rows(self.to_axes(rows), codes.size(0)).transpose(1, 2)
        return torch.cat([codes[:, : self.uncoded], learned], 1)


def with_codes(methods: type[CodeMethods], kind: type[HostModule]) -> type[HostModule]:
    """A kind of module that has the methods as well."""
    return type(f"{kind.__name__}OfCodes", (methods, kind), {})
