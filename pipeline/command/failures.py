"""Failures: what failed is collected for whoever started it.

The runs of a sweep may be painted by other processes, on other machines; what all of them share
is the sweep's folder, and their failures are read from there.
"""

import logging
import re
from collections.abc import Collection, Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from hydra.experimental.callback import Callback
from omegaconf import DictConfig, OmegaConf

from pipeline.errors import UserError, fails_in_one_line
from pipeline.results.failures import FILE, Failure, read
from pipeline.results.folder import LOG, STATE, SUMMARY, check_folder
from pipeline.results.lock import locked


@dataclass
class Outcome:
    """What has become of a command.

    Attributes:
        failed: why something has no result, by the name of the run (``run 3``), of the picture, or
            of both (``run 3/cat``); by the empty name where there is one run of one picture.
        sweep: folder of the sweep, if it is one.
        folder: of the run, if it is one.
        before: what was in that folder; None where it was not there, or was made for the run.
    """

    failed: dict[str, Failure] = field(default_factory=dict)
    sweep: str | None = None
    folder: Path | None = None
    before: Collection[str] | None = None


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


def clear_up() -> None:
    """Take away what Hydra has made for a run of this process that has left nothing."""
    outcome = _outcome.get()
    if outcome is None or outcome.folder is None or not outcome.folder.is_dir():
        return
    folder, before = outcome.folder, outcome.before
    inside = {entry.name for entry in folder.iterdir()}
    # Beside a result, or a state to go on from, it is that run's.
    if LOG not in (before or ()) and not inside & {SUMMARY, STATE, FILE}:
        logging.shutdown()
        (folder / LOG).unlink(missing_ok=True)
    if before is not None:
        return
    here = Path.cwd()
    # The day's folder, too, if this was its first run; never the one the command started in.
    for made in (folder, folder.parent):
        within = made == folder or (here in made.parents and made.name != "outputs")
        if made == here or made in here.parents or not within or any(made.iterdir()):
            break
        made.rmdir()


class Collect(Callback):
    """Finds out which runs of a sweep have failed, wherever they ran (`conf/config.yaml`).

    And what was in the folder of a single run before Hydra made its own files there; and keeps
    other sweeps out of a sweep's folder.
    """

    def __init__(self) -> None:
        self._before: dict[Path, tuple[int, int]] = {}
        self._lock = ExitStack()

    def __getstate__(self) -> dict[str, Any]:
        """Launchers send it to other processes, which do not hold the lock."""
        return {**self.__dict__, "_lock": ExitStack()}

    def on_run_start(self, config: DictConfig, **kwargs: Any) -> None:
        """Remember what is in the folder."""
        outcome = _outcome.get()
        if outcome is None:
            return
        asked = OmegaConf.to_container(config.hydra.run, resolve=False)
        assert isinstance(asked, dict)
        folder = Path(str(config.hydra.run.dir)).absolute()
        outcome.folder = folder
        if folder.is_dir() and "${unused_folder:" not in str(asked["dir"]):
            outcome.before = [entry.name for entry in folder.iterdir()]

    def on_multirun_start(self, config: DictConfig, **kwargs: Any) -> None:
        """Lock the folder, and remember the failures that an earlier sweep has left there."""
        folder = str(config.hydra.sweep.dir)
        outcome = _outcome.get()
        if outcome is not None:
            # Hydra would only warn of an error.
            with fails_in_one_line(), ExitStack() as held:
                check_folder(Path(folder))
                held.enter_context(locked(Path(folder)))
                _refuse_foreign_record(Path(folder) / "multirun.yaml")
                self._lock = held.pop_all()
            outcome.sweep = folder
        self._before = _records(Path(folder))

    def on_multirun_end(self, config: DictConfig, **kwargs: Any) -> None:
        """Report those that are new, or have been written again."""
        folder = Path(config.hydra.sweep.dir)
        self._lock.close()
        after = _records(folder)
        new = [path for path in _in_order(after) if after[path] != self._before.get(path)]
        report({f"run {path.parent.relative_to(folder).as_posix()}": read(path) for path in new})


def _refuse_foreign_record(path: Path) -> None:
    """Hydra writes over a file of that name, whoever made it."""
    if path.is_file() and not re.search(r"^hydra:", path.read_text(errors="replace"), re.MULTILINE):
        raise UserError(
            f"{path} is there already and is no earlier sweep's; "
            "choose another folder with hydra.sweep.dir=FOLDER"
        )


def _records(folder: Path) -> dict[Path, tuple[int, int]]:
    """Each record below a folder, and what changes when it is written again."""
    found = {path: path.stat() for path in folder.rglob(FILE)}
    return {path: (status.st_mtime_ns, status.st_ino) for path, status in found.items()}


def _in_order(paths: Iterable[Path]) -> list[Path]:
    """Run 2 before run 10."""
    return sorted(paths, key=lambda path: [part.zfill(12) for part in path.parts])
