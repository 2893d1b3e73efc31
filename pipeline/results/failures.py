"""Failures: what failed is written into its folder, and read by whoever started it."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

FILE = "failed.json"
#: The same of a run that is under way, where it keeps what it needs to go on.
BEGUN = "begun.json"


@dataclass(frozen=True)
class Failure:
    """Why one run, or one picture of a run, has no result.

    Attributes:
        message: one line.
        traceback: of a defect of ours; empty where the user can put it right.
        overrides: what its command line changed.
        settings: its whole configuration.
    """

    message: str
    traceback: str = ""
    overrides: Sequence[str] = ()
    settings: Mapping[str, Any] = field(default_factory=dict)


def record(folder: Path, failure: Failure, name: str = FILE) -> None:
    """Write ``failed.json``, which tells `compare` and `resume` that there is no result."""
    folder.mkdir(parents=True, exist_ok=True)
    entries = {key: value for key, value in asdict(failure).items() if value}
    whole = folder / f".{name}.new"
    whole.write_text(json.dumps(entries) + "\n")
    whole.replace(folder / name)


def read(path: Path) -> Failure:
    """What `record` has written."""
    entries = json.loads(path.read_text())
    overrides, settings = entries.get("overrides", []), entries.get("settings", {})
    return Failure(
        str(entries["message"]),
        str(entries.get("traceback", "")),
        tuple(map(str, overrides)) if isinstance(overrides, list) else (),
        settings if isinstance(settings, dict) else {},
    )
