"""Work: jobs on their way down, what is kept of them, and what may go wrong."""

import logging
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from types import MappingProxyType
from typing import Any

from torch import Tensor

from pipeline.engine.checkpoint import State
from pipeline.engine.job import Job
from pipeline.engine.optimizers import Optimizer
from pipeline.engine.progress import LossRow
from pipeline.pictures.resize import resize

log = logging.getLogger(__name__)

#: Iterations over which `Descent.tolerance` looks for progress.
PATIENCE = 10
#: A loss that stays above so many times that of the start, over `PATIENCE` iterations, diverges.
DIVERGED = 10.0


@dataclass(frozen=True)
class Painting:
    """What the engine made.

    Attributes:
        picture: (1, 3, H, W) in [0, 1].
        curve: how its loss fell.
        snapshots: number of iterations to the picture after them, as ``picture``.
        stopped: why it is not what was asked for; empty if it is.
    """

    picture: Tensor
    curve: list[LossRow]
    snapshots: dict[int, Tensor] = field(default_factory=dict)
    stopped: str = ""


class Diverged(Exception):
    """A descent's loss is not finite, or far above that of its start.

    Args:
        cause: what has happened, and where.
        at_start: whether at the first iteration already, where no smaller step would help.
    """

    def __init__(self, cause: str, at_start: bool) -> None:
        super().__init__(cause)
        self.at_start = at_start


@dataclass
class Work:
    """A job on its way.

    Attributes:
        job: at full size.
        painted: (1, 3, h, w) in [0, 1], what the scales so far have made of it.
        curve, snapshots, stopped: as `Painting`.
    """

    job: Job
    painted: Tensor
    curve: list[LossRow] = field(default_factory=list)
    snapshots: dict[int, Tensor] = field(default_factory=dict)
    stopped: str = ""

    def keep(self, shown: Tensor, count: int) -> None:
        """Keep what is painted after so many iterations, at full size."""
        self.snapshots[count] = self._at_full_size(shown.clamp(0, 1))

    def show(self, shown: Tensor) -> None:
        """Show what is painted to whom it concerns, at full size."""
        if self.job.viewer is not None:
            self.job.viewer.show(self._at_full_size(shown.clamp(0, 1)), self.job.mask)

    def take(self, state: State, number: int) -> None:
        """Take over what an earlier process has made of it.

        Args:
            state: that was kept.
            number: of this work in it.
        """
        record, like = state.record, self.job.content
        if (painted := state.tensors.get(f"painted.{number}")) is not None:
            self.painted = painted.to(like)
        self.curve = [LossRow(**row) for row in record["curves"][number]]
        self.snapshots = {
            count: state.tensors[f"snapshot.{number}.{count}"].to(like)
            for count in record["snapshots"][number]
        }
        self.stopped = record["stopped"][number]

    def painting(self) -> Painting:
        """What has become of it; at full size, too, where it has not come to its end."""
        picture = self.painted
        if tuple(picture.shape[2:]) != self.job.size or not self.curve:
            picture = self._at_full_size(picture)
        return Painting(picture, self.curve, self.snapshots, self.stopped)

    def _at_full_size(self, shown: Tensor) -> Tensor:
        content, mask = self.job.content, self.job.mask
        return content + mask * (resize(shown, self.job.size) - content)


@dataclass(frozen=True)
class Scale:
    """One size of the pictures that are painted together.

    Attributes:
        number: from 0, the coarsest.
        factor: what their sides have been divided by.
        iterations: to be made here.
    """

    number: int
    factor: int
    iterations: int


