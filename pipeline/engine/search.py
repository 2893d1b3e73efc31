"""Search: which of its style's features each unit of a region is drawn to.

Those nearest to it by cosine distance (`engine.neighbours`), but that alone is timid: where the
photograph is plain, all units find the same few features, and each by itself, so that no stroke
goes on from one to the next. So the search differs from Kolkin et al. 2022 in three ways:

- Units are compared with those around them, patch by patch (Li and Wand 2016, Combining Markov
  Random Fields and Convolutional Neural Networks for Image Synthesis: 3 x 3 units). What adjacent
  units find is then more often adjacent in the style, too: strokes, bands and swirls come over
  whole. (Li and Wand compare patches in the loss as well; here it compares units.)
- All of the style is used about equally often, which is optimal transport between the region's and
  the style's features. Its potentials are found by Sinkhorn's iterations (Cuturi 2013, Sinkhorn
  Distances), and damped, so that a region need not show what it has no place for (Chizat et al.
  2018, Scaling Algorithms for Unbalanced Optimal Transport Problems, with the Kullback-Leibler
  divergence on the style's side).
- What is compared is the painted picture mixed with the photograph (`Candidates.content`). Kolkin
  et al. look the photograph up on the first scale, the painted picture on the others; some of the
  photograph at each search keeps faces. It is more of it where the photograph changes from unit to
  unit (`details`), and use is balanced less there: a sky is the painter's, eyes are the sitter's.

Shapes: N channels, n units of a region, c samples of a style, k the side of a patch.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from pipeline.engine.evaluation import Comparison
from pipeline.engine.features import (
    Part,
    deepest_of,
    evenly_over,
    patches_of,
    tile_features,
    unit_numbers,
)
from pipeline.engine.neighbours import CENTRED, Candidates, Samples, directions
from pipeline.engine.objective import Target
from pipeline.networks.pyramid import Layer
from pipeline.pictures.boxes import Box

# Similarities of units and samples that are held at once.
_AT_ONCE = 2**22
# Mean cosines this far apart are told apart when use is counted: Sinkhorn's regularisation.
_TEMPERATURE = 0.05
_ROUNDS = 10
# Of the average use; what is used less counts as used this much.
_LEAST_USE = 1e-3
# Mean cosine distance to the units around it from which on a unit is all detail.
_ALL_DETAIL = 0.4


@dataclass(frozen=True)
class Query:
    """What one style of a region is searched for at one layer.

    Attributes:
        layer: the layer.
        target: of the region.
        style: its features, and what is found.
    """

    layer: Layer
    target: Target
    style: Candidates

    def features(self, shown: Tensor, content: Tensor, kept: Tensor | None) -> Tensor:
        """(1, N, h, w), what is looked up: directions of the two pictures' features, mixed.

        Args:
            shown, content: (B, N, h, w), features of the painted picture and of the photograph.
            kept: (B, 1, h, w) in [0, 1], how much more than `Candidates.content` the photograph
                counts; None: no more.
        """
        ours, theirs = shown[self.picture], content[self.picture]
        share: float | Tensor = self.style.content
        if kept is not None:
            share = (share + (1 - share) * kept[self.picture]).to(ours)
        mixed = torch.lerp(ours, theirs, share)
        rows = mixed[0].flatten(1).T
        found = directions(rows, self.style.samples.centre)
        return found.T.view(mixed.shape)

    @property
    def picture(self) -> slice:
        """The region's picture in its batch."""
        return slice(self.target.key[0], self.target.key[0] + 1)

    @property
    def mask(self) -> Tensor | None:
        """(1, 1, H_l, W_l), the region; None: everything."""
        return self.target.gram_masks.get(self.layer)


