from __future__ import annotations

import contextlib
import io
import os
import subprocess
import zlib

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageCms, PngImagePlugin

from vgen_cli.errors import UsageError
from vgen_cli.media import ffmpeg
from vgen_cli.media.picture import PictureFacts, is_picture, picture_facts, read_picture

WRITTEN = (
    ("PNG", {}),
    ("JPEG", {"quality": 98, "subsampling": 0}),
    ("JPEG", {"quality": 98, "subsampling": 0, "progressive": True}),
    ("WEBP", {"lossless": True}),
    ("GIF", {}),
    ("BMP", {}),
    ("TIFF", {}),
    ("TIFF", {"compression": "tiff_lzw"}),
    ("TGA", {}),
    ("PPM", {}),
    ("JPEG2000", {}),
    ("QOI", {}),
    ("PCX", {}),
)


@pytest.fixture(autouse=True)
def nothing_is_said(capfd):
    """No picture, however odd, makes a library talk to the terminal."""
    yield
    assert capfd.readouterr().err == ""


def shades(height=40, width=60):
    rows, columns = np.mgrid[:height, :width]
    return np.stack([rows * 255 // height, columns * 255 // width, (rows + columns) % 2 * 40 + 100], -1).astype(
        np.uint8
    )


def saved(path, picture, kind="PNG", **options):
    picture.save(path, kind, **options)
    return path


def refuse(*_):
    raise PermissionError(13, "Permission denied")


def said(path, look=picture_facts):
    with pytest.raises(UsageError) as caught:
        look(path)
    assert "\n" not in str(caught.value)
    return str(caught.value)


@pytest.mark.parametrize(("kind", "options"), WRITTEN)
def test_every_kind_of_picture_is_read(tmp_path, kind, options):
    path = saved(tmp_path / "no.extension", Image.fromarray(shades()), kind, **options)
    assert is_picture(path)
    assert picture_facts(path) == PictureFacts(60, 40, False)
    found = read_picture(path)
    assert (found.shape, found.dtype) == ((40, 60, 3), np.uint8)
    assert np.abs(found - shades().astype(int)).mean() < (12 if kind == "GIF" else 1.5)


@pytest.mark.parametrize("mode", ["1", "L", "P", "RGB", "CMYK", "YCbCr", "LAB", "I", "I;16", "F"])
def test_every_mode_becomes_colours(tmp_path, mode):
    grey = np.linspace(0, 255, 256).astype(np.uint8)[None].repeat(8, 0)
    if mode in ("I", "I;16"):
        picture = Image.fromarray((grey.astype(np.uint16) * 257).astype({"I": np.int32, "I;16": np.uint16}[mode]))
    elif mode == "F":
        picture = Image.fromarray(grey.astype(np.float32) / 255)
    elif mode == "LAB":
        srgb, lab = ImageCms.createProfile("sRGB"), ImageCms.createProfile("LAB")
        picture = ImageCms.profileToProfile(Image.fromarray(grey).convert("RGB"), srgb, lab, outputMode="LAB")
    else:
        picture = Image.fromarray(grey).convert(mode)
    assert picture.mode == mode
    found = read_picture(saved(tmp_path / "p", picture, "TIFF"))
    assert found.shape == (8, 256, 3)
    if mode == "1":
        assert set(np.unique(found)) == {0, 255}
    else:
        assert np.abs(found - grey[..., None].astype(int)).max() <= (3 if mode in ("LAB", "YCbCr") else 1)


def test_the_inks_of_a_jpeg_become_colours(tmp_path):
    inks = Image.new("CMYK", (16, 16), (0, 255, 255, 0))
    assert np.abs(read_picture(saved(tmp_path / "p.jpg", inks, "JPEG", quality=98)) - np.array([255, 0, 0])).max() <= 3


def test_sixteen_bits_of_grey_are_scaled_and_not_cut(tmp_path):
    levels = np.linspace(0, 65535, 64).astype(np.uint16)[None].repeat(4, 0)
    found = read_picture(saved(tmp_path / "p.png", Image.fromarray(levels)))
    assert np.abs(found[..., 0] - levels / 257).max() <= 0.51


def test_floats_beyond_white_and_numbers_that_are_none(tmp_path):
    values = np.array([[0.0, 2.0, 4.0, np.nan, np.inf, -1.0]], np.float32)
    assert read_picture(saved(tmp_path / "p.tif", Image.fromarray(values), "TIFF"))[0, :, 0].tolist() == [
        0, 128, 255, 0, 0, 0,
    ]  # fmt: skip


def test_a_png_of_sixteen_bits_in_colour_is_read(tmp_path):
    rows = b"".join(
        b"\0" + b"".join(int(value).to_bytes(2, "big") for value in row.ravel())
        for row in shades(8, 8).astype(np.uint16) * 257
    )

    def chunk(kind, data):
        return len(data).to_bytes(4, "big") + kind + data + zlib.crc32(kind + data).to_bytes(4, "big")

    head = (8).to_bytes(4, "big") * 2 + bytes([16, 2, 0, 0, 0])
    clear = b"".join(int(value).to_bytes(2, "big") for value in shades(8, 8)[2, 3].astype(int) * 257)
    parts = [chunk(b"IHDR", head), chunk(b"tRNS", clear), chunk(b"IDAT", zlib.compress(rows)), chunk(b"IEND", b"")]
    (tmp_path / "p.png").write_bytes(b"\x89PNG\r\n\x1a\n" + b"".join(parts))
    found = read_picture(tmp_path / "p.png", (9, 8, 7))
    expected = shades(8, 8)
    expected[2, 3] = (9, 8, 7)
    assert np.array_equal(found, expected)


@pytest.mark.parametrize("turn", range(1, 9))
@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "TIFF"])
def test_a_picture_is_turned_upright(tmp_path, kind, turn):
    upright = np.zeros((32, 48, 3), np.uint8)
    upright[:16, :16], upright[:16, 32:] = (255, 0, 0), (0, 255, 0)
    undo = {
        1: lambda a: a, 2: np.fliplr, 3: lambda a: np.rot90(a, 2), 4: np.flipud, 5: lambda a: a.transpose(1, 0, 2),
        6: lambda a: np.rot90(a, 1), 7: lambda a: np.rot90(a, 2).transpose(1, 0, 2), 8: lambda a: np.rot90(a, -1),
    }[turn]  # fmt: skip
    exif = Image.Exif()
    exif[0x0112] = turn
    stored = Image.fromarray(np.ascontiguousarray(undo(upright)))
    path = saved(tmp_path / "p", stored, kind, exif=exif.tobytes(), **({"lossless": True} if kind == "WEBP" else {}))
    assert picture_facts(path) == PictureFacts(48, 32, False)
    found = read_picture(path)
    assert tuple(found[8, 8] > 127) == (True, False, False)
    assert tuple(found[8, 40] > 127) == (False, True, False)


