"""Interruption: Ctrl-C, or SIGTERM, once ends after the present iteration, twice at once."""

import os
import signal
import threading
from types import FrameType, TracebackType
from typing import Any, Self

#: What asks a process to end.
SIGNALS = (signal.SIGINT, signal.SIGTERM)
_NOTE = b"stopping after this iteration; once more stops at once\n"


class Interrupted(KeyboardInterrupt):
    """A signal has ended the work.

    Args:
        number: of the signal.
    """

    def __init__(self, number: int) -> None:
        super().__init__(signal.strsignal(number))
        self.number = number


def raise_on(*names: str) -> None:
    """Let signals end the process as Ctrl-C does: by an exception, so that all is cleared up.

    Signals that are ignored (``nohup``) or have a handler keep it.

    Args:
        names: ``SIGTERM``, ``SIGHUP``; those that this system does not have count for nothing.
    """
    for name in names:
        number = getattr(signal, name, None)
        if number is not None and signal.getsignal(number) is signal.SIG_DFL:
            signal.signal(number, _raise)


def _raise(number: int, frame: FrameType | None) -> None:
    raise Interrupted(number)


class Interruption:
    """Inside, the first signal is only noted; the second raises `Interrupted`.

    Signals that are ignored stay ignored. Only a process's main thread is told of signals; inside
    another one nothing changes.

    Args:
        listening: False changes nothing at all.
    """

    def __init__(self, listening: bool = True) -> None:
        self.number: int | None = None
        self._listening = listening
        self._before: dict[int, Any] = {}

    @property
    def asked(self) -> bool:
        """Whether the work is to end."""
        return self.number is not None

    def __enter__(self) -> Self:
        """Listen."""
        if self._listening and threading.current_thread() is threading.main_thread():
            for number in SIGNALS:
                before = signal.getsignal(number)
                if before not in (signal.SIG_IGN, None):
                    self._before[number] = signal.signal(number, self._note)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """All is as it was before."""
        for number, before in self._before.items():
            signal.signal(number, before)
        self._before.clear()

    def _note(self, number: int, frame: FrameType | None) -> None:
        if self.asked:
            raise Interrupted(number)
        self.number = number
        # Not by print: it may be what was interrupted.
        os.write(2, _NOTE)
