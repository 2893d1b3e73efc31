"""Report: how a training gets on, in lines and as TensorBoard's curves."""

import logging
import time
from collections.abc import Mapping
from typing import Any

from pipeline.errors import UserError

log = logging.getLogger(__name__)


class Report:
    """Says now and then what the last steps came to, and how long the rest will take.

    Args:
        steps: of the training.
        done: steps that an earlier process has made.
        lines: how many to say in all, about.
        curves: folder of TensorBoard's files; None: none are written.

    Raises:
        UserError: curves are asked for and TensorBoard is missing.
    """

    def __init__(self, steps: int, done: int, lines: int = 200, curves: str | None = None) -> None:
        self._steps, self._done = steps, done
        self._every = max(1, steps // lines)
        self._begun = time.monotonic()
        self._sums: dict[str, float] = {}
        self._count = 0
        self._writer = None if curves is None else _writer(curves)

    def step(self, number: int, values: Mapping[str, float]) -> None:
        """A step is done.

        Args:
            number: of the step, from 1.
            values: to be averaged over the steps between two lines, the same ones each time.
        """
        self._count += 1
        for name, value in values.items():
            self._sums[name] = self._sums.get(name, 0.0) + value
        if number % self._every and number != self._steps:
            return
        means = {name: total / self._count for name, total in self._sums.items()}
        self._sums, self._count = {}, 0
        spent = time.monotonic() - self._begun
        left = spent / max(1, number - self._done) * (self._steps - number)
        said = ", ".join(f"{name} {mean:.4g}" for name, mean in means.items())
        log.info("step %d of %d, %.0f s, %.0f s left: %s", number, self._steps, spent, left, said)
        if self._writer is not None:
            for name, mean in means.items():
                self._writer.add_scalar(name, mean, number)
            self._writer.flush()


def _writer(folder: str) -> Any:
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError:
        raise UserError('TensorBoard is missing: pip install -e ".[tensorboard]"') from None
    return SummaryWriter(folder)
