"""Stylize: the optimisation that every method shares (Gatys et al. 2016, coarse to fine)."""

import functools
import math
from collections.abc import Callable, Collection, Hashable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal, TypeVar

import torch
import torch.nn.functional as F
from torch import Tensor

from pipeline import losses
from pipeline.masks import Propagation, drop_vanishing, layer_mask
from pipeline.networks.pyramid import PyramidEncoder
from pipeline.optimizers import PictureLBFGS
from pipeline.reuse import Store, digest

Value = TypeVar("Value")

#: Pictures of a coarse scale are not made smaller than this on their short side, in pixels.
SMALLEST_SCALE = 48
#: Iterations over which `Descent.tolerance` looks for progress.
PATIENCE = 10
#: Weight of the mean squared excess of pixels over [0, 1], in units of the loss at the start.
RANGE_WEIGHT = 5.0


@dataclass(frozen=True)
class Style:
    """One style of a region.

    Attributes:
        picture: (1, 3, h, w), whose Gram matrices are the target.
        mask: (1, 1, h, w), where the target's Gram matrices are taken; None: everywhere.
        weight: of its loss; several styles of a region are pursued at once, each with its own.
    """

    picture: Tensor
    mask: Tensor | None = None
    weight: float = 1.0


@dataclass(frozen=True)
class Guide:
    """What one region shall look like.

    Attributes:
        region: its name.
        styles: its styles; none keeps the content there.
        mask: (1, 1, H, W), where the painted picture's Gram matrices are taken; None: everywhere.
    """

    region: str
    styles: Sequence[Style]
    mask: Tensor | None = None


@dataclass(frozen=True)
class Objective:
    """Which losses, with which weights.

    ``total = content_weight * content + style_weight * sum_l w_l E_l + tv_weight * variation``
    (Gatys et al. 2016, eq. 5 and 7: alpha, beta, w_l), summed over the regions.

    Attributes:
        kind: ``gatys`` for the paper's formulas; ``balanced`` divides each term by its target's
            energy, so that the same weights serve every photograph, style, layer and encoder.
        style_layers: layer to weight w_l; a pyramid's levels share their layer's weight.
        content_layers: layers of the content loss, equally weighted.
        layout_weight: of `losses.layout_loss`, which counts as content.
    """

    kind: Literal["balanced", "gatys"]
    content_weight: float
    style_weight: float
    tv_weight: float
    style_layers: Mapping[str, float]
    content_layers: Sequence[str]
    layout_weight: float = 0.0


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


