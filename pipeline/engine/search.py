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
  photograph at each search keeps faces.

Shapes: N channels, n units of a region, c samples of a style, k the side of a patch.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from pipeline.engine.evaluation import Comparison
from pipeline.engine.features import (
    Part,
    evenly_over,
    patches_of,
    tile_features,
    unit_numbers,
)
from pipeline.engine.neighbours import Candidates, Samples, directions
from pipeline.engine.objective import Target
from pipeline.networks.pyramid import Layer

# Similarities of units and samples that are held at once.
_AT_ONCE = 2**22
# Mean cosines this far apart are told apart when use is counted: Sinkhorn's regularisation.
_TEMPERATURE = 0.05
_ROUNDS = 10
# Of the average use; what is used less counts as used this much.
_LEAST_USE = 1e-3


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

    def features(self, shown: Tensor, content: Tensor) -> Tensor:
        """(1, N, h, w), what is looked up: directions of the two pictures' features, mixed.

        Args:
            shown, content: (B, N, h, w), features of the painted picture and of the photograph.
        """
        mixed = torch.lerp(shown[self.picture], content[self.picture], self.style.content)
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
def find_neighbours(comparison: Comparison, painted: Tensor, side: int | None = None) -> None:
    """Find each unit's style feature anew: changes the targets' `Candidates.chosen`.

    Args:
        comparison: of the pictures.
        painted: (B, 3, H, W).
        side: of tiles, as `Tiling.side`.
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
    shown = comparison.content + comparison.mask * (painted - comparison.content)

    def encoded() -> Iterator[tuple[Part, dict[Layer, Tensor], dict[Layer, Tensor]]]:
        both = [
            tile_features(encoder, picture, layers, side, goal.neighbour_patch // 2)
            for picture in (shown, comparison.content)
        ]
        for (part, found), (_, of_content) in zip(*both, strict=True):
            yield part, found, of_content

    # Of one tile the features are kept; of several they are computed twice.
    kept = [*encoded()] if side is None else None
    offsets: list[Tensor | None] = [None] * len(queries)
    if goal.neighbour_balance > 0:
        picked = _evenly(queries, encoder.sizes(*painted.shape[2:]), kept or encoded(), painted)
        offsets = [
            potentials(query.style.samples, rows, goal.neighbour_balance)
            for query, rows in zip(queries, picked, strict=True)
        ]
    for part, features, of_content in kept or encoded():
        for query, offset in zip(queries, offsets, strict=True):
            if query.layer in features:
                seen = query.features(features[query.layer], of_content[query.layer])
                _choose(query, part, seen, offset)


def _evenly(
    queries: Sequence[Query],
    sizes: Mapping[Layer, tuple[int, int]],
    encoded: Iterable[tuple[Part, dict[Layer, Tensor], dict[Layer, Tensor]]],
    like: Tensor,
) -> list[Tensor]:
    """Of each query units evenly over its region, (m, k*k*N), all tiles together."""
    picked = [evenly_over(query.mask, sizes[query.layer], like) for query in queries]
    rows: list[list[Tensor]] = [[] for _ in queries]
    for part, features, of_content in encoded:
        for query, wanted, own in zip(queries, picked, rows, strict=True):
            layer = query.layer
            if layer in features:
                whole, here = part.boxes(layer.name)
                seen = query.features(features[layer], of_content[layer])
                units = unit_numbers(whole.cut(wanted), here, seen.shape[3])
                own.append(_rows(seen, units, query.style.samples))
    return [torch.cat(own) for own in rows]


def _choose(query: Query, part: Part, seen: Tensor, offset: Tensor | None) -> None:
    """Note the nearest sample of each unit that a part answers for.

    Args:
        query: changed.
        part: of the layer's level.
        seen: (1, N, h, w), the directions there.
        offset: (c,), as `nearest`.
    """
    whole, here = part.boxes(query.layer.name)
    samples, chosen = query.style.samples, whole.cut(query.style.chosen[query.picture])
    inside = torch.ones_like(chosen) if query.mask is None else whole.cut(query.mask)
    units = unit_numbers(inside, here, seen.shape[3])
    count = max(1, _AT_ONCE // len(samples.directions))
    found = [
        nearest(samples, _rows(seen, some, samples), offset) for some in torch.split(units, count)
    ]
    chosen.masked_scatter_(inside != 0, torch.cat(found))


def _rows(seen: Tensor, units: Tensor, samples: Samples) -> Tensor:
    """(n, k*k*N), patches of directions, as `Samples.patches` has them."""
    return patches_of(seen, units, samples.side).flatten(1) / samples.side


def nearest(samples: Samples, rows: Tensor, offset: Tensor | None = None) -> Tensor:
    """(n,), the numbers of the most similar samples.

    Args:
        samples: of the style.
        rows: (n, k*k*N), patches of directions, divided by k.
        offset: (c,), what is added to each sample's mean cosine; None: nothing.
    """
    similarity = rows @ samples.patches.T
    return (similarity if offset is None else similarity + offset).argmax(1)


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
