"""Neighbours: each feature is drawn to its nearest style feature.

A style loss beside the Gram matrices' (Kolkin et al. 2022, Neural Neighbor Style Transfer; Zhang et
al. 2022, ARF, equation 2: nearest neighbour feature matching). Statistics of a whole region say
nothing of any one unit; here every unit has a style's feature of its own to become. Which one is
looked up now and then (`search`). In between the loss is a sum over units, as a content loss is.

Shapes: B batch, N channels, H W height and width of a layer, M = B*H*W units, n units of a region,
c candidates.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

#: Style features of a layer that are searched at most, evenly over the style picture.
CANDIDATES = 2048
# Similarities of units and candidates that are held at once.
_AT_ONCE = 2**22
# Features shorter than this point nowhere.
_SHORTEST = 1e-6


@dataclass(frozen=True)
class Candidates:
    """A style's features at one layer, of which each unit has a nearest one.

    Attributes:
        features: (c, N), unit vectors.
        weight: of the style's loss.
        chosen: (B, 1, H, W) whole numbers, each unit's candidate; changed in place by searches, so
            that a recorded step sees what they find.
    """

    features: Tensor
    weight: float
    chosen: Tensor


def directions(rows: Tensor) -> Tensor:
    """(n, N) to unit vectors; zeros stay."""
    return rows * _inverse_lengths(rows).to(rows.dtype)


def search(rows: Tensor, candidates: Tensor) -> Tensor:
    """(n,), the numbers of the candidates at the least cosine distance.

    Args:
        rows: (n, N), features of any length.
        candidates: (c, N), unit vectors.
    """
    count = max(1, _AT_ONCE // len(candidates))
    found = [(part @ candidates.T).argmax(1) for part in torch.split(rows, count)]
    return torch.cat(found) if found else rows.new_zeros(0, dtype=torch.int64)


def distance_sum(
    rows: Tensor, weights: Tensor | None, index: Tensor | None, wanted: Sequence[Candidates]
) -> Tensor:
    """``sum_s w_s sum_k m_k (1 - cos(F_k, C_sk))``, with C_sk the unit's candidate of style s.

    Args:
        rows: (n, N), the region's features.
        weights: (n, 1), m; None: all 1.
        index: (n,), the units' numbers among all M; None: they are all.
        wanted: of each of the region's styles.

    Returns:
        A scalar in float32 at least.
    """
    total, exact = sum(style.weight for style in wanted), _exact(rows)
    along = (rows * _goals(index, wanted)).sum(1, keepdim=True, dtype=exact)
    distances = total - along * _inverse_lengths(rows)
    return (distances if weights is None else distances * weights).sum()


def distance_gradient(
    rows: Tensor, weights: Tensor | None, index: Tensor | None, wanted: Sequence[Candidates]
) -> Tensor:
    """The gradient of `distance_sum` with respect to the features, (n, N).

    ``-m_k (C_k - F_k (F_k C_k) / |F_k|^2) / |F_k|`` with C_k the styles' weighted sum.
    """
    goals, inverse, exact = _goals(index, wanted), _inverse_lengths(rows), _exact(rows)
    along = (rows * goals).sum(1, keepdim=True, dtype=exact)
    scale = inverse if weights is None else inverse * weights
    return (rows * (along * inverse.square()).to(rows.dtype)).sub_(goals).mul_(scale.to(rows.dtype))


def _goals(index: Tensor | None, wanted: Sequence[Candidates]) -> Tensor:
    """(n, N), the weighted sum of the styles' chosen candidates."""

    def of(style: Candidates) -> Tensor:
        numbers = style.chosen.flatten()
        numbers = numbers if index is None else numbers.index_select(0, index)
        return style.features.index_select(0, numbers)

    first, *others = wanted
    goals = of(first) if first.weight == 1 else of(first) * first.weight
    for style in others:
        goals = goals.add(of(style), alpha=style.weight)
    return goals


def _inverse_lengths(rows: Tensor) -> Tensor:
    """(n, 1), ``1 / |F_k|``; 0 where a feature is all but 0."""
    lengths = torch.linalg.vector_norm(rows, dim=1, keepdim=True, dtype=_exact(rows))
    return torch.where(lengths > _SHORTEST, 1 / lengths.clamp_min(_SHORTEST), 0)


def _exact(rows: Tensor) -> torch.dtype:
    return torch.promote_types(rows.dtype, torch.float32)


def evenly(count: int, most: int = CANDIDATES) -> Tensor:
    """At most so many of ``count`` numbers, evenly spaced, the first among them."""
    if count <= most:
        return torch.arange(count)
    return torch.arange(most) * count // most
