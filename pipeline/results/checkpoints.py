"""Checkpoints: the states of a run's descents, in its folder until it has finished.

``.pipeline/descent-1.safetensors`` and so on, each written under another name first, and
``identity.json``: what the states depend on. A run that is to go on takes them only where that is
the same.
"""

import json
import logging
import shutil
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import safetensors.torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from pipeline.engine.checkpoint import State
from pipeline.results.failures import BEGUN, Failure, record
from pipeline.results.folder import STATE, check_folder, check_outputs
from pipeline.results.lock import locked
from pipeline.runtime.interruption import Interrupted, Interruption

log = logging.getLogger(__name__)

#: Keeping a state takes at most this share of the time.
SHARE = 0.05
#: What a summary says of a run that a signal has ended.
INTERRUPTED = "interrupted; resume=true goes on"
_IDENTITY = "identity.json"
#: What of a summary the states depend on, and what is said where it is no longer the same.
_PARTS = {
    "version": "the program's version",
    "configuration": "the settings",
    "inputs": "input files",
    "networks": "the networks",
}


class Checkpoints:
    """Keeps the states of a run's descents, one file each; an `engine.checkpoint.Keeper`.

    Args:
        folder: of the run.
        seconds: between two states; 0 keeps one after every iteration.
        resume: whether to go on from what an earlier process has kept.
        interruption: ends the descents.

    Attributes:
        cut_short: whether it has ended them.
    """

    def __init__(
        self, folder: Path, seconds: float, resume: bool, interruption: Interruption
    ) -> None:
        self._folder, self._seconds, self._resume = folder / STATE, seconds, resume
        self._interruption = interruption
        self._number, self._last, self._spent = 0, time.monotonic(), 0.0
        self._kept_at_the_end = self.cut_short = False

    def __enter__(self) -> Self:
        """Signals are as they were until `expect`."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Signals are as they were."""
        self._interruption.__exit__(kind, error, trace)

    def expect(self, summary: Mapping[str, Any]) -> None:
        """Say what the states depend on, and listen to signals.

        States that depend on something else are taken away.

        Args:
            summary: of the run so far.
        """
        own = identity(summary)
        known = _read(self._folder / _IDENTITY)
        if self._resume and known is not None and known != own:
            what = ", ".join(changes(known, own))
            log.warning("%s: changed since the interruption; the run begins anew", what)
        if not self._resume or known != own:
            self.clear()
        self._identity = own
        # From here on there is something to be kept.
        self._interruption.__enter__()

    def conclude(self) -> str:
        """The painting is over. Why it is not what was asked for; empty if it is."""
        self.cut_short = self.stopping
        return INTERRUPTED if self.cut_short else ""

    @property
    def stopping(self) -> bool:
        """As `Keeper.stopping`."""
        return self._interruption.asked

    def begin(self) -> State | None:
        """As `Keeper.begin`."""
        self._number += 1
        return _load(self._path) if self._resume else None

    def is_due(self) -> bool:
        """As `Keeper.is_due`: now and then, and once at the end."""
        if self.stopping:
            return not self._kept_at_the_end
        if self._seconds == 0:
            return True
        wait = max(self._seconds, self._spent / SHARE)
        return time.monotonic() - self._last >= wait

    def keep(self, state: State) -> None:
        """As `Keeper.keep`. A full disk costs the state and nothing else."""
        start = time.monotonic()
        whole = self._path.with_suffix(".new")
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
            draft = self._folder / f"{_IDENTITY}.new"
            draft.write_text(json.dumps(self._identity))
            draft.replace(self._folder / _IDENTITY)
            _save(state, whole)
            whole.replace(self._path)
        except (OSError, SafetensorError) as error:
            log.warning("no state was kept: %s", getattr(error, "strerror", None) or error)
            whole.unlink(missing_ok=True)
        self._last = time.monotonic()
        self._spent = self._last - start
        self._kept_at_the_end = self.stopping

    def raise_if_asked(self) -> None:
        """Raise what ends the command, if a signal has asked for it."""
        if self._interruption.number is not None:
            raise Interrupted(self._interruption.number)

    @property
    def has_kept(self) -> bool:
        """Whether there is a state to go on from."""
        return any(self._folder.glob("descent-*.safetensors"))

    def clear(self) -> None:
        """Take all states away."""
        for path in (*self._folder.glob("descent-*"), *self._folder.glob(f"{_IDENTITY}*")):
            path.unlink(missing_ok=True)

    @property
    def _path(self) -> Path:
        return self._folder / f"descent-{self._number}.safetensors"


def identity(summary: Mapping[str, Any]) -> dict[str, Any]:
    """What the pictures of a run depend on, as its summary has it."""
    found = {part: summary.get(part) for part in _PARTS}
    networks = summary.get("networks") or {}
    return {**found, "networks": {part: one["sha256"] for part, one in networks.items()}}


def changes(before: Mapping[str, Any], after: Mapping[str, Any]) -> list[str]:
    """What is no longer the same, in words; of input files which."""
    found = []
    for part, words in _PARTS.items():
        was, now = before.get(part), after.get(part)
        if was == now:
            continue
        if part == "inputs" and isinstance(was, dict) and isinstance(now, dict):
            found += sorted(name for name in was | now if was.get(name) != now.get(name))
        else:
            found.append(words)
    return found


@contextmanager
def under_way(
    folder: Path, inputs: Mapping[str, Path], command: Failure, seconds: float, resume: bool
) -> Iterator[Checkpoints]:
    """A run is under way in a folder: nobody else writes there, and it can go on if it is ended.

    Args:
        folder: of the run; made if it is not there.
        inputs: as `check_outputs`.
        command: what is said of the run as long as there is no result.
        seconds, resume: as `Checkpoints`.

    Raises:
        UserError: the folder cannot be written to, another run writes there, or there are files in
            the way.
    """
    check_folder(folder)
    with locked(folder):
        check_outputs(inputs, folder)
        record(folder / STATE, command, BEGUN)
        with Checkpoints(folder, seconds, resume, Interruption()) as kept:
            try:
                yield kept
            except BaseException as error:
                # A full disk can be emptied, and what has ended a process is no fault of the run's.
                may_go_on = isinstance(error, KeyboardInterrupt | OSError)
                if not (may_go_on and kept.has_kept):
                    shutil.rmtree(folder / STATE, ignore_errors=True)
                raise
            if not kept.cut_short:
                shutil.rmtree(folder / STATE, ignore_errors=True)
            kept.raise_if_asked()


def _save(state: State, path: Path) -> None:
    # Views of one tensor, and other orders in memory, are no matter of a file's.
    tensors = {
        name: tensor.detach().cpu().contiguous().clone() for name, tensor in state.tensors.items()
    }
    safetensors.torch.save_file(tensors, path, {"record": json.dumps(state.record)})


def _load(path: Path) -> State | None:
    """A state; None where there is none, or half of one."""
    if not path.is_file():
        return None
    try:
        with safe_open(path, "pt") as file:
            record = json.loads((file.metadata() or {})["record"])
            names = file.keys()
            tensors: dict[str, Tensor] = {name: file.get_tensor(name) for name in names}
    except (OSError, SafetensorError, ValueError, KeyError) as error:
        log.warning("%s cannot be read (%s); it is not used", path, " ".join(str(error).split()))
        return None
    return State(record, tensors)


def _read(path: Path) -> dict[str, Any] | None:
    try:
        found = json.loads(path.read_text())
    except (OSError, ValueError):
        return None
    return found if isinstance(found, dict) else None