def test_a_tag_that_cannot_be_read_turns_nothing(tmp_path):
    path = saved(
        tmp_path / "p.jpg", Image.fromarray(shades()), "JPEG", exif=b"Exif\0\0MM\0*\0\0\0\xff\1\2\3" + bytes(9)
    )
    assert picture_facts(path) == PictureFacts(60, 40, False)


@pytest.mark.parametrize(
    ("mode", "clear", "share"),
    [("RGBA", None, 0.2), ("LA", None, 0.2), ("P", b"\xff\x33", 0.2), ("P", 1, 0), ("L", 7, 0), ("RGB", (7, 7, 7), 0),
     ("1", 0, 0), ("I;16", 7, 0)],
)  # fmt: skip
def test_what_is_transparent_shows_the_background(tmp_path, mode, clear, share):
    level, behind = 255 if mode == "1" else 200, (10, 250, 90)
    pixels = np.full((4, 4), level, np.uint16) * (257 if mode == "I;16" else 1)
    if clear is None:
        picture = Image.fromarray(pixels.astype(np.uint8)).convert(mode)
        picture.putalpha(Image.fromarray(np.where(np.arange(16).reshape(4, 4) == 9, 51, 255).astype(np.uint8)))
    elif mode == "P":
        picture = Image.fromarray((np.arange(16).reshape(4, 4) == 9).astype(np.uint8))
        picture.putpalette([level] * 6)
    else:
        pixels[2, 1] = 0 if mode == "1" else 7
        picture = Image.fromarray(pixels if mode == "I;16" else pixels.astype(np.uint8))
        picture = picture if mode == "I;16" else picture.convert(mode)
    path = saved(tmp_path / "p.png", picture, **({} if clear is None else {"transparency": clear}))
    assert picture_facts(path) == PictureFacts(4, 4, True)
    found = read_picture(path, behind)
    assert np.abs(found[2, 1] - (share * level + (1 - share) * np.array(behind))).max() <= 1
    found[2, 1] = level
    assert (found == level).all()


