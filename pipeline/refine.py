"""Refine: masks follow the edges of the picture."""

import torch
import torch.nn.functional as F
from torch import Tensor


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
    # Variances are small differences of large means; Apple's MPS has no doubles.
    exact = torch.float32 if guide.device.type == "mps" else torch.float64
    guide, masks = guide.to(exact), masks.to(exact)
    mean = _box(guide, radius)  # (1, 3, H, W)
    mask_mean = _box(masks, radius)  # (1, K, H, W)
    outer = guide[:, :, None] * guide[:, None]  # (1, 3, 3, H, W)
    covariance = _box(outer.flatten(1, 2), radius).view(1, 3, 3, *guide.shape[2:])
    covariance = covariance - mean[:, :, None] * mean[:, None]
    covariance = covariance + eps * torch.eye(3).to(covariance)[None, :, :, None, None]
    inverse = torch.linalg.inv(covariance.permute(0, 3, 4, 1, 2))  # (1, H, W, 3, 3)
    filtered = torch.empty_like(masks)
    for k in range(masks.shape[1]):
        mask = masks[:, k : k + 1]
        joint = _box(guide * mask, radius) - mean * mask_mean[:, k : k + 1]  # (1, 3, H, W)
        slope = torch.einsum("bhwij,bjhw->bihw", inverse, joint)
        offset = mask_mean[:, k : k + 1] - (slope * mean).sum(1, keepdim=True)
        filtered[:, k : k + 1] = (_box(slope, radius) * guide).sum(1, keepdim=True) + _box(
            offset, radius
        )
    return filtered.float()


def _box(values: Tensor, radius: int) -> Tensor:
    """Mean over (2 radius + 1)^2 windows, at the border over the part inside the picture."""
    size = 2 * radius + 1
    rows = F.avg_pool2d(values, (size, 1), 1, (radius, 0), count_include_pad=False)
    return F.avg_pool2d(rows, (1, size), 1, (0, radius), count_include_pad=False)
