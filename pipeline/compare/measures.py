"""Measures of a finished run, as pure functions of its pictures.

They judge runs that were painted by different methods, losses and encoders, so none of them is
the loss of a run. Features come from one encoder for all runs, whatever encoder painted them.
A measure that has no meaning for a picture (no border, nothing outside) is NaN.

Shapes: N channels, H W height and width; pictures as arrays are (H, W, 3) uint8 sRGB.
"""

import math
from collections.abc import Mapping, Sequence

import numpy as np
import numpy.typing as npt
import torch
from scipy.ndimage import maximum_filter, minimum_filter
from skimage.color import rgb2gray, rgb2lab
from skimage.metrics import structural_similarity
from torch import Tensor

from pipeline.engine import losses
from pipeline.networks.pyramid import Layer

Pixels = npt.NDArray[np.uint8]
Mask = npt.NDArray[np.floating]

#: Pixels on either side of a border that belong to it.
SEAM_WIDTH = 4
#: The standard deviation of the window of Wang et al. 2004, in pixels.
_SSIM_SIGMA = 1.5


def style_distance(
    features: Mapping[Layer, Tensor],
    style: Mapping[Layer, Tensor],
    masks: Mapping[Layer, Tensor],
) -> float:
    """How far a region is from a style (`losses.style_distance`).

    Args:
        features: of the picture, (1, N, H, W) by layer.
        style: the style picture's Gram matrices (`losses.gram_matrix`), (N, N) by layer.
        masks: of the region, (1, 1, H, W) by layer; layers without one are left out.

    Returns:
        At least 0; NaN where no layer is in all three.
    """
    grams = {
        layer: losses.gram_matrix(features[layer], mask)
        for layer, mask in masks.items()
        if layer in features
    }
    return float(losses.style_distance(grams, style))


def perceptual_distance(
    features: Mapping[Layer, Tensor],
    content: Mapping[Layer, Tensor],
    masks: Mapping[Layer, Tensor],
) -> float:
    """How far a region's features are from the content's: 0 is the content itself.

    The mean over layers of ``sqrt(sum m (F - P)^2 / sum m (P - mean P)^2)``: the feature
    reconstruction loss of Johnson et al. 2016 (eq. 2) as a share of the content's own variance; 1
    is as far as a picture that keeps nothing but the mean.

    Args:
        features: of the picture, (1, N, H, W) by layer.
        content: of the content, by layer.
        masks: (1, 1, H, W) by layer, where to look.

    Returns:
        At least 0; NaN where no layer is in all three or the masks are empty.
    """
    distances = [
        losses.relative_content_loss(features[layer], content[layer], mask).sqrt()
        for layer, mask in masks.items()
        if layer in features and layer in content and float(mask.sum()) > 0
    ]
    return float(torch.stack(distances).mean()) if distances else math.nan


def outside_difference(content: Pixels, result: Pixels, masks: Sequence[Mask]) -> float:
    """How much changed where nothing should have: mean CIE Lab difference outside all regions.

    The CIE 1976 difference, ``dE = sqrt(dL^2 + da^2 + db^2)`` under D65 (ISO/CIE 11664-4), averaged
    over the pixels where every mask is 0. About 2.3 is just noticeable (Mahy et al. 1994).

    Args:
        content, result: (H, W, 3).
        masks: (H, W) in [0, 1], of the styled regions.

    Returns:
        0 to about 260; NaN where the regions fill the picture.
    """
    outside = np.ones(content.shape[:2], dtype=bool)
    for mask in masks:
        outside &= mask == 0
    if not outside.any():
        return math.nan
    difference = rgb2lab(result[outside]) - rgb2lab(content[outside])
    return float(np.linalg.norm(difference, axis=-1).mean())


def content_similarity(content: Pixels, result: Pixels, mask: Mask) -> float:
    """How much of the photograph's structure is still seen in a region: mean SSIM.

    The index of Wang et al. 2004 (eq. 13) of the luminance, with the paper's Gaussian window and
    constants, averaged over the region, so that it does not depend on the region's area.

    Args:
        content, result: (H, W, 3), at least 11 pixels on a side.
        mask: (H, W) in [0, 1], weighs the pixels.

    Returns:
        -1 to 1; 1 is the content itself. NaN for an empty mask.
    """
    if not mask.sum() > 0:
        return math.nan
    _, similarity = structural_similarity(  # type: ignore[no-untyped-call]
        rgb2gray(content),
        rgb2gray(result),
        data_range=1.0,
        gaussian_weights=True,
        sigma=_SSIM_SIGMA,
        use_sample_covariance=False,
        full=True,
    )
    return float(np.average(similarity, weights=mask))


def seam(result: Pixels, masks: Sequence[Mask]) -> float:
    """How much happens across the regions' borders against what happens inside the regions.

    The mean gradient magnitude of CIE lightness L* (differences to the next pixels, whose sum is
    the total variation of Rudin, Osher and Fatemi 1992) within `SEAM_WIDTH` pixels of a border, on
    either side of it, divided by its mean inside the regions. A border from one tone to another
    counts the same whether it is sharp or soft and wherever in the band it lies, so that a soft
    mask, or one moved by a pixel, is no merit by itself; a rim counts twice, there and back. 1: as
    much happens as inside; photographs have edges of their own there, so that only runs on the
    same content compare. A measure of this project; no paper's.

    Args:
        result: (H, W, 3).
        masks: (H, W) in [0, 1], of the styled regions; a region is where its mask is over a half.

    Returns:
        At least 0; NaN where there is no border, no inside, or nothing but flat colour inside.
    """
    inside = np.zeros(result.shape[:2], dtype=bool)
    border = np.zeros(result.shape[:2], dtype=bool)
    for mask in masks:
        region = mask > 0.5
        inside |= region
        border |= _near_border(region)
    inside &= ~border
    if not border.any() or not inside.any():
        return math.nan
    lightness = rgb2lab(result)[..., 0]
    down = np.diff(lightness, axis=0, append=lightness[-1:])
    right = np.diff(lightness, axis=1, append=lightness[:, -1:])
    slope = np.hypot(down, right)
    within = float(slope[inside].mean())
    return float(slope[border].mean()) / within if within > 1e-6 else math.nan


def _near_border(region: npt.NDArray[np.bool_]) -> npt.NDArray[np.bool_]:
    """(H, W): pixels with one on the other side within `SEAM_WIDTH` pixels, in a square window."""
    size = 2 * SEAM_WIDTH + 1
    values = region.astype(np.uint8)
    return np.asarray(maximum_filter(values, size) != minimum_filter(values, size))
