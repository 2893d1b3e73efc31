"""Summary: what a run says about itself, for ``summary.json``."""

import json
import platform
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from pipeline import __version__
from pipeline.config.schema import Settings, fingerprint
from pipeline.networks import encoders, segmenters, weights
from pipeline.results import failures
from pipeline.runtime.memory import peak_bytes


def describe_run(
    settings: Settings, where: torch.device, overrides: Sequence[str]
) -> dict[str, Any]:
    """Version, command, what tells equal configurations (`is_finished`), device."""
    name = platform.processor() or platform.machine()
    if where.type == "cuda":
        name = torch.cuda.get_device_name(where)
    return {
        "version": __version__,
        "overrides": list(overrides),
        "configuration": fingerprint(settings),
        "content": settings.content,
        "method": settings.method.name,
        "device": str(where),
        "device_name": name,
        "torch": torch.__version__,
    }


def is_finished(folder: Path, settings: Settings) -> bool:
    """Whether a folder holds the whole result of a run with these settings and this version."""
    if (folder / failures.FILE).exists() or not (folder / "summary.json").exists():
        return False
    try:
        summary = json.loads((folder / "summary.json").read_text())
    except ValueError:
        return False
    same = {"version": __version__, "configuration": fingerprint(settings)}
    return bool(same.items() <= summary.items())


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
