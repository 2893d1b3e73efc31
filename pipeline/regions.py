"""Mask: the parts of the photograph that a style can be given to."""

import difflib
import logging
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

import cv2
import numpy as np
import torch
from torch import Tensor

from pipeline.errors import UserError
from pipeline.networks.segmenters import VOC_CLASSES
from pipeline.segment import Segmentation
from pipeline.specification import RegionChoice

log = logging.getLogger(__name__)

#: The region of all that no other style names, and the whole picture.
REST, ALL = "rest", "all"
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
#: Parts under this share of a region are not objects of their own.
_SMALLEST_OBJECT = 0.02


def check_names(names: Sequence[str], custom: Collection[str] = ()) -> None:
    """Check that every name is a region's.

    Args:
        names: as the user wrote them; an object is ``person.1``.
        custom: the names that the user has defined.

    Raises:
        UserError: names the wrong ones and the nearest right ones.
    """
    known = [*dict.fromkeys([*custom, *VOC_CLASSES, REST, ALL])]
    for name in names:
        base, _, number = name.partition(".")
        if name in known or (base in known and number.isdigit() and int(number) > 0):
            continue
        near = OTHER_NAMES.get(base) or next(
            iter(difflib.get_close_matches(base, known, n=1, cutoff=0.5)), None
        )
        hint = f"did you mean {near}? " if near else ""
        raise UserError(f"no region {name!r}; {hint}There are: {', '.join(known)}")


def class_masks(segmentation: Segmentation, picture: Tensor) -> dict[str, Tensor]:
    """Soft masks of the classes that were found, at the picture's size.

    The class probabilities are sharpened, p -> smoothstep between 0.35 and 0.65, and normalised to
    add up to 1, so that masks are 0 or 1 but for a narrow edge, and neighbours meet without a gap.

    Args:
        segmentation: of the picture.
        picture: (1, 3, H, W) in [0, 1].

    Returns:
        Name to (1, 1, H, W) in [0, 1].
    """
    masks = {name: torch.empty_like(picture[:, :1]) for name in segmentation.probabilities}
    for rows, probabilities in segmentation.strips(picture):
        sharp = _sharpened(probabilities)
        for k, mask in enumerate(masks.values()):
            mask[:, :, rows] = sharp[:, k : k + 1]
    return masks


def _sharpened(probabilities: Tensor) -> Tensor:
    step = ((probabilities - 0.35) / 0.3).clamp(0, 1)
    step = step * step * (3 - 2 * step)
    total = step.sum(1, keepdim=True)
    # Where no class reaches 0.35 the most probable one has the pixel.
    best = probabilities.argmax(1, keepdim=True)
    winner = torch.zeros_like(probabilities).scatter_(1, best, 1.0)
    sharp = torch.where(total > 1e-6, step / total.clamp_min(1e-6), winner)
    return sharp.where(sharp >= _NOTHING, 0)


def region_masks(
    names: Sequence[str],
    available: Mapping[str, Tensor],
    content: Tensor,
    choices: Mapping[str, RegionChoice] | None = None,
) -> dict[str, Tensor]:
    """Soft masks of the named regions; where they overlap the later name lies on top.

    Args:
        names: the regions wanted: keys of ``available``, one object of it (``person.1``, numbered
            from the largest), ``all`` (the whole picture, under the others), ``rest`` (what no
            other name covers).
        available: region to (1, 1, H, W) in [0, 1].
        content: (1, 3, H, W), the photograph.
        choices: what to change about a region (`RegionChoice.invert` and ``grow``).

    Returns:
        Name to (1, 1, H, W) in [0, 1], in the order of ``names``; they add up to at most 1.

    Raises:
        UserError: a region that this photograph does not have, or that nothing is left of.
    """
    taken = torch.zeros_like(content[:, :1])
    masks: dict[str, Tensor] = {}
    # From the top: later names first, then the whole picture, then what is left.
    for name in (*reversed([n for n in names if n not in (ALL, REST)]), ALL, REST):
        if name not in names:
            continue
        mask, strongest = 1 - taken, 1.0
        if name not in (ALL, REST):
            own = _changed(_find(name, available), (choices or {}).get(name))
            mask, strongest = torch.minimum(own, mask), float(own.max())
        masks[name] = mask.masked_fill_(mask < _NOTHING, 0)
        taken.add_(mask).clamp_(0, 1)
        _require(name, strongest, mask)
    return {name: masks[name] for name in names}


