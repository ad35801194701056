"""Clips from Python: the same as at the shell, streamed, cancelled, in threads, with the weights kept and let go."""

from __future__ import annotations

import gc
import json
import os
import signal
import subprocess
import sys
import threading
import warnings
import weakref
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import vgen_cli
from vgen_cli import events
from vgen_cli.cascade import session as session_room
from vgen_cli.commands.making import FACTS
from vgen_cli.media.metadata import read_recipe

ROOT = Path(__file__).parents[2]


def recipe(**more):
    said = {"command": "t2v", "prompt": "a red circle", "num_frames": 9, "steps": 1, "width": 64, "height": 64}
    return vgen_cli.Recipe.create(**{**said, "temporal_upsample": 1, "spatial_upsample": 1, "seed": 1, **more})


@pytest.fixture(autouse=True)
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def loads(monkeypatch):
    """The parts that are loaded, in their order."""
    found = []
    plain, plain_text = session_room.load, session_room.load_text_encoder
    monkeypatch.setattr(session_room, "load", lambda part, **how: found.append(part.name) or plain(part, **how))
    monkeypatch.setattr(
        session_room, "load_text_encoder", lambda parts, **how: found.append("text") or plain_text(parts, **how)
    )
    return found


def pictures(folder):
    return np.stack([np.asarray(Image.open(path)) for path in sorted(Path(folder).glob("*.png"))])


def whole(stream):
    return np.concatenate(list(stream))


# ------------------------------------------------------------------------------------------------------------- a clip


def test_a_clip_is_the_one_of_the_shell(shell):
    clip = vgen_cli.render(recipe(), "python.mp4")
    done = shell("t2v", "a red circle", "--num-frames", 9, "--steps", 1, "--size", "64x64", "--temporal-upsample", 1,
                 "--spatial-upsample", 1, "-s", 1, "-o", "shell.mp4", "--json")  # fmt: skip
    told = json.loads(done.out)
    assert Path("python.mp4").read_bytes() == Path("shell.mp4").read_bytes()
    assert tuple(clip.to_dict()) == FACTS
    varies = ("path", "seconds", "peak_memory_bytes")
    assert {k: v for k, v in clip.to_dict().items() if k not in varies} == {
        k: v for k, v in told.items() if k not in varies
    }
    assert clip.seconds.keys() == told["seconds"].keys()
    assert (clip.path, clip.fps, clip.num_frames, clip.recipe) == (Path("python.mp4"), 8, 9, recipe())
    json.dumps(clip.to_dict())


def test_nothing_is_printed_or_left_changed(capfd):
    handlers = [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)]
    environment, filters, hook = dict(os.environ), list(warnings.filters), sys.unraisablehook
    vgen_cli.render(recipe(), "clip.mp4")
    whole(vgen_cli.frames(recipe()))
    assert capfd.readouterr() == ("", "")
    assert handlers == [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)]
    assert (dict(os.environ), sys.unraisablehook) == (environment, hook)
    assert list(warnings.filters) == filters
    assert os.listdir() == ["clip.mp4"]


def test_a_drawn_seed_makes_the_clip_again():
    clip = vgen_cli.render(recipe(seed=None), "first/")
    assert clip.seed is not None
    assert clip.seed == clip.recipe.seed == read_recipe("first")["seed"]
    vgen_cli.render(clip.recipe, "second/")
    assert np.array_equal(pictures("first"), pictures("second"))
    assert vgen_cli.render(recipe(seed=None), "third/").seed != clip.seed


def test_names_overwriting_and_metadata():
    assert vgen_cli.render(recipe()).path == Path("a-red-circle-1.mp4")
    assert vgen_cli.render(recipe()).path == Path("a-red-circle-1-2.mp4")
    with pytest.raises(vgen_cli.UsageError, match="exists"):
        vgen_cli.render(recipe(), "a-red-circle-1.mp4")
    vgen_cli.render(recipe(), Path("a-red-circle-1.mp4"), overwrite=True, metadata=False)
    assert read_recipe("a-red-circle-1.mp4") is None


