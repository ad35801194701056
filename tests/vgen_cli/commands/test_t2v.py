"""`vgen t2v` and `vgen plan` from the shell: names, seeds, streams, and every input that must be refused."""

from __future__ import annotations

import functools
import io
import json
import os

import pytest

from models.catalog import find
from vgen_cli.commands.making import FACTS
from vgen_cli.commands.naming import slug
from vgen_cli.media import encode, ffmpeg
from vgen_cli.recipe import Recipe

PROMPT = "a red circle moving right"


def test_one_clip(shell, rendered, tmp_path):
    done = shell("t2v", PROMPT, "-o", "clip.mp4", "--seed", 7)
    assert (done.code, done.out) == (0, "clip.mp4\n")
    assert "seed 7" in done.err
    assert (tmp_path / "clip.mp4").read_bytes() == b"clip"
    assert rendered[0]["plan"].recipe == Recipe.create(command="t2v", prompt=PROMPT, seed=7)
    assert (rendered[0]["overwrite"], rendered[0]["metadata"]) == (False, True)


def test_the_name_comes_from_prompt_and_seed_and_never_replaces(shell, rendered):
    for name in ("", "-2", "-3"):
        assert shell("t2v", PROMPT, "-s", 1).out == f"a-red-circle-moving-right-1{name}.mp4\n"
    assert shell("t2v", PROMPT, "-s", 1, "--overwrite").out == "a-red-circle-moving-right-1.mp4\n"
    assert shell("t2v", PROMPT, "-s", 1, "--codec", "ffv1").out == "a-red-circle-moving-right-1.mkv\n"


def test_a_drawn_seed_is_printed_and_recorded(shell, rendered):
    done = shell("t2v", PROMPT, "--json")
    seed = json.loads(done.out)["seed"]
    assert f"seed {seed}" in done.err
    assert json.loads(done.out)["recipe"]["seed"] == seed
    assert json.loads(shell("t2v", PROMPT, "--json").out)["seed"] != seed


def test_json_has_the_promised_keys(shell, rendered):
    done = shell("t2v", PROMPT, "--json", "-o", "a.mp4", "-s", 3, "--no-metadata")
    line = json.loads(done.out)
    assert tuple(line)[: len(FACTS)] == FACTS
    assert (line["path"], line["seed"], line["model"], line["extra"]) == ("a.mp4", 3, "nano", 1)
    assert rendered[0]["metadata"] is False


def test_several_clips(shell, rendered):
    assert shell("t2v", PROMPT, "-s", 5, "-s", 9, "-o", "a.mp4").out == "a-5.mp4\na-9.mp4\n"
    assert shell("t2v", PROMPT, "-s", 5, "-N", 3, "-o", "b.gif").out == "b-5.gif\nb-6.gif\nb-7.gif\n"
    assert shell("t2v", PROMPT, "-s", 5, "-N", 2, "-o", "f/").out == f"f-5{os.sep}\nf-6{os.sep}\n"
    assert len(shell("t2v", PROMPT, "-N", 4).out.splitlines()) == 4


def test_quiet_says_only_the_path(shell, rendered):
    done = shell("t2v", PROMPT, "-q", "-o", "a.mp4")
    assert (done.out, done.err) == ("a.mp4\n", "")


def test_standard_output_carries_the_clip_alone(shell, rendered):
    done = shell("t2v", PROMPT, "-o", "-")
    assert (done.code, done.out) == (0, "")
    assert rendered[0]["place"].is_stream


def test_aliases_and_underscores(shell, rendered):
    shell("t2v", PROMPT, "-s", 1, "--frames", 9, "--num-inference-steps", 3, "--cfg-scale", 2.5, "--pix_fmt", "yuv444p")
    recipe = rendered[0]["plan"].recipe
    assert (recipe.num_frames, recipe.steps, recipe.guidance_scale, recipe.pix_fmt) == (9, 3, 2.5, "yuv444p")


def test_sizes_in_three_ways(shell, rendered):
    for size in (("--size", "96x64"), ("--size", "96*64"), ("-W", 96, "-H", 64)):
        assert shell("t2v", PROMPT, *size).code == 0
    assert {(call["plan"].output.width, call["plan"].output.height) for call in rendered} == {(96, 64)}


def test_prompts_from_elsewhere(shell, rendered, tmp_path, monkeypatch):
    (tmp_path / "p.txt").write_text(" from a file\n")
    shell("t2v", "@p.txt")
    monkeypatch.setattr("sys.stdin", io.StringIO("from a pipe\n"))
    shell("t2v", "-")
    assert [call["plan"].recipe.prompt for call in rendered] == ["from a file", "from a pipe"]


