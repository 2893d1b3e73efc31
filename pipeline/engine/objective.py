"""Objective: what a picture shall look like, and the losses that say how far it is from that."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

import torch
from torch import Tensor

from pipeline.engine import losses
from pipeline.engine.layer_sums import Key
from pipeline.engine.neighbours import Candidates
from pipeline.engine.wasserstein import Gaussian, distances
from pipeline.networks.pyramid import Layer

#: What a style loss compares; see `Objective.style`.
StyleLoss = Literal["gram", "wasserstein", "neighbours", "gram_neighbours"]
#: Those that look for neighbours.
NEIGHBOURS = ("neighbours", "gram_neighbours")
# `Style.pull` is 1 at a strength of 1/2, and 6 at 1.
_STEEPNESS = 2.6
#: A style at one layer: the Gram matrix (N, N), or mean and covariance.
Statistics = Tensor | Gaussian


@dataclass(frozen=True)
class Style:
    """One style of a region.

    Attributes:
        picture: (1, 3, h, w), whose Gram matrices are the target.
        mask: (1, 1, h, w), where the target's Gram matrices are taken; None: everywhere.
        weight: of its loss; several styles of a region are pursued at once, each with its own.
        name: of the picture; styles with the same one show the same picture, which is then
            encoded once. Empty: it stands for itself.
        strength: how boldly it is pursued, in [0, 1]: near 0 the photograph hardly changes, 1/2 is
            as the objective says, 1 the boldest.
    """

    picture: Tensor
    mask: Tensor | None = None
    weight: float = 1.0
    name: str = ""
    strength: float = 0.5

    @property
    def pull(self) -> float:
        """What its losses are multiplied with: its weight, and more the bolder it is."""
        return self.weight * float((2 * self.strength) ** _STEEPNESS)

    def content_share(self, usual: float) -> float:
        """The share of the photograph in what neighbours are looked up for, `neighbour_content`.

        Args:
            usual: what it is at a strength of 1/2; 1 at 0, and 0 at 1.
        """
        if self.strength < 0.5:
            return 1 - 2 * self.strength * (1 - usual)
        return 2 * usual * (1 - self.strength)


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

    ``total = content_weight * content + layout_weight * layout + color_layout_weight * colors +
    style_weight * sum_l w_l E_l`` summed over the regions, and ``tv_weight * variation`` (Gatys et
    al. 2016, eq. 5 and 7: alpha, beta, w_l; layout, colors and variation are not in the paper).

    Attributes:
        kind: ``gatys`` for the paper's formulas; ``balanced`` divides each term by its target's
            energy, so that the same weights serve every photograph, style, layer and encoder.
        style_layers: layer's name to weight w_l, which the levels of a pyramid share.
        content_layers: names of the content loss's layers, read at full size, equally weighted.
        layout_weight, color_layout_weight: of `losses.layout_loss` and `losses.color_layout_loss`,
            which count as content.
        style: what E_l compares: ``gram`` matrices as in the paper; ``wasserstein``, means and
            covariances (`pipeline.engine.wasserstein`); ``neighbours``, each unit with its nearest
            of the style (`pipeline.engine.neighbours`), weighed by ``neighbour_weight``;
            ``gram_neighbours``, the sum of the first and the last.
        neighbour_layers: layer to its share of that loss; they add up to 1.
        neighbour_weight: of that loss.
        neighbour_content: share of the photograph's features in those that neighbours are looked
            up for, in [0, 1]: 0 goes by what has been painted, and strays from the photograph with
            every search.
        neighbour_patch: side in units of what is compared in a search, odd; 1: units alone.
        neighbour_balance: how evenly a search uses all of the style, in [0, 1]; 0: it takes what
            is nearest.
        neighbour_detail: how much more the photograph counts, and evenness less, where it is all
            detail (`search.details`), in [0, 1]: the part of the way to the photograph alone, and
            to what is nearest.

    Raises:
        ValueError: ``gatys`` with another style than ``gram``.
    """

    kind: Literal["balanced", "gatys"]
    content_weight: float
    style_weight: float
    tv_weight: float
    style_layers: Mapping[str, float]
    content_layers: Sequence[str]
    layout_weight: float = 0.0
    style: StyleLoss = "gram"
    neighbour_layers: Mapping[Layer, float] = field(default_factory=dict)
    neighbour_weight: float = 0.0
    neighbour_content: float = 0.0
    color_layout_weight: float = 0.0
    neighbour_patch: int = 1
    neighbour_balance: float = 0.0
    neighbour_detail: float = 0.0

    def __post_init__(self) -> None:
        if self.kind == "gatys" and self.style != "gram":
            raise ValueError(f"the formulas of Gatys et al. know no style loss {self.style}")

    @property
    def takes_moments(self) -> bool:
        """Whether means are wanted besides Gram matrices."""
        return self.style == "wasserstein"

    @property
    def takes_statistics(self) -> bool:
        """Whether there are Gram matrices, or means and covariances, to compare."""
        return self.style != "neighbours"

    @property
    def takes_neighbours(self) -> bool:
        """Whether units have nearest ones of a style."""
        return self.style in NEIGHBOURS

    def style_distance(self, gram: Tensor, target: Tensor) -> Tensor:
        """E_l of one layer."""
        if self.kind == "gatys":
            return losses.gatys_style_loss(gram, target)
        return losses.relative_style_loss(gram, target)


