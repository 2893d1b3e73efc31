"""Budget: how much memory a picture needs, and how it is cut to fit."""

import logging
import math
from collections.abc import Collection
from dataclasses import dataclass
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
# Larger ones save next to no halo.
_LARGEST_TILE = 4096
#: Share of what is free that features may take; pictures and gradients take of the rest.
_SHARE = 0.6
#: Share of what is free that L-BFGS's pairs may take.
_PAIRS_SHARE = 0.3
# Of the widest layer that exist at once on the way back, besides what is kept.
_ON_THE_WAY = 4
#: CUDA's kernels (reflection padding, some convolutions) count a tensor's elements in 32 bits.
MOST_ELEMENTS = 2**31 - 1


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


def widest(encoder: PyramidEncoder, height: int, width: int, layers: Collection[Layer]) -> int:
    """Elements of the largest tensor of an evaluation: a layer's features, padded.

    Arguments as `feature_bytes`.
    """
    found = [0]
    for level, names in encoder.by_level(layers).items():
        net = encoder.encoder
        last = max(names, key=net.index.__getitem__)
        border = 2 * max(window.padding for window in net.windows(last))
        found += [
            net.channels(layer) * (rows + border) * (columns + border)
            for layer, (rows, columns) in net.sizes(height >> level, width >> level).items()
            if net.index[layer] <= net.index[last]
        ]
    return max(found)


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
            features would not fit into the memory that is free, or, but for a CPU, where a layer
            would have more than `MOST_ELEMENTS`.
        memory: ``low`` computes the first layers, up to the second pooling, in at least nine tiles:
            they hold most of the memory and a small part of the arithmetic.
        encoder, height, width, layers: as `feature_bytes`.
        device: where it is to fit.
        count: pictures of that size that are computed at once.
    """
    longest = max(height, width)
    bounds = _Bounds(
        _SHARE * free_bytes(device) / count if tile == "auto" else math.inf,
        # The first layers, which have the most elements, are in tiles where memory is ``low``.
        math.inf if device.type == "cpu" or memory == "low" else MOST_ELEMENTS / count,
    )
    cut = isinstance(tile, int) and tile < longest
    if cut or (tile != "off" and not bounds.hold(encoder, height, width, layers)):
        side = tile if isinstance(tile, int) else _LARGEST_TILE
        # Half of the bounds is for what is seen around a tile.
        while side > SMALLEST_TILE and (
            side >= longest
            or not bounds.hold(encoder, min(side, height), min(side, width), layers, 0.5)
        ):
            side //= 2
        return Tiling(side)
    if memory == "low" and longest >= 2 * SMALLEST_TILE and not isinstance(tile, int):
        return Tiling(max(SMALLEST_TILE, -(-longest // 4)), second_pooling(encoder.encoder))
    return WHOLE


@dataclass(frozen=True)
class _Bounds:
    """What an evaluation may take: bytes, and elements of one tensor."""

    bytes: float
    elements: float

    def hold(
        self,
        encoder: PyramidEncoder,
        height: int,
        width: int,
        layers: Collection[Layer],
        share: float = 1.0,
    ) -> bool:
        """Whether a share of them is enough; other arguments as `feature_bytes`."""
        return (
            feature_bytes(encoder, height, width, layers) <= share * self.bytes
            and widest(encoder, height, width, layers) <= share * self.elements
        )


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
