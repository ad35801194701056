"""From a command line to a finished file with the embedded model: exact, repeatable, whole or not at all.

Nothing here depends on what the clips show, so that the weights may be trained anew; `tests/models/nano` looks at that.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file, save_file

from models.catalog import find
from models.checkpoint import locate
from models.checkpoint.build import load, load_text_encoder
from models.ltx.transformer import Transformer
from models.shapes import LatentShape
from models.training.sampling import Networks, base_latents
from vgen_cli.app import main
from vgen_cli.cascade import frames, session, stages
from vgen_cli.media import writer
from vgen_cli.media.probe import probe
from vgen_cli.media.reader import frames as read_frames

ROOT = Path(__file__).parents[2]
PROMPT = "a red circle moving right"
SMALL = ("--size", "64x64", "--num-frames", 9, "--steps", 1, "-s", 1)


@pytest.fixture
def shell(shell, tmp_path, monkeypatch):
    """The shell in a folder of its own, with an empty folder for temporary files beside it."""
    (tmp_path / "here").mkdir()
    (tmp_path / "temporary").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "temporary"))
    return shell


def files(folder="."):
    """Everything below the folder, hidden things too, and what is left of temporary files (but torch's own cache)."""
    found = [str(path) for place in (Path(folder), Path(tempfile.gettempdir())) for path in place.rglob("*")]
    return sorted(path for path in found if "torchinductor" not in path)


def pictures(folder):
    return np.stack([np.asarray(Image.open(path)) for path in sorted(Path(folder).glob("*.png"))])


# ---------------------------------------------------------------------------------------------- exact and repeatable


def test_a_clip_with_nothing_asked(shell):
    done = shell("t2v", PROMPT, "-s", 7, "-o", "clip.mp4")
    assert (done.code, done.out) == (0, "clip.mp4\n")
    assert "seed 7" in done.err
    assert "cpu" in done.err
    facts = probe("clip.mp4")
    nano = find("nano")
    assert (facts.width, facts.height, facts.num_frames) == (nano.width, nano.height, nano.num_frames)
    assert facts.fps == nano.fps
    assert (facts.codec, facts.pix_fmt, facts.color_space) == ("h264", "yuv420p", "bt709")
    assert files() == ["clip.mp4"]


EXACT = {
    "--size 130x96": (130, 96, 16, 9),
    "--size 64x48 --num-frames 7": (64, 48, 16, 7),
    "--num-frames 1": (64, 64, 16, 1),
    "--duration 0.5": (64, 64, 16, 8),
    "--fps 24": (64, 64, 24, 9),
    "--fps 24000/1001 --num-frames 7": (64, 64, Fraction(24000, 1001), 7),
    "--fps 23.976 --duration 0.5": (64, 64, Fraction(24000, 1001), 12),
    "--fps 60 --duration 0.25": (64, 64, 60, 15),
    "--fps 5 --num-frames 4": (64, 64, 5, 4),
    "--spatial-upsample 1": (64, 64, 16, 9),
    "--spatial-upsample 4 --size 66x128": (66, 128, 16, 9),
    "--temporal-upsample 1": (64, 64, 8, 9),
    "--temporal-upsample 1 --fps 24": (64, 64, 24, 9),
    "--temporal-upsample 4": (64, 64, 32, 9),
    "--temporal-upsample 1 --spatial-upsample 1 --num-frames 6": (64, 64, 8, 6),
}


@pytest.mark.parametrize("options", EXACT)
def test_what_is_asked_is_what_is_in_the_file(shell, options):
    words = options.split()
    small = [word for pair in zip(SMALL[::2], SMALL[1::2], strict=True) for word in pair if pair[0] not in words]
    if "--duration" in words:
        small = [word for word in small if word not in ("--num-frames", 9)]
    done = shell("t2v", PROMPT, *small, *words, "-o", "clip.mp4", "--json")
    assert done.code == 0, done.err
    facts = probe("clip.mp4")
    assert (facts.width, facts.height, facts.fps, facts.num_frames) == EXACT[options]
    assert sum(len(piece) for piece in read_frames("clip.mp4")) == facts.num_frames
    line = json.loads(done.out)
    assert (line["width"], line["height"], line["num_frames"]) == (facts.width, facts.height, facts.num_frames)
    assert line["fps"] == pytest.approx(float(facts.fps))
    assert line["duration"] == pytest.approx(facts.num_frames / float(facts.fps), abs=1e-3)


@pytest.mark.parametrize(
    ("name", "options", "codec"),
    [
        ("clip.mp4", ("--bitrate", "200k"), "h264"),
        ("clip.mov", ("--codec", "h265"), "h265"),
        ("clip.mp4", ("--codec", "av1"), "av1"),
        ("clip.webm", (), "vp9"),
        ("clip.gif", ("--fps", "20"), "gif"),
        ("clip.mkv", ("--codec", "ffv1"), "ffv1"),
        ("frames/", (), "png"),
    ],
)
def test_every_format(shell, name, options, codec):
    done = shell("t2v", PROMPT, *SMALL, *options, "-o", name)
    assert (done.code, done.out) == (0, f"{name}\n"), done.err
    facts = probe(name)
    assert (facts.codec, facts.width, facts.height, facts.num_frames) == (codec, 64, 64, 9)
    assert not [path for path in files() if ".part" in path]


def test_the_same_recipe_makes_the_same_frames(shell):
    for name in ("one/", "two/"):
        assert shell("t2v", PROMPT, *SMALL, "--sampler", "euler_ancestral", "-o", name).code == 0
    made = [sorted(Path(name).glob("*.png")) for name in ("one", "two")]
    assert len(made[0]) == 9
    assert [path.read_bytes() for path in made[0]] == [path.read_bytes() for path in made[1]]
    assert shell("t2v", PROMPT, *SMALL, "--sampler", "euler_ancestral", "-o", "a.mkv", "--codec", "ffv1").code == 0
    assert np.array_equal(np.concatenate(list(read_frames("a.mkv"))), pictures("one"))


def test_what_must_and_what_must_not_change_the_frames(shell):
    """Residency and compatibility do not; prompt, seed, steps, guidance and stages do."""
    shell("t2v", PROMPT, *SMALL, "-o", "plain/")
    plain = pictures("plain")
    changes = [
        (True, ("--offload", "model")), (True, ("--offload", "block")), (True, ("--compat", "diffusers")),
        (True, ("--device", "cpu", "--dtype", "float32")),
        (False, ("-s", 2)), (False, ("--steps", 2)), (False, ("-g", 1)), (False, ("-n", "a blue square")),
        (False, ("--spatial-upsample", 1)), (False, ("--flow-shift", 5, "--steps", 2)),
    ]  # fmt: skip
    for index, (same, options) in enumerate(changes):
        kept = list(SMALL)
        if options[0] in kept:
            place = kept.index(options[0])
            kept[place : place + 2] = []
        done = shell("t2v", PROMPT, *kept, *options, "-o", f"{index}/")
        assert done.code == 0, done.err
        assert np.array_equal(pictures(str(index)), plain) == same, options
    shell("t2v", "a small green star", *SMALL, "-o", "other/")
    assert not np.array_equal(pictures("other"), plain)


def test_several_clips_load_once(shell, monkeypatch):
    loads = []
    plain, plain_text = session.load, session.load_text_encoder
    monkeypatch.setattr(session, "load", lambda part, **how: loads.append(part.name) or plain(part, **how))
    monkeypatch.setattr(
        session, "load_text_encoder", lambda parts, **how: loads.append("text_encoder") or plain_text(parts, **how)
    )
    done = shell("t2v", PROMPT, *SMALL[:-2], "-s", 1, "-s", 5, "-o", "clip/")
    assert (done.code, done.out) == (0, "clip-1/\nclip-5/\n")
    assert sorted(loads) == ["autoencoder", "spatial_upsampler", "temporal_upsampler", "text_encoder", "transformer"]
    assert not np.array_equal(pictures("clip-1"), pictures("clip-5"))
    shell("t2v", PROMPT, *SMALL[:-2], "-s", 5, "-o", "alone/")
    assert np.array_equal(pictures("alone"), pictures("clip-5"))


def test_a_clip_on_standard_output(tmp_path, monkeypatch, capfdbinary):
    monkeypatch.chdir(tmp_path)
    assert main(["t2v", PROMPT, *map(str, SMALL), "-o", "-"]) == 0
    out, err = capfdbinary.readouterr()
    assert out[4:8] == b"ftyp"
    assert b"seed 1" in err
    assert list(tmp_path.iterdir()) == []
    Path("clip.mp4").write_bytes(out)
    assert (probe("clip.mp4").num_frames, probe("clip.mp4").fps) == (9, 16)


def test_info_reads_the_recipe_back(shell):
    shell("t2v", PROMPT, *SMALL, "-o", "clip.mp4")
    done = shell("info", "clip.mp4", "--json")
    assert done.code == 0, done.err
    assert json.loads(done.out)["recipe"]["prompt"] == PROMPT


def test_evaluation_in_training_sees_what_a_user_gets(shell, monkeypatch):
    """Base latents of `models.training`, which judges the model, and of the command."""
    kept = []
    plain = stages.decode
    monkeypatch.setattr(stages, "decode", lambda state, *rest: kept.append(state.latents) or plain(state, *rest))
    done = shell("t2v", PROMPT, *SMALL[:2], "--num-frames", 9, "-s", 4, "--spatial-upsample", 1,
                 "--temporal-upsample", 1, "-o", "clip/")  # fmt: skip
    assert done.code == 0, done.err
    located = locate("nano")
    networks = Networks(
        load(located.parts["transformer"], dtype=torch.float32),
        load_text_encoder(located.parts, dtype=torch.float32),
        load(located.parts["autoencoder"], dtype=torch.float32),
    )
    card = located.card
    made = base_latents(
        networks, [PROMPT], [4], LatentShape(*kept[0].shape[1:]), card.base.levels(),
        guidance_scale=card.base.guidance_scale, fps=float(card.base_fps),
    )  # fmt: skip
    assert (made - kept[0]).abs().max() <= 1e-4


# ------------------------------------------------------------------------------------------------ whole or not at all


def test_weights_that_are_no_numbers(shell, tmp_path):
    folder = tmp_path / "model"
    shutil.copytree(ROOT / "models/nano/weights", folder)
    file = folder / "transformer/diffusion_pytorch_model.safetensors"
    tensors = load_file(file)
    tensors["proj_out.bias"] = torch.full_like(tensors["proj_out.bias"], float("nan"))
    file.unlink()
    save_file(tensors, file)
    done = shell("t2v", PROMPT, *SMALL, "-m", folder, "-o", "clip.mp4", "-q")
    assert (done.code, done.out) == (1, "")
    assert done.err.startswith("error: the base stage made numbers that are not finite on cpu")
    assert done.err.count("\n") == 2  # the second one says how to go on
    assert files() == []


def raising(fault, after):
    """A function that raises at its call number `after`."""
    calls = []

    def tick(*_, **__):
        calls.append(1)
        if len(calls) >= after:
            raise fault

    return tick


INTERRUPTED = {
    "while denoising": (Transformer, "_velocity"),
    "while writing": (frames, "to_bytes"),
    "in a later pass": (writer, "encode_to_rate"),
    "while checking": (writer, "verify"),
}


@pytest.mark.parametrize(
    ("moment", "output"),
    [
        (moment, output)
        for moment in INTERRUPTED
        for output in ("clip.mp4", "frames/", "-")
        if (moment, output) != ("in a later pass", "frames/")  # they are written in one
    ],
)
def test_ctrl_c_leaves_nothing(shell, monkeypatch, moment, output):
    place, name = INTERRUPTED[moment]
    plain, tick = getattr(place, name), raising(KeyboardInterrupt, 3 if place is Transformer else 1)
    if place is frames:

        def made(pieces):
            for index, piece in enumerate(plain(pieces)):
                yield piece[:2]
                tick(index)

    else:

        def made(*arguments, **options):
            if place is writer and name == "encode_to_rate":
                plain(*arguments, **options)
            tick()
            return plain(*arguments, **options)

    options = ("--steps", 3, "--bitrate", "100k") if name == "encode_to_rate" else ("--steps", 3)
    monkeypatch.setattr(place, name, made)
    done = shell("t2v", PROMPT, *SMALL[:4], "-s", 1, *options, "-o", output, "-q")
    assert (done.code, done.out) == (130, "")
    assert re.fullmatch(r"interrupted\nto continue: vgen resume [0-9a-f]{16}\n", done.err)
    assert files() == []
    if output != "-":
        monkeypatch.setattr(place, name, plain)
        assert shell("t2v", PROMPT, *SMALL, "-o", output, "-q").code == 0


def test_a_fault_while_replacing_keeps_the_old_clip(shell, monkeypatch):
    Path("clip.mp4").write_bytes(b"mine")
    monkeypatch.setattr(Transformer, "_velocity", raising(KeyboardInterrupt, 1))
    assert shell("t2v", PROMPT, *SMALL, "-o", "clip.mp4", "--overwrite").code == 130
    assert Path("clip.mp4").read_bytes() == b"mine"
    assert files() == ["clip.mp4"]


@pytest.mark.parametrize(
    ("fault", "said"),
    [
        (torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB"), "base ran out of memory on cpu"),
        (OSError(28, "No space left on device"), "the disk is full"),
        (ValueError("odd"), "unexpected ValueError: odd (run again with --debug"),
    ],
)
def test_a_fault_is_one_sentence(shell, monkeypatch, fault, said):
    monkeypatch.setattr(Transformer, "_velocity", raising(fault, 1))
    done = shell("t2v", PROMPT, *SMALL, "-o", "clip.mp4", "-q")
    assert (done.code, done.out) == (1, "")
    sentence, way, end = done.err.split("\n")
    assert sentence.startswith(f"error: {said}")
    assert way.startswith("to continue: vgen resume ")
    assert end == ""
    assert files() == []


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_real_signal_ends_a_real_process(tmp_path, number):
    temporary = tmp_path / "temporary"
    temporary.mkdir()
    environment = {**os.environ, "TMPDIR": str(temporary), "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-m", "vgen_cli", "t2v", PROMPT, "--steps", "900", "-o", str(tmp_path / "clip.mp4")]
    with subprocess.Popen(command, cwd=ROOT, env=environment, stderr=subprocess.PIPE, text=True) as process:
        for line in process.stderr:
            if line.startswith("encode prompt"):
                break
        time.sleep(0.5)
        asked = time.monotonic()
        process.send_signal(number)
        rest = process.stderr.read()
        assert process.wait(20) == 130
    assert time.monotonic() - asked < 5
    assert re.fullmatch(r"interrupted\nto continue: vgen resume [0-9a-f]{16}\n", rest)
    assert [path for path in tmp_path.rglob("*") if "torchinductor" not in str(path)] == [temporary]


@pytest.mark.slow
def test_another_process_makes_the_same_bytes(tmp_path):
    made = []
    for name in ("one", "two"):
        command = [sys.executable, "-m", "vgen_cli", "t2v", PROMPT, *map(str, SMALL), "-q", "-o", f"{tmp_path / name}/"]
        subprocess.run(command, cwd=ROOT, check=True)
        made.append([path.read_bytes() for path in sorted((tmp_path / name).glob("*.png"))])
    assert len(made[0]) == 9
    assert made[0] == made[1]
