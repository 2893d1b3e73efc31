"""Tiles: a picture in parts, each seen with what its units see around it.

A part is encoded with a halo as wide as a receptive field reaches beyond it, so that the units it
answers for have the features they have in the whole picture, and every unit is answered for once.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from math import prod

from pipeline.networks.encoder import Window
from pipeline.pictures.boxes import Box


@dataclass(frozen=True)
class Tiling:
    """How a picture is cut.

    Attributes:
        side: bound of a tile's sides in pixels, without its halo; None: the picture is one tile.
        stop: position in the encoder (`Encoder.index`) from which on layers are computed whole: the
            first ones hold most of the memory and need the least halo. None: all layers in tiles.
    """

    side: int | None = None
    stop: int | None = None


WHOLE = Tiling()


@dataclass(frozen=True)
class Tile:
    """A part of a picture.

    Attributes:
        core: the pixels that it answers for; the cores of all tiles are the picture.
        seen: the core and its halo, within the picture.
        frame: the picture.
    """

    core: Box
    seen: Box
    frame: Box

    def units(self, stride: int, rows: int, columns: int) -> Box:
        """The units of a layer that the tile answers for.

        Args:
            stride: pixels from one unit of the layer to the next.
            rows, columns: of the layer, in the whole picture.
        """
        top, left = self.core.top // stride, self.core.left // stride
        # The last tile has the units that remain, whatever rounding pooling has done.
        bottom = rows if self.core.bottom == self.frame.bottom else self.core.bottom // stride
        right = columns if self.core.right == self.frame.right else self.core.right // stride
        return Box(top, left, bottom, right)

    def local(self, units: Box, stride: int) -> Box:
        """The same units, counted from the corner of what is seen."""
        top, left = self.seen.top // stride, self.seen.left // stride
        return Box(units.top - top, units.left - left, units.bottom - top, units.right - left)

    @property
    def is_whole(self) -> bool:
        """Whether there is no other tile."""
        return self.core == self.frame


def total_stride(windows: Sequence[Window]) -> int:
    """Pixels from one unit of a layer to the next."""
    return prod(window.stride for window in windows)


def halo(windows: Sequence[Window]) -> int:
    """Pixels around a tile that its units see, a multiple of their stride.

    Args:
        windows: up to the deepest layer that is read.
    """
    before, field, stride = 0, 1, 1
    for window in windows:
        before += window.padding * stride
        field += (window.kernel - 1) * stride
        stride *= window.stride
    after = field - stride - before
    return -(-max(before, after, 0) // stride) * stride


def grid(height: int, width: int, side: int | None, stride: int, margin: int) -> list[Tile]:
    """Tiles of about the same size, row by row.

    Args:
        height, width: of the picture in pixels.
        side: bound of a core's sides in pixels; None: one tile.
        stride: cores begin at multiples of it, so that units fall on those of the whole picture.
        margin: of a tile, in pixels, a multiple of ``stride``.
    """
    rows, columns = (_edges(length, side, stride) for length in (height, width))
    frame = Box(0, 0, height, width)
    return [
        Tile(
            Box(top, left, bottom, right),
            Box(
                max(0, top - margin),
                max(0, left - margin),
                min(height, bottom + margin),
                min(width, right + margin),
            ),
            frame,
        )
        for top, bottom in rows
        for left, right in columns
    ]


def _edges(length: int, side: int | None, stride: int) -> list[tuple[int, int]]:
    whole = max(1, length // stride)
    most = whole if side is None else max(1, side // stride)
    count = -(-whole // most)
    edges = [stride * round(number * whole / count) for number in range(count)]
    return [*zip(edges, [*edges[1:], length], strict=True)]
