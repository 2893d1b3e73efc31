"""Runs: what a finished, failed or broken run has left in its folder.

Nothing here needs torch, so that a wrong folder is answered at once.
"""

import csv
import json
import os
import re
import shlex
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from omegaconf import OmegaConf

from pipeline.errors import UserError
from pipeline.paths import shown
from pipeline.results.failures import BEGUN, FILE, Failure, read
from pipeline.results.file_names import safe_name
from pipeline.results.folder import STATE, UNFINISHED

Value = str | int | float
#: Hands on what it is given, one by one, and may show how far it has come.
Passing = Callable[[Sequence[Any]], Iterable[Any]]
#: finished: has painted; regions: has only shown the regions, for want of a style.
Status = Literal["finished", "regions", "failed"]


@dataclass(frozen=True)
class Point:
    """One row of ``losses.csv``: the weighted total, and the stretch of descent it belongs to."""

    stretch: str
    total: float


@dataclass(frozen=True)
class Run:
    """One run.

    Attributes:
        name: short and unique among the runs compared.
        folder: where its files are.
        status: how it ended.
        message: why it failed; else empty.
        settings: its whole configuration, dotted key to value.
        overrides: what its command line changed.
        summary: its ``summary.json``; empty if it failed.
        curve: how its loss fell.
    """

    name: str
    folder: Path
    status: Status
    message: str = ""
    settings: Mapping[str, Value] = field(default_factory=dict)
    overrides: Sequence[str] = ()
    summary: Mapping[str, Any] = field(default_factory=dict)
    curve: Sequence[Point] = ()

    @property
    def styled(self) -> list[str]:
        """Names of the regions that were given a style."""
        entries = self.summary.get("regions", [])
        return [str(entry["name"]) for entry in entries if "style" in entry]

    def file_of(self, region: str) -> str:
        """What a region's files are called, without their ending; its name, if that will do."""
        entries = self.summary.get("regions", [])
        known = {entry["name"]: str(entry.get("file", region)) for entry in entries}
        return safe_name(known.get(region, region))

    @property
    def command(self) -> str:
        """The shell command that makes this run again, from the folder it was started in."""
        return shlex.join(["python", "-m", "pipeline", *self.overrides])


def find_runs(folders: Sequence[Path], passing: Passing = iter) -> list[Run]:
    """Read every run in and below some folders, in natural order (2 before 10).

    Args:
        folders: of runs or of sweeps.
        passing: goes through the runs' folders.

    Raises:
        UserError: a folder is missing, or holds no run.
    """
    found: dict[Path, None] = {}
    for folder in folders:
        if not folder.is_dir():
            raise UserError(f"{folder} is not a folder; name the folder of a run or a sweep")
        inside = _runs_in(folder.resolve())
        if not inside:
            raise UserError(f"no run in {folder}; name the folder of a run or a sweep")
        found |= dict.fromkeys(inside)
    named = list(zip(found, _names(list(found)), strict=True))
    return [read_run(folder, shown(name)) for folder, name in passing(named)]


def read_run(folder: Path, name: str) -> Run:
    """Read one run; what cannot be read makes it a failed one, with the reason as its message."""
    settings: dict[str, Value] = {}
    overrides: list[str] = []
    try:
        settings = flatten(_plain(_yaml(folder / ".hydra" / "config.yaml") or {}))
        words = _yaml(folder / ".hydra" / "overrides.yaml") or []
        overrides = [shown(str(word)) for word in words]
        failed = _failure(folder)
        if failed is not None:
            # What has failed may have had other settings than an earlier result beside it.
            settings = flatten(_plain(failed.settings)) if failed.settings else settings
            overrides = [shown(word) for word in failed.overrides] or overrides
            return Run(name, folder, "failed", shown(failed.message), settings, overrides)
        summary = _plain(json.loads((folder / "summary.json").read_text()))
        if summary.get("stopped"):
            return Run(name, folder, "failed", str(summary["stopped"]), settings, overrides)
        overrides = overrides or [str(word) for word in summary.get("overrides", [])]
        painted = any("style" in entry for entry in summary["regions"])
        return Run(
            name,
            folder,
            "finished" if painted else "regions",
            "",
            settings,
            overrides,
            summary,
            _read_curve(folder / "losses.csv"),
        )
    except Exception as error:  # Whatever is in one folder, the others are compared.
        reason = " ".join(str(error).split()) or type(error).__name__
        why = f"cannot be read: {shown(reason)}"
        return Run(name, folder, "failed", why, settings, overrides)


