"""Filler for AV1 and VP9, which have no dial for it: every picture's bytes padded with what decoders pass over.

Knows how IVF, AV1 and VP9 lay out their bytes, and neither rates nor containers.

Sources: AV1 bitstream specification, 5.3 to 5.8 (OBU headers, metadata OBUs of private types) and 7.5 (their
order); VP9 bitstream specification, 6.2 (frame headers), 9.2 (zero padding after a tile) and annex B (superframes).
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from typing import BinaryIO

_IVF_HEADER, _PICTURE_HEADER = 32, 12
_TEMPORAL_DELIMITER, _SEQUENCE_HEADER = 2, 1
_METADATA_OBU = 0x2A  # type 5, with a size
_PRIVATE, _END = b"\x1f", b"\x80"  # a metadata type that no one defines; the bit that ends an OBU


def pad(source: Path, target: Path, size: int, fps: Fraction) -> None:
    """Rewrites an IVF file with `size` more bytes of picture data, spread evenly over the pictures that take any.

    The rate is written anew, for on the way out of a container it may have been rounded.

    Raises:
        OSError: the disk refused.
    """
    with source.open("rb") as file, target.open("wb") as out:
        start = file.read(_IVF_HEADER)
        codec, done = start[8:12], 0
        takers = sum(_takes(data, codec) for data in _pictures(file))
        out.write(start[:16] + struct.pack("<II", fps.numerator, fps.denominator) + start[24:])
        for index, data in enumerate(_pictures(file)):
            if _takes(data, codec):
                more = size * (done + 1) // takers - size * done // takers
                data, done = (_pad_av1(data, more) if codec == b"AV01" else data + bytes(more)), done + 1
            out.write(struct.pack("<IQ", len(data), index) + data)


def _pictures(file: BinaryIO) -> Iterator[bytes]:
    file.seek(_IVF_HEADER)
    while len(header := file.read(_PICTURE_HEADER)) == _PICTURE_HEADER:
        yield file.read(int.from_bytes(header[:4], "little"))


def _takes(data: bytes, codec: bytes) -> bool:
    """AV1 always; a VP9 picture that is no superframe, whose index must come last, and no repeat of an older one."""
    if codec == b"AV01":
        return True
    profile = data[0] >> 5 & 1 | data[0] >> 3 & 2
    repeats = data[0] >> (2 if profile == 3 else 3) & 1
    return data[-1] & 0xE0 != 0xC0 and not repeats


def _pad_av1(data: bytes, size: int) -> bytes:
    """A temporal unit with a private metadata OBU of `size` bytes, header and all, before its first frame."""
    if size < 5:
        return data
    at = 0
    while at < len(data) and data[at] >> 3 & 15 in (_TEMPORAL_DELIMITER, _SEQUENCE_HEADER):
        at += 1 + (data[at] >> 2 & 1)
        length, at = _read_leb128(data, at)
        at += length
    payload = size - 2
    while payload + 1 + len(_leb128(payload)) > size:
        payload -= 1
    obu = bytes([_METADATA_OBU]) + _leb128(payload) + _PRIVATE + bytes(payload - 2) + _END
    return data[:at] + obu + data[at:]


def _leb128(value: int) -> bytes:
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*out, value])


def _read_leb128(data: bytes, at: int) -> tuple[int, int]:
    """A value, and where what follows it begins."""
    value = shift = 0
    while True:
        byte = data[at]
        value, at, shift = value | (byte & 0x7F) << shift, at + 1, shift + 7
        if not byte & 0x80:
            return value, at
