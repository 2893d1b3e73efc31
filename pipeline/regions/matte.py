"""Matte: how much of each pixel along a border belongs to which of the regions that meet there.

A segmenter says on which side of a border a pixel lies; a pixel of hair, of fur, of any outline
shows both sides. In a narrow band around the border the shares are found from the colours on
either side, by the matting Laplacian (Levin, Lischinski and Weiss 2008, A Closed-Form Solution to
Natural Image Matting).
"""

from collections.abc import Collection, Mapping
from types import MappingProxyType
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F
from torch import Tensor

from pipeline.pictures.resize import enlarged_rows, fitted_size
from pipeline.pictures.strips import strips
from pipeline.regions.masks import class_masks
from pipeline.regions.refine import Lines, guided_lines, inverse_of_symmetric, most_probable
from pipeline.regions.segment import Segmentation

Values = npt.NDArray[np.float64]
Places = npt.NDArray[np.bool_]

#: Half the band's width in pixels, for a picture with a long side of 512; scaled with the picture.
BAND = 6.0
#: Never narrower, in pixels: an outline is a pixel or two wide at any size.
_NARROWEST = 3.0
#: So much wider where the segmenter is not so certain, as at hair and fur.
_WIDENING, _SURE = 2.0, 0.95
#: How much contrast counts as noise, a squared difference of colours (Levin et al. 2008, eq. 12).
_EPS = 1e-5
#: Weight of alpha = label outside the band; inside it grows with the square of the distance from
#: the border to the second one, so that what is narrower than the band is not lost.
_CERTAIN, _INCLINED, _LEAST = 100.0, 0.02, 1e-4
#: Smaller shares are none, and as much less than 1 is all of a pixel, so that borders without an
#: edge in the picture are no wide ramps.
_NOTHING = 0.08
_ITERATIONS, _TOLERANCE = 100, 1e-3
#: Long side in pixels at which larger pictures' mattes are found.
_SOLVING_SIZE = 768
#: Radius of the guided filter's window that brings mattes to larger pictures.
_ENLARGING_RADIUS = 2

_WINDOW = [(y, x) for y in (-1, 0, 1) for x in (-1, 0, 1)]


def class_outlines(
    segmentation: Segmentation | None,
    picture: Tensor,
    matte: bool,
    found_before: Mapping[str, Tensor] = MappingProxyType({}),
    wanted: Collection[str] | None = None,
) -> tuple[dict[str, Tensor], Tensor | None]:
    """The classes' masks, mattes if wanted, and where a pixel may show several of them.

    Args:
        segmentation: of the picture; None has no classes.
        picture: (1, 3, H, W) in [0, 1].
        matte: whether outlines are mattes (`class_mattes`) or plain (`masks.class_masks`).
        found_before: masks of other regions, (1, 1, H, W), whose outlines are like the classes'.
        wanted: as `class_mattes`.

    Returns:
        Name to (1, 1, H, W) in [0, 1]; and (1, 1, H, W), or None where masks are plain.
    """
    if segmentation is None:
        return {}, None
    if not matte:
        return class_masks(segmentation, picture), None
    found = class_mattes(segmentation, picture, wanted)
    return found, mixed_pixels({**found, **found_before}, picture)


def class_mattes(
    segmentation: Segmentation, picture: Tensor, wanted: Collection[str] | None = None
) -> dict[str, Tensor]:
    """The classes' shares of every pixel, at the picture's size.

    Found at a long side of `_SOLVING_SIZE` pixels and, where the picture is larger, brought to its
    size as linear functions of its colours (Levin et al. 2008, section 4.1; He and Sun 2015).

    Args:
        segmentation: of the picture.
        picture: (1, 3, H, W) in [0, 1].
        wanted: classes whose shares are asked for, as they are painted; None: all. The others are
            told from these, and have a border without a band with each other.

    Returns:
        Name to (1, 1, H, W) in [0, 1]; they add up to 1, and are 0 or 1 outside of a band around
        the classes' borders.
    """
    names = [*segmentation.probabilities]
    probabilities = torch.cat([*segmentation.probabilities.values()], dim=1)
    own = [k for k, name in enumerate(names) if wanted is None or name in wanted]
    others = [k for k in range(len(names)) if k not in own]
    size = fitted_size(picture.shape[2:], min(_SOLVING_SIZE, max(probabilities.shape[2:])))
    small, seen = (_at(size, values) for values in (picture, probabilities))
    apart = seen[:, own]
    if others:
        # The most probable of them decides, as it does between all classes.
        apart = torch.cat([apart, seen[:, others].amax(1, keepdim=True)], dim=1)
    shares, band = shares_of(_channels_last(small), _channels_last(apart))
    found = torch.from_numpy(shares).permute(2, 0, 1)[None].to(picture)
    if size != tuple(picture.shape[2:]):
        found = _enlarged(found, band, small, picture)
    if others:
        found = torch.cat([found[:, :-1], _split(found[:, -1:], seen[:, others])], dim=1)
    place = {number: k for k, number in enumerate([*own, *others])}
    masks = {name: found[:, place[k], None] for k, name in enumerate(names)}
    return segmentation.with_unions(masks)


