"""Progress: the losses of a run, iteration by iteration."""

from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True)
class LossRow:
    """The loss at one iteration.

    ``content`` (layout included), ``style`` and ``tv`` are weighted, and add up to ``total`` but
    for a penalty on pixels outside [0, 1] (`evaluation.RANGE_WEIGHT`).
    """

    stage: str
    scale: int
    iteration: int
    total: float
    content: float
    style: float
    tv: float


Progress = Callable[[LossRow], None]
