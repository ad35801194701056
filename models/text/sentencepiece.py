"""T5's and umT5's `spiece.model` read without the sentencepiece library: a protocol buffer → a `tokenizers` tokenizer.

Knows the few fields of the format that a unigram model needs. Knows no network.
Format: https://github.com/google/sentencepiece/blob/master/src/sentencepiece_model.proto
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from ..errors import CheckpointError

if TYPE_CHECKING:
    from tokenizers import Tokenizer

PIECES, TRAINER, NORMALIZER = 1, 2, 3
"""Fields of the model."""
TEXT, SCORE, KIND = 1, 2, 3
"""Fields of a piece."""
MODEL_TYPE, BYTE_FALLBACK = 3, 35
"""Fields of the trainer: 1 unigram or 2 byte pairs; whether unknown letters become their bytes."""
CHARSMAP = 2
"""Field of the normalizer."""
UNKNOWN, CONTROL, DEFINED = 2, 3, 4
"""Kinds of pieces that text never becomes by itself, and of those that are one piece wherever they stand."""

SPACE = "\u2581"


class Unigram(NamedTuple):
    """A model as its file has it: its pieces (text, score, kind), its table of letters, and whether unknown
    letters become their bytes.
    """

    pieces: list[tuple[str, float, int]]
    charsmap: bytes = b""
    as_bytes: bool = False


def read_unigram(data: bytes, where: Path) -> Tokenizer:
    """The tokenizer of a unigram sentencepiece model, as T5 uses it: blanks joined, a blank put in front.

    Args:
        data: the content of a `spiece.model`.
        where: it was found, for the message.

    Raises:
        CheckpointError: not such a model.
    """
    from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers

    try:
        pieces, charsmap, as_bytes = _parse(data)
        unknown = next((index for index, (_, _, kind) in enumerate(pieces) if kind == UNKNOWN), None)
        model = models.Unigram([(text, score) for text, score, _ in pieces], unknown, as_bytes)
        steps: list[Any] = [normalizers.Precompiled(charsmap)] if charsmap else []
    except Exception as error:  # the library raises bare Exception
        raise CheckpointError(f"{where} is not a sentencepiece unigram model ({error})") from error
    tokenizer = Tokenizer(model)
    steps += [normalizers.Strip(left=True, right=True), normalizers.Replace(Regex(" {2,}"), " ")]
    tokenizer.normalizer = normalizers.Sequence(steps)
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace(replacement=SPACE, prepend_scheme="always")
    tokenizer.decoder = decoders.Metaspace(replacement=SPACE, prepend_scheme="always")
    tokenizer.add_special_tokens([text for text, _, kind in pieces if kind in (UNKNOWN, CONTROL)])
    tokenizer.add_tokens([AddedToken(text, normalized=False) for text, _, kind in pieces if kind == DEFINED])
    return tokenizer


def _parse(data: bytes) -> Unigram:
    pieces: list[tuple[str, float, int]] = []
    charsmap, as_bytes = b"", False
    for number, value in _fields(data):
        if number == PIECES:
            entry = dict(_fields(_bytes(value)))
            score = struct.unpack("<f", _bytes(entry.get(SCORE, b"\0\0\0\0")))[0]
            pieces.append((_bytes(entry[TEXT]).decode("utf-8"), score, int(entry.get(KIND, 1))))
        elif number == TRAINER:
            trainer = dict(_fields(_bytes(value)))
            as_bytes = trainer.get(BYTE_FALLBACK, 0) == 1
            if trainer.get(MODEL_TYPE, 1) != 1:
                raise ValueError("it is of another kind than unigram")
        elif number == NORMALIZER:
            charsmap = _bytes(dict(_fields(_bytes(value))).get(CHARSMAP, b""))
    if not pieces:
        raise ValueError("it has no pieces")
    return Unigram(pieces, charsmap, as_bytes)


def _fields(data: bytes) -> Iterator[tuple[int, int | bytes]]:
    """The fields of a message: numbers as int, everything else as its bytes."""
    position = 0
    while position < len(data):
        tag, position = _varint(data, position)
        number, wire = tag >> 3, tag & 7
        if wire == 0:
            value, position = _varint(data, position)
            yield number, value
            continue
        if wire == 2:
            length, position = _varint(data, position)
        elif wire in (1, 5):
            length = 8 if wire == 1 else 4
        else:
            raise ValueError(f"wire type {wire}")
        if number == 0 or position + length > len(data):
            raise ValueError("it ends too early")
        yield number, data[position : position + length]
        position += length


def _varint(data: bytes, position: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        byte = data[position]
        position += 1
        value |= (byte & 127) << shift
        if byte < 128:
            return value, position
        shift += 7
        if shift > 63:
            raise ValueError("a number is too long")


def _bytes(value: int | bytes) -> bytes:
    if isinstance(value, int):
        raise ValueError("a field has the wrong type")
    return value