def differing_settings(runs: Sequence[Run]) -> list[str]:
    """The dotted keys whose values are not the same in all runs, in the configuration's order."""
    # A broken folder without a configuration says nothing about the others' differences.
    known = [run.settings for run in runs if run.settings]
    keys = dict.fromkeys(key for settings in known for key in settings)
    return [key for key in keys if len({str(settings.get(key, "")) for settings in known}) > 1]


def flatten(tree: Mapping[str, Any], prefix: str = "") -> dict[str, Value]:
    """A nested configuration as dotted keys; lists, truth values and nothing as YAML has them."""
    flat: dict[str, Value] = {}
    for key, value in tree.items():
        if isinstance(value, Mapping):
            flat |= flatten(value, f"{prefix}{key}.")
        elif value is None or isinstance(value, bool | list):
            flat[f"{prefix}{key}"] = json.dumps(value, ensure_ascii=False)
        else:
            flat[f"{prefix}{key}"] = value if isinstance(value, int | float) else str(value)
    return flat


def _plain(tree: Any) -> Any:
    """The same with texts that every file takes (`shown`)."""
    if isinstance(tree, dict):
        return {_plain(key): _plain(value) for key, value in tree.items()}
    if isinstance(tree, list):
        return [_plain(value) for value in tree]
    return shown(tree) if isinstance(tree, str) else tree


def _yaml(path: Path) -> Any:
    """What a YAML file holds, or None where there is none (Hydra can be told not to write it)."""
    if not path.exists():
        return None
    return OmegaConf.to_container(OmegaConf.load(path), resolve=False)


def _failure(folder: Path) -> Failure | None:
    record, begun = folder / FILE, folder / STATE / BEGUN
    if record.exists():
        return read(record)
    if (folder / "summary.json").exists():
        return None
    return read(begun) if begun.exists() else Failure(UNFINISHED)


def _read_curve(path: Path) -> list[Point]:
    if not path.exists():
        return []
    with path.open(newline="") as file:
        return [
            Point(f"{row['stage']}, {row['scale']}", float(row["total"]))
            for row in csv.DictReader(file)
        ]


def _runs_in(folder: Path) -> list[Path]:
    """The folder if it is a run, else those below; a run of many pictures is one for each."""
    if any((folder / name).exists() for name in ("summary.json", "failed.json")):
        return [folder]
    below = [run for inner in _folders(folder) for run in _runs_in(inner)]
    # With nothing else than these it did not finish.
    begun = any((folder / name).exists() for name in (".hydra", STATE))
    return below or ([folder] if begun else [])


def _folders(folder: Path) -> list[Path]:
    inner = [path for path in folder.iterdir() if path.is_dir() and not path.is_symlink()]
    return sorted(inner, key=lambda path: _natural(path.name))


def _natural(text: str) -> list[tuple[bool, int, str]]:
    parts = re.split(r"(\d+)", text)
    return [(part.isdecimal(), int(part) if part.isdecimal() else 0, part) for part in parts]


def _names(folders: Sequence[Path]) -> list[str]:
    """The end of each path, as far as the runs' paths differ."""
    if len(folders) == 1:
        return [folders[0].name]
    common = os.path.commonpath([folder.parent for folder in folders])
    return [folder.relative_to(common).as_posix() for folder in folders]