@dataclass
class _Target:
    """One region's targets at one scale: Gram matrices of each style, weight, content."""

    picture: Tensor
    mask: Tensor | None
    grams: list[tuple[float, dict[str, Tensor]]]
    gram_masks: dict[str, Tensor | None]
    content: dict[str, Tensor]
    content_masks: dict[str, Tensor | None]


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
    """

    encoder: PyramidEncoder
    objective: Objective
    descent: Descent
    propagation: Propagation = "simple"
    targets: Store | None = None
    identity: Hashable = None
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
        painted: Tensor | None = None
        # A scale of fewer iterations would do no more than blur the picture.
        scales = max(1, min(self.descent.scales, self.descent.iterations // 5))
        factors = _factors(content, scales)
        for factor, iterations in zip(factors, self._shares(len(factors)), strict=True):
            content_here, mask_here = _shrink(content, factor), _shrink(mask, factor)
            if painted is None:
                begin = content_here if start is None else _shrink(start, factor)
            else:
                begin = _enlarge(painted, content_here)
            targets = self._targets(content_here, _shrink_guides(guides, factor), warn=factor == 1)

            def record(row: LossRow) -> None:
                curve.append(row)
                progress(row)

            def keep(shown: Tensor) -> None:
                if len(curve) in self.descent.snapshots:
                    kept[len(curve)] = content + mask * (_enlarge(shown, content) - content)

            painted = self._descend(
                begin, content_here, mask_here, targets, iterations, stage, factor, record, keep
            )
        assert painted is not None
        return Painting(painted, curve, kept)

    @torch.no_grad()
    def style_distance(self, picture: Tensor, guide: Guide) -> float:
        """How far a picture's region is from its style: 0 is the style itself.

        The square root of `losses.relative_style_loss`, averaged over the encoder's style layers,
        and over the region's styles by their weights.
        """
        features = self.encoder(picture, self._levels)
        masks = self._masks(guide, features, warn=False)
        distances, weights = [], []
        for style in guide.styles:
            grams = self._grams(style, masks, {})
            distances += [
                losses.relative_style_loss(
                    losses.gram_matrix(features[name], masks[name]), gram
                ).sqrt()
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

    def _masks(
        self, guide: Guide, available: Collection[str], warn: bool
    ) -> dict[str, Tensor | None]:
        """Where to take a region's Gram matrices, at the layers that it is large enough for."""
        names = [name for name in self._levels if name in available]
        return self._layer_masks(guide.mask, names, guide.region, warn)

    def _grams(
        self,
        style: Style,
        wanted: Collection[str],
        encoded: dict[int, Mapping[str, Tensor]],
    ) -> dict[str, Tensor]:
        """A style's Gram matrices, at the layers that it and the region have.

        Args:
            style: the style.
            wanted: the region's layers.
            encoded: features of the last style picture by its id; one that serves several
                regions, such as stitch's canvas, is encoded once.
        """

        def make() -> dict[str, Tensor]:
            if id(style.picture) not in encoded:
                encoded.clear()
                encoded[id(style.picture)] = self.encoder(style.picture, self._levels)
            features = encoded[id(style.picture)]
            names = [name for name in wanted if name in features]
            masks = self._layer_masks(style.mask, names, "of a style", warn=False)
            return {name: losses.gram_matrix(features[name], m) for name, m in masks.items()}

        return self._reused(make, style.picture, style.mask, (self.propagation, *wanted))

    def _contents(self, content: Tensor) -> tuple[list[str], dict[str, Tensor]]:
        """The layers that the picture is large enough for, and its features at content layers."""
        names = [*self._levels, *self.objective.content_layers]

        def make() -> tuple[list[str], dict[str, Tensor]]:
            features = self.encoder(content, names)
            wanted = [name for name in self.objective.content_layers if name in features]
            return [*features], {name: features[name] for name in wanted}

        return self._reused(make, content, None, ("content", *names))

    def _reused(
        self, make: Callable[[], Value], picture: Tensor, mask: Tensor | None, key: Hashable
    ) -> Value:
        if self.targets is None:
            return make()
        return self.targets.get((self.identity, digest(picture), digest(mask), key), make)

    @torch.no_grad()
    def _targets(self, content: Tensor, guides: Sequence[Guide], warn: bool) -> list[_Target]:
        available, contents = self._contents(content)
        encoded: dict[int, Mapping[str, Tensor]] = {}
        targets = []
        for guide in guides:
            masks = self._masks(guide, available, warn)
            grams = [(style.weight, self._grams(style, masks, encoded)) for style in guide.styles]
            targets.append(
                _Target(
                    picture=content,
                    mask=guide.mask,
                    grams=[(weight, found) for weight, found in grams if found],
                    gram_masks=masks,
                    content=contents,
                    content_masks={
                        name: None if guide.mask is None else self._layer_mask(guide.mask, name)
                        for name in contents
                    },
                )
            )
        return targets

    def _layer_mask(self, mask: Tensor, name: str, propagation: Propagation = "simple") -> Tensor:
        return layer_mask(mask, self.encoder.windows(name), propagation)

    def _layer_masks(
        self, mask: Tensor | None, names: Sequence[str], region: str, warn: bool
    ) -> dict[str, Tensor | None]:
        if mask is None:
            return dict.fromkeys(names)
        masks = {name: self._layer_mask(mask, name, self.propagation) for name in names}
        return dict(drop_vanishing(masks, region, warn=warn))

    def _losses(
        self, shown: Tensor, mask: Tensor, targets: Sequence[_Target]
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Weighted content, style and variation losses of the picture as shown."""
        goal = self.objective
        wanted = {name for target in targets for _, grams in target.grams for name in grams}
        wanted |= {name for target in targets for name in target.content}
        features = self.encoder(shown, [*wanted])
        content = placed = style = shown.new_zeros(())
        for target in targets:
            for name, wanted_features in target.content.items():
                difference = _CONTENT_LOSS[goal.kind](
                    features[name], wanted_features, target.content_masks[name]
                )
                content = content + difference / len(target.content)
            if goal.layout_weight > 0:
                layout = losses.layout_loss(shown, target.picture, target.mask)
                placed = placed + layout
            painted: dict[str, Tensor] = {}
            for weight, grams in target.grams:
                # A region too small for some layers keeps its strength: the others carry its
                # weight.
                share = sum(self._levels.values()) / sum(self._levels[name] for name in grams)
                for name, wanted_gram in grams.items():
                    if name not in painted:
                        painted[name] = losses.gram_matrix(features[name], target.gram_masks[name])
                    distance = _STYLE_LOSS[goal.kind](painted[name], wanted_gram)
                    style = style + weight * share * self._levels[name] * distance
        return (
            goal.content_weight * content + goal.layout_weight * placed,
            goal.style_weight * style,
            goal.tv_weight * losses.total_variation(shown, mask),
        )

    def _descend(
        self,
        start: Tensor,
        content: Tensor,
        mask: Tensor,
        targets: Sequence[_Target],
        iterations: int,
        stage: str,
        scale: int,
        record: Progress,
        keep: Callable[[Tensor], None],
    ) -> Tensor:
        painted = start.clone(memory_format=torch.contiguous_format).requires_grad_()
        best, best_loss, unit = start, math.inf, math.nan

        def show() -> Tensor:
            return content + mask * (painted - content)

        def evaluate(iteration: int) -> float:
            nonlocal best, best_loss, unit
            painted.grad = None
            terms = self._losses(show(), mask, targets)
            # A clamp would have no gradient outside [0, 1] and leave stuck, speckled pixels.
            if math.isnan(unit):
                unit = sum(float(term.detach()) for term in terms)
            outside = (painted - painted.clamp(0, 1)).square().mean()
            total = torch.stack([*terms, RANGE_WEIGHT * unit * outside]).sum()
            total.backward()  # type: ignore[no-untyped-call]
            values = [float(value.detach()) for value in (total, *terms)]
            if values[0] < best_loss:
                best, best_loss = painted.detach().clone(), values[0]
            record(LossRow(stage, scale, iteration, *values))
            return values[0]

        optimizer = self._optimizer(painted)
        falling: list[float] = []
        for iteration in range(iterations):
            optimizer.step(functools.partial(evaluate, iteration))
            keep(painted.detach().clamp(0, 1))
            falling.append(best_loss)
            if self._stalled(falling):
                break
        with torch.no_grad():
            # Where the last step led has not been evaluated yet.
            last = float(torch.stack(self._losses(show(), mask, targets)).sum())
            if not last < best_loss:
                painted.copy_(best)
            painted.clamp_(0, 1)
            return show()

    def _stalled(self, falling: Sequence[float]) -> bool:
        if self.descent.tolerance == 0 or len(falling) <= PATIENCE:
            return False
        before, now = falling[-1 - PATIENCE], falling[-1]
        return before - now < self.descent.tolerance * before

    def _optimizer(self, painted: Tensor) -> PictureLBFGS | torch.optim.Adam:
        plan = self.descent
        if plan.optimizer == "adam":
            return torch.optim.Adam([painted], lr=plan.learning_rate)
        return PictureLBFGS(painted, plan.learning_rate, plan.history)


_CONTENT_LOSS = {
    "gatys": losses.gatys_content_loss,
    "balanced": losses.relative_content_loss,
}
_STYLE_LOSS = {
    "gatys": losses.gatys_style_loss,
    "balanced": losses.relative_style_loss,
}


def _factors(content: Tensor, scales: int) -> list[int]:
    """Reductions from coarse to fine, powers of two ending with 1."""
    shortest = min(content.shape[2:])
    return [2**n for n in range(scales - 1, 0, -1) if shortest >> n >= SMALLEST_SCALE] + [1]


def _shrink(picture: Tensor, factor: int) -> Tensor:
    if factor == 1:
        return picture
    height, width = (max(16, round(side / factor)) for side in picture.shape[2:])
    small = F.interpolate(picture, (height, width), mode="bilinear", antialias=True)
    return small.clamp(0, 1)


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


def _enlarge(painted: Tensor, content: Tensor) -> Tensor:
    return F.interpolate(painted, content.shape[2:], mode="bicubic").clamp(0, 1)
