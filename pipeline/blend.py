"""Blend: painted regions into the photograph, which stays as it was everywhere else."""

from collections.abc import Mapping

import cv2
import numpy as np
import torch
from torch import Tensor
from torchvision.transforms.functional import gaussian_blur


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
    distance = cv2.distanceTransform(inside, cv2.DIST_L2, cv2.DIST_MASK_PRECISE) - 0.5
    _, parts = cv2.connectedComponents(inside, connectivity=8)
    deepest = np.zeros(int(parts.max()) + 1, dtype=np.float32)
    np.maximum.at(deepest, np.asarray(parts), distance)
    ramp = np.clip(distance / np.clip(deepest[parts], 0.5, width), 0, 1)
    return torch.minimum(mask, torch.from_numpy(ramp).to(mask)[None, None])


def blend(
    content: Tensor,
    pictures: Mapping[str, Tensor],
    masks: Mapping[str, Tensor],
    feather: float | Mapping[str, float],
    free: bool = False,
) -> Tensor:
    """Put painted regions into the photograph.

    Towards the unstyled photograph the edge is feathered inside the regions, between two styled
    regions across their border, so that no line of photograph shows between them.

    Args:
        content: (1, 3, H, W) in [0, 1].
        pictures: region to its painted picture, (1, 3, H, W) in [0, 1].
        masks: region to (1, 1, H, W) in [0, 1].
        feather: width of soft edges in pixels, one for all or one a region.
        free: nothing of the photograph is kept; what no region covers shows the mean of the
            painted pictures.

    Returns:
        (1, 3, H, W) in [0, 1]; unless ``free`` equal to the content wherever all masks are 0.
    """
    widths = {
        region: feather if isinstance(feather, float | int) else feather[region] for region in masks
    }
    stacked = torch.cat([*masks.values()], dim=1)
    union = stacked.sum(1, keepdim=True).clamp(0, 1)
    soft = stacked
    if len(masks) > 1:
        soft = torch.cat([_blur(masks[region], widths[region] / 2) for region in masks], dim=1)
    if free:
        soft = soft + (1 - union) / len(masks)
    weights = soft / soft.sum(1, keepdim=True).clamp_min(1e-6)
    painted = torch.zeros_like(content)
    for k, region in enumerate(masks):
        painted = painted + weights[:, k : k + 1] * pictures[region]
    if free:
        return painted
    # Towards the photograph each region has the edge it asks for.
    edges = {width: feather_inside(union, width) for width in {*widths.values()}}
    share = torch.zeros_like(union)
    for k, region in enumerate(masks):
        share = share + weights[:, k : k + 1] * edges[widths[region]]
    return torch.where(share > 0, content + share * (painted - content), content)


def _blur(masks: Tensor, sigma: float) -> Tensor:
    if sigma <= 0:
        return masks
    radius = min(max(1, round(3 * sigma)), min(masks.shape[2:]) - 1)
    blurred: Tensor = gaussian_blur(masks, [2 * radius + 1] * 2, [sigma, sigma])
    return blurred
