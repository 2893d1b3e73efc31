"""Mask: one soft mask a region becomes one mask for every encoder layer."""

import logging
from collections.abc import Mapping, Sequence
from typing import Literal

import torch.nn.functional as F
from torch import Tensor

from pipeline.networks.encoder import Window
from pipeline.networks.pyramid import Layer

log = logging.getLogger(__name__)

#: How a region's mask comes down to the layers; see `layer_mask`.
Propagation = Literal["simple", "inside", "all"]

#: A region needs this many units of a layer, or the layer says nothing about its texture.
SMALLEST_AREA = 4.0


def layer_mask(
    mask: Tensor, windows: Sequence[Window], propagation: Propagation = "simple"
) -> Tensor:
    """Bring a mask down to a layer by the layer's own geometry (Gatys et al. 2017, section 4.2).

    - ``simple``: every strided window averages the mask instead of the features, so a unit's value
      is the share of its pooling cell that lies in the region.
    - ``inside``: the least value in the unit's receptive field, so that only units that see
      nothing but the region count.
    - ``all``: the largest value in it, so that every unit that sees the region counts.

    A unit's receptive field is found exactly, by walking through the windows of all layers before
    it: the minimum (maximum) over a window of minima (maxima) is that over all pixels the unit
    sees. (Gatys et al. 2017 probe the network with noise instead.) What lies outside the picture
    does not count. In all three the result has the layer's height and width for any picture size.

    Args:
        mask: (B, 1, H, W) in [0, 1].
        windows: of the layers up to this one, as `Encoder.windows` lists them.
        propagation: see above.

    Returns:
        (B, 1, H_l, W_l) in [0, 1].
    """
    for window in windows:
        if propagation == "simple" and window.stride > 1:
            mask = F.avg_pool2d(
                mask, window.kernel, window.stride, window.padding, count_include_pad=False
            )
        elif propagation == "inside":
            mask = 1 - _largest(1 - mask, window)
        elif propagation == "all":
            mask = _largest(mask, window)
    return mask


def _largest(mask: Tensor, window: Window) -> Tensor:
    # max_pool2d allows padding up to half the kernel only; zeros never win in [0, 1].
    padded = F.pad(mask, [window.padding] * 4)
    return F.max_pool2d(padded, window.kernel, window.stride)


def drop_vanishing(
    masks: Mapping[Layer, Tensor], region: str, smallest: float = SMALLEST_AREA, warn: bool = True
) -> dict[Layer, Tensor]:
    """Leave out the layers at which a region is too small to exist.

    The policy: where a region's mask adds up to fewer than ``smallest`` units, that layer takes no
    part in the region's style, a warning names region, layer and area, and the remaining layers
    carry the style. If no layer were left, the one where the region is largest stays, if it has
    any units there.

    Args:
        masks: the region's mask at each layer, (1, 1, H_l, W_l).
        region: name for the warning.
        smallest: area in units of the layer.
        warn: whether to log the warning.

    Returns:
        The masks that remain, in the same order.
    """
    areas = {layer: float(mask.sum()) for layer, mask in masks.items()}
    kept = {layer: mask for layer, mask in masks.items() if areas[layer] >= smallest}
    if not kept:
        largest = max(areas, key=areas.__getitem__)
        kept = {largest: masks[largest]} if areas[largest] > 0 else {}
    lost = [layer for layer in masks if layer not in kept]
    if warn and not kept:
        log.warning("region %s is too small for all layers and keeps the photograph", region)
    elif warn and lost:
        log.warning(
            "region %s is too small for some layers and left out there: %s (units, of %g needed)",
            region,
            ", ".join(f"{layer} {areas[layer]:.1f}" for layer in lost),
            smallest,
        )
    return kept
