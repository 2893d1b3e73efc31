"""Bands: the contrast that a painted region has at each scale, brought to its style's.

A network that paints any style in one pass shows the mean of what it cannot decide: long strokes
come out too faint, and grain takes their place. A picture's octaves tell them apart (Burt and
Adelson 1983, The Laplacian Pyramid). Each gets the style's variance by a map of its colours, the
optimal transport map between Gaussians within limits, and what is left at the coarsest scale gets
the style's mean and covariance (Heeger and Bergen 1995, Pyramid-Based Texture Analysis/Synthesis,
match the histograms of such bands; variances of colours are enough for what a painter has left to
mend, and move less of what the picture shows).

Shapes: B batch, H W height and width.
"""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from pipeline.pictures.transport import Between, partly, transport_map

#: How many octaves are told apart: strokes are shorter than 16 pixels across.
LEVELS = 4
#: The sides of pictures are multiples of this.
MULTIPLE = 2**LEVELS
#: How many times as strong a band's colours become, at least and at most: a band that is all but
#: empty holds nothing of the style to be made visible, only grain.
WEAKEST, STRONGEST = 0.5, 2.0
# Of variances of colours in [0, 1], so that those of a flat region are not divided by 0.
_LEAST_VARIANCE = 1e-6


def smaller_ones(picture: Tensor) -> list[Tensor]:
    """A picture and its means over 2 x 2 pixels, over 4 x 4, and so on.

    Args:
        picture: (B, C, H, W), H and W multiples of `MULTIPLE`.

    Returns:
        ``LEVELS + 1`` pictures, (B, C, H / 2^k, W / 2^k).
    """
    found = [picture]
    for _ in range(LEVELS):
        found.append(F.avg_pool2d(found[-1], 2))
    return found


def band(pictures: Sequence[Tensor], level: int) -> Tensor:
    """An octave: what the next smaller picture lacks of one of `smaller_ones`.

    Args:
        pictures: as `smaller_ones`.
        level: 0 for the finest octave, less than `LEVELS`.

    Returns:
        (B, C, H / 2^level, W / 2^level).
    """
    return pictures[level] - _doubled(pictures[level + 1])


def with_bands_of(
    picture: Tensor,
    mask: Tensor,
    style: Tensor,
    style_mask: Tensor | None = None,
    strength: float | Tensor = 1.0,
    between: Between = transport_map,
) -> Tensor:
    """A picture with the bands of a style.

    Args:
        picture: (1, 3, H, W), H and W multiples of `MULTIPLE`.
        mask: (1, 1, H, W) in [0, 1], the region whose variances are brought to the style's.
        style: (1, 3, h, w), h and w multiples of `MULTIPLE`.
        style_mask: (1, 1, h, w) in [0, 1], the part of it that counts; None: all.
        strength: the part of the way, 0 for none of it, 1 for all.
        between: finds the map.

    Returns:
        (1, 3, H, W), all of it under the region's maps; it may leave [0, 1] a little.
    """
    own, others = smaller_ones(picture), smaller_ones(style)
    inside = smaller_ones(mask)
    whole = smaller_ones(torch.ones_like(style[:, :1]) if style_mask is None else style_mask)
    slopes = [
        # Around a mean of 0, which a band has but for its region's outline.
        between(
            _products(band(own, level), inside[level]),
            _products(band(others, level), whole[level]),
            WEAKEST,
            STRONGEST,
        )
        for level in range(LEVELS)
    ]
    mean, there = _mean(own[-1], inside[-1]), _mean(others[-1], whole[-1])
    rest, wanted = own[-1] - mean, _products(others[-1] - there, whole[-1])
    slope = between(_products(rest, inside[-1]), wanted, WEAKEST, STRONGEST)
    found = _mapped(rest, slope, strength) + torch.lerp(mean, there, strength)
    # Bands are found anew, one at a time: of a large picture all of them take much memory.
    for level in reversed(range(LEVELS)):
        found = _doubled(found) + _mapped(band(own, level), slopes[level], strength)
    return found


def _doubled(picture: Tensor) -> Tensor:
    height, width = picture.shape[2:]
    return F.interpolate(picture, (2 * height, 2 * width), mode="bilinear")


def _mean(values: Tensor, mask: Tensor) -> Tensor:
    """(1, 3, 1, 1), of a region."""
    weight = mask.sum((2, 3), keepdim=True).clamp_min(1e-6)
    return (values * mask).sum((2, 3), keepdim=True) / weight


def _products(values: Tensor, mask: Tensor) -> Tensor:
    """(3, 3), the mean products of a region's colours, with a least variance."""
    rows, weights = values[0].flatten(1), mask[0].flatten(1)
    found = (rows * weights) @ rows.T / weights.sum().clamp_min(1e-6)
    return found + _LEAST_VARIANCE * torch.eye(3).to(found)


def _mapped(values: Tensor, slope: Tensor, strength: float | Tensor) -> Tensor:
    """Colours under a map (3, 3), or a part of the way to it."""
    matrix = partly(slope, strength).to(values)
    return (matrix @ values[0].flatten(1)).view_as(values)
