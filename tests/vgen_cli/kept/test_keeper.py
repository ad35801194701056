"""The keeper of one job: what is worth keeping, what is found again, and that nothing in it stands in the way."""

from __future__ import annotations

import errno
import os
import shutil
import subprocess
import sys

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from vgen_cli.errors import RunError, UsageError
from vgen_cli.kept import keeper as room
from vgen_cli.kept import store as store_room

from .conftest import BASE, REFINE, same, tensors


def names(store):
    """The files of all jobs without their hashes."""
    return sorted(
        path.name.split(".")[0] + ("." + path.name.split(".")[1] if path.name.count(".") > 2 else "")
        for kept in store.jobs()
        for path in kept.path.iterdir()
    )


def interrupted(job, *saved, **order):
    """Keeps something, and ends with a fault, which is returned."""

    def work():
        with job.keeping(**order) as keeper:
            for place, level in saved:
                keeper.save(place, "mark", lambda level=level: tensors(level))
            raise RunError("over")

    with pytest.raises(RunError) as raised:
        work()
    return raised.value


def test_a_fault_says_how_to_go_on_and_what_was_kept_is_found(job, store):
    fault = interrupted(job(), (BASE, 1.0))
    (kept,) = store.jobs()
    assert fault.then == f"to continue: vgen resume {kept.key}"
    assert (kept.record.recipe.prompt, kept.record.order.output) == ("a red circle", "clip.mp4")
    assert kept.reached == "base done"
    again = job()
    with again.keeping() as keeper:
        assert same(keeper.load(BASE, "mark"), 1.0)
        assert keeper.load(REFINE, "mark") is None
        assert keeper.load(BASE._replace(window=1), "mark") is None
        assert keeper.of_link(1).load(BASE, "mark") is None
    assert again.notes == [f"job {kept.key} goes on where it was: base done"]


def test_it_is_gone_when_the_file_stands(job, store):
    with job().keeping() as keeper:
        keeper.save(BASE, "mark", tensors)
        assert len(store.jobs()) == 1
    assert os.listdir(store.root) == []


def test_a_draft_stays_and_is_that_of_the_whole_and_of_any_file(job, store):
    with job(draft=True).keeping() as keeper:
        keeper.save(BASE, "mark", tensors)
        keeper.save(BASE._replace(window=1), "mark", tensors)
    (kept,) = store.jobs()
    assert kept.record.done
    assert names(store) == ["0-0-0-base", "job"]
    with job(crf=3).keeping() as keeper:
        assert same(keeper.load(BASE, "mark"), 1.0)
    with job(seed=6).keeping() as keeper:
        assert keeper.load(BASE, "mark") is None


def test_later_work_takes_the_place_of_earlier_work(job, store):
    step = REFINE._replace(step=2, steps=9)
    later = [
        ((BASE._replace(step=1, steps=4), 0.1), ["0-0-0-base.1of4"]),
        ((BASE._replace(step=2, steps=4), 0.2), ["0-0-0-base.2of4"]),
        ((BASE, 1.0), ["0-0-0-base"]),
        ((step, 2.0), ["0-0-0-base", "0-0-3-refine.2of9"]),
        ((step._replace(step=3), 2.1), ["0-0-0-base", "0-0-3-refine.3of9"]),
        ((REFINE, 3.0), ["0-0-3-refine"]),
        ((BASE._replace(window=1), 4.0), ["0-0-3-refine", "0-1-0-base"]),
    ]
    with job().keeping() as keeper:
        for (place, level), expected in later:
            keeper.save(place, "mark", lambda level=level: tensors(level))
            assert [name for name in names(store) if name != "job"] == expected
            assert same(keeper.load(place, "mark"), level)


def test_a_stage_goes_on_from_its_last_step(job):
    interrupted(job(), (BASE._replace(step=3, steps=8), 0.3))
    with job().keeping() as keeper:
        assert same(keeper.load(BASE._replace(steps=8), "mark"), 0.3)
        assert keeper.load(BASE, "mark") is None


def test_the_last_step_is_kept_as_the_stage_that_it_ends(job, store):
    interrupted(job(), (BASE._replace(step=8, steps=8), 0.3))
    assert names(store) == ["job"]


def test_what_another_beginning_led_to_is_of_no_use(job):
    interrupted(job(), (BASE, 1.0))
    again = job()
    with again.keeping() as keeper:
        assert keeper.load(BASE, "other") is None
    assert again.notes == ["what was kept of another machine or version, or of another beginning, is made again"]


