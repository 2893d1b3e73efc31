"""Preview: the picture of a run on its way, and how far it is, in files for others to look at.

Both lie in the run's folder until it has finished: ``.pipeline/preview.jpg`` and
``.pipeline/progress.json``, each written under another name first.
"""

import json
import logging
import time
from collections.abc import Callable
from pathlib import Path

import torch
from PIL import Image
from torch import Tensor

from pipeline.engine.job import MORE_COARSE
from pipeline.engine.progress import LossRow
from pipeline.pictures.read import tensor_to_array
from pipeline.pictures.resize import fitted_size, resize
from pipeline.results.folder import STATE

log = logging.getLogger(__name__)

PICTURE, PROGRESS = f"{STATE}/preview.jpg", f"{STATE}/progress.json"
#: Long side of the picture in pixels, at most.
LARGEST = 1024
# How many times less an iteration at a coarser scale costs.
_CHEAPER = 4.0


class Preview:
    """Keeps the picture of a run up to date; an `engine.progress.Viewer`.

    Args:
        folder: of the run.
        seconds: between two pictures; 0: there are none.
        now: the time in seconds.
    """

    def __init__(
        self, folder: Path, seconds: float, now: Callable[[], float] = time.monotonic
    ) -> None:
        self._folder, self._seconds, self._now = folder, seconds, now
        self._picture: Tensor | None = None
        self._start = self._last = now()
        self._descents, self._iterations = 1, 1
        # By stage, of which each descent has one: its first scale, and the iterations so far.
        self._stages: dict[str, tuple[int, int]] = {}

    def expect(self, descents: int, iterations: int) -> None:
        """Say what there is to do.

        Args:
            descents: how many, one after the other or together.
            iterations: of each.
        """
        self._descents, self._iterations = max(1, descents), iterations
        self._start = self._last = self._now()

    def advance(self, row: LossRow) -> None:
        """One iteration is done."""
        first, count = self._stages.get(row.stage, (row.scale, 0))
        self._stages[row.stage] = first, count + 1

    def is_due(self) -> bool:
        """As `Viewer.is_due`."""
        return self._seconds > 0 and self._now() - self._last >= self._seconds

    def show(self, picture: Tensor, mask: Tensor) -> None:
        """As `Viewer.show`. A full disk costs the picture and nothing else."""
        shown = picture if self._picture is None else self._picture
        self._picture = torch.lerp(shown, picture, mask).clamp(0, 1)
        try:
            self._write()
        except OSError as error:
            log.warning("no preview was written: %s", error.strerror or error)
        self._last = self._now()

    @property
    def done(self) -> float:
        """The share of the work that is done, in [0, 1]."""
        rounds = 0.0
        for first, count in self._stages.values():
            whole, rest = divmod(count, self._iterations)
            rounds += whole + work_done(rest / self._iterations, first)
        return min(1.0, rounds / self._descents)

    def _write(self) -> None:
        assert self._picture is not None
        (self._folder / STATE).mkdir(parents=True, exist_ok=True)
        small = resize(self._picture, fitted_size(self._picture.shape[2:], LARGEST))
        partial = self._folder / f"{PICTURE}.new"
        Image.fromarray(tensor_to_array(small)).save(partial, format="JPEG", quality=90)
        partial.replace(self._folder / PICTURE)
        spent, done = self._now() - self._start, self.done
        said = {
            "iterations": sum(count for _, count in self._stages.values()),
            "done": round(done, 4),
            "seconds_left": round(spent * (1 - done) / done, 1) if done > 0 else None,
        }
        draft = self._folder / f"{PROGRESS}.new"
        draft.write_text(json.dumps(said))
        draft.replace(self._folder / PROGRESS)


def work_done(share: float, first: int) -> float:
    """The share of a descent's work that a share of its iterations makes, both in [0, 1].

    Args:
        share: of the iterations, which begin at the coarsest scale.
        first: what the sides are divided by there, a power of two.
    """
    scales = first.bit_length()
    counts = [MORE_COARSE ** (scales - 1 - k) for k in range(scales)]
    total_count = sum(counts)
    costs = [count * _CHEAPER**k for k, count in enumerate(counts)]
    done, left = 0.0, share * total_count
    for count, cost in zip(counts, costs, strict=True):
        done += cost * min(1.0, max(0.0, left) / count)
        left -= count
    return min(1.0, done / sum(costs))
