"""Tiled evaluation: the losses of a picture and their gradient, in exact tiles.

The picture is read twice. First without gradients: the Gram sums of all tiles add up to those of
the picture, and the style loss has a gradient with respect to them. Then with gradients, that one
as the upstream gradient of every tile. What is computed is the gradient of the whole picture's
loss, not of the tiles' own, so neither seams nor shifts of style can arise, and only one tile's
features are held in memory.
"""

import dataclasses
import functools
from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor

from pipeline.engine import losses
from pipeline.engine.evaluation import (
    RANGE_WEIGHT,
    Comparison,
    Evaluate,
    LayerMasks,
    feature_terms,
    layout_terms,
    layouts_of,
    read_layers,
    with_range_penalty,
)
from pipeline.engine.features import Part, parts
from pipeline.engine.layer_sums import LayerQuery
from pipeline.engine.objective import Sums, content_terms
from pipeline.engine.tiles import Tiling
from pipeline.networks.encoder import Encoder
from pipeline.networks.pyramid import Layer
from pipeline.pictures.boxes import Box
from pipeline.runtime.distributed import ALONE, Team

#: Rows of a picture whose variation is taken at once.
_BAND = 256

#: Cuts a box out of a picture.
Cut = Callable[[Box], Tensor]


def tiled_evaluation(
    comparison: Comparison, start: Tensor, tiling: Tiling, team: Team = ALONE
) -> Evaluate:
    """How to evaluate one picture in tiles.

    Args:
        comparison: of a batch of one picture; content features that are not kept are computed
            again, tile by tile.
        start: (1, 3, H, W), as `evaluation.whole_evaluation`.
        tiling: how the picture is cut.
        team: processes that share the tiles out.
    """
    wanted = LayerMasks.of(comparison)
    height, width = comparison.content.shape[2:]
    plans = [
        plan_of(comparison, wanted, level, (height >> level, width >> level), tiling, team)
        for level in wanted.names
    ]
    layouts = layouts_of(comparison)
    zero = comparison.mask.new_zeros(())

    def content_loss(sums: Sums) -> Tensor:
        return content_terms(comparison.objective, comparison.targets, sums.contents, zero)[0]

    @torch.no_grad()
    def terms(painted: Tensor) -> tuple[Tensor, Tensor]:
        """(1, 3), as `evaluation.Evaluate` without the total; and the gradient of their sum."""
        # Whole pictures are large here: as few as can be are held, and none kept by autograd.
        smaller = _smaller_levels(comparison, painted, max(wanted.names, default=0))
        sizes = [(height, width), *(tuple(shown.shape[2:]) for shown in smaller)]
        cuts: list[Cut] = [functools.partial(_part_shown, comparison, painted)]
        cuts += [functools.partial(_cut, picture) for picture in smaller]
        contents = _content_pictures(comparison, wanted)
        levels = [_Level(plan, cuts[plan.level], contents.get(plan.level)) for plan in plans]
        for level in levels:
            level.read_tiles()
        team.add_up([found for level in levels for found in level.style_sums()])
        sums = Sums()
        with torch.enable_grad():
            for level in levels:
                level.read_whole(sums)
            found = feature_terms(comparison, sums, zero)
            if found.requires_grad:
                found.sum().backward()  # type: ignore[no-untyped-call]
            pairs = [level.gradient(content_loss) for level in levels]
        del levels
        team.add_up([tensor for pair in pairs for tensor in pair])
        found = found.detach()
        found[0, 0] += sum(content for _, content in pairs)
        gradients = {plan.level: gradient for plan, (gradient, _) in zip(plans, pairs, strict=True)}
        del pairs
        gradient = _finest(comparison, gradients, sizes)
        found += _pixel_terms_by_bands(comparison, layouts, painted, gradient)
        return found, gradient.mul_(comparison.mask)

    range_weight = RANGE_WEIGHT * terms(start)[0].sum(1) / start[0].numel()

    def evaluate(painted: Tensor) -> tuple[Tensor, Tensor]:
        return with_range_penalty(painted, *terms(painted), range_weight, _BAND)

    return evaluate


