"""Refine: masks follow the edges of the picture, and what stands before what."""

from collections.abc import Collection
from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F
from torch import Tensor

from pipeline.pictures.resize import enlarged_rows

#: How many of its own widths an island in an object lies from what surrounds that, at least.
_DEEP = 0.9


def most_probable(probabilities: Tensor) -> Tensor:
    """The number of each pixel's most probable class, (B, H, W), of (B, K, H, W)."""
    # On CPUs argmax over a dimension that is not the last one takes ten times as long.
    return probabilities.max(1).indices


def with_class(probabilities: Tensor, number: int, after: Tensor) -> Tensor:
    """Other probabilities of one class; the other classes share what is left as before.

    Args:
        probabilities: (1, K, H, W), which add up to 1.
        number: of the class.
        after: (1, 1, H, W) in [0, 1], its own from now on.

    Returns:
        (1, K, H, W); where nothing was left to the others they stay at 0.
    """
    before = probabilities[:, number : number + 1]
    changed = probabilities * ((1 - after) / (1 - before).clamp_min(1e-6))
    changed[:, number : number + 1] = after
    return changed


def without_rings(probabilities: Tensor, scenes: Collection[int], reach: float) -> Tensor:
    """Let scenes reach up to the objects that stand before them.

    A network is least certain of a scene around an object's outline, and colours can give back to
    the background what it held for a part of the object: a ring that is neither one nor the other,
    and stays unpainted if both are painted. A ring belongs to what lies beyond it.

    Args:
        probabilities: (1, K, H, W), which add up to 1; the first is the background's.
        scenes: the numbers of the classes that lie in the background; the others are objects.
        reach: how wide a ring may be, in pixels.

    Returns:
        The same, but for pixels of the background that have an object within reach, and beyond
        that a scene that is nearer than plain background.
    """
    labels = most_probable(probabilities)[0].cpu().numpy()
    behind = np.isin(labels, [*scenes])
    objects = (labels > 0) & ~behind
    if not objects.any() or not behind.any():
        return probabilities
    far = cv2.distanceTransform((~objects).astype(np.uint8), cv2.DIST_L2, cv2.DIST_MASK_PRECISE)
    ring = (labels == 0) & (np.asarray(far) <= reach)
    beyond = ~ring & ~objects
    if not ring.any() or not beyond.any():
        return probabilities
    # Each pixel's nearest one beyond has this number, from 1.
    _, nearest = cv2.distanceTransformWithLabels(
        (~beyond).astype(np.uint8), cv2.DIST_L2, cv2.DIST_MASK_5, labelType=cv2.DIST_LABEL_PIXEL
    )
    named = np.zeros(int(nearest.max()) + 1, labels.dtype)
    named[nearest[beyond]] = labels[beyond]
    wanted = np.where(ring, named[nearest], 0)
    after = probabilities.clone()
    for number in np.unique(wanted[wanted > 0]):
        here = torch.from_numpy(wanted == number).to(after.device)
        after[0, number, here] += after[0, 0, here]
        after[0, 0, here] = 0
    return after


def without_islands(probabilities: Tensor, behind: Collection[int]) -> Tensor:
    """Fill what an object has too deep inside to be seen through it.

    Colours can give white flowers on a dress to a white wall behind it. What is truly seen through
    an object, between an arm and a body or between legs, has a thin part of it for a border: it
    lies less far from what surrounds the object than it is wide. What lies deeper is the object's.

    Args:
        probabilities: (1, K, H, W), which add up to 1; the first is the background's.
        behind: the numbers of the classes that can lie behind an object, besides the background.

    Returns:
        The same, but for islands of these in an object, which are its own.
    """
    labels = most_probable(probabilities)[0].cpu().numpy()
    shown = np.isin(labels, [0, *behind])
    after = probabilities
    for number in np.unique(labels[~shown]):
        _, parts, statistics, _ = cv2.connectedComponentsWithStats(
            (labels != number).astype(np.uint8), connectivity=4
        )
        edge = np.concatenate([parts[[0, -1]].ravel(), parts[:, [0, -1]].ravel()])
        around = np.isin(parts, edge[edge > 0])
        islands = (parts > 0) & ~around
        # An object that fills the picture ends where the picture does.
        around = np.pad(around, 1, constant_values=not around.any())
        depth = cv2.distanceTransform(
            (~around).astype(np.uint8), cv2.DIST_L2, cv2.DIST_MASK_PRECISE
        )
        depth = np.asarray(depth)[1:-1, 1:-1]
        least = np.full(len(statistics), np.inf)
        np.minimum.at(least, parts[islands], depth[islands])
        others = np.bincount(parts[islands], ~shown[islands], len(statistics))
        deep = least > _DEEP * np.sqrt(statistics[:, cv2.CC_STAT_AREA])
        deep &= np.isfinite(least) & (others == 0)
        if deep.any():
            filled = torch.from_numpy(deep[parts]).to(after.device)
            there = after[0, [0, *behind]] * filled
            after = after.clone()
            after[0, number] += there.sum(0)
            after[0, [0, *behind]] -= there
    return after


def guided_filter(guide: Tensor, masks: Tensor, radius: int, eps: float) -> Tensor:
    """Guided filter with a colour guide (He, Sun and Tang 2013, eq. 14-16).

    Within every window the mask is explained as a linear function of the picture's colours, so
    its edges move to the picture's edges while it stays smooth elsewhere.

    Args:
        guide: (1, 3, H, W) in [0, 1].
        masks: (1, K, H, W).
        radius: of the window in pixels.
        eps: how much contrast counts as an edge, as a squared difference of colours in [0, 1].

    Returns:
        (1, K, H, W); may leave [0, 1] a little.
    """
    return guided_lines(guide, masks, radius, eps).follow(guide).float()


