"""Evaluation: the losses of pictures and their gradient, the whole pictures at once.

`pipeline.engine.tiled` computes the same in tiles.
"""

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from pipeline.engine import layer_sums, losses
from pipeline.engine.features import Part, add_to, deepest_of, parts
from pipeline.engine.layer_sums import Key, LayerQuery, Units
from pipeline.engine.neighbours import Candidates
from pipeline.engine.objective import Objective, Sums, Target, content_terms, style_terms
from pipeline.networks.encoder import Encoder
from pipeline.networks.pyramid import Layer, PyramidEncoder

#: Weight of the mean squared excess of pixels over [0, 1], in units of the loss at the start.
RANGE_WEIGHT = 5.0

#: Painted pictures, (B, 3, H, W), to (B, 4), each one's total loss and its content, style and
#: variation terms, weighted; and the totals' gradient, (B, 3, H, W). Outside [0, 1] pixels cost.
Evaluate = Callable[[Tensor], tuple[Tensor, Tensor]]


@dataclass(frozen=True)
class Comparison:
    """What painted pictures are compared with at one scale.

    The losses see a picture as it will be shown: painted inside the mask, content outside. In a
    batch each picture has losses of its own, as if it were alone.

    Attributes:
        encoder: whose features are compared.
        objective: the losses.
        weights: layer to w_l.
        content: (B, 3, H, W) in [0, 1].
        mask: (B, 1, H, W) in [0, 1], where the picture may change.
        targets: of each picture's regions; at least one.
        kept: layer to the content's features, (B, N, H_l, W_l), where these are held in memory.
    """

    encoder: PyramidEncoder
    objective: Objective
    weights: Mapping[Layer, float]
    content: Tensor
    mask: Tensor
    targets: Sequence[Sequence[Target]]
    kept: Mapping[Layer, Tensor]


def whole_evaluation(comparison: Comparison, start: Tensor) -> Evaluate:
    """How to evaluate pictures at once.

    Args:
        comparison: of the pictures.
        start: (B, 3, H, W), where the optimisation begins; its loss sets the weight of the penalty
            for values out of range.
    """
    encoder = comparison.encoder
    wanted = LayerMasks.of(comparison)
    queries = whole_queries(wanted, comparison)
    layouts = layouts_of(comparison)
    zero = comparison.mask.new_zeros(())

    def terms(painted: Tensor) -> Tensor:
        shown = comparison.content + comparison.mask * (painted - comparison.content)
        sums = Sums()
        pictures = encoder.pyramid(shown, max(queries, default=0) + 1)
        for level, taken in queries.items():
            read_layers(
                encoder.encoder, encoder.encoder.normalise(pictures[level]), taken, level, sums
            )
        return pixel_terms(comparison, layouts, shown) + feature_terms(comparison, sums, zero)

    with torch.no_grad():
        range_weight = RANGE_WEIGHT * terms(start).sum(1) / start[0].numel()

    def evaluate(painted: Tensor) -> tuple[Tensor, Tensor]:
        with torch.enable_grad():
            painted = painted.detach().requires_grad_()
            found = terms(painted)
            (gradient,) = torch.autograd.grad(found.sum(), painted)
        return with_range_penalty(painted, found.detach(), gradient, range_weight)

    return evaluate