def object_masks(mask: Tensor, smallest: float = _SMALLEST_OBJECT) -> list[Tensor]:
    """A region's connected objects, from the largest to the smallest.

    Args:
        mask: (1, 1, H, W) in [0, 1].
        smallest: parts under this share of the region belong to the nearest object.

    Returns:
        (1, 1, H, W) in [0, 1] each; together they are ``mask``.
    """
    inside = (mask[0, 0] >= 0.5).cpu().numpy().astype(np.uint8)
    count, parts, statistics, _ = cv2.connectedComponentsWithStats(inside, connectivity=8)
    areas = statistics[1:, cv2.CC_STAT_AREA]
    large = [
        part
        for part in sorted(range(1, count), key=lambda part: -areas[part - 1])
        if areas[part - 1] >= smallest * areas.sum()
    ]
    if len(large) < 2:
        return [mask]
    # Every pixel of a soft edge goes to the object that it is nearest to.
    nearest = np.zeros(parts.shape, dtype=np.uint8)
    shortest = np.full(parts.shape, np.inf, dtype=np.float32)
    for k, part in enumerate(large):
        distance = cv2.distanceTransform(
            (parts != part).astype(np.uint8), cv2.DIST_L2, cv2.DIST_MASK_PRECISE
        )
        nearest[distance < shortest] = k
        np.minimum(shortest, distance, out=shortest)
    places = torch.from_numpy(nearest).to(mask.device)
    return [mask * (places == k) for k in range(len(large))]


def _find(name: str, available: Mapping[str, Tensor]) -> Tensor:
    if name in available:
        return available[name]
    base, _, number = name.partition(".")
    if number and base in available:
        objects = object_masks(available[base])
        if int(number) <= len(objects):
            return objects[int(number) - 1]
        one = "is one object" if len(objects) == 1 else f"are {len(objects)} objects"
        raise UserError(f"no {name}; there {one} of {base}, numbered from the largest")
    there = ", ".join(
        f"{other} {float(mask.mean()):.1%}" for other, mask in available.items() if mask.max() > 0
    )
    raise UserError(
        f"no {base} in this photograph; it shows: {there}. Give one of these a style, or "
        "lower segmenter.min_share to find smaller parts"
    )


def _changed(mask: Tensor, choice: RegionChoice | None) -> Tensor:
    if choice is None:
        return mask
    if choice.invert:
        mask = 1 - mask
    return grow(mask, choice.grow)


def grow(mask: Tensor, pixels: float) -> Tensor:
    """Move a mask's edge outwards by so many pixels, inwards if negative, keeping it soft.

    Args:
        mask: (1, 1, H, W) in [0, 1].
        pixels: rounded to whole ones.
    """
    radius = round(abs(pixels))
    if radius == 0:
        return mask
    disc = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * radius + 1, 2 * radius + 1))
    change = cv2.dilate if pixels > 0 else cv2.erode
    # The region goes on beyond the frame: eroding does not pull it away from the border.
    changed = change(mask[0, 0].cpu().numpy(), disc, borderType=cv2.BORDER_REPLICATE)
    return torch.from_numpy(np.asarray(changed, dtype=np.float32)).to(mask)[None, None]


def _require(name: str, strongest: float, mask: Tensor) -> None:
    """Refuse an empty mask of a region whose own largest value, uncovered, was ``strongest``."""
    if float(mask.max()) >= 0.5:
        return
    if name == REST:
        raise UserError("the other styles leave nothing for rest; leave out styles.rest")
    if strongest >= 0.5:
        raise UserError(f"the regions named after {name} cover all of it; name {name} later")
    raise UserError(f"region {name} holds no pixel of this photograph; draw it elsewhere")


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
