"""Stylize: the optimisation that every method shares (Gatys et al. 2016, coarse to fine)."""

import functools
import logging
import math
from collections.abc import Callable, Collection, Hashable, Sequence
from dataclasses import dataclass, field, replace
from typing import Literal

import torch
from torch import Tensor

from pipeline.engine import losses
from pipeline.engine.budget import Memory, affordable_history, choose_tiling, smaller
from pipeline.engine.checkpoint import Keeper, NoKeeper, State
from pipeline.engine.evaluation import Comparison, Evaluate, whole_evaluation
from pipeline.engine.features import gram_sums
from pipeline.engine.guides import Propagation
from pipeline.engine.job import MORE_COARSE, Job, factors, scales
from pipeline.engine.objective import Guide, Objective
from pipeline.engine.optimizers import Optimizer, PictureAdam, PictureLBFGS
from pipeline.engine.progress import LossRow, Progress
from pipeline.engine.search import details, find_neighbours
from pipeline.engine.targets import TargetMaker, area
from pipeline.engine.tiled import tiled_evaluation
from pipeline.engine.tiles import WHOLE, Tiling
from pipeline.engine.work import (
    PATIENCE,
    Descending,
    Diverged,
    Painting,
    Scale,
    Watch,
    Work,
    state_of,
)
from pipeline.errors import UserError
from pipeline.networks.pyramid import Layer, PyramidEncoder
from pipeline.runtime.cache import Store, forget_all
from pipeline.runtime.cuda_graph import Arrivals, RecordedStep
from pipeline.runtime.distributed import ALONE, Team
from pipeline.runtime.memory import is_out_of_memory

log = logging.getLogger(__name__)

#: Pictures of more pixels are not painted together on a CPU: they no longer fit into its caches.
LARGEST_TOGETHER = 200**2
#: How often a scale looks for the units' nearest style features: at first, and evenly over it.
SEARCHES = 4
#: Iterations between two searches at least: after each the optimizer has to find its pace again.
BETWEEN_SEARCHES = 8
#: What steps are multiplied by where a descent diverges, one after the other.
SMALLER_STEPS = (0.1, 0.01)


@dataclass(frozen=True)
class Descent:
    """How the loss is brought down.

    Attributes:
        optimizer: ``lbfgs`` or ``adam``.
        iterations: over all scales together.
        scales: number of sizes, each twice the one before; coarse ones get more iterations.
            ``auto``: as many as suit what is painted (`job.scales`).
        learning_rate: step length for L-BFGS (1 is the quasi-Newton step), in [0, 1] pixel units
            for Adam.
        history: pairs that L-BFGS remembers; each takes twice the picture's memory.
        tolerance: a scale ends early when the loss has fallen by less than this share of itself
            over the last `PATIENCE` iterations; 0 never does.
        snapshots: numbers of iterations after which the picture is kept.
    """

    optimizer: Literal["lbfgs", "adam"]
    iterations: int
    scales: int | Literal["auto"]
    learning_rate: float
    history: int = 10
    tolerance: float = 0.0
    snapshots: Collection[int] = ()


@dataclass(frozen=True)
class Resources:
    """With what the arithmetic is done; no setting here changes what is computed.

    Attributes:
        tile: side of tiles in pixels, ``off``, or ``auto``: where the memory would not do
            (`memory.choose_tiling`).
        memory: ``low`` halves it, for more time.
        record: whether a CUDA device's steps are recorded and replayed (`cuda_graph.RecordedStep`).
        team: processes that share the tiles out.
    """

    tile: int | Literal["auto", "off"] = "auto"
    memory: Memory = "normal"
    record: bool = True
    team: Team = ALONE