@dataclass
class Plan:
    """How one level of the pyramid is read: its first layers in tiles, the others whole.

    Attributes:
        encoder: of every level.
        wanted: what is read.
        level: its number.
        size: rows and columns of its picture.
        team: processes that share the tiles out.
        stop: position of the first layer that is computed whole.
        first: the layers that are read in tiles.
        others: the layers that are read whole, after them.
        border: name of the last layer in tiles.
        tiles: of the level's picture, this process's.
        kept: layer to the content's features that are held in memory.
    """

    encoder: Encoder
    wanted: LayerMasks
    level: int
    size: tuple[int, int]
    team: Team
    stop: int
    first: Sequence[Layer]
    others: Sequence[Layer]
    border: str
    tiles: Sequence[Part]
    kept: Mapping[Layer, Tensor]
    _found: dict[Hashable, dict[str, LayerQuery]] = field(default_factory=dict)

    def queries(
        self, number: int, contents: Mapping[Layer, Tensor], values: bool
    ) -> dict[str, LayerQuery]:
        """What is taken from the first layers of a tile, by the layers' names.

        Args:
            number: of the tile.
            contents, values: as `LayerMasks.queries`.
        """
        found = self._once(
            (number, values),
            lambda: self.wanted.queries(self.tiles[number], self.first, contents, values),
        )
        return {layer.name: self._now(number, layer, found, contents) for layer in self.first}

    def _now(
        self,
        number: int,
        layer: Layer,
        found: Mapping[str, LayerQuery],
        contents: Mapping[Layer, Tensor],
    ) -> LayerQuery:
        query = found[layer.name]
        units = {key: units for key, (units, _) in query.neighbours.items()}
        # A tile's candidates are copies, which later searches do not reach.
        return dataclasses.replace(
            query,
            content=contents.get(layer),
            neighbours=self.wanted.neighbours(self.tiles[number], layer, units),
        )

    def whole_queries(self) -> dict[str, LayerQuery]:
        """What is taken from the other layers, by their names."""
        (part,) = parts(self.encoder, *self.size, self.border, None)
        return self._once("whole", lambda: self.wanted.queries(part, self.others, self.kept))

    def _once(
        self, key: Hashable, make: Callable[[], dict[str, LayerQuery]]
    ) -> dict[str, LayerQuery]:
        # Finding a mask's units makes the process wait for a device, and masks never change. On a
        # CPU nothing waits, and memory counts.
        if self.encoder.mean.device.type == "cpu":
            return make()
        if key not in self._found:
            self._found[key] = make()
        return self._found[key]


def plan_of(
    comparison: Comparison,
    wanted: LayerMasks,
    level: int,
    size: tuple[int, int],
    tiling: Tiling,
    team: Team,
) -> Plan:
    """How a level with something to read is read; arguments as `tiled_evaluation` and `Plan`."""
    encoder = comparison.encoder.encoder
    layers = [Layer(name, level) for name in wanted.names[level]]
    position = encoder.index
    last = max(position[layer.name] for layer in layers) + 1
    # With several processes nobody has a whole layer.
    stop = last if tiling.stop is None or team.size > 1 else min(tiling.stop, last)
    border = next(name for name, place in position.items() if place == stop - 1)
    return Plan(
        encoder,
        wanted,
        level,
        size,
        team,
        stop,
        [layer for layer in layers if position[layer.name] < stop],
        [layer for layer in layers if position[layer.name] >= stop],
        border,
        team.share(parts(encoder, *size, border, tiling.side)),
        comparison.kept,
    )