@torch.no_grad()
def details(comparison: Comparison, side: int | None = None) -> Tensor | None:
    """Where the photograph changes from unit to unit of the deepest layer that is searched.

    The mean cosine distance of each unit's feature from those around it, less nine tenths of the
    picture's mean, in [0, 1]: 0 in a plain sky, and in even texture, 1 on eyes and on outlines.

    Args:
        comparison: of the pictures.
        side: of tiles, as `Tiling.side`.

    Returns:
        (B, 1, H_l, W_l); None where it counts for nothing.
    """
    searched = {
        layer for found in comparison.targets for target in found for layer in target.candidates
    }
    if not searched or comparison.objective.neighbour_detail == 0:
        return None
    encoder, content = comparison.encoder, comparison.content
    deepest = deepest_of(encoder.encoder, {layer.name for layer in searched})
    layer = min((one for one in searched if one.name == deepest), key=lambda one: one.level)
    size = encoder.sizes(*content.shape[2:])[layer]

    def encoded() -> Iterator[tuple[Part, Tensor]]:
        for part, found in tile_features(encoder, content, [layer], side, 1):
            yield part, found[layer]

    kept = [*encoded()] if side is None else None
    means = torch.zeros((), device=content.device)
    for part, features in kept or encoded():
        own = part.boxes(layer.name)[1].cut(features)
        means = means + own.sum((2, 3), keepdim=True, dtype=torch.float32) / (size[0] * size[1])
    found = content.new_zeros(len(content), 1, *size)
    for part, features in kept or encoded():
        there, here = part.boxes(layer.name)
        there.cut(found)[:] = here.cut(_changes(features.float() - CENTRED * means))
    return (found / _ALL_DETAIL).clamp(max=1)


def _changes(features: Tensor) -> Tensor:
    """(B, 1, H, W), each unit's mean cosine distance to those around it; features (B, N, H, W)."""
    own = F.normalize(features, dim=1)
    padded = F.pad(own, (1, 1, 1, 1), mode="replicate")
    # Of nine, the unit itself among them.
    around = F.avg_pool2d(padded, 3, 1) * 9 - own
    return 1 - (own * around).sum(1, keepdim=True) / 8


