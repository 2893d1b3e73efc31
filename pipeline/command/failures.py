"""Failures: what came to grief is written into its folder, and read by whoever started it.

The runs of a sweep may be painted by other processes, on other machines; what all of them share
is the sweep's folder.
"""

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from hydra.experimental.callback import Callback
from omegaconf import DictConfig

from pipeline.results.failures import FILE, Failure, read

#: What has failed in the sweep that this process started, by name; complete when it has ended.
of_sweep: dict[str, Failure] = {}
# Where that sweep writes.
_folder: list[str] = []


def one_line(failed: Mapping[str, Failure]) -> str:
    """All messages, each once, behind the names of those that it is about."""
    named: dict[str, list[str]] = {}
    for name, failure in failed.items():
        named.setdefault(failure.message, []).append(name)
    return " | ".join(f"{_few(names)}{message}" for message, names in named.items())


def _few(names: list[str]) -> str:
    more = f" and {len(names) - 3} more" if len(names) > 3 else ""
    start = ", ".join(names[:3]) + more
    return f"{start}: " if start else ""


def how_to_go_on() -> str:
    """What to do after Ctrl-C."""
    if not _folder:
        return "no result was written"
    return f"the same command with hydra.sweep.dir={_folder[0]} resume=true goes on"


class Collect(Callback):
    """Finds out which runs of a sweep have failed, wherever they ran (`conf/config.yaml`)."""

    def __init__(self) -> None:
        self._before: dict[Path, tuple[int, int]] = {}

    def on_multirun_start(self, config: DictConfig, **kwargs: Any) -> None:
        """Remember the failures that an earlier sweep has left in the folder."""
        self._before = _records(Path(config.hydra.sweep.dir))
        _folder[:] = [str(config.hydra.sweep.dir)]

    def on_multirun_end(self, config: DictConfig, **kwargs: Any) -> None:
        """Add those that are new, or have been written again, to `of_sweep`."""
        folder = Path(config.hydra.sweep.dir)
        after = _records(folder)
        for path in _in_order(after):
            if after[path] != self._before.get(path):
                name = path.parent.relative_to(folder).as_posix()
                of_sweep[f"run {name}"] = read(path)


def _records(folder: Path) -> dict[Path, tuple[int, int]]:
    """Each record below a folder, and what changes when it is written again."""
    found = {path: path.stat() for path in folder.rglob(FILE)}
    return {path: (status.st_mtime_ns, status.st_ino) for path, status in found.items()}


def _in_order(paths: Iterable[Path]) -> list[Path]:
    """Run 2 before run 10."""
    return sorted(paths, key=lambda path: [part.zfill(12) for part in path.parts])