def test_an_edge_over_its_own_colour_stays_that_colour(tmp_path):
    alpha = np.tile(np.arange(256, dtype=np.uint8), (4, 1))
    pixels = np.dstack([np.full((4, 256), level, np.uint8) for level in (90, 160, 30)] + [alpha])
    path = saved(tmp_path / "p.png", Image.fromarray(pixels))
    assert (read_picture(path, (90, 160, 30)) == (90, 160, 30)).all()


def test_alpha_that_hides_nothing_is_none(tmp_path):
    path = saved(tmp_path / "p.png", Image.new("RGBA", (4, 4), (1, 2, 3, 255)))
    assert picture_facts(path) == PictureFacts(4, 4, False)
    assert (read_picture(path, (99, 99, 99)) == (1, 2, 3)).all()


def wide_gamut():
    """A profile of which the red and green channels are swapped: that of a file is used, or it is not."""
    profile = bytearray(ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes())
    named = profile.find(b"s\0R\0G\0B\0")  # the description, in two bytes a letter
    profile[named : named + 8] = b"s\0w\0a\0p\0"
    red, green = profile.find(b"rXYZ"), profile.find(b"gXYZ")
    profile[red : red + 4], profile[green : green + 4] = b"gXYZ", b"rXYZ"
    return bytes(profile)


def test_colours_go_through_the_profile_of_the_file(tmp_path):
    picture = Image.new("RGB", (4, 4), (200, 30, 60))
    path = saved(tmp_path / "p.png", picture, icc_profile=wide_gamut())
    assert np.abs(read_picture(path)[0, 0].astype(int) - (30, 200, 60)).max() <= 3
    clear = picture.convert("RGBA")
    clear.putalpha(128)
    path = saved(tmp_path / "a.png", clear, icc_profile=wide_gamut())
    assert np.abs(read_picture(path)[0, 0].astype(int) - (15, 100, 30)).max() <= 3


@pytest.mark.parametrize("mode", ["RGB", "L", "CMYK"])
def test_a_profile_that_does_not_fit_changes_nothing(tmp_path, mode):
    srgb = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    picture = Image.fromarray(shades()).convert(mode)
    plain = read_picture(saved(tmp_path / "plain", picture, "TIFF"))
    for profile in (srgb, b"no profile at all", wide_gamut()[:200] if mode == "RGB" else wide_gamut()):
        assert np.array_equal(read_picture(saved(tmp_path / "p", picture, "TIFF", icc_profile=profile)), plain)


@pytest.mark.parametrize("kind", ["GIF", "WEBP", "PNG"])
def test_an_animation_is_a_clip_and_its_first_frame_a_picture(tmp_path, kind):
    frames = [Image.new("RGB", (8, 6), (60 * index, 20, 20)) for index in range(4)]
    path = saved(tmp_path / "p", frames[1], kind, save_all=True, append_images=frames[2:])
    assert not is_picture(path)
    assert np.abs(read_picture(path)[0, 0].astype(int) - (60, 20, 20)).max() <= 3
    assert is_picture(saved(tmp_path / "p", frames[1], kind))


