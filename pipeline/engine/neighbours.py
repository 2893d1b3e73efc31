"""Neighbours: each feature is drawn to its nearest style feature.

A style loss beside the Gram matrices' (Kolkin et al. 2022, Neural Neighbor Style Transfer; Zhang et
al. 2022, ARF, equation 2: nearest neighbour feature matching). Statistics of a whole region say
nothing of any one unit; here every unit has a style's feature of its own to become. Which one is
looked up now and then (`engine.search`). In between the loss is a sum over units, as a content loss
is.

Distances are cosine distances, as in both papers, but of features less most of the style's mean:
activations are never negative, so that plain cosines are all near 1 and let colours fade. (Kolkin
et al. take both pictures' own means away, for the search alone.)

Shapes: B batch, N channels, H W height and width of a layer, M = B*H*W units, n units of a region,
c candidates, k the side of a patch.
"""

import math
from dataclasses import dataclass

import torch
from torch import Tensor

#: Style features of a layer that are searched at most, evenly over the style picture.
MOST = 2048
#: Share of the style's mean that is taken away; with all of it a style of one colour would have no
#: features left.
CENTRED = 0.9
# Features shorter than this point nowhere.
_SHORTEST = 1e-6


@dataclass(frozen=True)
class Samples:
    """Features of a style at one layer.

    Attributes:
        centre: (N,), where directions are taken from.
        directions: (c, N), unit vectors, of the style's features from there.
        patches: (c, k*k*N), the directions of the units around each, row by row, divided by k: the
            product of two is the mean cosine of their units.
    """

    centre: Tensor
    directions: Tensor
    patches: Tensor

    @staticmethod
    def of(patches: Tensor) -> "Samples":
        """Of features and those around them, (c, k*k, N)."""
        count, units, channels = patches.shape
        centre = CENTRED * patches[:, units // 2].mean(0)
        found = directions(patches.reshape(-1, channels), centre).view(patches.shape)
        # A copy, which is read at every iteration.
        own = found[:, units // 2].contiguous()
        return Samples(centre, own, found.view(count, -1) / math.isqrt(units))

    @property
    def side(self) -> int:
        """k."""
        return math.isqrt(self.patches.shape[1] // len(self.centre))


@dataclass(frozen=True)
class Candidates:
    """What a region's units may be drawn to at one layer, by one of its styles.

    Attributes:
        samples: the style's features.
        weight: of the style's loss.
        chosen: (B, 1, H, W) whole numbers, each unit's sample; changed in place by searches, so
            that a recorded step sees what they find.
        content: share of the photograph's features in those that samples are looked up for.
    """

    samples: Samples
    weight: float
    chosen: Tensor
    content: float = 0.0

    def distance_sum(self, rows: Tensor, weights: Tensor | None, index: Tensor | None) -> Tensor:
        """``w sum_k m_k (1 - cos(F_k - c, C_k))``, with C_k the unit's sample and c the centre.

        Args:
            rows: (n, N), the region's features.
            weights: (n, 1), m; None: all 1.
            index: (n,), the units' numbers among all M; None: they are all.

        Returns:
            A scalar in float32 at least.
        """
        centred = rows - self.samples.centre
        distances = 1 - _along(centred, self._goals(index)) * _inverse_lengths(centred)
        return self.weight * (distances if weights is None else distances * weights).sum()

    def distance_gradient(
        self, rows: Tensor, weights: Tensor | None, index: Tensor | None
    ) -> Tensor:
        """The gradient of `distance_sum` with respect to the features, (n, N).

        ``-w m_k (C_k - f_k (f_k C_k) / |f_k|^2) / |f_k|`` with ``f_k = F_k - c``.
        """
        centred, goals = rows - self.samples.centre, self._goals(index)
        inverse = _inverse_lengths(centred)
        scale = self.weight * (inverse if weights is None else inverse * weights)
        own = scale * inverse.square() * _along(centred, goals)
        return centred.mul_(own.to(rows.dtype)).addcmul_(goals, scale.to(rows.dtype), value=-1)

    def _goals(self, index: Tensor | None) -> Tensor:
        """(n, N), the samples of the units."""
        numbers = self.chosen.flatten()
        numbers = numbers if index is None else numbers.index_select(0, index)
        return self.samples.directions.index_select(0, numbers)


def directions(rows: Tensor, centre: Tensor) -> Tensor:
    """(n, N), unit vectors from a centre, (N,), to features, (n, N); 0 where they coincide."""
    centred = rows - centre
    return centred * _inverse_lengths(centred).to(rows.dtype)


def _along(rows: Tensor, goals: Tensor) -> Tensor:
    """(n, 1), the products of two features each, (n, N), in float32 at least."""
    products = rows * goals
    # To name the type that it has anyway costs a copy.
    half = products.dtype.itemsize < 4
    return products.sum(1, keepdim=True, dtype=torch.float32 if half else None)


def _inverse_lengths(rows: Tensor) -> Tensor:
    """(n, 1), ``1 / |F_k|``; 0 where a feature is all but 0."""
    half = rows.dtype.itemsize < 4
    lengths = torch.linalg.vector_norm(
        rows, dim=1, keepdim=True, dtype=torch.float32 if half else None
    )
    return torch.where(lengths > _SHORTEST, 1 / lengths.clamp_min(_SHORTEST), 0)


def evenly(count: int, most: int = MOST) -> Tensor:
    """At most so many of ``count`` numbers, evenly spaced, the first among them."""
    if count <= most:
        return torch.arange(count)
    return torch.arange(most) * count // most