class Descending:
    """The descent of some of a batch's works at one scale.

    Args:
        batch: all works that are painted together.
        active: the numbers of those that descend here.
        scale: of them.
        state: to go on from, within this scale; None: from its beginning.

    Attributes:
        works: those that descend.
        jobs: theirs, at this scale.
        starts: the rows of their curves before it.
        attempt: how often it has been begun anew because it diverged.
        best: (1, 3, h, w), the best picture of a work that has diverged.
    """

    def __init__(
        self,
        batch: Sequence[Work],
        active: Sequence[int],
        scale: Scale,
        state: State | None,
    ) -> None:
        self.scale, self.works = scale, [batch[number] for number in active]
        self.jobs = [work.job.at_scale(scale.factor, work.painted) for work in self.works]
        self._batch, self._active, self._state = batch, [*active], state
        self.attempt = 0 if state is None else int(state.record["attempt"])
        self.starts = [len(work.curve) - self.done for work in self.works]
        self.best: Tensor | None = None

    @property
    def done(self) -> int:
        """Iterations that have been made by an earlier process."""
        return 0 if self._state is None else int(self._state.record["iteration"])

    def begin_anew(self) -> None:
        """Forget what has been done at this scale."""
        self._state = None
        for work, start in zip(self.works, self.starts, strict=True):
            del work.curve[start:]

    def restore(self, painted: Tensor, optimizer: Optimizer, chosen: Sequence[Tensor]) -> None:
        """Bring pictures, their optimizer and neighbours to where an earlier process was."""
        if self._state is None:
            return
        tensors = self._state.tensors
        own = {
            name.removeprefix("optimizer."): tensor
            for name, tensor in tensors.items()
            if name.startswith("optimizer.")
        }
        kept = [tensors[name] for k in range(len(chosen)) if (name := f"chosen.{k}") in tensors]
        try:
            if [one.shape for one in kept] != [one.shape for one in chosen]:
                raise ValueError("the neighbours of other pictures")
            optimizer.restore(own)
        except ValueError:
            # Memory is shorter or longer than it was, so that less or more is remembered.
            log.warning("the state that was kept does not fit; this scale begins anew")
            self.begin_anew()
            return
        for one, was in zip(chosen, kept, strict=True):
            one.copy_(was)
        painted.copy_(tensors["picture"])

    def state_after(
        self, iteration: int, painted: Tensor, optimizer: Optimizer, chosen: Sequence[Tensor]
    ) -> State:
        """The state within this scale."""
        own = {f"optimizer.{name}": tensor for name, tensor in optimizer.state().items()}
        found = {f"chosen.{number}": one for number, one in enumerate(chosen)}
        here = {
            "iteration": iteration,
            "active": self._active,
            "attempt": self.attempt,
        }
        return state_of(self._batch, self.scale.number, here, {"picture": painted, **own, **found})


def state_of(
    works: Sequence[Work],
    scale: int,
    here: Mapping[str, Any] = MappingProxyType({}),
    tensors: Mapping[str, Tensor] = MappingProxyType({}),
) -> State:
    """The state of works at a scale; at the end its number is that of all scales."""
    record = {
        "scale": scale,
        "sizes": [[*work.job.size] for work in works],
        "curves": [[asdict(row) for row in work.curve] for work in works],
        "snapshots": [[*work.snapshots] for work in works],
        "stopped": [work.stopped for work in works],
        **here,
    }
    # What has not been painted is known.
    painted = {f"painted.{k}": work.painted for k, work in enumerate(works) if work.curve}
    kept = {
        f"snapshot.{k}.{number}": shown
        for k, work in enumerate(works)
        for number, shown in work.snapshots.items()
    }
    return State(record, {**painted, **kept, **tensors})


class Watch:
    """Notices that a work's descent at one scale has gone wrong.

    Args:
        work: whose curve grows.
        start: rows of it before this scale.
        recovers: as `Optimizer.recovers`.
    """

    def __init__(self, work: Work, start: int, recovers: bool) -> None:
        self._work, self._start, self._seen = work, start, start
        self._most, self._lost, self._high = (2 if recovers else 1), 0, 0

    def look(self) -> None:
        """Look at the losses that have arrived.

        Raises:
            Diverged: one is not finite and the optimizer has not got over it, or they stay above
                `DIVERGED` times the first.
        """
        rows = self._work.curve[self._start :]
        for row in self._work.curve[self._seen :]:
            finite = math.isfinite(row.total)
            self._lost = 0 if finite else self._lost + 1
            self._high = self._high + 1 if row.total > DIVERGED * abs(rows[0].total) else 0
            where = f"at iteration {row.iteration + 1} at 1/{row.scale} size ({row.stage})"
            if self._lost >= self._most:
                at_start = not math.isfinite(rows[0].total)
                raise Diverged(f"the loss became {row.total} {where}", at_start)
            if self._high >= PATIENCE:
                raise Diverged(f"the loss rose to {row.total:.3g} {where}", False)
        self._seen = len(self._work.curve)