@dataclass(frozen=True)
class Lines:
    """Masks as linear functions of a picture's colours, other ones at each pixel.

    Attributes:
        slope: (1, K, 3, H, W).
        offset: (1, K, H, W).
    """

    slope: Tensor
    offset: Tensor

    def follow(self, guide: Tensor) -> Tensor:
        """The masks, (1, K, H, W), of a picture's colours, (1, 3, H, W)."""
        # Class by class: the products are three times as large as the masks.
        masks = [
            (slope * guide).sum(1, keepdim=True) + self.offset[:, k : k + 1]
            for k, slope in enumerate(self.slope.unbind(1))
        ]
        return torch.cat(masks, dim=1)

    def enlarged(self, rows: slice, height: int, width: int) -> "Lines":
        """The same for some rows of a larger picture, H and W, by bilinear interpolation."""
        slope = enlarged_rows(self.slope.flatten(1, 2), rows, height, width)
        offset = enlarged_rows(self.offset, rows, height, width)
        return Lines(slope.view(1, -1, 3, *slope.shape[2:]), offset)


def guided_lines(guide: Tensor, masks: Tensor, radius: int, eps: float) -> Lines:
    """The linear functions that `guided_filter` explains masks by; arguments as there.

    Found on a small picture they can be enlarged and followed on the large one, whose edges the
    masks then have (He and Sun 2015, Fast Guided Filter, algorithm 2).
    """
    # Variances are small differences of large means; Apple's MPS has no doubles.
    exact = torch.float32 if guide.device.type == "mps" else torch.float64
    guide, masks = guide.to(exact), masks.to(exact)
    mean = _box(guide, radius)  # (1, 3, H, W)
    mask_mean = _box(masks, radius)  # (1, K, H, W)
    outer = guide[:, :, None] * guide[:, None]  # (1, 3, 3, H, W)
    covariance = _box(outer.flatten(1, 2), radius).view(outer.shape)
    covariance -= mean[:, :, None] * mean[:, None]
    covariance.diagonal(dim1=1, dim2=2).add_(eps)
    inverse = inverse_of_symmetric(covariance.movedim((1, 2), (3, 4))).movedim((3, 4), (1, 2))
    slopes, offsets = [], []
    for k in range(masks.shape[1]):
        mask = masks[:, k : k + 1]
        joint = _box(guide * mask, radius) - mean * mask_mean[:, k : k + 1]  # (1, 3, H, W)
        slope = (inverse * joint[:, None]).sum(2)
        offset = mask_mean[:, k : k + 1] - (slope * mean).sum(1, keepdim=True)
        slopes.append(_box(slope, radius))
        offsets.append(_box(offset, radius))
    return Lines(torch.stack(slopes, dim=1), torch.cat(offsets, dim=1))


def inverse_of_symmetric(matrices: Tensor) -> Tensor:
    """Of symmetric 3x3 matrices, (..., 3, 3), as ``torch.linalg.inv``.

    In doubles the adjugate over the determinant: a few passes over all of them, where a library
    takes them one by one and asks the device whether all have an inverse. A small determinant costs
    too many digits for floats. In memory each of the nine entries then lies by itself.
    """
    if matrices.dtype != torch.float64:
        inverse: Tensor = torch.linalg.inv(matrices)
        return inverse
    (a, b, c), (_, d, e), (_, _, f) = (row.unbind(-1) for row in matrices.unbind(-2))
    first, second, third = d * f - e * e, c * e - b * f, b * e - c * d
    middle, beside, last = a * f - c * c, b * c - a * e, a * d - b * b
    adjugate = [first, second, third, second, middle, beside, third, beside, last]
    determinant = a * first + b * second + c * third
    entries = torch.stack(adjugate).div_(determinant)
    return entries.view(3, 3, *determinant.shape).movedim((0, 1), (-2, -1))


def _box(values: Tensor, radius: int) -> Tensor:
    """Mean over (2 radius + 1)^2 windows, at the border over the part inside the picture.

    Args:
        values: (1, C, H, W).
        radius: of the window in pixels; it may be larger than the picture.
    """
    size = 2 * radius + 1
    if values.device.type != "cpu":
        rows = F.avg_pool2d(values, (size, 1), 1, (radius, 0), count_include_pad=False)
        return F.avg_pool2d(rows, (1, size), 1, (0, radius), count_include_pad=False)
    # OpenCV's sums run along the picture, so that the radius costs nothing.
    planes = values[0].numpy()
    down, across = (_inside(side, radius) for side in planes.shape[1:])
    share = (1 / (down[:, None] * across)).astype(planes.dtype)
    means = np.empty_like(planes)
    for plane, mean in zip(planes, means, strict=True):
        total = cv2.boxFilter(
            plane, -1, (size, size), normalize=False, borderType=cv2.BORDER_CONSTANT
        )
        np.multiply(total, share, out=mean)
    return torch.from_numpy(means)[None]


def _inside(side: int, radius: int) -> npt.NDArray[np.float64]:
    """(side,), how many of the pixels within a radius of each lie on the side."""
    places = np.arange(side)
    return np.minimum(places + radius, side - 1) - np.maximum(places - radius, 0) + 1.0
