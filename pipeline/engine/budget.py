"""Budget: how much memory a picture needs, and how it is cut to fit."""

import logging
from collections.abc import Collection
from typing import Literal

import torch
from torch import Tensor

from pipeline.engine.tiles import WHOLE, Tiling
from pipeline.networks.encoder import Encoder
from pipeline.networks.pyramid import Layer, PyramidEncoder
from pipeline.runtime.memory import free_bytes

log = logging.getLogger(__name__)

Memory = Literal["normal", "low"]


#: Tiles are not made smaller than this, in pixels: their halos would cost more than they do.
SMALLEST_TILE = 128


#: Share of what is free that features may take; pictures and gradients take of the rest.
_SHARE = 0.6


#: Share of what is free that L-BFGS's pairs may take.
_PAIRS_SHARE = 0.3


# Of the widest layer that exist at once on the way back, besides what is kept.
_ON_THE_WAY = 4


def feature_bytes(
    encoder: PyramidEncoder, height: int, width: int, layers: Collection[Layer]
) -> int:
    """About how much an evaluation of a picture takes, besides pictures: features and gradients.

    Args:
        encoder: whose features.
        height, width: of the picture, in pixels.
        layers: that are read.
    """
    total = 0
    for level, names in encoder.by_level(layers).items():
        total += _level_bytes(encoder.encoder, height >> level, width >> level, names)
    return total


def _level_bytes(encoder: Encoder, height: int, width: int, layers: Collection[str]) -> int:
    bytes_each = next(encoder.parameters()).dtype.itemsize
    last = max(encoder.index[layer] for layer in layers)
    kept, widest = 0, 0
    for layer, (rows, columns) in encoder.sizes(height, width).items():
        units = encoder.channels(layer) * rows * columns
        if encoder.index[layer] > last or layer.startswith("conv"):
            continue
        # Pooling remembers which unit was the largest.
        kept += units * (bytes_each + (8 if layer.startswith("pool") else 0))
        widest = max(widest, units * bytes_each)
    return kept + _ON_THE_WAY * widest


def choose_tiling(
    tile: int | Literal["auto", "off"],
    memory: Memory,
    encoder: PyramidEncoder,
    height: int,
    width: int,
    layers: Collection[Layer],
    device: torch.device,
    count: int = 1,
) -> Tiling:
    """How to cut a picture.

    Args:
        tile: side of the tiles in pixels; ``off`` never cuts; ``auto`` where the whole picture's
            features would not fit into the memory that is free.
        memory: ``low`` computes the first layers, up to the second pooling, in at least nine tiles:
            they hold most of the memory and a small part of the arithmetic.
        encoder, height, width, layers: as `feature_bytes`.
        device: where it is to fit.
        count: pictures of that size that are computed at once.
    """
    longest = max(height, width)
    if isinstance(tile, int):
        return Tiling(tile) if tile < longest else WHOLE
    if tile == "auto":
        side = _fitting_side(encoder, height, width, layers, _SHARE * free_bytes(device) / count)
        if side is not None:
            return Tiling(side)
    if memory == "low" and longest >= 2 * SMALLEST_TILE:
        return Tiling(max(SMALLEST_TILE, -(-longest // 4)), second_pooling(encoder.encoder))
    return WHOLE


def _fitting_side(
    encoder: PyramidEncoder, height: int, width: int, layers: Collection[Layer], bound: float
) -> int | None:
    """The largest power of 2 that fits; None: the whole picture does."""
    if feature_bytes(encoder, height, width, layers) <= bound:
        return None
    side = 4096
    while side > SMALLEST_TILE and (
        side >= max(height, width)
        or feature_bytes(encoder, min(side, height), min(side, width), layers) > bound / 2
    ):
        side //= 2
    return side


def smaller(tiling: Tiling, height: int, width: int) -> Tiling | None:
    """Tiles of half the side; None: they are as small as they get."""
    side = max(height, width) if tiling.side is None else tiling.side
    halved = -(-side // 2)
    return Tiling(halved) if halved >= SMALLEST_TILE else None


def affordable_history(history: int, picture: Tensor) -> int:
    """How many pairs L-BFGS can remember of a picture: as many as asked for, if they fit."""
    pair = 2 * picture.numel() * picture.element_size()
    affordable = int(_PAIRS_SHARE * free_bytes(picture.device) / pair)
    if affordable >= history:
        return history
    log.warning("L-BFGS remembers %d pairs instead of %d: the memory", max(1, affordable), history)
    return max(1, affordable)


def second_pooling(encoder: Encoder) -> int | None:
    """The position after the second pooling; None: there is none."""
    poolings = [p for layer, p in encoder.index.items() if layer.startswith("pool")]
    return poolings[1] + 1 if len(poolings) > 1 else None
