"""Stylize: the optimisation that every method shares (Gatys et al. 2016, coarse to fine)."""

import logging
import math
from collections.abc import Callable, Collection, Hashable, Sequence
from dataclasses import dataclass, field
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor

from pipeline import losses
from pipeline.errors import UserError
from pipeline.evaluation import Evaluation
from pipeline.features import gram_sums
from pipeline.masks import Propagation
from pipeline.memory import (
    Memory,
    affordable_history,
    choose_tiling,
    is_out_of_memory,
    smaller,
)
from pipeline.networks.pyramid import PyramidEncoder
from pipeline.objective import Guide, Objective, Style
from pipeline.optimizers import Optimizer, PictureAdam, PictureLBFGS
from pipeline.processes import ALONE, Team
from pipeline.replay import Arrivals, Replay
from pipeline.reuse import Store
from pipeline.targets import TargetMaker, area
from pipeline.tiles import Tiling

log = logging.getLogger(__name__)

#: Pictures of a coarse scale are not made smaller than this on their short side, in pixels.
SMALLEST_SCALE = 48
#: Iterations over which `Descent.tolerance` looks for progress.
PATIENCE = 10


@dataclass(frozen=True)
class Descent:
    """How the loss is brought down.

    Attributes:
        optimizer: ``lbfgs`` or ``adam``.
        iterations: over all scales together.
        scales: number of sizes, each twice the one before; coarse ones get more iterations.
        learning_rate: step length for L-BFGS (1 is the quasi-Newton step), in [0, 1] pixel units
            for Adam.
        history: pairs that L-BFGS remembers; each takes twice the picture's memory.
        tolerance: a scale ends early when the loss has fallen by less than this share of itself
            over the last `PATIENCE` iterations; 0 never does.
        snapshots: numbers of iterations after which the picture is kept.
    """

    optimizer: Literal["lbfgs", "adam"]
    iterations: int
    scales: int
    learning_rate: float
    history: int = 10
    tolerance: float = 0.0
    snapshots: Collection[int] = ()


@dataclass(frozen=True)
class LossRow:
    """The loss at one iteration; ``content``, ``style`` and ``tv`` are weighted, and add up."""

    stage: str
    scale: int
    iteration: int
    total: float
    content: float
    style: float
    tv: float


@dataclass(frozen=True)
class Painting:
    """What the engine made.

    Attributes:
        picture: (1, 3, H, W) in [0, 1].
        curve: how its loss fell.
        snapshots: number of iterations to the picture after them, as ``picture``.
    """

    picture: Tensor
    curve: list[LossRow]
    snapshots: dict[int, Tensor] = field(default_factory=dict)


Progress = Callable[[LossRow], None]