@dataclass(frozen=True)
class LayerMasks:
    """What the losses want of the layers.

    Attributes:
        gram_masks: layer to where each region's Gram sum is taken, (B, 1, H_l, W_l); None:
            everywhere.
        content_masks: layer to where each region's content sum is taken, in the same way.
        names: level to the names of the layers that are read there.
        moments: as `LayerQuery.moments`.
        neighbour_masks: layer to where each region's neighbour sum is taken, in the same way.
        candidates: of each region, as `Target.candidates`.
    """

    gram_masks: Mapping[Layer, Mapping[Key, Tensor | None]]
    content_masks: Mapping[Layer, Mapping[Key, Tensor | None]]
    names: Mapping[int, Sequence[str]]
    moments: bool
    neighbour_masks: Mapping[Layer, Mapping[Key, Tensor | None]]
    candidates: Mapping[Key, Mapping[Layer, Sequence[Candidates]]]

    @staticmethod
    def of(comparison: Comparison) -> "LayerMasks":
        """What a comparison wants."""
        sizes = comparison.encoder.sizes(*comparison.content.shape[2:])
        targets = [target for found in comparison.targets for target in found]

        def in_batch(mask: Tensor | None, key: Key, size: tuple[int, int]) -> Tensor | None:
            # A mask of one picture's layer, on those of all: 0 on the others.
            count = len(comparison.content)
            if count == 1:
                return mask
            found = comparison.mask.new_zeros(count, 1, *size)
            found[key[0]] = 1 if mask is None else mask[0]
            return found

        def style_masks(
            layers: Mapping[Key, Collection[Layer]],
        ) -> dict[Layer, dict[Key, Tensor | None]]:
            return {
                layer: {
                    target.key: in_batch(target.gram_masks[layer], target.key, sizes[layer])
                    for target in targets
                    if layer in layers[target.key]
                }
                for layer in dict.fromkeys(layer for found in layers.values() for layer in found)
            }

        gram_masks = style_masks({target.key: target.gram_layers for target in targets})
        neighbour_masks = style_masks({target.key: target.candidates for target in targets})
        candidates = {target.key: target.candidates for target in targets}
        content_masks: dict[Layer, dict[Key, Tensor | None]] = {}
        if comparison.objective.content_weight > 0:
            content_masks = {
                layer: {
                    target.key: in_batch(target.content_masks[layer], target.key, sizes[layer])
                    for target in targets
                }
                for layer in targets[0].content_factors
            }
        names = comparison.encoder.by_level({**gram_masks, **neighbour_masks, **content_masks})
        moments = comparison.objective.takes_moments
        return LayerMasks(gram_masks, content_masks, names, moments, neighbour_masks, candidates)

    def queries(
        self,
        part: Part,
        layers: Sequence[Layer],
        contents: Mapping[Layer, Tensor],
        values: bool = True,
    ) -> dict[str, LayerQuery]:
        """What is taken from each layer of a part, by the layer's name.

        Args:
            part: of a level.
            layers: of that level.
            contents: layer to the content's features there; without them no content sums.
            values: as `LayerQuery.values`.
        """
        return {
            layer.name: LayerQuery(
                {
                    key: part.units(mask, layer.name)
                    for key, mask in self.gram_masks.get(layer, {}).items()
                },
                contents.get(layer),
                {
                    key: part.mask(mask, layer.name)
                    for key, mask in self.content_masks.get(layer, {}).items()
                    if layer in contents
                },
                values,
                self.moments,
                self.neighbours(
                    part,
                    layer,
                    {
                        key: part.units(mask, layer.name)
                        for key, mask in self.neighbour_masks.get(layer, {}).items()
                    },
                ),
            )
            for layer in layers
        }

    def neighbours(
        self, part: Part, layer: Layer, units: Mapping[Key, Units]
    ) -> dict[Key, tuple[Units, Sequence[Candidates]]]:
        """As `LayerQuery.neighbours`, with what the units have been drawn to last.

        Args:
            part: of a level.
            layer: of that level.
            units: each region's there.
        """
        return {
            key: (found, part.candidates(self.candidates[key][layer], layer.name))
            for key, found in units.items()
        }


def whole_queries(wanted: LayerMasks, comparison: Comparison) -> dict[int, dict[str, LayerQuery]]:
    """What is taken from the layers of each level, as a whole."""
    height, width = comparison.content.shape[2:]
    encoder = comparison.encoder.encoder
    found = {}
    for level, names in wanted.names.items():
        deepest = deepest_of(encoder, names)
        (part,) = parts(encoder, height >> level, width >> level, deepest, None)
        layers = [Layer(name, level) for name in names]
        found[level] = wanted.queries(part, layers, comparison.kept)
    return found


