"""Sessions: which page has which, and how long one outlives its page."""

import time

import pytest

from pipeline.errors import UserError
from pipeline.studio import sessions as module
from pipeline.studio.painter import Painter
from pipeline.studio.session import Place
from pipeline.studio.sessions import Sessions
from tests.studio.test_refining import wait_for


@pytest.fixture
def sessions(painter: Painter, place: Place) -> Sessions:
    return Sessions(painter, place)


def test_a_page_that_is_loaded_anew_has_its_session(sessions: Sessions) -> None:
    first = sessions.begin("one", "key")
    assert sessions.of("one") is first
    assert sessions.begin("other", "another key") is not first
    # The new page may come before the old one is known to be gone.
    assert sessions.begin("two", "key") is first
    sessions.leave("one")
    assert not first.closed
    assert sessions.of("two") is first


def test_pages_without_a_key_have_nothing_in_common(sessions: Sessions) -> None:
    assert sessions.begin("one", "") is not sessions.begin("two", "")


def test_only_a_page_that_is_loaded_begins_a_session(sessions: Sessions) -> None:
    with pytest.raises(UserError, match="load it anew"):
        sessions.of("unknown")


def test_a_session_ends_some_time_after_its_page(
    sessions: Sessions, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "GRACE", 0.2)
    session = sessions.begin("one", "key")
    folder = session.folder
    sessions.leave("one")
    # As long as it is heard of, it stays; Gradio does not say when it comes back.
    for _ in range(4):
        time.sleep(0.1)
        assert sessions.of("one") is session
    assert folder.is_dir()
    wait_for(lambda: session.closed and not folder.exists())
    with pytest.raises(UserError, match="load it anew"):
        sessions.of("one")
    assert sessions.begin("two", "key") is not session


class Going:
    """A run under way."""

    ended = False

    def wait(self, seconds: float) -> bool:
        return self.ended

    def end(self) -> None:
        self.ended = True


def test_a_run_ends_sooner_than_its_session_and_others_wait_for_it(
    sessions: Sessions, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "RUN_GRACE", 0.2)
    mine, other = sessions.begin("one", "key"), sessions.begin("two", "another key")
    run = Going()
    monkeypatch.setattr(mine, "run", run)
    assert sessions.busy(other)
    assert not sessions.busy(mine)
    sessions.leave("one")
    wait_for(lambda: run.ended)
    assert not sessions.busy(other)
    assert sessions.begin("three", "key") is mine
    sessions.leave("three")
    sessions.close_all()


def test_the_server_s_end_is_theirs(sessions: Sessions) -> None:
    session = sessions.begin("one", "key")
    folder = session.folder
    sessions.close_all()
    assert session.closed
    assert not folder.exists()