@torch.no_grad()
def find_neighbours(
    comparison: Comparison,
    painted: Tensor,
    side: int | None = None,
    detail: Tensor | None = None,
) -> None:
    """Find each unit's style feature anew: changes the targets' `Candidates.chosen`.

    Args:
        comparison: of the pictures.
        painted: (B, 3, H, W).
        side: of tiles, as `Tiling.side`.
        detail: (B, 1, H_l, W_l), `details`; None: as if there were none.
    """
    queries = [
        Query(layer, target, style)
        for found in comparison.targets
        for target in found
        for layer, styles in target.candidates.items()
        for style in styles
    ]
    if not queries:
        return
    goal, encoder = comparison.objective, comparison.encoder
    layers = dict.fromkeys(query.layer for query in queries)
    sizes = encoder.sizes(*painted.shape[2:])
    shown = comparison.content + comparison.mask * (painted - comparison.content)
    keeps = {
        layer: goal.neighbour_detail * F.interpolate(detail, sizes[layer], mode="bilinear")
        for layer in layers
        if detail is not None
    }

    def encoded() -> Iterator[Seen]:
        both = [
            tile_features(encoder, picture, layers, side, goal.neighbour_patch // 2)
            for picture in (shown, comparison.content)
        ]
        for (part, found), (_, of_content) in zip(*both, strict=True):
            yield Seen(part, found, of_content, keeps)

    # Of one tile the features are kept; of several they are computed twice.
    kept = [*encoded()] if side is None else None
    offsets: list[Tensor | None] = [None] * len(queries)
    if goal.neighbour_balance > 0:
        picked = _evenly(queries, sizes, kept or encoded(), painted)
        offsets = [
            potentials(query.style.samples, rows, goal.neighbour_balance)
            for query, rows in zip(queries, picked, strict=True)
        ]
    for seen in kept or encoded():
        for query, offset in zip(queries, offsets, strict=True):
            if query.layer in seen.features:
                _choose(query, seen, offset)


@dataclass(frozen=True)
class Seen:
    """A tile of a level.

    Attributes:
        part: which one.
        features: layer to the painted picture's, (B, N, h, w).
        of_content: layer to the photograph's.
        keeps: layer to how much the photograph counts beyond its share, (B, 1, H_l, W_l) of the
            whole layer; no layers where it does not.
    """

    part: Part
    features: Mapping[Layer, Tensor]
    of_content: Mapping[Layer, Tensor]
    keeps: Mapping[Layer, Tensor]

    def kept(self, layer: Layer) -> Tensor | None:
        """(B, 1, h, w), of what the tile sees."""
        if layer not in self.keeps:
            return None
        whole, here = self.part.boxes(layer.name)
        top, left = whole.top - here.top, whole.left - here.left
        height, width = self.features[layer].shape[2:]
        return Box(top, left, top + height, left + width).cut(self.keeps[layer])

    def of(self, query: Query) -> Tensor:
        """`Query.features` there."""
        layer = query.layer
        return query.features(self.features[layer], self.of_content[layer], self.kept(layer))


def _evenly(
    queries: Sequence[Query],
    sizes: Mapping[Layer, tuple[int, int]],
    encoded: Iterable[Seen],
    like: Tensor,
) -> list[Tensor]:
    """Of each query units evenly over its region, (m, k*k*N), all tiles together."""
    picked = [evenly_over(query.mask, sizes[query.layer], like) for query in queries]
    rows: list[list[Tensor]] = [[] for _ in queries]
    for seen in encoded:
        for query, wanted, own in zip(queries, picked, rows, strict=True):
            if query.layer in seen.features:
                whole, here = seen.part.boxes(query.layer.name)
                features = seen.of(query)
                units = unit_numbers(whole.cut(wanted), here, features.shape[3])
                own.append(_rows(features, units, query.style.samples))
    return [torch.cat(own) for own in rows]


def _choose(query: Query, seen: Seen, offset: Tensor | None) -> None:
    """Note the nearest sample of each unit that a tile answers for.

    Args:
        query: changed.
        seen: the tile.
        offset: (c,), as `nearest`.
    """
    whole, here = seen.part.boxes(query.layer.name)
    features, kept = seen.of(query), seen.kept(query.layer)
    samples, chosen = query.style.samples, whole.cut(query.style.chosen[query.picture])
    inside = torch.ones_like(chosen) if query.mask is None else whole.cut(query.mask)
    units = unit_numbers(inside, here, features.shape[3])
    free = None if kept is None else 1 - kept[query.picture].flatten()
    count = max(1, _AT_ONCE // len(samples.directions))
    found = [
        nearest(
            samples, _rows(features, some, samples), offset, None if free is None else free[some]
        )
        for some in torch.split(units, count)
    ]
    chosen.masked_scatter_(inside != 0, torch.cat(found))


def _rows(seen: Tensor, units: Tensor, samples: Samples) -> Tensor:
    """(n, k*k*N), patches of directions, as `Samples.patches` has them."""
    return patches_of(seen, units, samples.side).flatten(1) / samples.side


def nearest(
    samples: Samples, rows: Tensor, offset: Tensor | None = None, free: Tensor | None = None
) -> Tensor:
    """(n,), the numbers of the most similar samples.

    Args:
        samples: of the style.
        rows: (n, k*k*N), patches of directions, divided by k.
        offset: (c,), what is added to each sample's mean cosine; None: nothing.
        free: (n,), how much of that is added for each row; None: all of it.
    """
    similarity = rows @ samples.patches.T
    if offset is not None:
        similarity = similarity + (offset if free is None else free[:, None] * offset)
    return similarity.argmax(1)


def potentials(samples: Samples, rows: Tensor, balance: float) -> Tensor:
    """(c,), what to add to samples' similarities, so that all are found about equally often.

    ``f = T log v`` of Sinkhorn's iterations ``v <- (v / u(v))^balance``, where u is each sample's
    use, as a share of the average, by a softmax of ``(similarity + f) / T`` for each row.

    Args:
        samples: of the style.
        rows: (m, k*k*N), patches of directions evenly over the region, divided by k.
        balance: in [0, 1]; 0 adds nothing, 1 is optimal transport.
    """
    similarity = (rows @ samples.patches.T).float()
    kernel = ((similarity - similarity.amax(1, keepdim=True)) / _TEMPERATURE).exp()
    average = len(rows) / kernel.shape[1]
    scaling = kernel.new_ones(kernel.shape[1])
    for _ in range(_ROUNDS):
        use = scaling * (kernel.T @ (1 / (kernel @ scaling))) / average
        scaling = (scaling / use.clamp_min(_LEAST_USE)) ** balance
    return _TEMPERATURE * scaling.log()
