"""Lock: one run at a time writes into a folder."""

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from filelock import FileLock, Timeout

from pipeline.errors import UserError

#: Lies in a folder while a run writes there.
FILE = ".pipeline.lock"


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Keep other processes out of a folder; what ends the process, kill -9 too, opens it again.

    Args:
        folder: that exists.

    Raises:
        UserError: another run is writing there.
    """
    path = folder / FILE
    lock = FileLock(path, timeout=0, thread_local=False)
    try:
        _acquire(lock, path)
    except Timeout:
        raise UserError(
            f"another run is writing to {folder}; wait for its end, "
            "or choose another folder with hydra.run.dir=FOLDER"
        ) from None
    except NotImplementedError:
        # A file system without locks.
        yield
        return
    try:
        yield
    finally:
        # Before the lock is given up: afterwards it may be another's.
        with suppress(OSError):
            path.unlink(missing_ok=True)
        lock.release()


def _acquire(lock: FileLock, path: Path) -> None:
    """Lock the file that has the path, and not one that has been removed in the meantime."""
    while True:
        with open(path, "ab") as file:
            lock.acquire()
            with suppress(OSError):
                if os.path.samestat(os.fstat(file.fileno()), path.stat()):
                    return
        lock.release()
