"""A still picture from any file that Pillow opens → frames: upright, in sRGB, 8 bits, without alpha.

Says of a file that is none what it is instead. Knows no video, no model and no size that is wanted.
"""

from __future__ import annotations

import contextlib
import io
import logging
import os
import stat
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

from ..errors import UsageError

if TYPE_CHECKING:
    import numpy as np
    from PIL import Image

MOST_PIXELS = 150_000_000
_MOVING = ("GIF", "PNG", "WEBP")  # formats of which a file with several frames is a clip
_NO_PICTURES = ("MPEG", "FLI", "EPS", "WMF", "HDF5", "GRIB", "BUFR")  # that Pillow knows, and does not draw
_PROFILED = {"RGB ": "RGB", "GRAY": "L", "CMYK": "CMYK", "Lab ": "LAB"}
_BRANDS = {  # of the ISO file format: what a picture calls itself
    **dict.fromkeys((b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"mif1", b"msf1"), "HEIC"),
    **dict.fromkeys((b"avif", b"avis"), "AVIF"),
    b"jxl ": "JPEG XL",
    b"crx ": "a camera's raw format",
}
_BEGINNINGS = (b"\x89PNG", b"\xff\xd8\xff", b"GIF8", b"II*\0", b"MM\0*")
_MOVIES = (b"\x1a\x45\xdf\xa3", b"FLV", b"\x00\x00\x01\xba", b"\x00\x00\x01\xb3", b"OggS")
_SHORT = ("truncated", "incomplete", "not enough", "reached eof", "broken data stream", "but only got")


@dataclass(frozen=True)
class PictureFacts:
    """What a picture is.

    Attributes:
        width, height: pixels, upright.
        has_alpha: whether any of it lets a background through.
    """

    width: int
    height: int
    has_alpha: bool


def is_picture(path: str | os.PathLike[str]) -> bool:
    """Whether a file is a still picture, by its content; an animated GIF, WebP or PNG is a clip.

    A picture that is damaged, or of a kind that cannot be read here, is one all the same; what is missing, empty
    or no file is none.
    """
    from PIL import Image

    head = b""
    try:
        with _quiet(), _opened(Path(path)) as file:
            head = file.read(32)
            file.seek(0)
            with Image.open(file) as picture:
                still = picture.format not in _MOVING or not getattr(picture, "is_animated", False)
                return still and picture.format not in _NO_PICTURES
    except Image.DecompressionBombError:
        return True
    except Exception:  # whatever a plug-in stumbles over
        return _begins_as_picture(head) or bool(_brand(head))


def picture_facts(path: str | os.PathLike[str]) -> PictureFacts:
    """The facts of a picture, decoded to its end.

    Raises:
        UsageError: missing, empty, cut off, too large, or no picture that can be read.
    """
    colours, alpha = _decoded(Path(path))
    return PictureFacts(*colours.size, alpha is not None)


def read_picture(path: str | os.PathLike[str], background: tuple[int, int, int] = (0, 0, 0)) -> np.ndarray:
    """A picture as a frame; of an animation the first.

    Args:
        background: RGB, 0 to 255, behind what is transparent.

    Returns:
        `(H, W, 3)` uint8 sRGB.

    Raises:
        UsageError: as `picture_facts`.
    """
    import numpy as np
    from PIL import Image

    colours, alpha = _decoded(Path(path))
    if alpha is not None:
        backdrop = Image.new("RGB", colours.size, background)
        backdrop.paste(colours, mask=alpha)
        colours = backdrop
    return np.array(colours)


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Keeps a library's remarks from the terminal."""
    log = logging.getLogger("PIL")
    level = log.level
    log.setLevel(logging.CRITICAL + 1)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        log.setLevel(level)


