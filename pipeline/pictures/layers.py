"""Layers: the figure and what is behind it, where a picture's pixels show both.

A pixel of an outline has the colour ``I = a F + (1 - a) B`` (Porter and Duff 1984, "over"). To
paint the figure anew and lay it over what is behind it, F and B have to be told apart; left in
place, the old figure's share would be seen as a rim around the new one.
"""

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from pipeline.pictures.resize import enlarged_rows, fitted_size
from pipeline.pictures.strips import strips

#: Pixels by which a figure is painted beyond its outline.
BEYOND = 3
#: Long side in pixels at which colours are spread.
_SPREADING_SIZE = 1024
#: What a pixel says about the colour of a layer that has the share s of it: s^24, for nearly pure
#: pixels only.
_PURITY = 24
#: And takes s^3 of what the spread colours do not explain; more of it would show a wrong matte.
_TRUST = 3


def widened(mask: Tensor, pixels: int = BEYOND) -> Tensor:
    """1 where a mask, (1, 1, H, W), is positive and so many pixels around it, else 0."""
    inside = (mask > 0).to(mask if mask.is_floating_point() else torch.float32)
    rows = F.max_pool2d(inside, (2 * pixels + 1, 1), 1, (pixels, 0))
    return F.max_pool2d(rows, (1, 2 * pixels + 1), 1, (0, pixels))


@dataclass(frozen=True)
class Layers:
    """A picture taken apart, strip by strip as it is asked for.

    Attributes:
        picture: (1, 3, H, W) in [0, 1].
        share: (1, 1, H, W) in [0, 1], the figure's.
        mixed: (1, 1, H, W), whether a pixel shows both.
        figure, behind: (1, 3, h, w) in [0, 1], colours of either, spread over the other.
    """

    picture: Tensor
    share: Tensor
    mixed: Tensor
    figure: Tensor
    behind: Tensor

    def background(self, rows: slice) -> Tensor:
        """(1, 3, rows, W) in [0, 1]: what is behind the figure; the picture where none is mixed."""
        picture, share = self.picture[:, :, rows], self.share[:, :, rows]
        figure, behind = self._spread(rows)
        rest = 1 - share
        unexplained = picture - share * figure - rest * behind
        found = (behind + rest.pow(_TRUST) * unexplained).clamp(0, 1)
        return torch.where(self.mixed[:, :, rows], found, picture)

    def foreground(self) -> Tensor:
        """(1, 3, H, W) in [0, 1]: the picture with the figure going on beyond its outline."""
        found = self.picture.clone()
        reach = widened(self.mixed, BEYOND) > 0
        for rows in strips(*self.picture.shape[2:]):
            picture, share = self.picture[:, :, rows], self.share[:, :, rows]
            figure, behind = self._spread(rows)
            unexplained = picture - share * figure - (1 - share) * behind
            own = (figure + share.pow(_TRUST) * unexplained).clamp(0, 1)
            here = reach[:, :, rows] & (share < 1)
            found[:, :, rows] = torch.where(here, own, picture)
        return found

    def _spread(self, rows: slice) -> tuple[Tensor, Tensor]:
        size = self.picture.shape[2:]
        return enlarged_rows(self.figure, rows, *size), enlarged_rows(self.behind, rows, *size)


def take_apart(picture: Tensor, share: Tensor, mixed: Tensor) -> Layers | None:
    """Tell a figure from what is behind it.

    The colours of the pixels that are nearly pure are spread over the others by pulling them down
    a pyramid of averages and pushing them up again (Gortler et al. 1996, The Lumigraph, section
    3.4). What the two do not explain of a mixed pixel is shared out by the pixel's shares, as in
    the normal equations of ``I = a F + (1 - a) B`` (Germer et al. 2020, Fast Multi-Level Foreground
    Estimation, eq. 3), but less of it the smaller a share is: the shares are estimates, too.

    Args:
        picture: (1, 3, H, W) in [0, 1].
        share: (1, 1, H, W) in [0, 1], the figure's.
        mixed: (1, 1, H, W), whether a pixel may show both; a soft edge that was drawn shows one.

    Returns:
        None where no pixel shows both.
    """
    mixed = mixed & (share > 0) & (share < 1)
    if not mixed.any():
        return None
    size = fitted_size(picture.shape[2:], _SPREADING_SIZE)
    small, own = picture, share
    if size != tuple(picture.shape[2:]):
        small = F.interpolate(picture, size, mode="bilinear", antialias=True)
        own = F.interpolate(share, size, mode="bilinear", antialias=True)
    figure = spread(small, own.clamp(0, 1).pow(_PURITY))
    behind = spread(small, (1 - own).clamp(0, 1).pow(_PURITY))
    return Layers(picture, share, mixed, figure, behind)


def spread(values: Tensor, weights: Tensor) -> Tensor:
    """Fill where weights are small from around where they are large (Gortler et al. 1996).

    Args:
        values: (1, C, H, W).
        weights: (1, 1, H, W) in [0, 1].

    Returns:
        (1, C, H, W): the values where the weight is 1, elsewhere averages of those around.
    """
    height, width = values.shape[2:]
    if height * width == 1:
        return values
    total = F.avg_pool2d(weights, 2, ceil_mode=True)
    coarse = F.avg_pool2d(values * weights, 2, ceil_mode=True) / total.clamp_min(1e-12)
    # A pixel that is known is known at the next scale, too.
    coarse = spread(coarse, (4 * total).clamp(max=1))
    above = F.interpolate(coarse, (height, width), mode="bilinear")
    return above + weights * (values - above)