def read_layers(
    encoder: Encoder,
    features: Tensor,
    taken: Mapping[str, LayerQuery],
    level: int,
    sums: Sums,
    start: int = 0,
    stop: int | None = None,
) -> Tensor:
    """Read layers, of which ``start`` takes the features, and add their sums.

    Args:
        encoder, features, start, stop: as `Encoder.read`.
        taken: name of a layer to what is taken there.
        level: of the picture.
        sums: changed.
    """

    def reader(name: str, hidden: Tensor) -> Tensor:
        hidden, grams, contents, neighbours = layer_sums.read(hidden, taken[name])
        add_to(sums.grams, Layer(name, level), grams)
        add_to(sums.contents, Layer(name, level), contents)
        add_to(sums.neighbours, Layer(name, level), neighbours)
        return hidden

    return encoder.read(features, [*taken], reader, start, stop)


def feature_terms(comparison: Comparison, sums: Sums, zero: Tensor) -> Tensor:
    """(B, 3), what content, style and variation have of terms that features tell.

    Args:
        comparison: of the pictures.
        sums: of their layers.
        zero: a scalar on their device.
    """
    goal, targets = comparison.objective, comparison.targets
    style = style_terms(goal, comparison.weights, targets, sums, zero)
    content = content_terms(goal, targets, sums.contents, zero)
    return torch.stack([content, style, torch.zeros_like(style)], dim=1)


def layouts_of(comparison: Comparison) -> list[list[losses.Layout]]:
    """What the layout losses compare each picture's regions with; empty where none has weight."""
    goal = comparison.objective
    if goal.layout_weight == goal.color_layout_weight == 0:
        return []
    return [
        [losses.Layout(content, target.mask) for target in found]
        for content, found in zip(
            torch.split(comparison.content, 1), comparison.targets, strict=True
        )
    ]


def pixel_terms(
    comparison: Comparison, layouts: Sequence[Sequence[losses.Layout]], shown: Tensor
) -> Tensor:
    """(B, 3), what content, style and variation have of terms that need no features."""
    goal, none = comparison.objective, shown.new_zeros(len(shown))
    layout = none
    if layouts:
        cells = [
            [wanted.cells(picture) for wanted in found]
            for found, picture in zip(layouts, torch.split(shown, 1), strict=True)
        ]
        layout = layout_terms(goal, layouts, cells)
    variation = losses.total_variation(shown, comparison.mask)
    return torch.stack([layout, none, goal.tv_weight * variation], dim=1)


def layout_terms(
    objective: Objective,
    layouts: Sequence[Sequence[losses.Layout]],
    cells: Sequence[Sequence[Tensor]],
) -> Tensor:
    """(B,), the weighted layout losses.

    Args:
        objective: their weights.
        layouts: of each picture's regions.
        cells: of the same, (3, h, w) each (`losses.Layout.cells`).
    """

    def term(wanted: losses.Layout, found: Tensor) -> Tensor:
        light, colors = wanted.losses(found)
        return objective.layout_weight * light + objective.color_layout_weight * colors

    return torch.stack(
        [
            torch.stack([term(*pair) for pair in zip(*regions, strict=True)]).sum()
            for regions in zip(layouts, cells, strict=True)
        ]
    )


@torch.no_grad()
def with_range_penalty(
    painted: Tensor,
    terms: Tensor,
    gradient: Tensor,
    range_weight: Tensor,
    rows: int | None = None,
) -> tuple[Tensor, Tensor]:
    """Add the penalty for values outside [0, 1].

    A clamp would have no gradient there and leave stuck, speckled pixels.

    Args:
        painted: (B, 3, H, W).
        terms: (B, 3), the other terms.
        gradient: as ``painted``, of their sum; changed.
        range_weight: (B,), of the squared excess.
        rows: how many are taken at once; None: all.

    Returns:
        As `Evaluate`.
    """
    penalty = torch.zeros_like(range_weight)
    rows = painted.shape[2] if rows is None else rows
    bands = zip(torch.split(painted, rows, 2), torch.split(gradient, rows, 2), strict=True)
    for shown, share in bands:
        outside = shown.clamp(0, 1).sub_(shown)
        squares = [values @ values for values in outside.flatten(1)]
        penalty.addcmul_(range_weight, torch.stack(squares))
        share.addcmul_(outside, range_weight.view(-1, 1, 1, 1), value=-2)
    return torch.cat([(terms.sum(1) + penalty)[:, None], terms], dim=1), gradient