@contextlib.contextmanager
def _mute() -> Iterator[None]:
    """Keeps from the terminal what a library that is not Python writes to standard error."""
    with contextlib.ExitStack() as after:
        with contextlib.suppress(OSError):  # standard error is closed
            kept = os.dup(2)
            after.callback(os.close, kept)
            with open(os.devnull, "wb") as nothing:
                os.dup2(nothing.fileno(), 2)
            after.callback(os.dup2, kept, 2)
        yield


def _opened(path: Path) -> BinaryIO:
    """The file, open, with something in it.

    Raises:
        UsageError: there is no such file.
    """
    try:
        kind = path.stat()
        if stat.S_ISDIR(kind.st_mode):
            raise UsageError(f"{path} is a folder; give a picture")
        if not stat.S_ISREG(kind.st_mode):
            raise UsageError(f"{path} is no file; give a picture")
        if not kind.st_size:
            raise UsageError(f"{path} is empty; give a picture")
        return path.open("rb")
    except (FileNotFoundError, NotADirectoryError):
        raise UsageError(f"{path} does not exist; check the path") from None
    except (OSError, ValueError) as fault:  # a name with a null in it
        raise UsageError(f"{path} cannot be opened: {getattr(fault, 'strerror', None) or fault}") from None


def _decoded(path: Path) -> tuple[Image.Image, Image.Image | None]:
    """Colours, mode RGB, and alpha, mode L; None where nothing is transparent."""
    from PIL import Image, UnidentifiedImageError

    with _quiet(), _opened(path) as file:
        head = file.read(400)
        file.seek(0)
        try:
            with Image.open(file) as picture:
                if picture.format in _NO_PICTURES:
                    raise UsageError(_no_picture(path, head))
                if picture.width * picture.height > MOST_PIXELS:
                    raise Image.DecompressionBombError
                with _mute() if picture.format == "TIFF" else contextlib.nullcontext():
                    picture.load()
                colours, alpha = _split(_upright(picture))
        except UsageError:
            raise
        except Image.DecompressionBombError:
            most = f"{MOST_PIXELS // 1_000_000} million pixels"
            raise UsageError(f"{path} has more than {most}, the most that is read; make it smaller") from None
        except UnidentifiedImageError:
            raise UsageError(_no_picture(path, head)) from None
        except MemoryError:
            raise UsageError(f"{path} is too large for the memory of this machine; make it smaller") from None
        except Exception as fault:  # damage makes a decoder raise nearly anything
            raise UsageError(_damaged(path, head, fault)) from None
    if alpha is not None and alpha.getextrema() == (255, 255):
        alpha = None
    return colours, alpha


def _damaged(path: Path, head: bytes, fault: Exception) -> str:
    reason = " ".join(str(fault).split()) or type(fault).__name__
    short = head[8:12] == b"WEBP" and int.from_bytes(head[4:8], "little") + 8 > path.stat().st_size
    if short or any(word in reason.lower() for word in _SHORT):
        return f"{path} is cut off: the picture is not all there; give the whole file"
    return f"{path} is damaged, or of a kind that cannot be read ({reason[:100]}); convert it to PNG"


def _brand(head: bytes) -> str:
    """The name of a picture format that needs more than Pillow may have; "" for others."""
    if head.startswith(b"\xff\x0a") or head[4:8] == b"JXL ":
        return "JPEG XL"
    return _BRANDS.get(head[8:12], "") if head[4:8] == b"ftyp" else ""


def _begins_as_picture(head: bytes) -> bool:
    return head.startswith(_BEGINNINGS) or head[8:12] == b"WEBP"


