"""Tones: a region of a photograph in a style's lights, darks and colours, before it is painted.

A black car has no light that a style's lights could go to, and a white shirt no dark: painted as
they are, both end in one corner of the style's palette, flat and grey. So the region first gets the
style's range: lightness is mapped by histogram specification (Gonzalez and Woods, Digital Image
Processing, 3.3.2) of limited contrast (Zuiderveld 1994), and each lightness gets the mean colour
that the style has there (Welsh et al. 2002, Transferring Color to Greyscale Images, by luminance
alone). What colours differ by at one lightness is carried to what the style's do there, by the
optimal transport map between Gaussians, so that warm and cool parts take its warm and cool colours.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from pipeline.pictures.boxes import surroundings
from pipeline.pictures.color import LUMA, luminance, region_pixels
from pipeline.pictures.strips import strips
from pipeline.pictures.transport import transport_map

Array = npt.NDArray[np.float64]

#: Levels of luma, from 0 to 1.
LEVELS = 256
#: How much steeper than it is light and shade become at most: more shows the grain of a photograph.
STEEPEST = 4.0
#: And how much flatter at most: a pale style would leave a pale photograph to paint.
FLATTEST = 0.7
#: How far its mean goes to the style's: all the way a black car would be as pale as a pale style.
LIFTED = 0.75
#: How many times as large differences of colour at one lightness become, at least and at most.
PALEST, MOST_COLORFUL = 0.5, 3.0
# Of the variance of colours, so that a grey region's are not divided by 0.
_LEAST_VARIANCE = 1e-4
_LUMA_LEVELS = np.linspace(0, 1, LEVELS)
# Standard deviation, in levels, by which mean colours are smoothed along luma.
_SMOOTHED = 6.0
# Pixels that are looked at, evenly over a region.
_MOST = 2**16


@dataclass(frozen=True)
class Palette:
    """The tones of a picture, or of a region of it.

    Attributes:
        quantiles: (256,), luma in [0, 1] of evenly spaced shares of its pixels, ascending.
        colors: (256, 3) in [0, 1], its mean colour at each level of luma.
        spread: (3, 3), the covariance of what colours differ by from the mean one of their luma.
    """

    quantiles: Array
    colors: Array
    spread: Array

    @classmethod
    def of(cls, picture: Tensor, mask: Tensor | None) -> "Palette":
        """Of a picture.

        Args:
            picture: (1, 3, H, W) in [0, 1].
            mask: (1, 1, H, W) in [0, 1], the part of it that counts (`color.region_pixels`).
        """
        pixels = region_pixels(picture, mask)
        pixels = pixels[:, :: -(-pixels.shape[1] // _MOST)]
        colors = pixels.T.double().cpu().numpy()  # (M, 3)
        luma = colors @ np.array(LUMA)
        means = _mean_colors(colors, luma)
        apart = colors - _at(luma, _LUMA_LEVELS, means)
        return cls(np.quantile(luma, _LUMA_LEVELS), means, apart.T @ apart / len(apart))


def specified(given: Array, wanted: Array) -> Array:
    """(256,), the luma that each level becomes: histogram specification of limited contrast.

    Args:
        given, wanted: quantiles of the region and of the style, `Palette.quantiles`.

    Returns:
        Ascending, in [0, 1], nowhere steeper than `STEEPEST` or flatter than `FLATTEST`, but for
        its ends at 0 and 1; its mean over the region's pixels lies `LIFTED` of the way to the
        style's, but for these.
    """
    # Of pixels of the same luma only one may stand for it, or there would be nothing between them.
    known, first = np.unique(given, return_index=True)
    last = len(given) - 1 - np.unique(given[::-1], return_index=True)[1]
    exact = np.interp(_LUMA_LEVELS, known, (wanted[first] + wanted[last]) / 2)
    steps = np.clip(np.diff(exact), FLATTEST / (LEVELS - 1), STEEPEST / (LEVELS - 1))
    limited = np.concatenate([[0.0], np.cumsum(steps)])
    middle = given.mean() + LIFTED * (wanted.mean() - given.mean())
    limited += middle - np.interp(given, _LUMA_LEVELS, limited).mean()
    clipped: Array = np.clip(limited, 0, 1)
    return clipped


def colored(given: Array, wanted: Array) -> Array:
    """(3, 3), the map of differences of colour: optimal transport within limits (`transport_map`).

    Args:
        given, wanted: (3, 3), of the region and of the style, `Palette.spread`.
    """
    region, style = (torch.from_numpy(c + _LEAST_VARIANCE * np.eye(3)) for c in (given, wanted))
    return np.asarray(transport_map(region, style, PALEST, MOST_COLORFUL).numpy())


def in_tones(
    picture: Tensor, mask: Tensor, styles: Sequence[tuple[Tensor, Tensor | None, float]]
) -> Tensor:
    """A picture with a region in the tones of styles.

    Args:
        picture: (1, 3, H, W) in [0, 1].
        mask: (1, 1, H, W) in [0, 1], the region.
        styles: of each its picture, (1, 3, h, w) in [0, 1]; its mask, (1, 1, h, w), or None; and
            the share of its tones. The shares add up to at most 1; the rest is the photograph's.

    Returns:
        (1, 3, H, W) in [0, 1], equal to the picture where the mask is 0.
    """
    box = surroundings(mask, 0, smallest=1)
    region, inside = box.cut(picture), box.cut(mask)
    own = Palette.of(region, inside)
    # What the mean color of each luma becomes, and what becomes of differences from it.
    left = 1 - sum(share for _, _, share in styles)
    table, slope = left * own.colors, left * np.eye(3)
    for shown, part, share in styles:
        palette = Palette.of(shown, part)
        luma = specified(own.quantiles, palette.quantiles)
        table += share * _at(luma, _LUMA_LEVELS, palette.colors)
        slope += share * colored(own.spread, palette.spread)
    # As a function of the pixel: `table + slope (x - own)`.
    rows = torch.from_numpy(table - own.colors @ slope.T).to(region)
    matrix = torch.from_numpy(slope).to(region)
    found = torch.empty_like(region)
    for band in strips(region.shape[2], region.shape[3]):
        pixels = region[:, :, band]
        place = luminance(pixels)[0, 0].clamp(0, 1) * (LEVELS - 1)
        below = place.long().clamp_max(LEVELS - 2)
        mapped = torch.lerp(rows[below], rows[below + 1], (place - below)[..., None])
        mapped = mapped.permute(2, 0, 1) + torch.einsum("ij,jhw->ihw", matrix, pixels[0])
        found[0, :, band] = torch.lerp(pixels[0], mapped.clamp(0, 1), inside[0, :, band])
    return box.put(found, picture)


def _mean_colors(colors: Array, luma: Array) -> Array:
    """(256, 3), the mean colour at each level, of that luma; between known ones in proportion."""
    numbers = np.clip((luma * (LEVELS - 1)).round().astype(int), 0, LEVELS - 1)
    weights = [None, *colors.T]
    sums = np.stack([np.bincount(numbers, weight, LEVELS) for weight in weights], 1)
    blurred = cv2.GaussianBlur(sums, (1, 0), _SMOOTHED, borderType=cv2.BORDER_CONSTANT)
    known = blurred[:, 0] > 1e-6 * len(luma)
    means = np.asarray(blurred[known, 1:] / blurred[known, :1], np.float64)
    found = _at(_LUMA_LEVELS, _LUMA_LEVELS[known], means)
    moved: Array = found + (_LUMA_LEVELS - found @ np.array(LUMA))[:, None]
    return np.clip(moved, 0, 1)


def _at(luma: Array, known: Array, colors: Array) -> Array:
    """(n, 3), colours at n values of luma, in proportion between those at m known ones, (m, 3)."""
    return np.stack([np.interp(luma, known, channel) for channel in colors.T], 1)