@dataclass
class Engine:
    """Paints pictures; knows nothing of files, segmentation or configuration.

    Attributes:
        encoder: whose features the losses compare.
        objective: the losses.
        descent: how they are brought down.
        propagation: how masks come down to the layers for Gram matrices (`masks.layer_mask`).
        targets: where targets are kept for other engines and pictures; None keeps none.
        identity: what tells the encoder from the others whose targets are kept there.
        resources: with what the arithmetic is done.
        keeper: is handed the state now and then, and may stop the descents.
        exact: makes the encoder in float32, where ``encoder`` computes in fewer digits.
    """

    encoder: PyramidEncoder
    objective: Objective
    descent: Descent
    propagation: Propagation = "simple"
    targets: Store | None = None
    identity: Hashable = None
    resources: Resources = Resources()
    keeper: Keeper = field(default_factory=NoKeeper)
    exact: Callable[[], PyramidEncoder] | None = None
    _weights: dict[Layer, float] = field(init=False)

    def __post_init__(self) -> None:
        self._weights = {
            layer: weight / self.encoder.levels
            for name, weight in self.objective.style_layers.items()
            for layer in self.encoder.layers(name)
            if weight > 0
        }

    def paint(self, job: Job, progress: Progress = lambda row: None) -> Painting:
        """Repaint the part of a picture that lies in its mask.

        The losses see the picture as it will be shown: painted inside the mask, content outside.
        So no style is spent on pixels that are thrown away, and a region's style takes its
        surroundings into account.

        Args:
            job: what is to be painted.
            progress: called with each iteration's losses.

        Returns:
            The painted picture, in [0, 1], equal to the content where the mask is 0. Where the loss
            is not finite, or diverges whatever the steps: the last good picture, and why.
        """
        return self.paint_together([job], progress)[0]

    def paint_together(
        self, jobs: Sequence[Job], progress: Progress = lambda row: None
    ) -> list[Painting]:
        """Carry out jobs of the same size, as one batch where that is faster and the memory does.

        Each has losses and an optimizer of its own, and becomes what `paint` makes of it but for
        rounding. Small pictures keep a device busy for a part of an iteration only; together they
        share the rest.

        Args:
            jobs: what is to be painted.
            progress: called with each job's losses, iteration by iteration; where the memory
                was not enough and a scale begins anew, again for the same iterations.

        Raises:
            ValueError: their sizes differ.
        """
        sizes = {job.size for job in jobs}
        if len(sizes) != 1:
            raise ValueError(f"pictures painted together have one size, not {sorted(sizes)}")
        works = [Work(job, job.beginning) for job in jobs]
        state, first = self._resumed(works, self.keeper.begin(), progress)
        # A scale of fewer iterations would do no more than blur the picture.
        asked = self.descent.scales
        wanted = scales(max(jobs[0].size)) if asked == "auto" else asked
        found = factors(jobs[0].size, max(1, min(wanted, self.descent.iterations // 5)))
        shares = self._shares(len(found))
        for number in range(first, len(found)):
            if self.keeper.stopping:
                break
            scale = Scale(number, found[number], shares[number])
            self._paint_scale(works, scale, state, progress)
            state = None
        if not self.keeper.stopping and self.keeper.is_due():
            self.keeper.keep(state_of(works, len(found)))
        return [work.painting() for work in works]

    def evaluate(self, jobs: Sequence[Job], painted: Tensor) -> tuple[Tensor, Tensor]:
        """The losses of pictures that something else has painted, and their gradient.

        Args:
            jobs: what they shall be; of one size.
            painted: (B, 3, H, W), a picture a job.

        Returns:
            (B, 4), each one's total loss and its content, style and variation terms, and (B, 3, H,
            W), the totals' gradient; see `evaluation.Evaluate`.
        """
        evaluate, _, _ = self._evaluation(jobs, painted, WHOLE, warn=False)
        return evaluate(painted)

    def _resumed(
        self, works: Sequence[Work], state: State | None, progress: Progress
    ) -> tuple[State | None, int]:
        """Bring works to where an earlier process has left them; the state, and its scale."""
        if state is None or state.record["sizes"] != [[*work.job.size] for work in works]:
            return None, 0
        for number, work in enumerate(works):
            work.take(state, number)
            for row in work.curve:
                progress(row)
        return state, int(state.record["scale"])

    @torch.no_grad()
    def style_distance(self, picture: Tensor, guide: Guide) -> float:
        """How far a picture's region is from its style: 0 is the style itself.

        `losses.style_distance` at the encoder's style layers, averaged over the region's styles by
        their weights.
        """
        tiling = self._tiling(picture)
        maker = self._maker(tiling)
        available = self.encoder.sizes(*picture.shape[2:])
        masks = maker.gram_masks(guide, available)
        key = (0, 0)
        sums = gram_sums(
            self.encoder,
            picture,
            {layer: {key: mask} for layer, mask in masks.items()},
            tiling.side,
        )
        painted = {
            layer: sums[layer][key] / area(mask, available[layer]) for layer, mask in masks.items()
        }
        wanted = maker.grams(
            {(key, number): (style, [*masks]) for number, style in enumerate(guide.styles)}
        )
        found = [
            (style.weight, float(losses.style_distance(painted, wanted[key, number])))
            for number, style in enumerate(guide.styles)
        ]
        known = [(weight, distance) for weight, distance in found if not math.isnan(distance)]
        total = sum(weight for weight, _ in known)
        return sum(weight * distance for weight, distance in known) / total if total else math.nan

    def _shares(self, scales: int) -> list[int]:
        weights = [MORE_COARSE ** (scales - 1 - index) for index in range(scales)]
        shares = [max(1, round(self.descent.iterations * w / sum(weights))) for w in weights]
        shares[0] = max(1, shares[0] + self.descent.iterations - sum(shares))
        return shares

    def _maker(self, tiling: Tiling) -> TargetMaker:
        return TargetMaker(
            self.encoder,
            self.objective,
            self._weights,
            self.propagation,
            self.targets,
            self.identity,
            tiling,
        )

    def _tiling(self, picture: Tensor, count: int = 1) -> Tiling:
        have = self.resources
        goal = self.objective
        layers = [*self._weights, *goal.neighbour_layers, *map(Layer, goal.content_layers)]
        height, width = picture.shape[2:]
        if have.team.size > 1:
            # Without tiles there would be nothing to share out.
            share = -(-max(height, width) // (2 * have.team.size))
            return Tiling(min(have.tile, share) if isinstance(have.tile, int) else share)
        return choose_tiling(
            have.tile, have.memory, self.encoder, height, width, layers, picture.device, count
        )

    def _paint_scale(
        self,
        works: Sequence[Work],
        scale: Scale,
        state: State | None,
        progress: Progress,
    ) -> None:
        """Descend at one scale: together where that is faster and the memory does, else in turn.

        Args:
            works: to be brought on.
            scale: of them.
            state: to go on from, within this scale.
            progress: called with each iteration's losses.
        """
        active = [*range(len(works))] if state is None else [*state.record["active"]]
        if len(active) > 1:
            descent = Descending(works, active, scale, state)
            tiling = self._tiling(descent.jobs[0].content, len(works))
            try:
                if self._is_faster_together(descent, tiling) and self._fits(
                    descent, tiling, progress
                ):
                    return
            except Diverged:
                pass  # Each by itself is begun anew, one of them more carefully.
            descent.begin_anew()
            state, active = None, [0]
        # Those before the active one have been brought to this scale's end already.
        for number in range(active[0], len(works)):
            own = state if number == active[0] else None
            self._paint_alone(Descending(works, [number], scale, own), progress)
            if self.keeper.stopping:
                return

    def _is_faster_together(self, descent: Descending, tiling: Tiling) -> bool:
        job = descent.jobs[0]
        small = math.prod(job.size) <= LARGEST_TOGETHER
        return (
            tiling.side is None
            and self.resources.memory == "normal"
            and (small or job.content.device.type != "cpu")
            # With a tolerance each ends when its own loss has stalled.
            and not self.descent.tolerance
            and not any(work.stopped for work in descent.works)
        )

    def _paint_alone(self, descent: Descending, progress: Progress) -> None:
        """Descend with one picture; where that diverges, more carefully (`_attempts`)."""
        (work,), (job,) = descent.works, descent.jobs
        if work.stopped:
            return
        while True:
            engine = self._attempt(descent.attempt)
            assert engine is not None
            try:
                engine._descend_in_memory(descent, progress)
                return
            except Diverged as error:
                following = self._attempt(descent.attempt + 1)
                if following is None or (error.at_start and engine.exact is None):
                    log.warning("%s; what was painted before is kept", error)
                    best = job.beginning if descent.best is None else descent.best
                    work.painted = job.content + job.mask * (best - job.content)
                    work.stopped = str(error)
                    return
                descent.begin_anew()
                descent.attempt += 1
                how = "with smaller steps" if engine.exact is None else "in float32"
                log.warning("%s; once more %s", error, how)

    def _attempt(self, number: int) -> "Engine | None":
        """The engine of a descent's first attempt, of the second, ...; None: there are no more."""
        if number == 0:
            return self
        if self.exact is not None:
            own, exact = (self.identity, "float32"), self.exact()
            return replace(self, encoder=exact, identity=own, exact=None)._attempt(number - 1)
        if number > len(SMALLER_STEPS):
            return None
        rate = SMALLER_STEPS[number - 1] * self.descent.learning_rate
        return replace(self, descent=replace(self.descent, learning_rate=rate))

    def _descend_in_memory(self, descent: Descending, progress: Progress) -> None:
        """Descend with one picture; where the memory does not do, in smaller and smaller tiles."""
        (job,) = descent.jobs
        tiling = self._tiling(job.content)
        while not self._fits(descent, tiling, progress):
            tiling = self._smaller(tiling, *job.size)

    def _fits(self, descent: Descending, tiling: Tiling, progress: Progress) -> bool:
        """Descend; whether the memory was enough. If not, nothing has happened."""
        try:
            self._descend(descent, tiling, progress)
        except (RuntimeError, MemoryError) as error:
            # Processes that share tiles have to agree on them.
            if not is_out_of_memory(error) or self.resources.team.size > 1:
                raise
        else:
            return True
        descent.begin_anew()
        forget_all()
        if descent.jobs[0].content.device.type == "cuda":
            torch.cuda.empty_cache()
        return False

    def _smaller(self, tiling: Tiling, height: int, width: int) -> Tiling:
        if self.resources.tile == "off":
            raise UserError(f"not enough memory for {width}x{height} pixels; use tile=auto")
        found = smaller(tiling, height, width)
        if found is None:
            tried = "" if tiling.side is None else f", even in tiles of {tiling.side}"
            raise UserError(
                f"not enough memory for {width}x{height} pixels{tried}; "
                "lower size or optimizer.history"
            )
        log.warning(
            "not enough memory for %dx%d pixels; going on in tiles of %d", width, height, found.side
        )
        return found

    def _evaluation(
        self, jobs: Sequence[Job], painted: Tensor, tiling: Tiling, warn: bool
    ) -> tuple[Evaluate, Callable[[], None], list[Tensor]]:
        """How to evaluate the pictures, how to look for their neighbours anew, and these."""
        content, mask = _batch([job.content for job in jobs]), _batch([job.mask for job in jobs])
        targets, kept = self._maker(tiling).make(content, [job.guides for job in jobs], warn)
        comparison = Comparison(
            self.encoder, self.objective, self._weights, content, mask, targets, kept
        )
        look_again = functools.partial(
            find_neighbours, comparison, painted, tiling.side, details(comparison, tiling.side)
        )
        look_again()
        chosen = [
            one.chosen
            for found in targets
            for target in found
            for candidates in target.candidates.values()
            for one in candidates
        ]
        if tiling.side is None and self.resources.team.size == 1:
            return whole_evaluation(comparison, painted), look_again, chosen
        evaluate = tiled_evaluation(comparison, painted, tiling, self.resources.team)
        return evaluate, look_again, chosen

    def _descend(self, descent: Descending, tiling: Tiling, progress: Progress) -> None:
        """Bring works down at one scale.

        Raises:
            Diverged: the loss is not finite, or far above that of the start.
        """
        have, jobs, works, scale = self.resources, descent.jobs, descent.works, descent.scale
        painted = _batch([job.beginning for job in jobs]).clone(
            memory_format=torch.contiguous_format
        )
        evaluate, look_again, chosen = self._evaluation(
            jobs, painted, tiling, warn=scale.factor == 1
        )
        optimizer = self._optimizer(painted)
        descent.restore(painted, optimizer, chosen)
        values = painted.new_zeros(len(jobs), 4)
        watches = [
            Watch(work, start, optimizer.recovers)
            for work, start in zip(works, descent.starts, strict=True)
        ]

        def look() -> None:
            try:
                for watch in watches:
                    watch.look()
            except Diverged:
                descent.best = optimizer.best.finite()
                raise

        def advance() -> None:
            terms, gradient = evaluate(painted)
            values.copy_(terms)
            optimizer.step(terms[:, 0], gradient)

        def arrived(found: list[list[float]]) -> None:
            for work, start, terms in zip(works, descent.starts, found, strict=True):
                number = len(work.curve) - start
                work.curve.append(LossRow(work.job.stage, scale.factor, number, *terms))
                progress(work.curve[-1])

        replayed = have.record and tiling.side is None and have.team.size == 1
        step = RecordedStep(advance, painted.device) if replayed else advance
        arrivals = Arrivals(values, arrived)
        count = max(1, min(SEARCHES, scale.iterations // BETWEEN_SEARCHES))
        searches = {scale.iterations * n // count for n in range(1, count)}
        for iteration in range(descent.done, scale.iterations):
            if iteration in searches and self.objective.takes_neighbours:
                look_again()
                optimizer.turn()
            step()
            arrivals.take()
            for k, (work, start) in enumerate(zip(works, descent.starts, strict=True)):
                if start + iteration + 1 in self.descent.snapshots:
                    work.keep(painted[k : k + 1], start + iteration + 1)
            if any(work.job.viewer is not None and work.job.viewer.is_due() for work in works):
                for k, work in enumerate(works):
                    work.show(painted[k : k + 1])
            look()
            if self.descent.tolerance:
                arrivals.finish()
                if self._stalled([row.total for row in works[0].curve[descent.starts[0] :]]):
                    break
            if self.keeper.is_due():
                arrivals.finish()
                self.keeper.keep(descent.state_after(iteration + 1, painted, optimizer, chosen))
            if self.keeper.stopping:
                break
        arrivals.finish()
        look()
        # A recording holds the memory of an evaluation.
        del step
        # Where the last step led has not been evaluated yet.
        terms, _ = evaluate(painted)
        optimizer.best.update(painted, terms[:, 0])
        for work, job, best in zip(
            works, jobs, torch.split(optimizer.best.picture, 1), strict=True
        ):
            # In place: at the largest sizes every copy counts.
            best.clamp_(0, 1).sub_(job.content).mul_(job.mask).add_(job.content)
            work.painted = best

    def _stalled(self, totals: Sequence[float]) -> bool:
        if len(totals) <= PATIENCE:
            return False
        before, now = min(totals[:-PATIENCE]), min(totals)
        return before - now < self.descent.tolerance * before

    def _optimizer(self, painted: Tensor) -> Optimizer:
        plan = self.descent
        if plan.optimizer == "adam":
            return PictureAdam(painted, plan.learning_rate)
        history = plan.history
        if self.resources.team.size == 1:
            history = affordable_history(history, painted)
        return PictureLBFGS(painted, plan.learning_rate, history)


def _batch(pictures: Sequence[Tensor]) -> Tensor:
    """(1, C, H, W) each to (B, C, H, W)."""
    return pictures[0] if len(pictures) == 1 else torch.cat([*pictures])
