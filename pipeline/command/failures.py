"""Failures: what failed is collected for whoever started it.

The runs of a sweep may be painted by other processes, on other machines; what all of them share
is the sweep's folder, and their failures are read from there.
"""

from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from hydra.experimental.callback import Callback
from omegaconf import DictConfig

from pipeline.results.failures import FILE, Failure, read


@dataclass
class Outcome:
    """What has become of a command.

    Attributes:
        failed: why something has no result, by the name of the run (``run 3``), of the picture, or
            of both (``run 3/cat``); by the empty name where there is one run of one picture.
        sweep: folder of the sweep, if it is one.
    """

    failed: dict[str, Failure] = field(default_factory=dict)
    sweep: str | None = None


# Hydra calls tasks and callbacks and returns nothing of theirs; so they report here.
_outcome: ContextVar[Outcome | None] = ContextVar("outcome", default=None)


@contextmanager
def collecting() -> Iterator[Outcome]:
    """Collect what is reported inside."""
    outcome = Outcome()
    token = _outcome.set(outcome)
    try:
        yield outcome
    finally:
        _outcome.reset(token)


def report(failed: Mapping[str, Failure]) -> None:
    """Add failures to the outcome that is being collected, if one is in this process."""
    outcome = _outcome.get()
    if outcome is not None:
        outcome.failed.update(failed)


class Collect(Callback):
    """Finds out which runs of a sweep have failed, wherever they ran (`conf/config.yaml`)."""

    def __init__(self) -> None:
        self._before: dict[Path, tuple[int, int]] = {}

    def on_multirun_start(self, config: DictConfig, **kwargs: Any) -> None:
        """Remember the failures that an earlier sweep has left in the folder."""
        folder = str(config.hydra.sweep.dir)
        self._before = _records(Path(folder))
        outcome = _outcome.get()
        if outcome is not None:
            outcome.sweep = folder

    def on_multirun_end(self, config: DictConfig, **kwargs: Any) -> None:
        """Report those that are new, or have been written again."""
        folder = Path(config.hydra.sweep.dir)
        after = _records(folder)
        new = [path for path in _in_order(after) if after[path] != self._before.get(path)]
        report({f"run {path.parent.relative_to(folder).as_posix()}": read(path) for path in new})


def _records(folder: Path) -> dict[Path, tuple[int, int]]:
    """Each record below a folder, and what changes when it is written again."""
    found = {path: path.stat() for path in folder.rglob(FILE)}
    return {path: (status.st_mtime_ns, status.st_ino) for path, status in found.items()}


def _in_order(paths: Iterable[Path]) -> list[Path]:
    """Run 2 before run 10."""
    return sorted(paths, key=lambda path: [part.zfill(12) for part in path.parts])
