"""Mask: the parts of the photograph that a style can be given to."""

import logging
from collections.abc import Mapping, Sequence

import cv2
import numpy as np
import torch
from torch import Tensor

from pipeline.errors import UserError
from pipeline.regions.names import ALL, REST
from pipeline.regions.refine import most_probable
from pipeline.regions.segment import Segmentation
from pipeline.request import RegionChoice

log = logging.getLogger(__name__)

#: Pixels of which a mask holds less than one grey level are outside the region.
_NOTHING = 1 / 255
#: Parts under this share of a region are not objects of their own.
_SMALLEST_OBJECT = 0.02


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
    return segmentation.with_unions(masks)


def _sharpened(probabilities: Tensor) -> Tensor:
    step = ((probabilities - 0.35) / 0.3).clamp(0, 1)
    step = step * step * (3 - 2 * step)
    total = step.sum(1, keepdim=True)
    # Where no class reaches 0.35 the most probable one has the pixel.
    best = most_probable(probabilities)[:, None]
    winner = torch.zeros_like(probabilities).scatter_(1, best, 1.0)
    sharp = torch.where(total > 1e-6, step / total.clamp_min(1e-6), winner)
    return sharp.where(sharp >= _NOTHING, 0)


def region_masks(
    names: Sequence[str],
    available: Mapping[str, Tensor],
    content: Tensor,
    choices: Mapping[str, RegionChoice] | None = None,
    unions: Mapping[str, Sequence[str]] | None = None,
) -> dict[str, Tensor]:
    """Soft masks of the named regions; where they overlap the later name lies on top.

    A whole lies under its parts, whichever comes first: a class under its objects, and a union.

    Args:
        names: the regions wanted: keys of ``available``, one object of it (``person.1``, numbered
            from the largest), ``all`` (the whole picture, under the others), ``rest`` (what no
            other name covers).
        available: region to (1, 1, H, W) in [0, 1].
        content: (1, 3, H, W), the photograph.
        choices: what to change about a region (`RegionChoice.invert` and ``grow``).
        unions: name to the regions that it stands for, which lie over it in any order.

    Returns:
        Name to (1, 1, H, W) in [0, 1], in the order of ``names``; they add up to at most 1.

    Raises:
        UserError: a region that this photograph does not have, or that nothing is left of.
    """
    taken = torch.zeros_like(content[:, :1])
    masks: dict[str, Tensor] = {}
    # From the top: later names first, then the whole picture, then what is left.
    ordered = _parts_last([n for n in names if n not in (ALL, REST)], unions or {})
    for name in (*reversed(ordered), ALL, REST):
        if name not in names:
            continue
        mask, strongest = 1 - taken, 1.0
        if name not in (ALL, REST):
            own = _changed(find_region(name, available), (choices or {}).get(name))
            strongest = float(own.max())
            for part in _parts_of(name, names, unions or {}):
                own = own - masks.get(part, 0)
            mask = torch.minimum(own.clamp_min(0), mask)
        masks[name] = mask.masked_fill_(mask < _NOTHING, 0)
        taken.add_(mask).clamp_(0, 1)
        _require(name, strongest, mask)
    return {name: masks[name] for name in names}


def _parts_of(name: str, names: Sequence[str], unions: Mapping[str, Sequence[str]]) -> list[str]:
    """Which of the names, or whose objects, a union stands for; and a class's objects."""
    within = {*unions.get(name, ())} - {name}
    within |= {other for other, parts in unions.items() if {*parts} < {*unions.get(name, ())}}
    own = f"{name}."
    return [n for n in names if n.startswith(own) or n.partition(".")[0] in within]


def _parts_last(names: Sequence[str], unions: Mapping[str, Sequence[str]]) -> list[str]:
    """The names with each class and union before its parts; else in their order."""
    ordered = [*names]
    # The largest last, so that it comes before those that lie in it.
    for whole in sorted(names, key=lambda name: len(unions.get(name, ()))):
        places = [ordered.index(part) for part in _parts_of(whole, names, unions)]
        if places and min(places) < ordered.index(whole):
            ordered.remove(whole)
            ordered.insert(min(places), whole)
    return ordered


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


def find_region(name: str, available: Mapping[str, Tensor]) -> Tensor:
    """A region's mask, (1, 1, H, W), or one of its objects' (``person.1``).

    Args:
        name: of the region.
        available: those that there are.

    Raises:
        UserError: there is no such region, or not so many objects of it.
    """
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
