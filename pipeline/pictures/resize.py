"""Resize: pictures at other sizes."""

from collections.abc import Sequence

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


def _reduce(picture: Tensor, size: Sequence[int]) -> Tensor:
    return F.interpolate(picture, tuple(size), mode="bilinear", antialias=True).clamp(0, 1)