@dataclass(frozen=True)
class Target:
    """What one region is compared with at one scale.

    Attributes:
        key: of the region in its batch of pictures.
        mask: (1, 1, H, W), the region; None: the whole picture.
        styles: weight, and layer to statistics, of each style that has some.
        gram_masks: layer to (1, 1, H_l, W_l), where the picture's Gram matrix is taken; None:
            everywhere.
        areas: layer to the sum of that mask, in units.
        content_masks: layer to (1, 1, H_l, W_l), where its features are compared; None: everywhere.
        content_factors: layer to the content loss of one unit of squared difference, a scalar.
        candidates: layer to each style's features there, of which units have a nearest one.
    """

    key: Key
    mask: Tensor | None
    styles: Sequence[tuple[float, Mapping[Layer, Statistics]]]
    gram_masks: Mapping[Layer, Tensor | None]
    areas: Mapping[Layer, float]
    content_masks: Mapping[Layer, Tensor | None]
    content_factors: Mapping[Layer, Tensor]
    candidates: Mapping[Layer, Sequence[Candidates]] = field(default_factory=dict)

    @property
    def gram_layers(self) -> list[Layer]:
        """Where the picture's Gram matrix is taken."""
        wanted = {layer for _, found in self.styles for layer in found}
        return [layer for layer in self.areas if layer in wanted]


@dataclass(frozen=True)
class Sums:
    """What the losses are made of: sums over a layer's units (`layer_sums.read`).

    Attributes:
        grams: layer to the Gram sums of the regions that have the layer.
        contents: layer to the content sums of all regions.
        neighbours: layer to the neighbour sums of the regions that have candidates there.
    """

    grams: dict[Layer, dict[Key, Tensor]] = field(default_factory=dict)
    contents: dict[Layer, dict[Key, Tensor]] = field(default_factory=dict)
    neighbours: dict[Layer, dict[Key, Tensor]] = field(default_factory=dict)


def style_terms(
    objective: Objective,
    weights: Mapping[Layer, float],
    targets: Sequence[Sequence[Target]],
    sums: Sums,
    zero: Tensor,
) -> Tensor:
    """The weighted style losses, (B,).

    Args:
        objective: the losses.
        weights: layer to w_l.
        targets: of each picture's regions.
        sums: of their layers.
        zero: a scalar, the loss of a picture without styles; one made here would have to be sent
            to the device.
    """
    shares = {
        layer: objective.neighbour_weight * share
        for layer, share in objective.neighbour_layers.items()
    }
    pairs = []
    for target in (target for regions in targets for target in regions):
        painted = {
            layer: sums.grams[layer][target.key] / target.areas[layer]
            for layer in target.gram_layers
        }
        pairs += [(painted[layer], wanted) for _, layer, wanted in _weighted(weights, target)]
    # All regions' at once: roots of several matrices take little longer than one's.
    found_distances = iter(_distances(objective, pairs))

    def terms(target: Target) -> list[Tensor]:
        found = [
            objective.style_weight * factor * next(found_distances)
            for factor, _, _ in _weighted(weights, target)
        ]
        # The styles' own weights are in the sums.
        return found + [
            sums.neighbours[layer][target.key] * (shares[layer] / target.areas[layer])
            for layer in target.candidates
        ]

    of_pictures = [[term for target in regions for term in terms(target)] for regions in targets]
    return _sums(of_pictures, zero)


def _weighted(
    weights: Mapping[Layer, float], target: Target
) -> list[tuple[float, Layer, Statistics]]:
    """The weight of each comparison of a region with its styles' statistics."""
    found = []
    for weight, wanted in target.styles:
        # A region too small for some layers keeps its strength: the others carry its weight.
        share = sum(weights.values()) / sum(weights[layer] for layer in wanted)
        for layer, statistics in wanted.items():
            found.append((weight * share * weights[layer], layer, statistics))
    return found


def _distances(objective: Objective, pairs: Sequence[tuple[Tensor, Statistics]]) -> list[Tensor]:
    """E_l of each pair of averages of a picture and a style's statistics."""
    gaussians = [wanted for _, wanted in pairs if isinstance(wanted, Gaussian)]
    if gaussians:
        return distances([found for found, _ in pairs], gaussians)
    return [
        objective.style_distance(found, wanted)
        for found, wanted in pairs
        if isinstance(wanted, Tensor)
    ]


def content_terms(
    objective: Objective,
    targets: Sequence[Sequence[Target]],
    contents: Mapping[Layer, Mapping[Key, Tensor]],
    zero: Tensor,
) -> Tensor:
    """The weighted content losses, (B,); ``contents`` as `Sums.contents`, others as above."""

    def terms(target: Target) -> list[Tensor]:
        count = len(target.content_factors)
        return [
            target.content_factors[layer] / count * sums[target.key]
            for layer, sums in contents.items()
        ]

    of_pictures = [[term for target in regions for term in terms(target)] for regions in targets]
    return objective.content_weight * _sums(of_pictures, zero)


def _sums(terms: Sequence[Sequence[Tensor]], zero: Tensor) -> Tensor:
    return torch.stack([torch.stack([*found]).sum() if found else zero for found in terms])