def test_faults_are_raised_and_leave_nothing():
    with pytest.raises(vgen_cli.UsageError, match="no extension"):
        vgen_cli.render(recipe(), "clip")
    with pytest.raises(vgen_cli.UsageError, match="does not exist"):
        vgen_cli.render(vgen_cli.Recipe.create(command="i2v", image="none.png"), "clip.mp4")
    with pytest.raises(vgen_cli.ModelError):
        vgen_cli.frames(recipe(model="nowhere"))
    with pytest.raises(vgen_cli.UsageError, match="odd"):
        vgen_cli.plan_of(recipe(width=65), "clip.mp4")
    assert os.listdir() == []


def test_a_plan():
    plan = vgen_cli.plan_of(recipe(fps="24000/1001"), "missing/clip.webm")
    assert isinstance(plan, vgen_cli.Plan)
    assert (plan.output.codec, plan.output.fps) == ("vp9", Fraction(24000, 1001))
    assert vgen_cli.plan_of(recipe(codec="ffv1")).output.container == "mkv"
    assert os.listdir() == []


def test_events_and_an_end_from_within():
    told = []
    clip = vgen_cli.render(recipe(), "clip.mp4", on_event=told.append)
    assert [event.step for event in told if isinstance(event, events.StepDone)] == [1]
    assert told[-1] == events.ClipFinished("clip.mp4", clip.to_dict())

    def stop(event):
        if isinstance(event, events.FramesWritten):
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        vgen_cli.render(recipe(), "other.mp4", on_event=stop)
    assert os.listdir() == ["clip.mp4"]


# ------------------------------------------------------------------------------------------------------------- frames


def test_frames_are_those_of_the_file():
    vgen_cli.render(recipe(), "frames/")
    stream = vgen_cli.frames(recipe(codec="h264", crf=30))
    assert (stream.width, stream.height, stream.fps, stream.num_frames) == (64, 64, 8, 9)
    assert stream.recipe == recipe(codec="h264", crf=30)
    made = list(stream)
    assert all(piece.dtype == np.uint8 and piece.shape[1:] == (64, 64, 3) for piece in made)
    assert len(made) > 1
    assert np.array_equal(np.concatenate(made), pictures("frames"))
    assert list(stream) == []


def test_frames_of_an_odd_size_need_no_pixel_format():
    assert whole(vgen_cli.frames(recipe(width=65, num_frames=1))).shape == (1, 64, 65, 3)


def test_frames_closed_early_free_everything(monkeypatch):
    opened, plain = [], session_room.Residency
    monkeypatch.setattr(session_room, "Residency", lambda *how: opened.append(weakref.ref(made := plain(*how))) or made)
    with vgen_cli.frames(recipe(num_frames=65)) as stream:
        next(stream)
        assert opened[0]() is not None
    with pytest.raises(StopIteration):
        next(stream)
    gc.collect()
    assert opened[0]() is None


def test_frames_of_footage_closed_early_end_ffmpeg():
    shown = (np.arange(200 * 32 * 32 * 3) % 251).astype(np.uint8).reshape(200, 32, 32, 3)
    from vgen_cli.media.spec import EncodeSpec
    from vgen_cli.media.writer import write_clip

    write_clip([shown], "long.mp4", EncodeSpec(32, 32, Fraction(25), 200))
    long = vgen_cli.Recipe.create(command="v2v", prompt="a red circle", video="long.mp4", steps=1, strength=0.5)
    children = Path(f"/proc/self/task/{os.getpid()}/children")
    if not children.exists():
        pytest.skip("this system does not list a process's children")
    before = children.read_text()
    stream = vgen_cli.frames(long)
    next(stream)
    stream.close()
    assert children.read_text() == before


# ------------------------------------------------------------------------------------------------------------ session


def test_a_session_loads_once_and_lets_go(loads):
    with vgen_cli.Session() as session:
        for seed in (1, 2, 3):
            session.render(recipe(seed=seed), f"{seed}/")
        assert len(whole(session.frames(recipe(seed=2)))) == 9
        assert sorted(loads) == ["autoencoder", "text", "transformer"]
        kept = [weakref.ref(loaded.residency) for loaded in session._loaded.values()]
        session.render(recipe(offload="model"), "4/")  # another place for the weights
        assert len(loads) == 6
    gc.collect()
    assert [reference() for reference in kept] == [None]
    assert np.array_equal(whole(vgen_cli.frames(recipe(seed=3))), pictures("3"))
    with pytest.raises(vgen_cli.UsageError, match="closed"):
        session.render(recipe(), "5/")


