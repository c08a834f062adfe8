"""What the first bytes of a sound file say: its kind, and whether its header claims less sound than there is.

A recorder that crashes leaves a header written at the start: it claims 0 samples, or those of the last time it was
updated. libsndfile believes it. `repair` finds the sizes that would be right, and `RepairedFile` is the file with them.
"""

from __future__ import annotations

import io
import os
import struct
from pathlib import Path
from typing import Any, NamedTuple

CONVERT = "needs ffmpeg: convert it to WAV or FLAC"
UNREADABLE_SUFFIXES = {
    **dict.fromkeys((".m4a", ".m4b", ".mp4", ".mov"), "MPEG-4"),
    **dict.fromkeys((".webm", ".mka", ".mkv"), "Matroska"),
    **{".aac": "AAC", ".wma": "Windows Media", ".ac3": "AC-3", ".amr": "AMR"},
    **{".wv": "WavPack", ".tta": "True Audio", ".ape": "Monkey's Audio", ".mpc": "Musepack", ".tak": "TAK"},
    **{".ofr": "OptimFROG", ".dsf": "DSD", ".dff": "DSD", ".ra": "RealAudio", ".rm": "RealAudio"},
}
"""Sounds that libsndfile does not read, and what they are."""
MAGIC = (
    *(
        (4, b"ftyp", "MPEG-4"),
        (0, b"\x1aE\xdf\xa3", "Matroska"),
        (0, b"0&\xb2u\x8ef\xcf\x11", "Windows Media"),
    ),
    *((0, b"wvpk", "WavPack"), (0, b"TTA1", "True Audio"), (0, b"TTA2", "True Audio"), (0, b"tBaK", "TAK")),
    *((0, b"MAC ", "Monkey's Audio"), (0, b"MPCK", "Musepack"), (0, b"MP+", "Musepack")),
    *((0, b"OFR ", "OptimFROG"), (0, b"DSD ", "DSD"), (0, b"FRM8", "DSD"), (0, b"#!AMR", "AMR")),
    *((0, b".RMF", "RealAudio"), (0, b".ra\xfd", "RealAudio"), (0, b"ADIF", "AAC"), (0, b"\x0bw", "AC-3")),
)
"""(offset, bytes, what it is) of the same sounds."""
SMALLEST_GAIN_S = 0.1
"""Sound beyond what the header claims that is worth having; less may be padding."""
PAIR_LIMIT = 0xFFFF_FFFF
FLAC_TAIL_BYTES = 1 << 17
"""Looked at where the header does not say how long its frames are at most; else four of these."""
FLAC_BLOCKS = {
    1: 192,
    **{n: 576 << (n - 2) for n in range(2, 6)},
    **{n: 256 << (n - 8) for n in range(8, 16)},
}


def unreadable_kind(path: Path) -> str:
    """'WavPack' and the like by the first bytes, whatever the name; '' for what may be readable. Raises: OSError."""
    with open(path, "rb") as file:
        head = file.read(16)
    named = [name for offset, magic, name in MAGIC if head[offset:].startswith(magic)]
    if not named and len(head) > 1 and head[0] == 0xFF and head[1] & 0xF6 == 0xF0:
        return "AAC"  # ADTS: a frame's sync word with layer 0, which MPEG audio has not
    return named[0] if named else ""


class Repair(NamedTuple):
    """What to write over the header in memory."""

    patches: tuple[tuple[int, bytes], ...]
    """(offset, bytes)."""
    claimed_bytes: int
    """Of sound, by the header."""
    there_bytes: int
    """Of sound, in the file."""

    def claimed(self, frames: int) -> int:
        """How many of the frames that are there the header claims."""
        return frames * self.claimed_bytes // max(1, self.there_bytes)