class _Level:
    """One level's picture on its way through an evaluation.

    Args:
        plan: how it is read.
        cut: a part of the level's picture.
        content: (1, 3, h, w), the same of the content; None: its features are kept, or not wanted.
    """

    def __init__(self, plan: Plan, cut: Cut, content: Tensor | None) -> None:
        self._plan, self._cut, self._content = plan, cut, content
        zeros = plan.encoder.mean.new_zeros
        masks, neighbour_masks = plan.wanted.gram_masks, plan.wanted.neighbour_masks
        # Zeros, so that a process without a tile of this level has sums, too.
        self._sums = Sums(
            {
                layer: {key: zeros(self._shape(layer)) for key in masks[layer]}
                for layer in plan.first
                if layer in masks
            },
            neighbours={
                layer: {key: zeros(()) for key in neighbour_masks[layer]}
                for layer in plan.first
                if layer in neighbour_masks
            },
        )
        self._boundary: Tensor | None = None

    def _shape(self, layer: Layer) -> tuple[int, int]:
        channels = self._plan.encoder.channels(layer.name)
        return channels + self._plan.wanted.moments, channels

    def style_sums(self) -> list[Tensor]:
        """The Gram and neighbour sums of the first layers."""
        return _style_sums(self._sums)

    @torch.no_grad()
    def read_tiles(self) -> None:
        """Add up the style's sums of the first layers."""
        plan = self._plan
        for number, part in enumerate(plan.tiles):
            taken = plan.queries(number, {}, values=True)
            features = self._read(self._cut(part.tile.seen), taken, self._sums)
            if plan.others:
                self._boundary = part.put(features, plan.border, self._boundary)
        for found in self.style_sums():
            found.requires_grad_()

    def _read(self, picture: Tensor, taken: Mapping[str, LayerQuery], sums: Sums) -> Tensor:
        plan = self._plan
        features = plan.encoder.normalise(picture)
        return read_layers(plan.encoder, features, taken, plan.level, sums, 0, plan.stop)

    def read_whole(self, sums: Sums) -> None:
        """Read the other layers, with gradients; add everything to ``sums``."""
        plan = self._plan
        sums.grams.update(self._sums.grams)
        sums.neighbours.update(self._sums.neighbours)
        if self._boundary is None:
            return
        self._boundary.requires_grad_()
        taken = plan.whole_queries()
        read_layers(plan.encoder, self._boundary, taken, plan.level, sums, plan.stop, None)

    def gradient(self, content_loss: Callable[[Sums], Tensor]) -> tuple[Tensor, Tensor]:
        """The gradient with respect to the picture, and the first layers' content loss.

        Args:
            content_loss: a scalar, what some sums have of the only picture's content term.
        """
        plan = self._plan
        total = plan.encoder.mean.new_zeros(1, 3, *plan.size)
        content = total.new_zeros(())
        for number, part in enumerate(plan.tiles):
            box = part.tile.seen
            shown = self._cut(box).detach().requires_grad_()
            sums = Sums()
            features = self._read(shown, self._again(number), sums)
            share = content_loss(sums)
            # A level without a content layer has no share in that loss.
            ends, upstream = (
                ([share], [torch.ones_like(share)]) if share.requires_grad else ([], [])
            )
            ends += _style_sums(sums)
            upstream += [_gradient_of(found) for found in self.style_sums()]
            if self._boundary is not None:
                there, here = part.boxes(plan.border)
                back = torch.zeros_like(features)
                here.cut(back)[:] = there.cut(_gradient_of(self._boundary))
                ends.append(features)
                upstream.append(back)
            (found,) = torch.autograd.grad(ends, shown, upstream)
            box.cut(total).add_(found)
            content = content + share.detach()
        return total, content

    def _again(self, number: int) -> dict[str, LayerQuery]:
        """Readings for the second time: gradients of the style's sums, and content sums."""
        plan = self._plan
        names = [layer.name for layer in plan.first if layer in plan.wanted.content_masks]
        contents: dict[Layer, Tensor] = {}
        if names and self._content is not None:
            with torch.no_grad():
                seen = plan.tiles[number].tile.seen
                found = plan.encoder(seen.cut(self._content), names)
            contents = {Layer(name, plan.level): features for name, features in found.items()}
        return plan.queries(number, contents, values=False)


def _style_sums(sums: Sums) -> list[Tensor]:
    by_layer = [*sums.grams.values(), *sums.neighbours.values()]
    return [tensor for found in by_layer for tensor in found.values()]


def _part_shown(comparison: Comparison, painted: Tensor, box: Box) -> Tensor:
    """What is shown inside a box: painted inside the mask, else content."""
    content = box.cut(comparison.content)
    return (box.cut(painted) - content).mul_(box.cut(comparison.mask)).add_(content)