def test_a_session_gives_out_one_clip_at_a_time():
    with vgen_cli.Session() as session:
        stream = session.frames(recipe())
        next(stream)
        with pytest.raises(vgen_cli.UsageError, match="giving out frames"):
            session.render(recipe(), "clip.mp4")
        stream.close()
        session.render(recipe(), "clip.mp4")


def test_what_failed_is_loaded_anew(loads, monkeypatch):
    def fail(event):
        raise ValueError("mine")

    with vgen_cli.Session() as session:
        with pytest.raises(ValueError, match="mine"):
            session.render(recipe(), "1/", on_event=fail)
        with pytest.raises(ValueError, match="mine"):
            list(session.frames(recipe(), on_event=fail))
        session.render(recipe(), "2/")
        stream = session.frames(recipe(num_frames=65))
        next(stream)
        stream.close()
        before = len(loads)
        session.render(recipe(), "3/")
        assert len(loads) == before
    assert np.array_equal(pictures("2"), pictures("3"))


@pytest.mark.parametrize("shared", [True, False])
def test_threads(shared):
    alone = {seed: whole(vgen_cli.frames(recipe(seed=seed))) for seed in (1, 2)}
    made = {}

    def work(seed, session):
        made[seed] = whole(session.frames(recipe(seed=seed)))
        session.render(recipe(seed=seed), f"{seed}/")

    one = vgen_cli.Session()
    threads = [threading.Thread(target=work, args=(seed, one if shared else vgen_cli.Session())) for seed in alone]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for seed, frames in alone.items():
        assert np.array_equal(made[seed], frames)
        assert np.array_equal(pictures(str(seed)), frames)


# ------------------------------------------------------------------------------------------------------------- import


def test_importing_loads_nothing_heavy():
    script = (
        "import sys, vgen_cli; heavy = {'torch', 'numpy', 'typer', 'PIL', 'transformers'};"
        "assert not heavy & set(sys.modules); vgen_cli.Recipe, vgen_cli.UsageError;"
        "assert not heavy & set(sys.modules); assert {*vgen_cli.__all__, '__version__'} <= set(dir(vgen_cli));"
        "vgen_cli.plan_of(vgen_cli.Recipe.create(command='t2v', prompt='a')); assert 'torch' not in sys.modules;"
        "print(*(getattr(vgen_cli, name).__module__ for name in vgen_cli.__all__))"
    )
    done = subprocess.run([sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, check=True)
    assert set(done.stdout.split()) == {
        "models.errors", "vgen_cli.api", "vgen_cli.errors", "vgen_cli.plan.records", "vgen_cli.recipe"
    }  # fmt: skip
    with pytest.raises(AttributeError, match="no attribute 'rendr'"):
        vgen_cli.rendr  # noqa: B018


SCRIPT = """
import vgen_cli

recipe = vgen_cli.Recipe.create(command="t2v", prompt="a red circle", seed=1)
clip = vgen_cli.render(recipe, "clip.mp4")
print(clip.path.name, clip.num_frames + 1, clip.fps.denominator)
with vgen_cli.Session() as session, session.frames(recipe, on_event=print) as stream:
    for frames in stream:
        reveal_type(frames)
reveal_type(vgen_cli.plan_of(recipe).output.fps)
vgen_cli.rendr(recipe)
"""


@pytest.mark.slow
def test_a_users_script_is_typed(tmp_path):
    (tmp_path / "script.py").write_text(SCRIPT)
    command = [sys.executable, "-m", "mypy", "--strict", "--follow-imports=silent", "--config-file=", "script.py"]
    environment = {**os.environ, "MYPYPATH": str(ROOT)}
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
    told = [line.partition(": ")[2] for line in done.stdout.splitlines()]
    assert "numpy.ndarray[" in told[0], done.stdout
    assert "numpy.unsignedinteger[" in told[0]
    assert told[1] == 'note: Revealed type is "fractions.Fraction"'
    assert told[2].startswith('error: Module has no attribute "rendr"')
    assert done.stdout.splitlines()[3:] == ["Found 1 error in 1 file (checked 1 source file)"]
