"""Comparisons: the list of them, and how one that fails leaves the others be."""

import logging
from collections.abc import Callable, Iterator, Sequence

import torch

from pipeline.benchmark.bench import Bench
from pipeline.benchmark.busy import busy
from pipeline.benchmark.compiled import compiled
from pipeline.benchmark.locality import composite, guided
from pipeline.benchmark.memory import memory, memory_low
from pipeline.benchmark.one_pass import one_pass
from pipeline.benchmark.quality import closeness, time_to_loss
from pipeline.benchmark.report import Comparison
from pipeline.benchmark.speed import (
    iteration_auto,
    iteration_default,
    iteration_float32,
    six_hundred,
    utilisation,
)
from pipeline.benchmark.start import start
from pipeline.errors import UserError, did_you_mean, nearest
from pipeline.runtime import precision

log = logging.getLogger(__name__)

COMPARISONS: dict[str, Callable[[Bench], list[Comparison]]] = {
    "iteration-float32": iteration_float32,
    "iteration-auto": iteration_auto,
    "iteration-default": iteration_default,
    "closeness": closeness,
    "utilisation": utilisation,
    "six-hundred": six_hundred,
    "time-to-loss": time_to_loss,
    "composite": composite,
    "guided": guided,
    "memory": memory,
    "memory-low": memory_low,
    "compile": compiled,
    "one-pass": one_pass,
    "start": start,
    "busy": busy,
}

#: Left out on a CPU unless named: they take many minutes there.
LONG_ON_CPU = ("six-hundred",)


def choose(names: Sequence[str], where: torch.device) -> list[str]:
    """The comparisons to make, in the order of `COMPARISONS`.

    Args:
        names: those asked for; none: all that suit the device.
        where: the device.

    Raises:
        UserError: one of the names does not exist.
    """
    for name in names:
        if name not in COMPARISONS:
            raise UserError(
                f"no comparison {name!r};{did_you_mean(nearest(name, COMPARISONS))} there are "
                + ", ".join(COMPARISONS)
            )
    if names:
        return [name for name in COMPARISONS if name in names]
    return [name for name in COMPARISONS if where.type != "cpu" or name not in LONG_ON_CPU]


def compare(names: Sequence[str], bench: Bench) -> Iterator[list[Comparison]]:
    """Make one comparison after the other; one that cannot be made says why instead.

    Args:
        names: keys of `COMPARISONS`.
        bench: where and how large.
    """
    for name in names:
        try:
            # The textbook's float32, too, is that of the engine's precision=float32.
            with precision.tf32(False):
                found = COMPARISONS[name](bench)
        except UserError as error:
            found = [Comparison(name, skipped=str(error))]
        except RuntimeError as error:
            # Out of memory at one size is no reason to lose the other figures.
            log.debug("%s failed", name, exc_info=error)
            found = [Comparison(name, skipped=" ".join(str(error).split())[:300])]
        yield found
        if bench.where.type == "cuda":
            torch.cuda.empty_cache()