def repair(path: Path) -> Repair | None:
    """How to read all of a WAV, RF64, AIFF, AU, CAF or FLAC file whose header claims too little; else none.

    Raises: OSError.
    """
    with open(path, "rb") as file:
        size = os.fstat(file.fileno()).st_size
        head = file.read(12)
        if head[:4] == b".snd" and len(head) == 12:
            offset, claimed = struct.unpack(">II", head[4:])
            return None if claimed == PAIR_LIMIT else _au(file, offset, claimed, size)
        if head[:4] in (b"RIFF", b"RF64") and head[8:] == b"WAVE":
            return _chunks(file, size, "<", b"data", _wav_bytes_a_second)
        if head[:4] == b"FORM" and head[8:] in (b"AIFF", b"AIFC"):
            return _chunks(file, size, ">", b"SSND", _aiff_bytes_a_second)
        if head[:4] == b"caff":
            return _caf(file, size)
        if head[:4] == b"fLaC":
            return _flac(file, size)
    return None


def _au(file: Any, offset: int, claimed: int, size: int) -> Repair | None:
    there = size - offset
    rate, channels = struct.unpack(">II", file.read(12)[4:])
    if there - claimed < SMALLEST_GAIN_S * rate * channels:
        return None
    return Repair(((8, struct.pack(">I", min(there, PAIR_LIMIT))),), claimed, there)


def _wav_bytes_a_second(form: bytes) -> float:
    return float(struct.unpack("<I", form[8:12])[0])


def _aiff_bytes_a_second(common: bytes) -> float:
    channels, _, bits, exponent, mantissa = struct.unpack(">hIhHQ", common[:18])
    return channels * bits / 8 * mantissa * 2.0 ** (exponent - 16383 - 63)


def _chunks(file: Any, size: int, order: str, wanted: bytes, bytes_a_second: Any) -> Repair | None:
    """Walk the chunks of a RIFF or FORM file up to the sound, and look at what follows it."""
    place, rate, wide = 12, 0.0, None
    common: tuple[int, bytes] | None = None
    while place + 8 <= size:
        file.seek(place)
        name, claimed = struct.unpack(f"{order}4sI", file.read(8))
        body = place + 8
        if name == wanted:
            if wide is not None:
                claimed = wide[1]
            elif claimed == PAIR_LIMIT:
                return None  # length unknown: libsndfile reads to the end
            there = size - body
            if there - claimed < SMALLEST_GAIN_S * rate or rate <= 0:
                return None
            if claimed and _is_chunk(file, body + claimed + claimed % 2, size, f"{order}4sI"):
                return None
            return _patched(size, order, place, claimed, there, wide, common)
        if name in (b"fmt ", b"COMM"):
            form = file.read(min(claimed, 64))
            if len(form) < (16 if name == b"fmt " else 18):
                return None
            rate, common = bytes_a_second(form), (body, form)
        elif name == b"ds64":
            wide = (body, struct.unpack("<Q", file.read(16)[8:])[0])
        place = body + claimed + claimed % 2
    return None


def _is_chunk(file: Any, place: int, size: int, form: str) -> bool:
    """Whether a chunk begins there, with a name in letters and a length that fits; or the file ends."""
    file.seek(place)
    head = file.read(struct.calcsize(form))
    if len(head) < struct.calcsize(form):
        return True
    name, length = struct.unpack(form, head)
    fits = 0 <= length <= size + 1 - place - len(head)  # 1: the last chunk's padding may be missing
    return fits and all(0x20 <= byte < 0x7F for byte in name)


