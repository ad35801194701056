"""The application: help, versions, faults as sentences, signals."""

from __future__ import annotations

import errno
import importlib
import os
import re
import signal
import subprocess
import sys
import textwrap

import pytest

from models.errors import CheckpointError
from vgen_cli import __version__, app
from vgen_cli.errors import MediaError, RunError, UsageError
from vgen_cli.explain import explain


class OutOfMemoryError(RuntimeError):
    """Named as torch's is, which is all that is looked at."""


def told(capfd, *arguments):
    code = app.main(arguments)
    out, err = capfd.readouterr()
    return code, out, err


def test_help_lists_every_command(capfd):
    code, out, err = told(capfd, "--help")
    assert (code, err) == (0, "")
    for door in app.DOORS:
        assert f"  {door.name} " in out
    assert told(capfd) == (0, out, "")
    assert told(capfd, "-h") == (0, out, "")


@pytest.mark.parametrize("door", app.DOORS, ids=lambda door: door.name)
def test_help_of_every_command(capfd, door):
    code, out, err = told(capfd, door.name, "--help")
    assert (code, err) == (0, "")
    assert f"Usage: vgen {door.name}" in out
    assert "Examples:" in out
    assert f"  vgen {door.name}" in out
    assert max(map(len, out.splitlines())) <= 110


def test_hidden_aliases_stay_hidden(capfd):
    out = told(capfd, "t2v", "--help")[1]
    assert "--num-frames" in out
    assert not re.search(r"--frames|--cfg-scale|--num-inference-steps", out)


@pytest.mark.parametrize("door", app.DOORS, ids=lambda door: door.name)
def test_examples_are_commands_that_exist(door):
    module = importlib.import_module(f"vgen_cli.commands.{door.module}")
    assert module.EXAMPLES
    for line, remark in module.EXAMPLES:
        assert line.startswith(f"vgen {door.name}")
        assert remark


def test_version(capfd):
    assert told(capfd, "--version") == (0, f"vgen {__version__}\n", "")


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("t3v",), "did you mean 't2v'"),
        (("a red circle",), "vgen t2v"),
        (("models", "lst"), "did you mean 'list'"),
        (("models",), "missing command; see vgen models --help"),
        (("--verson",), "did you mean '--version'"),
        (("t2v", "a", "--widht", "3"), "did you mean '--width'"),
        (("t2v", "a", "--width"), "--width needs a value; see vgen t2v --help"),
        (("t2v", "a", "--json=yes"), "--json takes no value"),
        (("t2v", "a", "b"), "in quotes"),
        (("info",), "FILE is missing; see vgen info --help"),
    ],
)
def test_wrong_usage_shows_the_way_out(capfd, arguments, words):
    code, out, err = told(capfd, *arguments)
    assert (code, out) == (2, "")
    assert err.startswith("error: ")
    assert words in err
    assert err.count("\n") == 1


@pytest.mark.parametrize(
    ("fault", "words", "code"),
    [
        (UsageError("no"), "no", 2),
        (MediaError("no"), "no", 1),
        (RunError("no"), "no", 1),
        (CheckpointError("no"), "no", 2),
        (KeyboardInterrupt(), "interrupted", 130),
        (PermissionError(13, "Permission denied", "there/a.mp4"), "there/a.mp4 may not be opened", 2),
        (BrokenPipeError(), "", 1),
        (OSError(errno.ENOSPC, "No space left on device"), "disk is full", 1),
        (OSError(errno.EACCES, "Permission denied"), "unexpected PermissionError", 1),
        (OutOfMemoryError("CUDA out of memory"), "out of memory", 1),
        (RuntimeError("DefaultCPUAllocator: can't allocate memory"), "out of memory", 1),
        (MemoryError(), "out of memory", 1),
        (ModuleNotFoundError("No module named 'torch'", name="torch"), "torch is missing", 1),
        (ValueError("odd\nsecond line"), "unexpected ValueError: odd (run again with --debug", 1),
        (ZeroDivisionError(), "unexpected ZeroDivisionError: no message", 1),
    ],
    ids=lambda value: type(value).__name__,
)
def test_every_fault_has_a_sentence_and_a_code(fault, words, code):
    sentence, given = explain(fault)
    assert given == code
    assert words in sentence
    assert "\n" not in sentence