def _smaller_levels(comparison: Comparison, painted: Tensor, last: int) -> list[Tensor]:
    """What is shown on the levels from the second to the last, as far as there are any."""
    if last == 0:
        return []
    height, width = painted.shape[2:]

    def rows(first: int, last: int) -> Tensor:
        return _part_shown(comparison, painted, Box(first, 0, last, width))

    second = comparison.encoder.halved_by_bands(rows, height, width, _BAND)
    return [] if second is None else comparison.encoder.pyramid(second, last)


def _finest(
    comparison: Comparison, gradients: dict[int, Tensor], sizes: Sequence[tuple[int, ...]]
) -> Tensor:
    """The gradient with respect to the full size, of those with respect to the levels."""
    zeros = comparison.mask.new_zeros
    for level in range(len(sizes) - 1, 0, -1):
        coarse = gradients.pop(level, None)
        if coarse is None:
            continue
        if level - 1 not in gradients:
            gradients[level - 1] = zeros(1, 3, *sizes[level - 1])
        comparison.encoder.add_finer_gradient(gradients[level - 1], coarse)
    return gradients[0] if gradients else zeros(1, 3, *sizes[0])


def _pixel_terms_by_bands(
    comparison: Comparison,
    layouts: Sequence[Sequence[losses.Layout]],
    painted: Tensor,
    gradient: Tensor,
) -> Tensor:
    """As `evaluation.pixel_terms`, by bands of rows; adds their gradient to ``gradient``.

    Args:
        comparison, layouts: as there.
        painted: (1, 3, H, W).
        gradient: (1, 3, H, W), with respect to what is shown.
    """
    goal, none = comparison.objective, painted.new_zeros(1)
    layout, variation = none, none
    # A batch of one picture; none where layouts have no weight.
    wanted = layouts[0] if layouts else []
    pulls: tuple[Tensor, ...] = ()
    if wanted:
        bands = [
            _cells(wanted, _part_shown(comparison, painted, box), box) for box in _bands(painted)
        ]
        cells = [torch.stack(found).sum(0).requires_grad_() for found in zip(*bands, strict=True)]
        with torch.enable_grad():
            layout = layout_terms(goal, layouts, [cells])
            pulls = torch.autograd.grad(layout.sum(), cells)
    weights = losses.variation_weights(comparison.mask)
    for box in _bands(painted):
        part = _part_shown(comparison, painted, box).requires_grad_()
        with torch.enable_grad():
            sums = losses.variation_sums(part, box.cut(comparison.mask), _BAND)
            share = (sums / weights).sum(0)
            total = goal.tv_weight * share.sum()
            for found, pull in zip(_cells(wanted, part, box), pulls, strict=True):
                total = total + (found * pull).sum()
            (slope,) = torch.autograd.grad(total, part)
        box.cut(gradient).add_(slope)
        variation = variation + share.detach()
    return torch.stack([layout.detach(), none, goal.tv_weight * variation], dim=1)


def _content_pictures(comparison: Comparison, wanted: LayerMasks) -> dict[int, Tensor]:
    """The content on each level where features of it are computed again for every tile."""
    again = [layer for layer in wanted.content_masks if layer not in comparison.kept]
    levels = comparison.encoder.by_level(again)
    pictures = comparison.encoder.pyramid(comparison.content, max(levels, default=0) + 1)
    return {level: pictures[level] for level in levels}


def _bands(picture: Tensor) -> list[Box]:
    """Bands of `_BAND` rows, each with the first row of the next one."""
    height, width = picture.shape[2:]
    return [Box(top, 0, min(height, top + _BAND + 1), width) for top in range(0, height, _BAND)]


def _cells(layouts: Sequence[losses.Layout], part: Tensor, band: Box) -> list[Tensor]:
    """What a band of a picture adds to the layouts' cells, without the next one's first row."""
    bottom = min(band.bottom, band.top + _BAND)
    own, rows = part[:, :, : bottom - band.top], slice(band.top, bottom)
    return [layout.cells(own, rows) for layout in layouts]


def _cut(picture: Tensor, box: Box) -> Tensor:
    return box.cut(picture)


def _gradient_of(tensor: Tensor) -> Tensor:
    return torch.zeros_like(tensor) if tensor.grad is None else tensor.grad
