"""Memory: the peak of one run, in a process of its own, ``python -m pipeline.benchmark.memory``.

A process's peak never falls, so that each variant is measured in a fresh one, which prints JSON.
"""

import json
import statistics
import subprocess
import sys
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import torch

from pipeline.benchmark import bench as benches
from pipeline.benchmark import textbook, timing
from pipeline.benchmark.bench import EQUAL_WORK, Bench
from pipeline.benchmark.report import Comparison, Figure, Target
from pipeline.errors import UserError
from pipeline.runtime.memory import peak_bytes

TEXTBOOK = "textbook"

# Small, so that what it leaves behind is no part of what a run needs.
_WARM_SIZE = 32


def memory(bench: Bench) -> list[Comparison]:
    """Peak memory of equal work, the engine's against the textbook's."""
    return [
        _against_textbook(bench, size)
        for size in bench.sizes(cpu=[512], cuda=[512, 1024], quick=128)
    ]


def _against_textbook(bench: Bench, size: int) -> Comparison:
    overrides = [*EQUAL_WORK, *bench.vgg19_overrides()]
    iterations = 3 if bench.quick else 12
    found = {
        "engine": in_a_child(bench, size, iterations, overrides),
        TEXTBOOK: in_a_child(bench, size, iterations, None),
    }
    ours, theirs = (entry["bytes"] / 2**20 for entry in found.values())
    figure = Figure(
        f"memory, {size} px: peak",
        ours,
        "MiB",
        theirs,
        ours / theirs if theirs > 0 else None,
        Target("ratio", "at most", 1.0),
    )
    details = {"size": size, "network": "vgg19", "iterations": iterations, "peaks": found}
    return Comparison("memory", [figure], settings={"engine": overrides}, details=details)


def memory_low(bench: Bench) -> list[Comparison]:
    """Peak memory and time of an iteration with ``memory=low``, against the textbook and normal."""
    return [_saving(bench, size) for size in bench.sizes(cpu=[512], cuda=[512, 1024], quick=128)]


def _saving(bench: Bench, size: int) -> Comparison:
    settings: dict[str, list[str] | None] = {
        "low": [*EQUAL_WORK, *bench.vgg19_overrides(), "memory=low"],
        "normal": [*EQUAL_WORK, *bench.vgg19_overrides(), "memory=normal"],
        TEXTBOOK: None,
    }
    iterations = 3 if bench.quick else 12
    peaks = {side: in_a_child(bench, size, iterations, own) for side, own in settings.items()}
    scene = benches.whole_frame(size, bench.where)
    style = benches.style_picture(size, bench.where)
    stack = textbook.vgg19(bench.vgg19, bench.where)
    few, many = bench.few_and_many
    samples = timing.alternate(
        {
            side: timing.per_iteration(
                benches.prepare_textbook(stack, scene.content, style)
                if own is None
                else benches.prepare_engine(bench, own, scene),
                bench.where,
                few,
                many,
            )
            for side, own in settings.items()
        },
        bench.repeats,
    )
    held = {side: entry["bytes"] / 2**20 for side, entry in peaks.items()}
    took = {side: statistics.median(each) for side, each in samples.items()}
    title = f"memory-low, {size} px"
    figures = [
        Figure(
            f"{title}: {what}, against {'the textbook' if side == TEXTBOOK else side}",
            found["low"],
            unit,
            found[side],
            found["low"] / found[side] if found[side] > 0 else None,
            Target("ratio", "at most", bound) if side == TEXTBOOK else None,
        )
        for side in (TEXTBOOK, "normal")
        for what, found, unit, bound in (
            ("peak", held, "MiB", 0.5),
            ("time of an iteration", took, "s", 1.4),
        )
    ]
    details = {"size": size, "network": "vgg19", "iterations": iterations, "peaks": peaks}
    return Comparison(
        "memory-low",
        figures,
        samples,
        {side: own for side, own in settings.items() if own is not None},
        details,
    )


def in_a_child(
    bench: Bench, size: int, iterations: int, overrides: Sequence[str] | None
) -> dict[str, float]:
    """The peak memory of one run in a fresh process.

    Args:
        bench: where, and with which weights.
        size: side of the picture in pixels.
        iterations: of the run.
        overrides: the engine's settings; None: the textbook's loop.

    Returns:
        ``bytes``: the peak above what was held before the run, when everything had been imported,
        loaded and used once on a small picture; ``before`` and ``peak``: the two it comes from.

    Raises:
        UserError: the run failed; with its last line.
    """
    if bench.where.type == "cuda":
        torch.cuda.empty_cache()
    task = {
        "device": str(bench.where),
        "size": size,
        "iterations": iterations,
        "overrides": None if overrides is None else [*overrides],
        "vgg19": str(bench.vgg19),
    }
    command = [sys.executable, "-m", "pipeline.benchmark.memory", json.dumps(task)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise UserError((done.stderr.strip() or f"exit status {done.returncode}").splitlines()[-1])
    found: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return found


def _measure(task: dict[str, Any]) -> dict[str, float]:
    where = torch.device(task["device"])
    bench = Bench(where, quick=True, size=None, vgg19=Path(task["vgg19"]), official=False)
    prepared = {size: _prepare(bench, size, task) for size in (_WARM_SIZE, task["size"])}
    prepared[_WARM_SIZE]()
    timing.synchronise(where)
    _forget_peak(where)
    before = _held(where)
    prepared[task["size"]]()
    timing.synchronise(where)
    peak = _peak(where)
    return {"bytes": peak - before, "before": before, "peak": peak}


def _prepare(bench: Bench, size: int, task: dict[str, Any]) -> timing.Work:
    scene = benches.whole_frame(size, bench.where)
    if task["overrides"] is None:
        stack = textbook.vgg19(bench.vgg19, bench.where)
        style = benches.style_picture(size, bench.where)
        return benches.prepare_textbook(stack, scene.content, style)(task["iterations"])
    return benches.prepare_engine(bench, task["overrides"], scene)(task["iterations"])


def _forget_peak(where: torch.device) -> None:
    if where.type == "cuda":
        torch.cuda.reset_peak_memory_stats(where)
    elif where.type == "mps":
        torch.mps.empty_cache()
    else:
        with suppress(OSError):
            # Linux: the largest resident size begins anew at the present one.
            Path("/proc/self/clear_refs").write_text("5")


def _held(where: torch.device) -> int:
    if where.type == "cuda":
        return torch.cuda.memory_allocated(where)
    if where.type == "mps":
        return torch.mps.driver_allocated_memory()
    return _peak(where)


def _peak(where: torch.device) -> int:
    """Bytes: the largest amount so far; on MPS what its pool has grown to, which never shrinks."""
    if where.type == "cuda":
        return torch.cuda.max_memory_allocated(where)
    if where.type == "mps":
        return torch.mps.driver_allocated_memory()
    return peak_bytes()


if __name__ == "__main__":
    try:
        print(json.dumps(_measure(json.loads(sys.argv[1]))))
    except UserError as error:
        sys.exit(str(error))