@pytest.mark.parametrize(("kind", "options"), [each for each in WRITTEN if each[0] not in ("PCX", "PPM")])
@pytest.mark.parametrize("share", [0.2, 0.5, 0.9])
def test_a_picture_that_was_cut_off_is_said_to_be(tmp_path, kind, options, share):
    path = saved(tmp_path / "p", Image.fromarray(shades(80, 120)), kind, **options)
    data = path.read_bytes()
    path.write_bytes(data[: int(len(data) * share)])
    assert "cut off" in said(path)
    assert "cut off" in said(path, read_picture)


def test_what_is_no_picture_has_its_sentence(tmp_path, monkeypatch):
    (tmp_path / "empty.png").touch()
    (tmp_path / "text.png").write_text("no picture\n" * 99)
    (tmp_path / "drawing.svg").write_text("<svg xmlns='http://www.w3.org/2000/svg'></svg>")
    (tmp_path / "paper.png").write_bytes(b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n")
    (tmp_path / "phone.jpg").write_bytes(b"\0\0\0\x18ftypheic" + bytes(400))
    (tmp_path / "new.jxl").write_bytes(b"\xff\x0a" + bytes(400))
    os.mkfifo(tmp_path / "pipe.png")
    for name in ("clip.mp4", "clip.mkv", "clip.webm", "clip.avi", "clip.ts", "clip.mpg"):
        source = ["-f", "lavfi", "-i", "testsrc2=size=64x64:rate=25:duration=0.2"]
        subprocess.run([ffmpeg.binary(), "-v", "quiet", *source, tmp_path / name], check=True)
    for name, sentence in {
        "none.png": "does not exist", "empty.png/x": "does not exist", "empty.png": "is empty", ".": "is a folder",
        "pipe.png": "is no file", "text.png": "is no picture", "drawing.svg": "is a drawing",
        "paper.png": "is a drawing", "phone.jpg": "is HEIC, which cannot be read here; convert it",
        "new.jxl": "is JPEG XL, which cannot be read here; convert it", "clip.mp4": "is a video",
        "clip.mkv": "is a video", "clip.webm": "is a video", "clip.avi": "is a video", "clip.ts": "is a video",
        "clip.mpg": "is a video",
    }.items():  # fmt: skip
        for look in (picture_facts, read_picture):
            assert sentence in said(tmp_path / name, look)
        assert is_picture(tmp_path / name) is (name in ("phone.jpg", "new.jxl"))
    saved(tmp_path / "p.png", Image.fromarray(shades()))
    monkeypatch.setattr("pathlib.Path.open", refuse)
    assert "cannot be opened: Permission denied" in said(tmp_path / "p.png")


@pytest.mark.parametrize("side", [12300, 40000])
def test_a_picture_too_large_is_refused_before_it_is_unpacked(tmp_path, side):
    head = side.to_bytes(4, "big") * 2 + bytes([8, 2, 0, 0, 0])
    file = io.BytesIO()
    file.write(b"\x89PNG\r\n\x1a\n")
    PngImagePlugin.putchunk(file, b"IHDR", head)
    PngImagePlugin.putchunk(file, b"IDAT", zlib.compress(bytes(1000)))
    PngImagePlugin.putchunk(file, b"IEND", b"")
    (tmp_path / "p.png").write_bytes(file.getvalue())
    assert "has more than 150 million pixels" in said(tmp_path / "p.png")
    assert is_picture(tmp_path / "p.png")


@settings(max_examples=300)
@given(st.sampled_from(WRITTEN), st.lists(st.tuples(st.integers(0, 4000), st.integers(0, 255)), max_size=20))
def test_no_damage_is_more_than_a_sentence(tmp_path_factory, written, changes):
    kind, options = written
    file = io.BytesIO()
    Image.fromarray(shades(24, 24)).save(file, kind, **options)
    data = bytearray(file.getvalue())
    for place, value in changes:
        data[place % len(data)] = value
    path = tmp_path_factory.getbasetemp() / "damaged"
    path.write_bytes(data)
    assert is_picture(path) in (True, False)
    with contextlib.suppress(UsageError):
        found = read_picture(path)
        assert (found.dtype, found.shape[2]) == (np.uint8, 3)