def _patched(
    size: int,
    order: str,
    place: int,
    claimed: int,
    there: int,
    wide: tuple[int, int] | None,
    common: tuple[int, bytes] | None,
) -> Repair:
    def number(value: int) -> bytes:
        return struct.pack(f"{order}I", min(value, PAIR_LIMIT - 1))

    if wide is not None:
        patches = [(wide[0], struct.pack("<QQ", size - 8, there))]
    else:
        patches = [(4, number(size - 8)), (place + 4, number(there))]
    if order == ">" and common is not None:  # AIFF counts frames as well, and SSND begins with two numbers
        claimed, there = max(0, claimed - 8), there - 8
        channels, bits = struct.unpack(">h4xh", common[1][:8])
        frame_bytes = max(1, channels * -(-bits // 8))
        patches.append((common[0] + 2, number(there // frame_bytes)))
    return Repair(tuple(patches), claimed, there)


def _caf(file: Any, size: int) -> Repair | None:
    """Apple's chunks: a name and a length of eight bytes, -1 for all that follows (which libsndfile refuses)."""
    place, bytes_a_second = 8, 0.0
    while place + 12 <= size:
        file.seek(place)
        name, claimed = struct.unpack(">4sq", file.read(12))
        body = place + 12
        if name == b"data":
            there = size - body
            short = claimed < 0 or there - claimed >= max(1.0, SMALLEST_GAIN_S * bytes_a_second)
            if not short or (claimed > 4 and _is_chunk(file, body + claimed, size, ">4sq")):
                return None
            return Repair(
                ((place + 4, struct.pack(">q", there)),), there if claimed < 0 else claimed - 4, there - 4
            )
        if claimed < 0:
            return None
        if name == b"desc" and claimed >= 32:
            rate, packet, frames = struct.unpack(">d8xII", file.read(24))
            bytes_a_second = rate * packet / max(1, frames)
        place = body + claimed
    return None


def _flac(file: Any, size: int) -> Repair | None:
    """By the numbers that the last frames carry (RFC 9639, sec. 9.1); a header that claims 0 leaves its length open."""
    file.seek(8)
    info = file.read(18)
    if len(info) < 18:
        return None
    block = struct.unpack(">H", info[2:4])[0]
    packed = int.from_bytes(info[10:18], "big")
    rate, claimed = packed >> 44, packed & 0xF_FFFF_FFFF
    longest = int.from_bytes(info[7:10], "big")
    file.seek(max(0, size - (4 * longest + 1024 if longest else FLAC_TAIL_BYTES)))
    tail, there, before = file.read(), 0, -2
    place = tail.find(b"\xff")
    while place >= 0:
        found = _flac_frame(tail[place : place + 16], block)
        if found is not None:
            start, samples = found
            if start == before:  # what goes on where another frame ended is no accident of the bits
                there = start + samples
            before = start + samples
        place = tail.find(b"\xff", place + 1)
    if not claimed or there - claimed < SMALLEST_GAIN_S * rate:
        return None
    right = (packed >> 36 << 36 | there).to_bytes(8, "big")
    return Repair(((18, right),), claimed, there)


def _flac_frame(head: bytes, block: int) -> tuple[int, int] | None:
    """First sample and number of samples of a frame whose header begins here; none where none does."""
    if len(head) < 16 or head[0] != 0xFF or head[1] & 0xFE != 0xF8 or head[3] & 1:
        return None
    ones = 8 - (~head[4] & 0xFF).bit_length()  # the number is coded as UTF-8 codes characters
    extra = 0 if ones == 0 else ones - 1
    if ones == 1 or extra > 6:
        return None
    number = head[4] & (0x7F >> ones if ones else 0x7F)
    for byte in head[5 : 5 + extra]:
        number = number << 6 | byte & 0x3F
    at, code, rate = 5 + extra, head[2] >> 4, head[2] & 15
    coded = {6: 1, 7: 2}.get(code, 0)
    samples = int.from_bytes(head[at : at + coded], "big") + 1 if coded else FLAC_BLOCKS.get(code, 0)
    at += coded + {12: 1, 13: 2, 14: 2}.get(rate, 0)
    if not samples or at >= len(head) or _crc8(head[:at]) != head[at]:
        return None
    return (number if head[1] & 1 else number * block), samples


def _crc8(data: bytes) -> int:
    """Polynomial x^8 + x^2 + x + 1."""
    value = 0
    for byte in data:
        value ^= byte
        for _ in range(8):
            value = (value << 1 ^ 0x07 if value & 0x80 else value << 1) & 0xFF
    return value


class RepairedFile(io.FileIO):
    """A file read as if some bytes of its header were others."""

    def __init__(self, path: Path, patches: tuple[tuple[int, bytes], ...]) -> None:
        super().__init__(path, "rb")
        self.patches = patches

    def readinto(self, buffer: Any, /) -> int | None:
        """Read, then lay the patches over what was read."""
        first = self.tell()
        view = memoryview(buffer).cast("B")
        count = super().readinto(view) or 0
        for offset, data in self.patches:
            low, high = max(offset, first), min(offset + len(data), first + count)
            if low < high:
                view[low - first : high - first] = data[low - offset : high - offset]
        return count
