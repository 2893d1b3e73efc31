"""Timing: both sides of a comparison in one process and in turns, so that noise hits both."""

import statistics
import time
from collections.abc import Callable, Mapping

import torch

#: What is timed.
Work = Callable[[], object]
#: Takes one sample, in seconds.
Sample = Callable[[], float]
#: Prepares a run of so many iterations; calling what comes back carries it out.
Prepare = Callable[[int], Work]


def synchronise(where: torch.device) -> None:
    """Wait until the device has done all that it was asked to."""
    if where.type == "cuda":
        torch.cuda.synchronize(where)
    elif where.type == "mps":
        torch.mps.synchronize()


def seconds(work: Work, where: torch.device) -> float:
    """Seconds that ``work`` takes, with all that it leaves to the device."""
    synchronise(where)
    start = time.perf_counter()
    work()
    synchronise(where)
    return time.perf_counter() - start


def per_iteration(prepare: Prepare, where: torch.device, few: int, many: int) -> Sample:
    """A sample of the seconds of one iteration, without what comes before and after them.

    The difference of a long and a short run by the difference of their iterations: targets,
    captures and the last evaluation are in both, and it does not matter when losses are reported.
    Noise can make a sample negative if iterations are very short.

    Args:
        prepare: of the runs.
        where: the device.
        few, many: iterations of the short and the long run, few < many.
    """
    short, long = prepare(few), prepare(many)

    def sample() -> float:
        begin = seconds(short, where)
        return (seconds(long, where) - begin) / (many - few)

    return sample


def alternate(
    sides: Mapping[str, Sample], repeats: int, warm: bool = True
) -> dict[str, list[float]]:
    """Samples of several sides, taken in turns, every other round in reverse.

    Args:
        sides: name to what takes a sample.
        repeats: samples a side.
        warm: whether each side has a first sample that does not count.

    Returns:
        Name to samples; those of one round have the same position.
    """
    if warm:
        for sample in sides.values():
            sample()
    found: dict[str, list[float]] = {name: [] for name in sides}
    for turn in range(repeats):
        order = [*sides][:: 1 if turn % 2 == 0 else -1]
        for name in order:
            found[name].append(sides[name]())
    return found


def ratios(numerator: list[float], denominator: list[float]) -> dict[str, float | None]:
    """How two sides compare: the ratio of their medians, and the median of the rounds' ratios.

    None where noise has left no positive denominator.
    """
    below = statistics.median(denominator)
    pairs = [a / b for a, b in zip(numerator, denominator, strict=True) if b > 0]
    return {
        "of_medians": statistics.median(numerator) / below if below > 0 else None,
        "median_of_pairs": statistics.median(pairs) if pairs else None,
    }
