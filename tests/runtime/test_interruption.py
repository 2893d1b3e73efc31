"""Interruption: the first signal is noted, the second ends."""

import os
import signal
import threading

import pytest

from pipeline.runtime.interruption import Interrupted, Interruption, raise_on


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_once_is_noted_and_twice_ends(number: int, capfd: pytest.CaptureFixture[str]) -> None:
    before = signal.getsignal(number)
    with Interruption() as interruption:
        assert not interruption.asked
        os.kill(os.getpid(), number)
        assert interruption.asked
        assert interruption.number == number
        assert "once more stops at once" in capfd.readouterr().err
        with pytest.raises(KeyboardInterrupt) as raised:
            os.kill(os.getpid(), number)
        assert isinstance(raised.value, Interrupted)
        assert raised.value.number == number
    assert signal.getsignal(number) == before


def test_signals_that_are_ignored_stay_ignored() -> None:
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        with Interruption() as interruption:
            os.kill(os.getpid(), signal.SIGINT)
            assert not interruption.asked
    finally:
        signal.signal(signal.SIGINT, before)


def test_in_another_thread_nothing_changes() -> None:
    seen = []

    def work() -> None:
        with Interruption():
            seen.append(signal.getsignal(signal.SIGINT))

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert seen == [signal.getsignal(signal.SIGINT)]


@pytest.mark.parametrize("name", ["SIGTERM", "SIGHUP"])
def test_a_signal_is_an_exception(name: str) -> None:
    number = getattr(signal, name)
    before = signal.signal(number, signal.SIG_DFL)
    try:
        raise_on(name, "SIGNONE")
        with pytest.raises(Interrupted) as raised:
            os.kill(os.getpid(), number)
        assert raised.value.number == number
        # Nobody else's is replaced.
        signal.signal(number, signal.SIG_IGN)
        raise_on(name)
        assert signal.getsignal(number) == signal.SIG_IGN
    finally:
        signal.signal(number, before)