def _split(share: Tensor, probabilities: Tensor) -> Tensor:
    """A share, (1, 1, H, W), for the most probable class at each pixel.

    Args:
        share: what the classes have together.
        probabilities: (1, K, h, w) of a smaller picture, or of the same size.

    Returns:
        (1, K, H, W).
    """
    height, width = share.shape[2:]
    classes = torch.arange(probabilities.shape[1], device=share.device)[None, :, None, None]
    split = share.new_empty(1, probabilities.shape[1], height, width)
    for rows in strips(height, width):
        most = most_probable(enlarged_rows(probabilities, rows, height, width))
        split[:, :, rows] = share[:, :, rows] * (most[:, None] == classes)
    return split


def _at(size: tuple[int, int], values: Tensor) -> Tensor:
    if size == tuple(values.shape[2:]):
        return values
    return F.interpolate(values, size, mode="bilinear", antialias=True)


def _channels_last(values: Tensor) -> Values:
    return np.asarray(values[0].permute(1, 2, 0).double().cpu().numpy())


def _enlarged(shares: Tensor, band: Places, small: Tensor, picture: Tensor) -> Tensor:
    """Shares of a small picture, (1, K, h, w), at its own size, (1, K, H, W)."""
    # The last class has what the others leave.
    lines = guided_lines(small, shares[:, :-1], _ENLARGING_RADIUS, _EPS)
    lines = Lines(lines.slope.to(picture), lines.offset.to(picture))
    # The smallest window that holds all whose lines are not those of a single class.
    reach = np.ones((4 * _ENLARGING_RADIUS + 1,) * 2, np.uint8)
    near = torch.from_numpy(cv2.dilate(band.astype(np.uint8), reach))[None, None].to(picture)
    height, width = picture.shape[2:]
    large = picture.new_empty(1, shares.shape[1], height, width)
    for rows in strips(height, width):
        followed = lines.enlarged(rows, height, width).follow(picture[:, :, rows])
        followed = torch.cat([followed, 1 - followed.sum(1, keepdim=True)], dim=1)
        plain = enlarged_rows(shares, rows, height, width).round()
        here = enlarged_rows(near, rows, height, width) > 0
        large[:, :, rows] = torch.where(here, _cleaned(followed), plain)
    return large


def mixed_pixels(masks: Mapping[str, Tensor], like: Tensor) -> Tensor:
    """(1, 1, H, W): where a pixel shows more than one of some regions' things; none of none."""
    mixed = torch.zeros_like(like[:, :1], dtype=torch.bool)
    for mask in masks.values():
        mixed |= (mask > 0) & (mask < 1)
    return mixed


def shares_of(picture: Values, probabilities: Values) -> tuple[Values, Places]:
    """The classes' shares, found where they meet.

    Args:
        picture: (H, W, 3) in [0, 1].
        probabilities: (H, W, K) in [0, 1].

    Returns:
        (H, W, K) in [0, 1], which add up to 1; and (H, W), the band where they were looked for.
    """
    labels = probabilities.argmax(-1)
    shares = np.eye(probabilities.shape[-1])[labels]
    radius = max(_NARROWEST, BAND * max(labels.shape) / 512)
    depth = _depth(labels)
    band = depth < np.where(probabilities.max(-1) < _SURE, _WIDENING * radius, radius)
    if not band.any() or min(labels.shape) < 3:
        return shares, np.zeros_like(band)
    weights = _LEAST + _INCLINED * np.clip(depth / radius, 0, 1) ** 2
    # The last class has what the others leave.
    found = solve(picture, shares[..., :-1], np.where(band, weights, _CERTAIN), band)
    found = np.concatenate([found, 1 - found.sum(-1, keepdims=True)], axis=-1)
    cleaned = _cleaned(torch.from_numpy(found).permute(2, 0, 1)[None])[0].permute(1, 2, 0).numpy()
    return np.where(band[..., None], cleaned, shares), band


def _cleaned(shares: Tensor) -> Tensor:
    """(1, K, H, W) without small shares (`_NOTHING`), in [0, 1] with a sum of 1."""
    cleaned = ((shares - _NOTHING) / (1 - 2 * _NOTHING)).clamp(0, 1)
    return cleaned / cleaned.sum(1, keepdim=True).clamp_min(_NOTHING)


def _depth(labels: npt.NDArray[np.int64]) -> npt.NDArray[np.float32]:
    """(H, W): each pixel's distance from the nearest border of its label, in pixels."""
    depth = np.full(labels.shape, np.inf, dtype=np.float32)
    for label in np.unique(labels):
        inside = (labels == label).astype(np.uint8)
        if not inside.all():
            far = cv2.distanceTransform(inside, cv2.DIST_L2, cv2.DIST_MASK_PRECISE)
            depth[inside > 0] = np.asarray(far)[inside > 0] - 0.5
    return depth


