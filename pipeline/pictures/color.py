"""Colour: how much of the photograph's own colours a region keeps.

``style`` takes colours and brushwork from the style. ``match`` and ``histogram`` give the style
picture the region's colours before it is used, ``luminance`` paints lightness alone (Gatys et al.
2016b, Preserving Color in Neural Artistic Style Transfer; Gatys et al. 2017, section 5).
"""

import cv2
import numpy as np
import torch
from torch import Tensor

from pipeline.pictures.transport import symmetric_root

#: Rec. 601, the Y of YIQ, as Gatys et al. 2016b.
LUMA = (0.299, 0.587, 0.114)
# Of the variance of colours in [0, 1]: flat pictures have singular covariances.
_LEAST_VARIANCE = 1e-5


def luminance(picture: Tensor) -> Tensor:
    """(B, 1, H, W) in [0, 1], the luma of (B, 3, H, W)."""
    red, green, blue = (weight * picture[:, k : k + 1] for k, weight in enumerate(LUMA))
    return red + green + blue


def grey(picture: Tensor) -> Tensor:
    """(1, 3, H, W), the luma in all three channels."""
    return luminance(picture).expand(-1, 3, -1, -1)


def grey_style(
    style: Tensor, content: Tensor, style_mask: Tensor | None, mask: Tensor | None
) -> Tensor:
    """A style's luma with the mean and standard deviation of the content's (Gatys et al. 2016b).

    Arguments as `match_mean_covariance`.
    """
    wanted, given = region_pixels(grey(content), mask), region_pixels(grey(style), style_mask)
    gain = wanted.std(1, correction=0).mean() / given.std(1, correction=0).mean().clamp_min(1e-3)
    return ((grey(style) - given.mean()) * gain + wanted.mean()).clamp(0, 1)


def with_luminance(content: Tensor, painted: Tensor) -> Tensor:
    """The content's colours with the painted picture's luma.

    In YIQ only Y changes, which in RGB adds the same to each channel.
    """
    return (content + luminance(painted) - luminance(content)).clamp(0, 1)


def smooth_chroma(picture: Tensor, mask: Tensor, deviation: float) -> Tensor:
    """A picture with its colours, not its luma, smoothed inside a region.

    An optimisation ends before neighbouring pixels have agreed on their colours, which shows as
    coloured grain. Eyes are finer for lightness than for colour, so strokes stay.

    Args:
        picture: (1, 3, H, W) in [0, 1].
        mask: (1, 1, H, W) in [0, 1], the region; colours from outside do not come in.
        deviation: standard deviation of the Gaussian window in pixels.

    Returns:
        (1, 3, H, W) in [0, 1], equal to the picture where the mask is 0.
    """
    luma = luminance(picture)
    # A little everywhere, so that nothing is divided by zero; where it shows, the mask is 0.
    weights = mask.clamp_min(1e-4)
    chroma = _smooth((picture - luma) * weights, deviation) / _smooth(weights, deviation)
    return picture + mask * ((luma + chroma).clamp(0, 1) - picture)


def _smooth(values: Tensor, deviation: float) -> Tensor:
    """(1, C, H, W), by a Gaussian window, mirrored at the borders."""
    channels = [
        cv2.GaussianBlur(channel, (0, 0), deviation, borderType=cv2.BORDER_REFLECT)
        for channel in values[0].float().cpu().numpy()
    ]
    return torch.from_numpy(np.stack(channels)).to(values)[None]


def match_mean_covariance(
    style: Tensor, content: Tensor, style_mask: Tensor | None, mask: Tensor | None
) -> Tensor:
    """Give a style the content's mean colour and covariance, in closed form.

    ``x -> A (x - mean_s) + mean_c`` with ``A = C_c^(1/2) C_s^(-1/2)`` (Gatys et al. 2016b, eq. 2-3
    with the symmetric square root, "image analogies" variant).

    Args:
        style: (1, 3, h, w) in [0, 1].
        content: (1, 3, H, W) in [0, 1].
        style_mask: (1, 1, h, w), the part of the style that counts; None: all.
        mask: (1, 1, H, W), the region; None: everywhere.

    Returns:
        (1, 3, h, w) in [0, 1].
    """
    wanted, given = region_pixels(content, mask), region_pixels(style, style_mask)  # (3, M)
    roots = symmetric_root(_covariance(wanted)), symmetric_root(_covariance(given))
    transform = roots[0] @ roots[1].inverse()
    centred = style[0].flatten(1) - given.mean(1, keepdim=True)
    matched = transform @ centred + wanted.mean(1, keepdim=True)
    return matched.view_as(style).clamp(0, 1)


def match_histogram(
    style: Tensor, content: Tensor, style_mask: Tensor | None, mask: Tensor | None
) -> Tensor:
    """Give each channel of a style the content's histogram; arguments as `match_mean_covariance`.

    The map from the masked part's values to the content's is applied to the whole style.
    """
    wanted, given = region_pixels(content, mask), region_pixels(style, style_mask)
    matched = np.empty(tuple(style.shape[1:]), dtype=np.float32)
    quantiles = np.linspace(0, 1, 256)
    for channel in range(3):
        source = np.quantile(given[channel].cpu().numpy(), quantiles)
        target = np.quantile(wanted[channel].cpu().numpy(), quantiles)
        matched[channel] = np.interp(style[0, channel].cpu().numpy(), source, target)
    return torch.from_numpy(matched)[None].to(style)


def region_pixels(picture: Tensor, mask: Tensor | None) -> Tensor:
    """(3, M), the pixels of a region.

    Args:
        picture: (1, 3, H, W).
        mask: (1, 1, H, W) in [0, 1]; None, or nowhere as much as 1/2: all pixels.
    """
    if mask is None or not (mask >= 0.5).any():
        return picture[0].flatten(1)
    return picture[0][:, mask[0, 0] >= 0.5]


def _covariance(pixels: Tensor) -> Tensor:
    centred = pixels - pixels.mean(1, keepdim=True)
    covariance = centred @ centred.T / pixels.shape[1]
    return covariance + _LEAST_VARIANCE * torch.eye(3).to(pixels)