def _no_picture(path: Path, head: bytes) -> str:
    """The sentence for a file that Pillow does not know, by its first bytes."""
    from PIL import features

    name = _brand(head)
    if _begins_as_picture(head) or (name == "AVIF" and features.check("avif")):
        return f"{path} is damaged or cut off: a picture begins, and cannot be read; give the whole file"
    if name:
        return f"{path} is {name}, which cannot be read here; convert it to PNG or JPEG"
    if head.lstrip().startswith((b"<svg", b"<?xml", b"%PDF", b"%!PS")):
        return f"{path} is a drawing, not a picture of pixels; convert it to PNG"
    transport = len(head) > 188 and head[0] == head[188] == 0x47
    if head[4:8] in (b"ftyp", b"moov", b"mdat") or head[8:12] == b"AVI " or head.startswith(_MOVIES) or transport:
        return f"{path} is a video; give a picture"
    return f"{path} is no picture that can be read; give a PNG or a JPEG"


def _upright(picture: Image.Image) -> Image.Image:
    """Turned as its EXIF says; tags that cannot be read turn nothing."""
    from PIL import ImageOps

    try:
        return ImageOps.exif_transpose(picture)
    except Exception:  # a damaged tag is no reason to refuse the picture
        return picture


def _split(picture: Image.Image) -> tuple[Image.Image, Image.Image | None]:
    """Colours, sRGB in mode RGB, and alpha, mode L, of a loaded picture of any mode."""
    profile = picture.info.get("icc_profile")
    if picture.mode == "F" or picture.mode.startswith("I"):
        colours, alpha = _levels(picture)
    elif picture.mode in ("LA", "La", "PA", "RGBA", "RGBa") or "transparency" in picture.info:
        solid = picture.convert("LA" if picture.mode in ("LA", "La") else _transparent(picture))
        colours, alpha = solid.convert(solid.mode[:-1]), solid.getchannel("A")
    else:
        colours, alpha = picture.convert({"P": "RGB", "1": "L"}.get(picture.mode, picture.mode)), None
    return _in_srgb(colours, profile), alpha


def _transparent(picture: Image.Image) -> str:
    """The mode with alpha that a picture of one transparent colour, or of a palette with alpha, becomes."""
    named = picture.info.get("transparency")
    if picture.mode == "RGB" and isinstance(named, tuple) and max(named) > 255:
        picture.info["transparency"] = tuple(level >> 8 for level in named)  # said in 16 bits
    return "LA" if picture.mode == "L" else "RGBA"


def _levels(picture: Image.Image) -> tuple[Image.Image, Image.Image | None]:
    """8 bits of a grey picture of 16 or 32 bits, or of floats: white is 65535, or 1, or the brightest above that."""
    import numpy as np
    from PIL import Image

    values = np.nan_to_num(np.asarray(picture).astype(np.float32), nan=0.0, posinf=0.0, neginf=0.0)
    white = max(1.0 if picture.mode == "F" else 65535.0, float(values.max()))
    colours = Image.fromarray((values * (255 / white) + 0.5).clip(0, 255).astype(np.uint8))
    clear = picture.info.get("transparency")
    if not isinstance(clear, int):
        return colours, None
    return colours, Image.fromarray(np.where(values == clear, 0, 255).astype(np.uint8))


def _in_srgb(colours: Image.Image, profile: Any) -> Image.Image:
    """Colours through their ICC profile; one that is damaged, or of another kind than the picture, is passed over."""
    from PIL import ImageCms

    if colours.mode not in _PROFILED.values():
        colours = colours.convert("RGB")
    with contextlib.suppress(ImageCms.PyCMSError, ImportError, OSError, ValueError, TypeError):
        if profile:
            source = ImageCms.ImageCmsProfile(io.BytesIO(profile))
            named = ImageCms.getProfileDescription(source).strip()
            fits = _PROFILED.get(source.profile.xcolor_space) == colours.mode
        elif colours.mode == "LAB":
            source, named, fits = ImageCms.ImageCmsProfile(ImageCms.createProfile("LAB")), "", True
        else:
            fits = False
        if fits and not named.startswith("sRGB"):
            srgb = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB"))
            done = ImageCms.profileToProfile(colours, source, srgb, outputMode="RGB")
            if done is not None:
                return done
    return colours.convert("RGB")