def solve(picture: Values, shares: Values, weights: Values, unknown: Places) -> Values:
    """The shares that are, in every window of 3 x 3 pixels, nearly a linear function of colours.

    Minimises ``a' L a + sum_i w_i (a_i - s_i)^2`` with the matting Laplacian L of Levin et al. 2008
    (eq. 12), by conjugate gradients with the diagonal as preconditioner, over the unknown pixels
    and the windows that touch one.

    Args:
        picture: (H, W, 3) in [0, 1], at least 3 pixels a side.
        shares: (H, W, K) in [0, 1], to which the found ones are drawn.
        weights: (H, W), how strongly.
        unknown: (H, W), which pixels' shares are looked for, one at least.

    Returns:
        (H, W, K), as given where known; may leave [0, 1] a little.
    """
    laplacian, places = matting_laplacian(picture, unknown)
    weight = weights.ravel()[places][:, None]
    target = shares.reshape(-1, shares.shape[-1])[places]
    diagonal = laplacian.diagonal()[:, None] + weight
    found = target.copy()
    rest = -(laplacian @ found)
    scaled = rest / diagonal
    direction, product = scaled, (rest * scaled).sum(0)
    enough = _TOLERANCE**2 * product
    for _ in range(_ITERATIONS):
        if (product <= enough).all():
            break
        image = laplacian @ direction + weight * direction
        # A class that has arrived, or that is nowhere near, has a direction of zeros.
        step = product / np.maximum((direction * image).sum(0), 1e-300)
        found += step * direction
        rest = rest - step * image
        scaled = rest / diagonal
        before, product = product, (rest * scaled).sum(0)
        direction = scaled + product / np.maximum(before, 1e-300) * direction
    whole = shares.reshape(-1, shares.shape[-1]).copy()
    inside = unknown.ravel()[places]
    whole[places[inside]] = found[inside]
    return whole.reshape(shares.shape)


def matting_laplacian(picture: Values, unknown: Places) -> tuple[Any, npt.NDArray[np.int64]]:
    """The matting Laplacian around some pixels (Levin et al. 2008, eq. 12).

    ``L_ij = sum of d_ij - (1 + (I_i - m)' (S + eps / 9)^-1 (I_j - m)) / 9`` over the windows that
    hold both pixels, with a window's mean colour m and covariance S.

    Args:
        picture: (H, W, 3) in [0, 1], at least 3 pixels a side.
        unknown: (H, W), the pixels.

    Returns:
        (N, N), sparse, and (N,), the places in the flattened picture of the pixels of all windows
        that hold an unknown one.
    """
    # Half a tenth of a second, which runs without a class of the segmenter do not need.
    from scipy.sparse import csr_matrix

    width = unknown.shape[1]
    square = np.ones((3, 3), np.uint8)
    centres = cv2.dilate(unknown.astype(np.uint8), square)
    centres[[0, -1]] = 0
    centres[:, [0, -1]] = 0
    places = np.flatnonzero((cv2.dilate(centres, square) > 0) | unknown)
    number = np.full(unknown.size, -1)
    number[places] = np.arange(len(places))
    middles = np.flatnonzero(centres)
    members = np.stack([middles + y * width + x for y, x in _WINDOW])  # (9, M)
    # Windows last: every product below is of lines of memory.
    colours = np.ascontiguousarray(picture.reshape(-1, 3)[members].transpose(0, 2, 1))  # (9, 3, M)
    colours -= colours.mean(0)
    covariance = np.einsum("iam,ibm->mab", colours, colours) / 9 + _EPS / 9 * np.eye(3)
    inverse = inverse_of_symmetric(torch.from_numpy(covariance)).numpy()
    scaled = np.einsum("iam,mab->ibm", colours, inverse)
    members = number[members]
    # One row for each of the 5 x 5 pixels that share a window with a pixel.
    entries = np.zeros((25, len(places)))
    for i, (y, x) in enumerate(_WINDOW):
        for j, (other_y, other_x) in enumerate(_WINDOW):
            alike = (1 + (scaled[i] * colours[j]).sum(0)) / 9
            entries[5 * (other_y - y + 2) + other_x - x + 2][members[i]] += (i == j) - alike
    steps = [(n // 5 - 2) * width + n % 5 - 2 for n in range(25)]
    columns = number[np.clip(places[:, None] + steps, 0, unknown.size - 1)]
    # Pixels of no window have no entry but zeros.
    columns[columns < 0] = 0
    ends = np.arange(0, entries.size + 1, 25)
    shape = (len(places), len(places))
    return csr_matrix((entries.T.ravel(), columns.ravel(), ends), shape=shape), places
