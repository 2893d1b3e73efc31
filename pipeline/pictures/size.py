"""Size: how large the result is, by what is to be painted of it."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from pipeline.pictures.boxes import MULTIPLE, Box
from pipeline.pictures.resize import fitted_size

#: The largest long side that is chosen, in pixels.
LARGEST = 2048
#: The smallest long side that is chosen, in pixels, where the photograph has as many.
SMALLEST = 512


@dataclass(frozen=True)
class Part:
    """A part of a picture of any size, to be painted.

    Attributes:
        top, left, bottom, right: in sides of the picture, each in [0, 1].
        margin: pixels more on each side, whatever the picture's size.
    """

    top: float
    left: float
    bottom: float
    right: float
    margin: float = 0.0

    @classmethod
    def of(cls, box: Box, height: int, width: int, margin: float) -> "Part":
        """A box of a picture of that height and width."""
        return cls(
            box.top / height, box.left / width, box.bottom / height, box.right / width, margin
        )

    def area(self, height: int, width: int) -> int:
        """Pixels of a picture of that height and width that have to be painted."""
        rows = _extent(self.top, self.bottom, height, self.margin)
        return rows * _extent(self.left, self.right, width, self.margin)


def _extent(start: float, end: float, side: int, margin: float) -> int:
    extent = min(side, end * side + margin) - max(0.0, start * side - margin)
    # Half a thousandth of a pixel is rounding.
    return min(side, math.ceil(max(1.0, extent) / MULTIPLE - 5e-4) * MULTIPLE)


def union(parts: Sequence[Part]) -> Part:
    """The smallest part that holds all of them, with the largest margin."""
    return Part(
        min(part.top for part in parts),
        min(part.left for part in parts),
        max(part.bottom for part in parts),
        max(part.right for part in parts),
        max(part.margin for part in parts),
    )


def chosen_size(height: int, width: int, parts: Sequence[Part], budget: int) -> int:
    """The long side at which a photograph is repainted.

    As large as the photograph is, up to `LARGEST`, while the parts together have no more pixels
    than the budget; at least `SMALLEST`, or the photograph's own.

    Args:
        height, width: of the photograph in pixels.
        parts: to be painted, each by itself.
        budget: in pixels.

    Returns:
        Pixels.
    """
    longest = max(height, width)
    low, high = min(SMALLEST, longest), min(LARGEST, longest)

    def affordable(side: int) -> bool:
        rows, columns = fitted_size((height, width), side)
        return sum(part.area(rows, columns) for part in parts) <= budget

    # Whatever is painted grows with the side: the largest affordable one lies between them.
    while low < high:
        middle = (low + high + 1) // 2
        if affordable(middle):
            low = middle
        else:
            high = middle - 1
    return low
