"""A clip that is written while the next one is made: the same file, bounded memory, nothing broken whatever happens."""

from __future__ import annotations

import signal
import threading
import time

import numpy as np
import pytest

from vgen_cli import interrupt
from vgen_cli.cascade import pipeline
from vgen_cli.cascade.ahead import Belt, Relay, Stopped, Writer
from vgen_cli.cascade.pipeline import open_session, render, render_ahead
from vgen_cli.errors import MediaError
from vgen_cli.events import ClipFinished, FramesWritten, Note, StageFinished, StageStarted

SOON = 20.0  # seconds, for threads on a busy machine


def piece(number, size=1):
    return np.full((size, 2, 2, 3), number, np.uint8)


def numbers(pieces):
    return [int(each.flat[0]) for each in pieces]


def test_pieces_come_in_their_order():
    writer = Writer(numbers)
    writer.feed(map(piece, range(50)))
    assert writer.result() == list(range(50))


def test_whoever_makes_waits_where_too_much_waits_to_be_written():
    go, most, held = threading.Event(), [], []

    def write(pieces):
        go.wait(SOON)
        return numbers(pieces)

    def made():
        for number in range(8):
            held.append(number)
            yield piece(number)

    writer = Writer(write, limit=3 * piece(0).nbytes)
    feeding = threading.Thread(target=lambda: writer.feed(made()))
    feeding.start()
    until(lambda: len(held) == 4)
    time.sleep(0.05)
    most.append(len(held))
    go.set()
    feeding.join(SOON)
    assert most == [4]  # three wait, one is in the hand
    assert writer.result() == list(range(8))


def test_a_piece_larger_than_the_belt_passes():
    writer = Writer(numbers, limit=1)
    writer.feed(map(piece, range(5)))
    assert writer.result() == list(range(5))


def until(true):
    end = time.monotonic() + SOON
    while not true():
        assert time.monotonic() < end
        time.sleep(0.001)


def test_a_writer_that_fails_ends_the_making():
    def write(pieces):
        next(pieces)
        raise MediaError("the disk is full")

    def endless():
        while True:
            yield piece(0)

    writer = Writer(write)
    writer.feed(endless())
    with pytest.raises(MediaError, match="the disk is full"):
        writer.result()


@pytest.mark.parametrize("fault", [ValueError("odd"), KeyboardInterrupt()])
def test_a_clip_that_fails_is_not_written_to_its_end(fault):
    seen = []

    def write(pieces):
        try:
            return numbers(pieces)
        except BaseException as met:
            seen.append(type(met))
            raise

    def failing():
        yield piece(1)
        raise fault

    writer = Writer(write)
    with pytest.raises(type(fault)):
        writer.feed(failing())
    assert seen == [Stopped]


def test_one_that_has_all_frames_comes_to_its_end():
    go = threading.Event()
    writer = Writer(lambda pieces: (numbers(pieces), go.wait(SOON)))
    writer.feed([piece(1)])
    threading.Timer(0.02, go.set).start()
    writer.stop()
    assert writer.result() == ([1], True)


def test_an_interrupted_wait_lasts_until_the_thread_has_ended():
    go, ended = threading.Event(), []

    def write(pieces):
        list(pieces)
        go.wait(SOON)
        ended.append(True)

    writer = Writer(write)
    writer.feed([piece(1)])
    threading.Timer(0.1, stop_main).start()
    threading.Timer(0.4, go.set).start()
    with interrupt.stop_signals(), pytest.raises(KeyboardInterrupt):
        writer.result()
    assert ended


def test_seconds_are_those_of_the_work():
    def write(pieces):
        list(pieces)
        time.sleep(0.05)
        return 1

    def slow():
        time.sleep(0.3)
        yield piece(1)

    writer = Writer(write)
    writer.feed(slow())
    writer.result()
    assert 0.05 <= writer.seconds < 0.3


def test_a_belt_that_nobody_takes_from_takes_nothing():
    belt = Belt(limit=1)
    assert belt.put(piece(1))
    belt.drop()
    assert not belt.put(piece(2))


def test_two_threads_tell_one_event_at_a_time():
    inside, most = [], []

    def listen(event):
        inside.append(event)
        most.append(len(inside))
        time.sleep(0.001)
        inside.remove(event)

    relay = Relay(listen)
    threads = [threading.Thread(target=lambda n=n: [relay(Note(f"{n} {i}")) for i in range(20)]) for n in range(3)]
    for each in threads:
        each.start()
    for each in threads:
        each.join(SOON)
    assert len(most) == 60
    assert max(most) == 1


