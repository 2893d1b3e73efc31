"""Summary: what a run says about itself, for ``summary.json``."""

import json
import logging
import platform
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from pipeline import __version__
from pipeline.networks import encoders, segmenters, weights
from pipeline.results import failures
from pipeline.runtime.memory import peak_bytes

log = logging.getLogger(__name__)


@dataclass
class Clock:
    """Seconds spent in each stage."""

    seconds: dict[str, float] = field(default_factory=dict)

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        """Add the time inside to the stage's."""
        start = time.monotonic()
        try:
            yield
        finally:
            self.seconds[name] = self.seconds.get(name, 0.0) + time.monotonic() - start

    def note(self, summary: dict[str, Any]) -> None:
        """Write the seconds so far into a summary."""
        summary["seconds"] = {stage: round(spent, 2) for stage, spent in self.seconds.items()}


def describe_run(
    content: str,
    method: str,
    configuration: str,
    inputs: Mapping[str, str],
    where: torch.device,
    overrides: Sequence[str],
) -> dict[str, Any]:
    """Version, command, what tells equal configurations (`is_finished`), device.

    Args:
        content: path or name of the photograph.
        method: its name.
        configuration: fingerprint of all settings.
        inputs: as `describe_inputs`.
        where: the device.
        overrides: what the command line changed.
    """
    name = platform.processor() or platform.machine()
    if where.type == "cuda":
        name = torch.cuda.get_device_name(where)
    return {
        "version": __version__,
        "overrides": list(overrides),
        "configuration": configuration,
        "inputs": dict(inputs),
        "content": content,
        "method": method,
        "device": str(where),
        "device_name": name,
        "torch": torch.__version__,
    }


def describe_inputs(files: Mapping[str, Path]) -> dict[str, str]:
    """The SHA-256 of each input that is a file, in hexadecimal, by its name.

    Args:
        files: what each is called (``content=a.png``), to its path; some are names of samples.
    """
    return {name: weights.sha256(path) for name, path in files.items() if path.is_file()}


def is_finished(folder: Path, configuration: str, inputs: Mapping[str, str]) -> bool:
    """Whether a folder holds the whole result of a run of this version.

    Args:
        folder: of the run.
        configuration: fingerprint of its settings.
        inputs: as `describe_inputs`.
    """
    if (folder / failures.FILE).exists() or not (folder / "summary.json").exists():
        return False
    try:
        summary = json.loads((folder / "summary.json").read_text())
    except (OSError, ValueError):
        return False
    same = {"version": __version__, "configuration": configuration}
    if not isinstance(summary, dict) or not same.items() <= summary.items():
        return False
    if (before := summary.get("inputs")) != inputs:
        before = before if isinstance(before, dict) else {}
        changed = [name for name in {**before, **inputs} if before.get(name) != inputs.get(name)]
        log.warning("%s changed since; %s is made anew", ", ".join(sorted(changed)), folder)
        return False
    return "stopped" not in summary


def describe_networks(used: Mapping[str, weights.Source]) -> dict[str, Any]:
    """The networks by their part (segmenter, encoder), and how to get larger ones."""
    return {
        "networks": {
            part: {
                "name": source.network,
                "source": source.kind,
                "file": str(source.file),
                "sha256": source.sha256,
            }
            for part, source in used.items()
        },
        "networks_hint": which_networks([*used.values()]),
    }


def which_networks(sources: Sequence[weights.Source]) -> str:
    """One line: which networks run, and how to get torchvision's."""
    named = ", ".join(f"{source.network} ({source.kind})" for source in sources)
    if all(source.kind != "bundled" for source in sources):
        return f"networks: {named}" if named else ""
    return (
        f"networks: {named}; for torchvision's larger ones: "
        f"segmenter={segmenters.OFFICIAL} encoder={encoders.OFFICIAL} (downloads 780 MB once)"
    )


def describe_regions(masks: Mapping[str, Tensor]) -> list[dict[str, Any]]:
    """Each region's name and share of the picture, the largest first."""
    shares = {name: int((mask >= 0.5).sum()) / mask.numel() for name, mask in masks.items()}
    ordered = sorted(shares.items(), key=lambda entry: -entry[1])
    return [{"name": name, "share": round(share, 4)} for name, share in ordered if share > 0]


def peak_memory(where: torch.device) -> int:
    """Bytes: of the device's allocator on CUDA, else of the process (`memory.peak_bytes`)."""
    if where.type == "cuda":
        return torch.cuda.max_memory_allocated(where)
    return peak_bytes()