def test_options_from_a_file(shell, rendered, tmp_path):
    (tmp_path / "o.toml").write_text('steps = 3\nseed = [4, 5]\nsize = "64x96"\n')
    done = shell("t2v", PROMPT, "--config", "o.toml", "--steps", 2, "-o", "a.mp4")
    assert done.out == "a-4.mp4\na-5.mp4\n"
    assert (rendered[0]["plan"].recipe.steps, rendered[0]["plan"].output.height) == (2, 96)


@pytest.mark.parametrize("command", [("plan",), ("t2v", "--dry-run")])
def test_plans_make_nothing(shell, rendered, tmp_path, command):
    name, *options = command
    told = shell(name, PROMPT, *options)
    assert told.code == 0
    nano = find("nano")
    size, length = f"{nano.width}x{nano.height}", f"{nano.num_frames} frames"
    for word in ("prompt", "nano", "seed", "random", "base", "decode", size, length, "h264"):
        assert word in told.out
    line = json.loads(shell(name, PROMPT, "--json", *options).out)
    assert line["output"]["num_frames"] == nano.num_frames
    assert line["recipe"]["prompt"] == PROMPT
    assert rendered == []
    assert list(tmp_path.iterdir()) == []


BAD = [
    ("--size", "0x0"), ("--size", "-64x64"), ("--size", "nanxnan"), ("--size", "1e9x2"), ("--size", "big"),
    ("-W", "0"), ("-W", "-5"), ("-H", "nan"), ("-W", "100000"), ("-H", "x"),
    ("--fps", "0"), ("--fps", "-24"), ("--fps", "nan"), ("--fps", "inf"), ("--fps", "1e9"), ("--fps", "24/0"),
    ("--num-frames", "0"), ("--num-frames", "-1"), ("--num-frames", "nan"), ("--num-frames", "99999999"),
    ("--duration", "0"), ("--duration", "-1"), ("--duration", "nan"), ("--duration", "inf"), ("--duration", "1e9"),
    ("--steps", "0"), ("--steps", "-4"), ("--steps", "nan"), ("--steps", "1000000"), ("--steps", "many"),
    ("--bitrate", "0"), ("--bitrate", "-8M"), ("--bitrate", "nan"), ("--bitrate", "8X"), ("--bitrate", "1e99"),
    ("--crf", "-1"), ("--crf", "99"), ("--crf", "nan"), ("--crf", "52"), ("--target-size", "0"),
    ("-g", "nan"), ("-g", "inf"), ("-g", "-1"), ("-g", "1e9"), ("-g", "x"),
    ("-s", "-1"), ("-s", "nan"), ("-s", "1.5"), ("-s", str(2**70)), ("-s", "1", "-s", "1"),
    ("-s", "1", "-s", "2", "-N", "2"), ("-N", "0"), ("-N", "x"), ("-s", str(2**63 - 1), "-N", "2"),
    ("--num-frames", "9", "--duration", "1"), ("--bitrate", "1M", "--crf", "20"),
    ("--bitrate", "1M", "--target-size", "1MB"), ("--size", "64x64", "-W", "64"), ("--size", "64x64", "-H", "64"),
    ("-m", "nono"), ("-m", "./nowhere.safetensors"), ("-m", "."), ("-m", ""),
    ("--codec", "h263"), ("--codec", "vp9", "-o", "a.mov"), ("--sampler", "eular"), ("--device", "gpu"),
    ("--device", "tpu:0"), ("--dtype", "int4"), ("--offload", "x"), ("--compat", "x"), ("--pix-fmt", "rgb48"),
    ("--encoder-preset", "warp"), ("--size", "65x65"), ("--temporal-upsample", "3"), ("--spatial-upsample", "0"),
    ("-o", "a.avi"), ("-o", "a"), ("-o", ""), ("-o", "none/a.mp4"), ("-o", "none/f/"), ("-o", "taken.mp4"),
    ("-o", "folder"), ("-o", "full/"), ("-o", "taken.mp4/a.mp4"), ("-o", "-", "--json"), ("-o", "-", "-N", "2"),
    ("-o", "a.gif", "--crf", "20"), ("-o", "f/", "--bitrate", "1M"), ("-o", "a.gif", "--fps", "60"),
    ("--config", "none.toml"), ("--widht", "64"), ("--width",), ("extra", "words"), ("--json=1",),
]  # fmt: skip


@pytest.mark.parametrize("options", BAD, ids=" ".join)
def test_bad_input_is_found_before_any_work(shell, rendered, tmp_path, options):
    (tmp_path / "taken.mp4").write_bytes(b"mine")
    (tmp_path / "folder").mkdir()
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "note.txt").write_text("mine")
    before = sorted(tmp_path.rglob("*"))
    done = shell("t2v", PROMPT, *options)
    assert done.code == 2
    assert done.err.startswith("error: ")
    assert 1 <= len(done.err.splitlines()) <= 2
    assert len(done.err) < 500
    assert done.out == ""
    assert rendered == []
    assert sorted(tmp_path.rglob("*")) == before
    assert (tmp_path / "taken.mp4").read_bytes() == b"mine"


