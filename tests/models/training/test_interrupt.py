"""Wishes to end: noted at first, heeded at once where work may end anywhere."""

from __future__ import annotations

import signal
import threading

import pytest

from models.training.interrupt import Stopped, listening


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_first_wish_is_noted_and_a_second_one_ends_the_work(number):
    before = signal.getsignal(number)
    with listening() as wishes:
        assert not wishes.heard
        signal.raise_signal(number)
        assert wishes.heard
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(number)
    assert signal.getsignal(number) is before


def test_within_at_once_a_wish_ends_the_work_and_so_does_an_earlier_one():
    with listening() as wishes:
        with pytest.raises(KeyboardInterrupt), wishes.at_once():
            signal.raise_signal(signal.SIGTERM)
        with pytest.raises(KeyboardInterrupt), wishes.at_once():
            raise AssertionError("it was begun")


def test_a_thread_hears_nothing_and_says_so_to_nobody():
    heard = []

    def work():
        with listening() as wishes:
            heard.append(wishes.heard)

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert heard == [False]


def test_stopped_passes_where_an_interruption_would():
    assert issubclass(Stopped, KeyboardInterrupt)