def test_quick_work_is_not_worth_it_and_slow_work_is(job, store, monkeypatch):
    monkeypatch.setenv("VGEN_CHECKPOINT_SECONDS", "60")
    clock = [0.0]
    monkeypatch.setattr(room.time, "monotonic", lambda: clock[0])
    with job().keeping() as keeper:
        keeper.begun = clock[0]
        for seconds, place, kept in [
            (1, BASE, []),
            (4, REFINE._replace(step=1, steps=9), []),
            (room.WORTH - 1, REFINE, ["0-0-3-refine"]),
            (1, BASE._replace(window=1), ["0-0-3-refine", "0-1-0-base"]),  # from here on everything is
            (59, REFINE._replace(window=1, step=1, steps=9), ["0-0-3-refine", "0-1-0-base"]),
            (2, REFINE._replace(window=1, step=2, steps=9), ["0-0-3-refine", "0-1-0-base", "0-1-3-refine.2of9"]),
        ]:
            clock[0] += seconds
            keeper.save(place, "mark", tensors)
            assert [name for name in names(store) if name != "job"] == kept


def test_a_clip_that_took_no_time_leaves_nothing(job, store, monkeypatch):
    monkeypatch.delenv("VGEN_CHECKPOINT_SECONDS")
    with job().keeping() as keeper:
        keeper.save(BASE, "mark", lambda: pytest.fail("nobody needs them"))
        keeper.save(REFINE, "mark", lambda: pytest.fail("nobody needs them"))
    assert os.listdir(store.root) == []


def test_without_a_limit_nothing_is_looked_at(job, limit, store):
    limit("0")
    with job().keeping() as keeper:
        assert keeper is None
    assert not store.root.exists()


def test_what_has_no_network_is_not_kept(job, tmp_path, store):
    from PIL import Image

    Image.new("RGB", (16, 16)).save(tmp_path / "a.png")
    with job(command="upscale", image=str(tmp_path / "a.png"), prompt="").keeping() as keeper:
        assert keeper is None


def test_a_call_without_a_command_is_kept_and_says_nothing(job, store):
    assert not hasattr(interrupted(job(), (BASE, 1.0), order=None), "then")
    assert store.jobs()[0].record.order is None


def test_a_fault_of_the_user_leaves_no_job(job, store):
    with pytest.raises(UsageError) as raised, job().keeping():
        raise UsageError("no such device")
    assert not hasattr(raised.value, "then")
    assert store.jobs() == []


class Full:
    """A disk on which writing fails with an error from the n-th time on."""

    def __init__(self, monkeypatch, code=errno.ENOSPC, good=0):
        self.code, self.good = code, good
        self.plain = os.fsync
        monkeypatch.setattr(store_room.os, "fsync", self.fsync)

    def fsync(self, handle):
        if self.good <= 0:
            raise OSError(self.code, os.strerror(self.code))
        self.good -= 1
        self.plain(handle)


@pytest.mark.parametrize("good", range(6))
@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EDQUOT, errno.EIO])
def test_a_full_disk_ends_the_keeping_and_not_the_work(job, store, monkeypatch, good, code):
    ready = job()
    Full(monkeypatch, code, good)
    with ready.keeping() as keeper:
        for place in (BASE, REFINE, BASE._replace(window=1)):
            keeper.save(place, "mark", tensors)
        if store.jobs():
            assert not [path for path in store.jobs()[0].path.iterdir() if path.name.endswith(".part")]
    told = [note for note in ready.notes if "not kept any more" in note]
    assert len(told) == 1
    assert os.strerror(code) in told[0]


@pytest.mark.parametrize("fault", [MemoryError(), RuntimeError("no memory is left\nfor that")])
def test_no_memory_to_copy_ends_the_keeping_and_not_the_work(job, store, fault):
    def never():
        raise fault

    ready = job()
    with ready.keeping() as keeper:
        keeper.save(BASE, "mark", never)
    assert ready.notes == [
        f"the work on this clip is not kept any more: {str(fault).split(chr(10))[0] or 'MemoryError'}"
    ]
    assert store.jobs() == []


def test_a_cache_that_cannot_be_written_to_is_said(job, cache):
    cache.write_text("a file where the folder should be")
    ready = job()
    with ready.keeping() as keeper:
        assert keeper is None
    assert "is not kept" in ready.notes[0]