@pytest.mark.parametrize("prompt", [(), ("",), ("   ",), ("\n\t",), ("@none.txt",), ("@",), ("@bytes.txt",)])
def test_bad_prompts(shell, rendered, tmp_path, prompt):
    (tmp_path / "bytes.txt").write_bytes(b"\xff\xfe\x00")
    done = shell("t2v", *prompt)
    assert done.code == 2
    assert done.err.startswith("error: ")
    assert rendered == []


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("empty.safetensors", b""),
        ("short.safetensors", b"\x10"),
        ("long.safetensors", b"\xff" * 64),
        ("page.safetensors", b"<!DOCTYPE html><html></html>"),
        ("pickle.safetensors", b"\x80\x02}q\x00."),
        ("model.pt", b"PK\x03\x04"),
        ("clip.mp4", b"\0\0\0\x18ftypisom"),
    ],
)
def test_files_that_are_no_weights(shell, rendered, tmp_path, name, content):
    (tmp_path / name).write_bytes(content)
    done = shell("t2v", PROMPT, "-m", f"./{name}")
    assert (done.code, done.out) == (2, "")
    assert done.err.startswith("error: ")
    assert len(done.err.splitlines()) <= 2


def test_unknown_names_offer_near_ones(shell, rendered):
    assert "nano" in shell("t2v", PROMPT, "-m", "nanoo").err
    assert "--width" in shell("t2v", PROMPT, "--widht", "3").err
    assert "'euler'" in shell("t2v", PROMPT, "--sampler", "eular").err


def test_a_device_that_cannot_be_here(shell, rendered, monkeypatch):
    monkeypatch.setattr("vgen_cli.commands.machine.package_version", lambda name: "2.6.0+cpu")
    monkeypatch.setattr("sys.platform", "linux")
    for name in ("cuda", "cuda:1", "mps"):
        done = shell("t2v", PROMPT, "--device", name)
        assert done.code == 2
        assert f"--device {name.partition(':')[0]}" in done.err


@pytest.mark.parametrize(
    ("prompt", "stem"),
    [
        ("A Red circle, moving!", "a-red-circle-moving"),
        ("../../etc/passwd", "etc-passwd"),
        ("☃☃", "clip"),
        ("ein blauer Würfel", "ein-blauer-würfel"),
        ("x" * 300, "x" * 48),
        ("one two three four five six seven eight nine", "one-two-three-four-five-six-seven-eight"),
    ],
)
def test_slugs(prompt, stem):
    assert slug(prompt) == stem


def test_debug_shows_the_traceback(shell, rendered):
    assert "Traceback" in shell("t2v", "", "--debug").err
    assert "Traceback" not in shell("t2v", "").err


@pytest.mark.parametrize("program", ["/nonexistent", "/bin/false", "/etc/passwd"])
def test_an_ffmpeg_that_does_not_work_is_found_before_any_work(shell, rendered, tmp_path, monkeypatch, program):
    monkeypatch.setenv("IMAGEIO_FFMPEG_EXE", program)
    for cached in (ffmpeg.binary, ffmpeg.encoders):
        monkeypatch.setattr(ffmpeg, cached.__name__, functools.cache(cached.__wrapped__))
    monkeypatch.setattr(encode, "encoders", ffmpeg.encoders)
    done = shell("t2v", "a ring", "-o", "clip.mp4")
    assert (done.code, done.out) == (1, "")
    assert done.err.startswith("error: ffmpeg")
    assert done.err.count("\n") == 1
    assert not rendered
    assert not list(tmp_path.iterdir())


def test_a_current_folder_that_is_gone(shell, rendered, tmp_path, monkeypatch):
    (tmp_path / "gone").mkdir()
    monkeypatch.chdir(tmp_path / "gone")
    (tmp_path / "gone").rmdir()
    done = shell("t2v", "a ring", "-o", tmp_path / "clip.mp4")
    assert (done.code, done.out) == (2, "")
    assert done.err == "error: the current folder does not exist any more; cd to another one\n"
    assert not rendered


@pytest.mark.parametrize("prompt", ["-5 degrees", "--a ring"])
def test_a_prompt_that_begins_with_a_dash_goes_last(shell, rendered, prompt):
    assert "a text that begins with - goes last, after --" in shell("t2v", prompt).err
    assert shell("t2v", "-o", "clip.mp4", "--", prompt).code == 0
    assert rendered[0]["plan"].recipe.prompt == prompt