def test_the_file_is_that_of_a_plain_run(ready):
    events = []
    plan, located, place = ready("ahead.mp4")
    done = render_ahead(plan, located, place, events.append)
    facts = done.result()
    plain, _, other = ready("plain.mp4")
    told = render(plain, located, other, lambda event: None)
    assert place.path.read_bytes() == other.path.read_bytes()
    same = set(facts) - {"path", "seconds", "peak_memory_bytes"}
    assert {key: facts[key] for key in same} == {key: told[key] for key in same}
    assert set(facts) == set(told)
    assert set(facts["seconds"]) == set(told["seconds"])
    started = [event.stage for event in events if isinstance(event, StageStarted)]
    assert sorted(dict.fromkeys(started)) == sorted(["encode prompt", "base", "decode", "write"])
    assert {event.stage for event in events if isinstance(event, StageFinished)} == set(started)
    assert [event for event in events if isinstance(event, FramesWritten)][-1] == FramesWritten(9, 9)
    assert events[-1] == ClipFinished(str(place.path), facts)


def test_the_next_clip_is_made_meanwhile(ready, monkeypatch):
    """The first file cannot be finished before the frames of the second are made."""
    written, plain = threading.Event(), pipeline.write_clip

    def slow(*arguments, **options):
        if arguments[1].path.name == "0.mp4":
            made = plain(*arguments, **options)
            assert written.wait(SOON)
            return made
        return plain(*arguments, **options)

    monkeypatch.setattr(pipeline, "write_clip", slow)
    session, begun, places = None, [], []
    for number in range(2):
        plan, located, place = ready(f"{number}.mp4", seed=number)
        session = session or open_session(plan, located, lambda event: None)
        begun.append(render_ahead(plan, located, place, lambda event: None, session=session))
        places.append(place.path)
    written.set()
    assert [each.result()["path"] for each in begun] == [str(path) for path in places]
    for number, path in enumerate(places):
        plan, located, place = ready(f"plain{number}.mp4", seed=number)
        render(plan, located, place, lambda event: None)
        assert place.path.read_bytes() == path.read_bytes()


@pytest.mark.parametrize("when", ["writing", "making", "checking", "wishing"])
def test_whatever_fails_leaves_nothing(ready, monkeypatch, tmp_path, when):
    plan, located, place = ready()
    if when == "writing":
        monkeypatch.setattr(pipeline, "write_clip", full_disk)
        with pytest.raises(MediaError, match="the disk is full"):
            render_ahead(plan, located, place, lambda event: None).result()
    elif when == "making":
        monkeypatch.setattr(pipeline.frames, "to_bytes", failing(pipeline.frames.to_bytes))
        with pytest.raises(ValueError, match="odd"):
            render_ahead(plan, located, place, lambda event: None)
    elif when == "checking":
        monkeypatch.setattr("vgen_cli.media.writer.verify", refuse)
        with pytest.raises(MediaError, match="failed its check"):
            render_ahead(plan, located, place, lambda event: None).result()
    else:
        plain, end, given_up = pipeline.frames.to_bytes, Belt.end, threading.Event()

        def one_by_one(pieces):  # the second frame comes when the wish has: what has all frames would still be made
            for piece in plain(pieces):
                for frame in piece:
                    yield frame[None]
                    given_up.wait(SOON)

        def stopping(event):
            if isinstance(event, FramesWritten):  # in the writer's thread
                stop_main()

        monkeypatch.setattr(pipeline.frames, "to_bytes", one_by_one)
        monkeypatch.setattr(Belt, "end", lambda belt, fault=None: (end(belt, fault), given_up.set()))
        with interrupt.stop_signals(), pytest.raises(KeyboardInterrupt):
            render_ahead(plan, located, place, stopping).result()
    assert list(tmp_path.iterdir()) == []
    assert not [each for each in threading.enumerate() if each.name == "vgen-writer"]


def stop_main():
    signal.pthread_kill(threading.main_thread().ident, signal.SIGINT)


def full_disk(made, *arguments, **options):
    next(made)
    raise MediaError("the disk is full")


def failing(plain):
    def to_bytes(pieces):
        yield next(plain(pieces))
        raise ValueError("odd")

    return to_bytes


def refuse(*arguments, **options):
    raise MediaError("the written clip failed its check: it is black; nothing was kept")


def test_a_clip_that_is_given_up_is_whole_or_not_there(ready, tmp_path):
    plan, located, place = ready()
    render_ahead(plan, located, place, lambda event: None).stop()
    assert [each.name for each in tmp_path.iterdir()] in ([], ["clip.mp4"])