def test_more_than_the_limit_is_not_kept(job, store, limit):
    interrupted(job(seed=1), (BASE, 1.0))
    one = sum(kept.size for kept in store.jobs())
    limit(f"{2.1 * one / 1000:.3f}KB")
    interrupted(job(seed=2), (BASE, 1.0))
    interrupted(job(seed=3), (BASE, 1.0))
    assert [kept.record.recipe.seed for kept in store.jobs()] == [3, 2]
    limit("1kB")
    ready = job(seed=4)
    with ready.keeping() as keeper:
        keeper.save(BASE, "mark", lambda: {"latents": torch.zeros(1000)})
    assert "more than the 1,000 bytes" in ready.notes[-1]


def test_the_same_clip_twice_in_a_process_is_kept_once_and_says_nothing(job, store):
    with job().keeping() as keeper:
        keeper.save(BASE, "mark", tensors)
        other = job()
        with other.keeping() as second:
            assert second is None
        assert other.notes == []
        assert same(keeper.load(BASE, "mark"), 1.0)


def test_two_processes_do_not_work_on_the_same_job(job, store, monkeypatch):
    with job().keeping() as keeper:
        keeper.save(BASE, "mark", tensors)
        monkeypatch.setattr(store_room.Store, "is_held_here", lambda *_: False)
        other = job()
        with other.keeping() as second:
            assert second is None
        assert f"is in work by process {os.getpid()}" in other.notes[0]
        assert not store.remove(store.jobs()[0].key)
        assert same(keeper.load(BASE, "mark"), 1.0)


def test_the_lock_of_a_dead_process_is_no_lock(job, store):
    interrupted(job(), (BASE, 1.0))
    key = store.jobs()[0].key
    script = (
        "import os, sys; from pathlib import Path; from vgen_cli.kept.store import Store\n"
        "with Store(Path(sys.argv[1])).held(sys.argv[2]) as mine: print(mine, flush=True); os.kill(os.getpid(), 9)"
    )
    done = subprocess.run([sys.executable, "-c", script, store.root, key], capture_output=True, text=True, check=False)
    assert (done.stdout, done.returncode) == ("True\n", -9)
    with job().keeping() as keeper:
        assert same(keeper.load(BASE, "mark"), 1.0)


def test_what_a_kill_left_half_written_goes(job, store):
    interrupted(job(), (BASE, 1.0))
    part = store.jobs()[0].path / ".0-0-3-refine.ff.safetensors.123.part"
    part.write_bytes(b"half")
    with job().keeping():
        assert not part.exists()


@pytest.fixture
def ready(job):
    return job()


@settings(max_examples=50, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
@given(data=st.data())
def test_a_damaged_store_costs_a_stage_and_never_more(ready, store, data):
    """Cut, flipped, emptied, renamed, removed: either what was kept comes back to the bit, or nothing does."""
    shutil.rmtree(store.root, ignore_errors=True)
    interrupted(ready, (BASE, 1.0), (REFINE._replace(step=2, steps=9), 2.0))
    folder, places = store.jobs()[0].path, st.integers(0, 1 << 20)
    for _ in range(data.draw(st.integers(1, 3))):
        path = data.draw(st.sampled_from(sorted(each for each in folder.iterdir() if each.is_file())))
        content, way = path.read_bytes(), data.draw(st.sampled_from(["cut", "flip", "empty", "gone", "name", "folder"]))
        if way == "cut":
            path.write_bytes(content[: data.draw(places) % max(1, len(content))])
        elif way == "flip" and content:
            at = data.draw(places) % len(content)
            path.write_bytes(content[:at] + bytes([content[at] ^ data.draw(st.integers(1, 255))]) + content[at + 1 :])
        elif way == "empty":
            path.write_bytes(b"")
        elif way in ("gone", "folder"):
            path.unlink()
            if way == "folder":
                (folder / "0-0-0-base.00000000000000000000000000000000.safetensors").mkdir(exist_ok=True)
        elif way == "name":
            os.replace(path, folder / "9-9-9-base.00000000000000000000000000000000.safetensors")
        if not any(each.is_file() for each in folder.iterdir()):
            break
    with ready.keeping() as keeper:
        for place, level in ((BASE, 1.0), (REFINE._replace(steps=9), 2.0)):
            found = keeper.load(place, "mark")
            assert found is None or same(found, level)
        keeper.save(BASE, "mark", lambda: tensors(5.0))
        assert same(keeper.load(BASE, "mark"), 5.0)
    assert store.jobs() == []
