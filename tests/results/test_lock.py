"""Lock: one run at a time in a folder, and nothing is left of it."""

import subprocess
import sys
from pathlib import Path

import pytest
from filelock import FileLock

from pipeline.config.compose import CONF
from pipeline.errors import UserError
from pipeline.results.lock import FILE, locked

HOLD = """
import sys
from pathlib import Path
from pipeline.results.lock import locked
with locked(Path(sys.argv[1])):
    print("locked", flush=True)
    sys.stdin.read()
"""


def test_a_second_run_is_told_and_the_first_goes_on(tmp_path: Path) -> None:
    with locked(tmp_path):
        for _ in range(2):
            with (
                pytest.raises(UserError, match=r"another run is writing to .*hydra.run.dir="),
                locked(tmp_path),
            ):
                pass
    assert not list(tmp_path.iterdir())
    with locked(tmp_path):
        assert (tmp_path / FILE).exists()


def test_kill_9_opens_it(tmp_path: Path) -> None:
    other = subprocess.Popen(
        [sys.executable, "-c", HOLD, str(tmp_path)],
        cwd=CONF.parent,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    assert other.stdout is not None
    assert other.stdout.readline() == b"locked\n"
    with pytest.raises(UserError), locked(tmp_path):
        pass
    other.kill()
    other.communicate()
    with locked(tmp_path):
        pass
    assert not list(tmp_path.iterdir())


def test_the_lock_of_a_file_that_was_removed_is_nobodys(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    acquire, tried = FileLock.acquire, []

    def late(self: FileLock, *words: object) -> object:
        # The one before removes its file between our look at it and our lock.
        if not tried:
            (tmp_path / FILE).unlink()
        tried.append(self)
        return acquire(self)

    monkeypatch.setattr(FileLock, "acquire", late)
    with locked(tmp_path):
        assert len(tried) == 2
        assert (tmp_path / FILE).exists()


def test_where_there_are_no_locks_it_goes_without(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def none(self: FileLock) -> None:
        raise NotImplementedError

    monkeypatch.setattr(FileLock, "acquire", none)
    with locked(tmp_path):
        pass
