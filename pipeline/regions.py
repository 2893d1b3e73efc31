"""Mask: the parts of the photograph that a style can be given to."""

import difflib
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from pipeline.errors import UserError
from pipeline.networks.segmenters import VOC_CLASSES
from pipeline.segment import Segmentation

#: The region of all that no other style names.
REST = "rest"
#: What people call VOC's classes.
OTHER_NAMES = {
    "airplane": "aeroplane",
    "plane": "aeroplane",
    "bike": "bicycle",
    "couch": "sofa",
    "human": "person",
    "man": "person",
    "woman": "person",
    "people": "person",
    "monitor": "tvmonitor",
    "tv": "tvmonitor",
    "motorcycle": "motorbike",
    "plant": "pottedplant",
    "ship": "boat",
    "table": "diningtable",
}
#: Pixels of which a mask holds less than one grey level are outside the region.
_NOTHING = 1 / 255


def check_names(names: Sequence[str]) -> None:
    """Check that every name is a region's.

    Raises:
        UserError: names the wrong ones and the nearest right ones.
    """
    for name in names:
        if name in VOC_CLASSES or name == REST:
            continue
        near = OTHER_NAMES.get(name) or next(
            iter(difflib.get_close_matches(name, [*VOC_CLASSES, REST], n=1, cutoff=0.5)), None
        )
        hint = f"did you mean {near}? " if near else ""
        raise UserError(f"no region {name!r}; {hint}There are: {', '.join([*VOC_CLASSES, REST])}")


def region_masks(segmentation: Segmentation, names: Sequence[str]) -> dict[str, Tensor]:
    """Soft masks of the named regions.

    The class probabilities are sharpened, p -> smoothstep between 0.35 and 0.65, and normalised to
    add up to 1, so that masks are 0 or 1 but for a narrow edge, and neighbours meet without a gap.

    Args:
        segmentation: of the photograph.
        names: VOC's classes, ``background`` and ``rest``.

    Returns:
        Name to (1, 1, H, W) in [0, 1], in the order of ``names``.

    Raises:
        UserError: a name that does not exist, or a region that this photograph does not have.
    """
    check_names(names)
    sharp = _sharpen(segmentation)
    masks: dict[str, Tensor] = {}
    for name in names:
        if name == REST:
            masks[name] = _rest(sharp, [other for other in names if other != REST])
        elif name in sharp:
            masks[name] = sharp[name]
        else:
            masks[name] = torch.zeros_like(sharp["background"])
        masks[name] = masks[name].where(masks[name] >= _NOTHING, 0)
        if float(masks[name].max()) < 0.5 and name == REST:
            raise UserError("the other styles leave nothing for rest; leave out styles.rest")
        if float(masks[name].max()) < 0.5:
            shares = segmentation.shares
            there = ", ".join(f"{other} {share:.1%}" for other, share in shares.items() if share)
            raise UserError(
                f"no {name} in this photograph; it shows: {there}. Give one of these a style, or "
                "lower segmenter.min_share to find smaller parts"
            )
    return masks


def _sharpen(segmentation: Segmentation) -> dict[str, Tensor]:
    stacked = torch.cat([*segmentation.probabilities.values()], dim=1)
    step = ((stacked - 0.35) / 0.3).clamp(0, 1)
    step = step * step * (3 - 2 * step)
    total = step.sum(1, keepdim=True)
    # Where no class reaches 0.35 the most probable one has the pixel.
    winner = torch.zeros_like(stacked).scatter_(1, stacked.argmax(1, keepdim=True), 1.0)
    sharp = torch.where(total > 1e-6, step / total.clamp_min(1e-6), winner)
    return {name: sharp[:, k : k + 1] for k, name in enumerate(segmentation.probabilities)}


def _rest(sharp: dict[str, Tensor], named: Sequence[str]) -> Tensor:
    taken = torch.zeros_like(sharp["background"])
    for name in named:
        if name in sharp:
            taken = taken + sharp[name]
    return (1 - taken).clamp(0, 1)


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

    def cut(self, picture: Tensor) -> Tensor:
        """The part of (B, C, H, W) inside the box."""
        return picture[..., self.top : self.bottom, self.left : self.right]

    def put(self, part: Tensor, picture: Tensor) -> Tensor:
        """A copy of ``picture`` with ``part`` in the box."""
        copy = picture.clone()
        copy[..., self.top : self.bottom, self.left : self.right] = part
        return copy


def surroundings(mask: Tensor, margin: int, smallest: int = 32) -> Box:
    """The box around a mask and ``margin`` pixels more, within the picture.

    Args:
        mask: (1, 1, H, W), positive somewhere.
        margin: in pixels.
        smallest: the box has at least so many pixels a side, where the picture has.
    """
    height, width = mask.shape[2:]
    inside = mask[0, 0] > 0
    top, bottom = _extent(inside.any(1), margin, smallest, height)
    left, right = _extent(inside.any(0), margin, smallest, width)
    return Box(top, left, bottom, right)


def _extent(inside: Tensor, margin: int, smallest: int, limit: int) -> tuple[int, int]:
    where = inside.nonzero()[:, 0]
    first, last = int(where[0]) - margin, int(where[-1]) + 1 + margin
    lacking = max(0, smallest - (last - first))
    first, last = first - lacking // 2, last + lacking - lacking // 2
    first = max(0, min(first, limit - smallest))
    return first, min(limit, max(last, first + smallest))
