"""The recipe inside a finished file, written and read back.

It is the comment tag of a video, the comment block of a GIF, the text chunk of a PNG, the EXIF user comment of a
JPEG or WebP, the `recipe.json` of a folder of frames. Knows JSON objects and bytes, and not what a recipe means.
"""

from __future__ import annotations

import json
import os
import re
import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, BinaryIO

from ..errors import UsageError
from .ffmpeg import CLOSED, file_url, run_unchecked

SIDECAR = "recipe.json"
_COMMENT = re.compile(r"^comment=((?:\\.|[^\\\n])*)", re.IGNORECASE | re.MULTILINE | re.DOTALL)
_GIF_BLOCK = 255
_PICTURES = (b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff")
_PNG_KEY = "Comment"
_EXIF_IFD, _USER_COMMENT, _ASCII = 0x8769, 0x9286, b"ASCII\0\0\0"
_JPEG_SEGMENT = 65_500  # bytes; the length of a segment has 16 bits


def to_text(metadata: Mapping[str, Any]) -> str:
    """One line of JSON; characters as they are, unless they cannot be written as UTF-8."""
    text = json.dumps(metadata, ensure_ascii=False)
    try:
        text.encode()
    except UnicodeEncodeError:  # a lone surrogate
        text = json.dumps(metadata, ensure_ascii=True)
    return text


def from_text(text: str) -> dict[str, Any] | None:
    """The JSON object that a comment holds; None where it holds something else."""
    try:
        found = json.loads(text)
    except (ValueError, RecursionError):
        return None
    return found if isinstance(found, dict) else None


def ffmetadata(comment: str) -> str:
    """The text of an ffmetadata file with one tag."""
    escaped = re.sub(r"([=;#\\\n])", r"\\\1", comment)
    return f";FFMETADATA1\ncomment={escaped}\n"


def parse_ffmetadata(text: str) -> str | None:
    """The comment of an ffmetadata listing, None where there is none."""
    found = _COMMENT.search(text)
    return None if found is None else re.sub(r"\\(.)", r"\1", found.group(1), flags=re.DOTALL)


def insert_gif_comment(path: Path, comment: str) -> None:
    """Puts a comment block at the beginning of a GIF (at its end, ffmpeg would count it as a frame)."""
    data = comment.encode("utf-8", "replace")
    blocks = (data[i : i + _GIF_BLOCK] for i in range(0, len(data), _GIF_BLOCK))
    written = path.with_name(f"{path.name}.commented")
    with path.open("rb") as source, written.open("wb") as target:
        header = source.read(13)
        target.write(header + source.read(_table_size(header[10])))
        target.write(b"!\xfe" + b"".join(bytes([len(block)]) + block for block in blocks) + b"\0")
        shutil.copyfileobj(source, target, 1 << 20)
    written.replace(path)


def _table_size(flags: int) -> int:
    """Bytes of the colour table that follows a GIF header with these flags."""
    return 3 << ((flags & 7) + 1) if flags & 0x80 else 0


def gif_comment(file: BinaryIO) -> str | None:
    """The last comment of a GIF that is a JSON object, else the last comment, else None, on damage too."""
    header = file.read(13)
    if len(header) < 13 or header[:3] != b"GIF":
        return None
    file.seek(_table_size(header[10]), os.SEEK_CUR)
    comments: list[str] = []
    while (mark := file.read(1)) in (b"!", b","):
        if mark == b"!":
            label = file.read(1)
            data = _sub_blocks(file, keep=label == b"\xfe")
            if label == b"\xfe":
                comments.append(data.decode("utf-8", "replace"))
            continue
        picture = file.read(9)
        file.seek((_table_size(picture[8]) if len(picture) == 9 else 0) + 1, os.SEEK_CUR)
        _sub_blocks(file, keep=False)
    recipes = [comment for comment in comments if from_text(comment) is not None] or comments
    return recipes[-1] if recipes else None


def _sub_blocks(file: BinaryIO, *, keep: bool) -> bytes:
    kept = bytearray()
    while (size := file.read(1)) not in (b"", b"\0"):
        if keep:
            kept += file.read(size[0])
        else:
            file.seek(size[0], os.SEEK_CUR)
    return bytes(kept)


def picture_tags(suffix: str, comment: str) -> dict[str, Any]:
    """What Pillow's `save` is told so that a PNG, JPEG or WebP carries a comment; nothing where it is too long."""
    from PIL import Image, PngImagePlugin

    if suffix == ".png":
        chunks = PngImagePlugin.PngInfo()
        chunks.add_itxt(_PNG_KEY, comment)
        return {"pnginfo": chunks}
    exif = Image.Exif()
    exif.get_ifd(_EXIF_IFD)[_USER_COMMENT] = _ASCII + json.dumps(json.loads(comment)).encode("ascii")
    data = exif.tobytes()
    return {} if suffix != ".webp" and len(data) > _JPEG_SEGMENT else {"exif": data}


def with_jpeg_comments(picture: bytes, comment: str) -> bytes:
    """A JPEG with comment segments at its beginning, as many as it takes, for what is too long for its EXIF."""
    data = comment.encode("utf-8")
    pieces = (data[start : start + _JPEG_SEGMENT] for start in range(0, len(data), _JPEG_SEGMENT))
    segments = (b"\xff\xfe" + (len(piece) + 2).to_bytes(2, "big") + piece for piece in pieces)
    return picture[:2] + b"".join(segments) + picture[2:]


def picture_comment(path: Path) -> str | None:
    """The comment of a PNG, JPEG or WebP; None where there is none, on damage too."""
    from PIL import Image

    try:
        with Image.open(path) as picture:
            if picture.format == "PNG":
                found = picture.info.get(_PNG_KEY)
                return None if found is None else str(found)
            told = picture.getexif().get_ifd(_EXIF_IFD).get(_USER_COMMENT)
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError):
        return None
    if isinstance(told, bytes):
        return told.removeprefix(_ASCII).decode("utf-8", "replace")
    with path.open("rb") as file:
        return b"".join(_jpeg_comments(file)).decode("utf-8", "replace") or None


