"""Signals that come at awkward moments."""

from __future__ import annotations

import signal
import time
import weakref

import pytest

from jaxscore.batch.stopping import Stopping


class Thing:
    """What a weak reference can point to."""


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 75)])
def test_a_signal_ends_the_block(number, code):
    stopping, before = Stopping(), signal.getsignal(number)
    with pytest.raises(SystemExit) as stopped, stopping.listening():  # noqa: PT012
        signal.raise_signal(number)
        raise AssertionError("went on after the signal")
    assert stopped.value.code == code == stopping.code
    assert signal.getsignal(number) is before


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_inside_a_weak_references_callback_is_not_lost(number, capsys):
    stopping, reached = Stopping(), []

    def callback(_: object) -> None:
        reached.append(True)
        signal.raise_signal(number)

    thing = Thing()
    reference = weakref.ref(thing, callback)
    with pytest.raises(SystemExit), stopping.listening():  # noqa: PT012
        del thing
        time.sleep(10)
        raise AssertionError("went on after the signal")
    assert reached
    assert reference() is None
    assert "Exception ignored" not in capsys.readouterr().err


def test_other_swallowed_exceptions_are_still_told(monkeypatch):
    told = []
    monkeypatch.setattr("sys.unraisablehook", lambda unraisable: told.append(unraisable.exc_type))

    def callback(_: object) -> None:
        raise ValueError("of somebody else")

    with Stopping().listening():
        thing = Thing()
        reference = weakref.ref(thing, callback)
        del thing
    assert told == [ValueError]
    assert reference() is None


def test_what_is_being_written_is_finished_first():
    stopping, written = Stopping(), []
    with pytest.raises(SystemExit), stopping.listening():  # noqa: PT012
        with stopping.held():
            signal.raise_signal(signal.SIGTERM)
            written.append(True)
        raise AssertionError("went on after the block")
    assert written
