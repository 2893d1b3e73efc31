"""Resize: pictures at other sizes."""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor


def shrink(picture: Tensor, factor: int) -> Tensor:
    """A picture, (1, C, H, W) in [0, 1], at a fraction of its size, 16 pixels a side at least."""
    if factor == 1:
        return picture
    return _reduce(picture, [max(16, round(side / factor)) for side in picture.shape[2:]])


def resize(picture: Tensor, size: Sequence[int]) -> Tensor:
    """A picture, (1, C, h, w) in [0, 1], at another size: rows and columns."""
    if tuple(picture.shape[2:]) == tuple(size):
        return picture
    if picture.shape[2] > size[0]:
        return _reduce(picture, size)
    return F.interpolate(picture, tuple(size), mode="bicubic").clamp(0, 1)


def resample(picture: Tensor, size: Sequence[int]) -> Tensor:
    """A picture, (1, C, h, w) in [0, 1], at another size, its strokes as crisp as they can be.

    Slower than `resize`, whose triangles blur; cubic ones, antialiased, are near Lanczos's.
    """
    if tuple(picture.shape[2:]) == tuple(size):
        return picture
    return F.interpolate(picture, tuple(size), mode="bicubic", antialias=True).clamp(0, 1)


def _reduce(picture: Tensor, size: Sequence[int]) -> Tensor:
    return F.interpolate(picture, tuple(size), mode="bilinear", antialias=True).clamp(0, 1)


def fitted_size(size: Sequence[int], longest: int, enlarge: bool = False) -> tuple[int, int]:
    """The sides of a picture that is made to fit into a square, in the order given.

    Args:
        size: its sides in pixels.
        longest: of the new sides, in pixels; each has at least one.
        enlarge: whether smaller pictures grow.
    """
    scale = longest / max(size)
    if not enlarge:
        scale = min(1.0, scale)
    first, second = (max(1, round(side * scale)) for side in size)
    return first, second


def enlarged_rows(values: Tensor, rows: slice, height: int, width: int) -> Tensor:
    """Some rows of what `F.interpolate` would make of values, bilinearly.

    Args:
        values: (B, C, h, w).
        rows: of the large picture.
        height, width: of the large picture.

    Returns:
        (B, C, rows, W).
    """
    last = values.shape[2] - 1
    places = torch.arange(rows.start, rows.stop, device=values.device, dtype=torch.float32)
    places = ((places + 0.5) * (values.shape[2] / height) - 0.5).clamp(0, last)
    above = places.floor().long()
    share = (places - above).to(values)[:, None]
    below = (above + 1).clamp_max(last)
    between = values[:, :, above] * (1 - share) + values[:, :, below] * share
    return F.interpolate(between, (len(places), width), mode="bilinear")