def _jpeg_comments(file: BinaryIO) -> Iterator[bytes]:
    """The comment segments of a JPEG before its picture."""
    if file.read(2) != b"\xff\xd8":
        return
    while len(head := file.read(4)) == 4 and head[0] == 0xFF and head[1] != 0xDA:
        data = file.read(int.from_bytes(head[2:], "big") - 2)
        if head[1] == 0xFE:
            yield data


def read_recipe(path: str | os.PathLike[str]) -> dict[str, Any] | None:
    """What `write_clip` was given as `metadata`, from a video, a GIF, a picture or a folder of frames.

    Returns:
        The JSON object, or None where the file carries none.

    Raises:
        UsageError: there is no such file.
    """
    place = Path(path)
    if not place.exists():
        raise UsageError(f"{place} does not exist; check the path")
    if place.is_dir():
        sidecar = read_sidecar(place)
        recipe = None if sidecar is None else sidecar.get("recipe")
        return recipe if isinstance(recipe, dict) else None
    with place.open("rb") as file:
        start = file.read(12)
        if start[:3] == b"GIF":
            file.seek(0)
            comment = gif_comment(file)
            return None if comment is None else from_text(comment)
    if start.startswith(_PICTURES) or start[8:] == b"WEBP":
        comment = picture_comment(place)
        return None if comment is None else from_text(comment)
    listing = run_unchecked(
        ["-loglevel", "error", *CLOSED, "-i", file_url(place), "-f", "ffmetadata", "pipe:1"],
    )
    comment = parse_ffmetadata(listing.stdout.decode("utf-8", "replace"))
    return None if comment is None else from_text(comment)


def read_sidecar(folder: Path) -> dict[str, Any] | None:
    """The `recipe.json` of a folder of frames; None where it is missing or is no JSON object."""
    try:
        return from_text((folder / SIDECAR).read_text("utf-8"))
    except (OSError, UnicodeDecodeError):
        return None
