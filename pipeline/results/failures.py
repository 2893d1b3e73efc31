"""Failures: what failed is written into its folder, and read by whoever started it."""

import json
from dataclasses import asdict, dataclass
from pathlib import Path

FILE = "failed.json"


@dataclass(frozen=True)
class Failure:
    """Why one run, or one picture of a run, has no result.

    Attributes:
        message: one line.
        traceback: of a defect of ours; empty where the user can put it right.
    """

    message: str
    traceback: str = ""


def record(folder: Path, failure: Failure) -> None:
    """Write ``failed.json``, which tells `compare` and `resume` that there is no result."""
    folder.mkdir(parents=True, exist_ok=True)
    entries = {key: value for key, value in asdict(failure).items() if value}
    (folder / FILE).write_text(json.dumps(entries) + "\n")


def read(path: Path) -> Failure:
    """What `record` has written."""
    entries = json.loads(path.read_text())
    return Failure(str(entries["message"]), str(entries.get("traceback", "")))