def test_faults_are_shown_without_a_traceback(capfd, monkeypatch):
    def fail(_):
        raise ValueError("odd")

    monkeypatch.setattr(app, "_run", fail)
    code, out, err = told(capfd, "t2v")
    assert (code, out) == (1, "")
    assert err == "error: unexpected ValueError: odd (run again with --debug for the traceback)\n"
    assert "Traceback" in told(capfd, "t2v", "--debug")[2]


def test_warnings_of_libraries_are_silent(capfd, monkeypatch):
    def warn(_):
        import warnings

        warnings.warn("noise", stacklevel=1)
        return 0

    monkeypatch.setattr(app, "_run", warn)
    import warnings

    with warnings.catch_warnings():
        assert told(capfd) == (0, "", "")


WAITING = """
    import signal, sys, time
    from vgen_cli import app
    if hasattr(signal, "SIGHUP"):
        signal.signal(signal.SIGHUP, signal.SIG_DFL)  # which nohup, around the tests, ignores
    def wait(_):
        try:
            print("ready", flush=True)
            time.sleep(20)
        finally:
            time.sleep(0.3)
            print("cleaned up", flush=True)
    app._run = wait
    sys.exit(app.main([]))
"""


@pytest.mark.parametrize("name", ["SIGINT", "SIGTERM", "SIGHUP"])
@pytest.mark.skipif(os.name == "nt", reason="signals of Unix")
def test_a_signal_cleans_up_and_exits_130(name):
    process = subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(WAITING)], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    assert process.stdout.readline() == "ready\n"
    for _ in range(2):  # the second one is a hasty finger
        process.send_signal(getattr(signal, name))
    out, err = process.communicate(timeout=15)
    assert (process.returncode, out, err) == (130, "cleaned up\n", "interrupted\n")


SWALLOWED = """
    import os, signal, sys, time, weakref
    from vgen_cli import app
    from vgen_cli.events import Note
    from vgen_cli.progress import reporting

    class Thing:
        pass

    def callback(_):
        os.kill(os.getpid(), signal.SIGINT)
        time.sleep(0.1)  # Python drops what is raised here

    def work(arguments):
        with reporting() as listener:
            thing = Thing()
            watcher = weakref.ref(thing, callback)
            del thing
            print("goes on", flush=True)
            listener(Note("the next event"))
        return 0

    app._run = work
    sys.exit(app.main([]))
"""


@pytest.mark.skipif(os.name == "nt", reason="signals of Unix")
def test_a_ctrl_c_that_python_swallows_is_heeded_at_the_next_event():
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(SWALLOWED)], capture_output=True, text=True, check=False, timeout=30
    )
    assert (done.returncode, done.stdout, done.stderr) == (130, "goes on\n", "interrupted\n")


@pytest.mark.skipif(os.name == "nt", reason="pipes of Unix")
def test_a_reader_that_goes_away_is_no_traceback():
    line = f"{sys.executable} -m vgen_cli models list --json | true"
    for _ in range(2):
        done = subprocess.run(["sh", "-c", line], capture_output=True, text=True, check=False)
        assert done.stderr == ""


def test_completion_is_offered(capfd, monkeypatch):
    env = {**os.environ, "_VGEN_COMPLETE": "complete_bash", "COMP_WORDS": "vgen t2v --cod", "COMP_CWORD": "2"}
    done = subprocess.run([sys.executable, "-m", "vgen_cli"], env=env, capture_output=True, text=True, check=False)
    assert "--codec" in done.stdout
    env |= {"COMP_WORDS": "vgen ", "COMP_CWORD": "1"}
    done = subprocess.run([sys.executable, "-m", "vgen_cli"], env=env, capture_output=True, text=True, check=False)
    assert {"t2v", "plan", "models"} <= set(done.stdout.split())
