"""Boxes: rectangles of a picture, and the ones that its regions need."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from torch import Tensor

#: Sides of boxes that are painted are multiples of it: poolings and scales halve them without
#: remainders, and the sizes at one scale are those of the next one's pyramid, so that libraries
#: prepare for fewer sizes.
MULTIPLE = 16


@dataclass(frozen=True)
class Box:
    """A rectangle of a picture, in pixels; ``bottom`` and ``right`` are outside it."""

    top: int
    left: int
    bottom: int
    right: int

    @property
    def height(self) -> int:
        """Rows."""
        return self.bottom - self.top

    @property
    def width(self) -> int:
        """Columns."""
        return self.right - self.left

    @property
    def area(self) -> int:
        """Pixels."""
        return self.height * self.width

    def cut(self, picture: Tensor) -> Tensor:
        """The part of (B, C, H, W) inside the box."""
        return picture[..., self.top : self.bottom, self.left : self.right]

    def put(self, part: Tensor, picture: Tensor) -> Tensor:
        """A copy of ``picture`` with ``part`` in the box."""
        copy = picture.clone()
        copy[..., self.top : self.bottom, self.left : self.right] = part
        return copy

    def grown(self, height: int, width: int, frame: "Box") -> "Box":
        """The box of that size around this one that lies within a frame.

        Args:
            height, width: at least the box's own, at most the frame's.
            frame: the picture.
        """
        top = min(max(0, self.top - (height - self.height) // 2), frame.bottom - height)
        left = min(max(0, self.left - (width - self.width) // 2), frame.right - width)
        return Box(top, left, top + height, left + width)


def surroundings(mask: Tensor, margin: int, smallest: int = 32, multiple: int = 1) -> Box:
    """The box around a mask and ``margin`` pixels more, within the picture.

    Args:
        mask: (1, 1, H, W), positive somewhere.
        margin: in pixels.
        smallest: the box has at least so many pixels a side, where the picture has.
        multiple: its sides are multiples of it, where the picture's are large enough.
    """
    frame = Box(0, 0, *mask.shape[2:])
    inside = mask[0, 0] > 0
    top, bottom = _extent(inside.any(1), margin, frame.height)
    left, right = _extent(inside.any(0), margin, frame.width)
    height = _rounded(max(smallest, bottom - top), multiple, frame.height)
    width = _rounded(max(smallest, right - left), multiple, frame.width)
    return Box(top, left, bottom, right).grown(height, width, frame)


def _rounded(side: int, multiple: int, limit: int) -> int:
    return min(limit, -(-side // multiple) * multiple)


def _extent(inside: Tensor, margin: int, limit: int) -> tuple[int, int]:
    where = inside.nonzero()[:, 0]
    return max(0, int(where[0]) - margin), min(limit, int(where[-1]) + 1 + margin)


def alike(boxes: Mapping[str, Box], frame: Box, waste: int = 64**2) -> dict[str, Box]:
    """Boxes of as few sizes as cost little: each grown to the size of those it is like.

    Args:
        boxes: region to its box.
        frame: the picture, which they stay in.
        waste: pixels that one size less may cost; the work of so many is what an iteration of
            another size costs besides its pixels.
    """
    groups: list[list[str]] = []
    for region in sorted(boxes, key=lambda region: -boxes[region].area):
        for group in groups:
            found = [boxes[other] for other in (*group, region)]
            height, width = _common_size(found)
            added = len(found) * height * width - sum(box.area for box in found)
            if added <= len(group) * waste:
                group.append(region)
                break
        else:
            groups.append([region])
    sizes = {
        region: _common_size([boxes[other] for other in group])
        for group in groups
        for region in group
    }
    return {region: box.grown(*sizes[region], frame) for region, box in boxes.items()}


def _common_size(boxes: Sequence[Box]) -> tuple[int, int]:
    return max(box.height for box in boxes), max(box.width for box in boxes)
