"""Blend: painted regions into the photograph, which stays as it was everywhere else."""

from collections.abc import Mapping

import cv2
import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F
from torch import Tensor

from pipeline.pictures.layers import Layers
from pipeline.pictures.strips import strips


def feather_inside(mask: Tensor, width: float) -> Tensor:
    """Soften a mask's edge over about ``width`` pixels, towards its inside only.

    Args:
        mask: (1, 1, H, W) in [0, 1].
        width: in pixels; 0 leaves the mask. A part of the region that is narrower is feathered
            up to its middle, which keeps its full value.

    Returns:
        (1, 1, H, W), nowhere larger than ``mask``: what was outside stays outside.
    """
    if width <= 0:
        return mask
    inside = (mask[0, 0] >= 0.5).cpu().numpy().astype(np.uint8)
    # Half a pixel less: distances are to the next pixel outside, not to the edge between them.
    ramp: npt.NDArray[np.float32]
    ramp = np.asarray(cv2.distanceTransform(inside, cv2.DIST_L2, cv2.DIST_MASK_PRECISE), np.float32)
    ramp -= 0.5
    _, parts = cv2.connectedComponents(inside, connectivity=8)
    deepest = np.zeros(int(parts.max()) + 1, dtype=np.float32)
    for rows in strips(*ramp.shape):
        np.maximum.at(deepest, np.asarray(parts[rows]), ramp[rows])
    widths = np.clip(deepest, 0.5, width)
    for rows in strips(*ramp.shape):
        ramp[rows] = np.clip(ramp[rows] / widths[parts[rows]], 0, 1)
    return torch.minimum(mask, torch.from_numpy(ramp).to(mask)[None, None])


def blend(
    content: Tensor,
    pictures: Mapping[str, Tensor],
    masks: Mapping[str, Tensor],
    feather: float | Mapping[str, float],
    free: bool = False,
    layers: Layers | None = None,
) -> Tensor:
    """Put painted regions into the photograph.

    A pixel of which the regions have the share ``a`` becomes ``a P + (1 - a) B``: B is what the
    photograph shows behind them, or the photograph itself where nobody knows. Towards the unstyled
    photograph an edge may be feathered inside the regions, between two styled regions across their
    border, so that no line of photograph shows between them.

    Args:
        content: (1, 3, H, W) in [0, 1].
        pictures: region to its painted picture, (1, 3, H, W) in [0, 1].
        masks: region to (1, 1, H, W) in [0, 1].
        feather: width of soft edges in pixels, one for all or one a region.
        free: nothing of the photograph is kept; what no region covers shows the mean of the
            painted pictures.
        layers: the photograph as the regions and what is behind them; None: nobody knows.

    Returns:
        (1, 3, H, W) in [0, 1]; unless ``free`` equal to the content wherever all masks are 0.
    """
    widths = {
        region: feather if isinstance(feather, float | int) else feather[region] for region in masks
    }
    union = torch.empty_like(content[:, :1])
    for rows in strips(*content.shape[2:]):
        here = torch.cat([mask[:, :, rows] for mask in masks.values()], dim=1)
        union[:, :, rows] = here.sum(1, keepdim=True).clamp(0, 1)
    soft = [*masks.values()]
    if len(masks) > 1:
        soft = [_blur(masks[region], widths[region] / 2) for region in masks]
    edges: dict[float, Tensor] = {}
    if not free:
        # Towards the photograph each region has the edge it asks for.
        edges = {width: feather_inside(union, width) for width in {*widths.values()}}
    blended = torch.empty_like(content)
    for rows in strips(*content.shape[2:]):
        weights = torch.cat([mask[:, :, rows] for mask in soft], dim=1)
        if free:
            weights = weights + (1 - union[:, :, rows]) / len(masks)
        weights = weights / weights.sum(1, keepdim=True).clamp_min(1e-6)
        before = content[:, :, rows]
        painted = torch.zeros_like(before)
        share = torch.zeros_like(before[:, :1])
        for k, region in enumerate(masks):
            weight = weights[:, k : k + 1]
            painted = painted + weight * pictures[region][:, :, rows]
            if not free:
                share = share + weight * edges[widths[region]][:, :, rows]
        if not free:
            change = share * (painted - before)
            if layers is not None:
                # What is feathered away of the regions shows the photograph, with its own mixture.
                own = union[:, :, rows]
                shown = share / own.clamp_min(1e-6)
                change += shown * (1 - own) * (layers.background(rows) - before)
            painted = torch.where(share > 0, (before + change).clamp(0, 1), before)
        blended[:, :, rows] = painted
    return blended


def _blur(mask: Tensor, sigma: float) -> Tensor:
    """Convolve with a Gaussian, cut off at three standard deviations, mirrored at the border."""
    if sigma <= 0:
        return mask
    height, width = mask.shape[2:]
    radius = min(max(1, round(3 * sigma)), min(height, width) - 1)
    places = torch.linspace(-radius, radius, 2 * radius + 1).to(mask)
    line = torch.exp(-0.5 * (places / sigma).pow(2))
    line = line / line.sum()
    window = torch.mm(line[:, None], line[None])[None, None]
    padded = F.pad(mask, [radius] * 4, mode="reflect")
    blurred = torch.empty_like(mask)
    for rows in strips(height, width):
        blurred[:, :, rows] = F.conv2d(padded[:, :, rows.start : rows.stop + 2 * radius], window)
    return blurred
