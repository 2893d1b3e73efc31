"""Sessions: which page has which session, and how long one outlives its page."""

import functools
import threading
from collections.abc import Callable
from dataclasses import dataclass, field

from pipeline.errors import UserError
from pipeline.studio.painter import Painter
from pipeline.studio.session import GONE, Place, Session

#: Seconds that a run goes on without a page, which may be loaded anew; and that a session does.
RUN_GRACE, GRACE = 120.0, 600.0


@dataclass
class _Kept:
    """A session, the connections of its pages, and what ends it when there are none."""

    session: Session
    pages: set[str] = field(default_factory=set)
    ends: list[threading.Timer] = field(default_factory=list)

    def stay(self) -> None:
        for timer in self.ends:
            timer.cancel()
        self.ends.clear()

    def end_after(self, seconds: float, end: Callable[[], None]) -> None:
        timer = threading.Timer(seconds, end)
        timer.daemon = True
        self.ends.append(timer)
        timer.start()


class Sessions:
    """The sessions of the pages that are open.

    A page has a key, which a browser's tab keeps when it is loaded anew, and a connection, which it
    has not.

    Args:
        painter: of all of them.
        place: where their files go.
    """

    def __init__(self, painter: Painter, place: Place) -> None:
        self._painter, self._place = painter, place
        self._kept: dict[str, _Kept] = {}
        self._keys: dict[str, str] = {}
        self._lock = threading.Lock()

    def begin(self, connection: str, key: str) -> Session:
        """The session of a page that is loaded: the one it had before, or a new one.

        Args:
            connection: the server's name for it.
            key: the tab's own, which nobody else knows; empty: none.
        """
        key = key or connection
        with self._lock:
            if key not in self._kept:
                self._kept[key] = _Kept(Session(self._painter, self._place))
            kept = self._kept[key]
            kept.stay()
            kept.pages.add(connection)
            self._keys[connection] = key
            return kept.session

    def of(self, connection: str) -> Session:
        """The session of a page.

        Raises:
            UserError: it is gone.
        """
        with self._lock:
            key = self._keys.get(connection, "")
            kept = self._kept.get(key)
            if kept is None:
                raise UserError(GONE)
            if not kept.pages:
                # Gradio does not tell when a page is heard of again, nor when it then goes.
                self._let_go(key, kept)
            return kept.session

    def leave(self, connection: str) -> None:
        """A page is gone, or cannot be reached; some time later its run and its session end."""
        with self._lock:
            key = self._keys.get(connection, "")
            kept = self._kept.get(key)
            if kept is None:
                return
            kept.pages.discard(connection)
            if not kept.pages:
                self._let_go(key, kept)

    def _let_go(self, key: str, kept: _Kept) -> None:
        kept.stay()
        kept.end_after(RUN_GRACE, kept.session.end_run)
        kept.end_after(GRACE, functools.partial(self._end, key))

    def busy(self, session: Session) -> bool:
        """Whether a run of another session's is under way; one may outlive its page."""
        with self._lock:
            others = [kept.session.run for kept in self._kept.values()]
        return any(run and run is not session.run and not run.wait(0) for run in others)

    def _end(self, key: str) -> None:
        with self._lock:
            kept = self._kept.get(key)
            if kept is None or kept.pages:
                return
            del self._kept[key]
            self._keys = {one: other for one, other in self._keys.items() if other != key}
        kept.session.close()

    def close_all(self) -> None:
        """The server is going."""
        with self._lock:
            all_of_them, self._kept = [*self._kept.values()], {}
            self._keys.clear()
        for kept in all_of_them:
            kept.stay()
            kept.session.close()