@dataclass(frozen=True)
class Resources:
    """With what the arithmetic is done; no setting here changes what is computed.

    Attributes:
        tile: side of tiles in pixels, ``off``, or ``auto``: where the memory would not do
            (`memory.choose_tiling`).
        memory: ``low`` halves it, for more time.
        record: whether a CUDA device's steps are recorded and replayed (`replay.Replay`).
        team: processes that share the tiles out.
    """

    tile: int | Literal["auto", "off"] = "off"
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
    """

    encoder: PyramidEncoder
    objective: Objective
    descent: Descent
    propagation: Propagation = "simple"
    targets: Store | None = None
    identity: Hashable = None
    resources: Resources = Resources()
    _levels: dict[str, float] = field(init=False)

    def __post_init__(self) -> None:
        self._levels = {
            name: weight / self.encoder.levels
            for layer, weight in self.objective.style_layers.items()
            for name in self.encoder.names(layer)
            if weight > 0
        }

    def paint(
        self,
        content: Tensor,
        mask: Tensor,
        guides: Sequence[Guide],
        stage: str,
        progress: Progress = lambda row: None,
        *,
        start: Tensor | None = None,
    ) -> Painting:
        """Repaint the part of a picture that lies in ``mask``.

        The losses see the picture as it will be shown: painted inside the mask, content outside.
        So no style is spent on pixels that are thrown away, and a region's style takes its
        surroundings into account.

        Args:
            content: (1, 3, H, W) in [0, 1].
            mask: (1, 1, H, W) in [0, 1], where the picture may change.
            guides: the styles and where they go.
            stage: name for the loss curve.
            progress: called with each iteration's losses.
            start: (1, 3, H, W) in [0, 1], where the optimisation begins; None: at the content.

        Returns:
            The painted picture, in [0, 1], equal to the content where the mask is 0.
        """
        curve: list[LossRow] = []
        kept: dict[int, Tensor] = {}
        painted = content if start is None else start
        # A scale of fewer iterations would do no more than blur the picture.
        scales = max(1, min(self.descent.scales, self.descent.iterations // 5))
        factors = _factors(content, scales)

        def record(row: LossRow) -> None:
            curve.append(row)
            progress(row)

        def keep(shown: Tensor, count: int) -> None:
            if count in self.descent.snapshots:
                full = _enlarge(shown.clamp(0, 1), content)
                kept[count] = content + mask * (full - content)

        for factor, iterations in zip(factors, self._shares(len(factors)), strict=True):
            content_here = _shrink(content, factor)
            scale = _Scale(
                painted,
                content_here,
                _shrink(mask, factor),
                _shrink_guides(guides, factor),
                iterations,
                stage,
                factor,
                done=len(curve),
            )
            painted = self._paint_scale(scale, curve, record, keep)
        return Painting(painted, curve, kept)

    @torch.no_grad()
    def style_distance(self, picture: Tensor, guide: Guide) -> float:
        """How far a picture's region is from its style: 0 is the style itself.

        The square root of `losses.relative_style_loss`, averaged over the encoder's style layers,
        and over the region's styles by their weights.
        """
        tiling = self._tiling(picture)
        maker = self._maker(tiling)
        available = self.encoder.sizes(*picture.shape[2:])
        masks = maker.gram_masks(guide, available, warn=False)
        sums = gram_sums(
            self.encoder, picture, {name: [mask] for name, mask in masks.items()}, tiling.side
        )
        painted = {
            name: sums[name][0] / area(mask, available[name]) for name, mask in masks.items()
        }
        wanted = maker.grams([(style, [*masks]) for style in guide.styles])
        distances, weights = [], []
        for style, grams in zip(guide.styles, wanted, strict=True):
            distances += [
                losses.relative_style_loss(painted[name], gram).sqrt()
                for name, gram in grams.items()
            ]
            weights += [style.weight / max(1, len(grams))] * len(grams)
        if not sum(weights):
            return math.nan
        stacked = torch.stack(distances)
        return float((stacked * stacked.new_tensor(weights)).sum() / sum(weights))

    def _shares(self, scales: int) -> list[int]:
        weights = [1.6 ** (scales - 1 - index) for index in range(scales)]
        shares = [max(1, round(self.descent.iterations * w / sum(weights))) for w in weights]
        shares[0] = max(1, shares[0] + self.descent.iterations - sum(shares))
        return shares

    def _maker(self, tiling: Tiling) -> TargetMaker:
        return TargetMaker(
            self.encoder,
            self.objective,
            self._levels,
            self.propagation,
            self.targets,
            self.identity,
            tiling,
        )

    def _tiling(self, picture: Tensor) -> Tiling:
        have = self.resources
        layers = [*self._levels, *self.objective.content_layers]
        height, width = picture.shape[2:]
        if have.team.size > 1 and have.tile in ("auto", "off"):
            # Without tiles there would be nothing to share out.
            return Tiling(-(-max(height, width) // (2 * have.team.size)))
        return choose_tiling(
            have.tile, have.memory, self.encoder, height, width, layers, picture.device
        )

    def _paint_scale(
        self,
        scale: "_Scale",
        curve: list[LossRow],
        record: Progress,
        keep: Callable[[Tensor, int], None],
    ) -> Tensor:
        """Descend; where the memory does not do, again in smaller tiles."""
        tiling = self._tiling(scale.content)
        while True:
            try:
                return self._descend(scale, tiling, record, keep)
            except RuntimeError as error:
                # Processes that share tiles have to agree on them.
                if not is_out_of_memory(error) or self.resources.team.size > 1:
                    raise
            del curve[scale.done :]
            tiling = self._smaller(tiling, scale)
            if scale.content.device.type == "cuda":
                torch.cuda.empty_cache()

    def _smaller(self, tiling: Tiling, scale: "_Scale") -> Tiling:
        height, width = scale.content.shape[2:]
        if self.resources.tile == "off":
            raise UserError(f"not enough memory for {width}x{height} pixels; use tile=auto")
        found = smaller(tiling, height, width)
        if found is None:
            raise UserError(
                f"not enough memory for {width}x{height} pixels, even in tiles of {tiling.side}; "
                "lower size or optimizer.history"
            )
        log.warning(
            "not enough memory for %dx%d pixels; going on in tiles of %d", width, height, found.side
        )
        return found

    def _descend(
        self,
        scale: "_Scale",
        tiling: Tiling,
        record: Progress,
        keep: Callable[[Tensor, int], None],
    ) -> Tensor:
        have = self.resources
        targets, kept = self._maker(tiling).make(
            scale.content, scale.guides, warn=scale.factor == 1
        )
        evaluation = Evaluation(
            self.encoder,
            self.objective,
            self._levels,
            scale.content,
            scale.mask,
            targets,
            kept,
            tiling,
            have.team,
        )
        painted = _resize(scale.start, scale.content).clone(memory_format=torch.contiguous_format)
        optimizer = self._optimizer(painted)
        values = painted.new_zeros(4)
        totals: list[float] = []

        def advance() -> None:
            terms, gradient = evaluation(painted)
            values.copy_(terms)
            optimizer.step(terms[0], gradient)

        def arrived(found: list[float]) -> None:
            record(LossRow(scale.stage, scale.factor, len(totals), *found))
            totals.append(found[0])

        replayed = have.record and tiling.side is None and have.team.size == 1
        step = Replay(advance, painted.device) if replayed else advance
        arrivals = Arrivals(values, arrived)
        for iteration in range(scale.iterations):
            step()
            arrivals.take()
            keep(painted, scale.done + iteration + 1)
            if self._stalled(totals):
                break
        arrivals.finish()
        # Where the last step led has not been evaluated yet.
        optimizer.best.update(painted, evaluation(painted)[0][0])
        # In place: at the largest sizes every copy counts.
        best = optimizer.best.picture.clamp_(0, 1)
        return best.sub_(scale.content).mul_(scale.mask).add_(scale.content)

    def _stalled(self, totals: Sequence[float]) -> bool:
        if self.descent.tolerance == 0 or len(totals) <= PATIENCE:
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


@dataclass(frozen=True)
class _Scale:
    """One size of a picture, and what is to be done there.

    Attributes:
        start: (1, 3, h', w') in [0, 1], where to begin, of another size maybe.
        content: (1, 3, h, w) in [0, 1].
        mask: (1, 1, h, w) in [0, 1].
        guides: of that size.
        iterations: to be made here.
        stage, factor: for the loss curve.
        done: iterations made before.
    """

    start: Tensor
    content: Tensor
    mask: Tensor
    guides: Sequence[Guide]
    iterations: int
    stage: str
    factor: int
    done: int


def _factors(content: Tensor, scales: int) -> list[int]:
    """Reductions from coarse to fine, powers of two ending with 1."""
    shortest = min(content.shape[2:])
    return [2**n for n in range(scales - 1, 0, -1) if shortest >> n >= SMALLEST_SCALE] + [1]


def _shrink(picture: Tensor, factor: int) -> Tensor:
    if factor == 1:
        return picture
    height, width = (max(16, round(side / factor)) for side in picture.shape[2:])
    return _reduce(picture, (height, width))


def _reduce(picture: Tensor, size: Sequence[int]) -> Tensor:
    return F.interpolate(picture, size, mode="bilinear", antialias=True).clamp(0, 1)


def _shrink_guides(guides: Sequence[Guide], factor: int) -> list[Guide]:
    shrunk: dict[int, Tensor] = {}

    def shrink(picture: Tensor) -> Tensor:
        # The same picture stays the same object, so that it is encoded once.
        if id(picture) not in shrunk:
            shrunk[id(picture)] = _shrink(picture, factor)
        return shrunk[id(picture)]

    def shrink_style(style: Style) -> Style:
        mask = None if style.mask is None else shrink(style.mask)
        return Style(shrink(style.picture), mask, style.weight)

    return [
        Guide(
            guide.region,
            [shrink_style(style) for style in guide.styles],
            None if guide.mask is None else shrink(guide.mask),
        )
        for guide in guides
    ]


def _resize(picture: Tensor, like: Tensor) -> Tensor:
    if picture.shape[2:] == like.shape[2:]:
        return picture
    if picture.shape[2] > like.shape[2]:
        return _reduce(picture, like.shape[2:])
    return _enlarge(picture, like)


def _enlarge(painted: Tensor, content: Tensor) -> Tensor:
    return F.interpolate(painted, content.shape[2:], mode="bicubic").clamp(0, 1)
