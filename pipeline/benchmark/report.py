"""Report: the table for the terminal and the JSON with everything that was measured."""

import dataclasses
import datetime
import json
import math
import os
import platform
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import torch
import torchvision
from rich.console import Console
from rich.table import Table

from pipeline import __version__


@dataclass(frozen=True)
class Target:
    """What a figure should come to.

    Attributes:
        of: the number that is judged, the figure's ``ratio`` or its ``measured``.
        better: whether ``bound`` is the least or the largest that will do.
        bound: in the unit of that number.
    """

    of: Literal["ratio", "measured"]
    better: Literal["at least", "at most"]
    bound: float


@dataclass(frozen=True)
class Figure:
    """One line of the table.

    Attributes:
        label: what was measured.
        measured: the engine's value; None where there is none.
        unit: of ``measured`` and ``against``.
        against: the other side's value.
        ratio: of the two, such that the label or the target says which is better.
        target: what it should come to.
        note: a condition that the number does not show, such as an extrapolation.
    """

    label: str
    measured: float | None
    unit: str
    against: float | None = None
    ratio: float | None = None
    target: Target | None = None
    note: str = ""

    @property
    def met(self) -> bool | None:
        """Whether the target is met; None without a target or a value."""
        if self.target is None:
            return None
        value = self.ratio if self.target.of == "ratio" else self.measured
        if value is None:
            return None
        if self.target.better == "at least":
            return value >= self.target.bound
        return value <= self.target.bound


@dataclass(frozen=True)
class Comparison:
    """What a comparison found.

    Attributes:
        name: as ``--only`` has it.
        figures: its lines.
        samples: side to its samples, in the order in which they were taken in turns.
        settings: side to the overrides that it ran with.
        details: whatever else belongs to it: sizes, iterations, losses, ratios.
        skipped: why it was not measured; empty if it was.
    """

    name: str
    figures: list[Figure] = field(default_factory=list)
    samples: dict[str, list[float]] = field(default_factory=dict)
    settings: dict[str, list[str]] = field(default_factory=dict)
    details: dict[str, Any] = field(default_factory=dict)
    skipped: str = ""


def processor_flags() -> list[str]:
    """What the CPU can do, of what matters here; empty where it does not say."""
    known = ("avx2", "avx512f", "avx512_bf16", "avx512_fp16", "amx_bf16", "amx_tile")
    file = Path("/proc/cpuinfo")
    words = set(file.read_text().split()) if file.is_file() else set()
    return [flag for flag in known if flag in words]


def environment(where: torch.device) -> dict[str, Any]:
    """Date, versions, device, cores and threads."""
    name = platform.processor() or platform.machine()
    file = Path("/proc/cpuinfo")
    if file.is_file():
        lines = [line for line in file.read_text().splitlines() if line.startswith("model name")]
        name = lines[0].partition(":")[2].strip() if lines else name
    found: dict[str, Any] = {
        "date": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        "version": __version__,
        "python": platform.python_version(),
        "torch": torch.__version__,
        "torchvision": torchvision.__version__,
        "system": f"{platform.system()} {platform.machine()}",
        "device": str(where),
        "device_name": name,
        "processor": name,
        "processor_flags": processor_flags(),
        "cores": os.cpu_count(),
        "load": [*os.getloadavg()] if hasattr(os, "getloadavg") else [],
        "torch_threads": torch.get_num_threads(),
        "torch_capability": torch.backends.cpu.get_cpu_capability(),
        "float32_products": torch.get_float32_matmul_precision(),
    }
    if where.type == "cuda":
        properties = torch.cuda.get_device_properties(where)
        found |= {
            "device_name": properties.name,
            "device_memory": properties.total_memory,
            "cuda": torch.version.cuda,
            "cudnn": torch.backends.cudnn.version(),  # type: ignore[no-untyped-call]
        }
    return found


def save(
    file: Path, comparisons: Sequence[Comparison], about: Mapping[str, Any], where: torch.device
) -> None:
    """Write everything as JSON; numbers that are not finite become null.

    Args:
        file: whose folder is made.
        comparisons: in the order of the table.
        about: how the benchmark was started.
        where: the device.
    """
    found = [dataclasses.asdict(comparison) for comparison in comparisons]
    for entry, comparison in zip(found, comparisons, strict=True):
        for line, figure in zip(entry["figures"], comparison.figures, strict=True):
            line["met"] = figure.met
    everything = {**about, "environment": environment(where), "comparisons": found}
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(json.dumps(_finite(everything), indent=1, allow_nan=False) + "\n")


def _finite(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {str(key): _finite(entry) for key, entry in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(entry) for entry in value]
    if isinstance(value, float) and not abs(value) < float("inf"):
        return None
    return value if isinstance(value, str | int | float | bool | None) else str(value)


def print_table(comparisons: Sequence[Comparison], title: str) -> None:
    """Print a line a figure, and below why comparisons were not measured."""
    console = Console(highlight=False, soft_wrap=True)
    # A file or pipe has no width; 80 columns would break every label.
    console.width = max(console.width, 180)
    headings = ("comparison", "measured", "against", "ratio", "target", "met")
    table = Table(*headings, box=None, pad_edge=False, title=title, title_justify="left")
    for comparison in comparisons:
        for figure in comparison.figures:
            table.add_row(
                figure.label + (f" ({figure.note})" if figure.note else ""),
                quantity(figure.measured, figure.unit),
                quantity(figure.against, figure.unit),
                f"{figure.ratio:.2f}x" if math.isfinite(figure.ratio or 0) and figure.ratio else "",
                _target(figure),
                {True: "yes", False: "no", None: ""}[figure.met],
            )
    console.print(table)
    for comparison in comparisons:
        if comparison.skipped:
            console.print(f"{comparison.name}: not measured: {comparison.skipped}")


def _target(figure: Figure) -> str:
    if figure.target is None:
        return ""
    sign = {"at least": ">=", "at most": "<="}[figure.target.better]
    if figure.target.of == "ratio":
        return f"{sign} {figure.target.bound:.3g}x"
    return f"{sign} {quantity(figure.target.bound, figure.unit)}"


def quantity(value: float | None, unit: str) -> str:
    """A value with its unit, in three digits; ``share`` becomes per cent."""
    if value is None:
        return ""
    if unit == "share":
        return f"{value:.1%}"
    if unit == "s" and abs(value) < 1:
        return f"{value * 1000:.3g} ms"
    if unit.startswith(("FLOP", "B/")):
        for factor, prefix in ((1e12, "T"), (1e9, "G"), (1e6, "M")):
            if abs(value) >= factor:
                return f"{value / factor:.3g} {prefix}{unit}"
    return f"{value:.0f} {unit}" if abs(value) >= 1000 else f"{value:.3g} {unit}"
