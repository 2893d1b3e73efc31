"""Closer: a second look at small objects, each in a picture of its own.

A network that sees the photograph at 320 pixels has 40 of them for a man who covers a hundredth of
it. What it holds for an object, if only half of it, is cut out with its surroundings, enlarged and
seen again; where that makes its class more probable, what is found of it then is added. Nothing
else is taken from the second look: without the rest of the photograph scenes are mistaken, and so
is what something is.
"""

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass

import cv2
import numpy as np
import torch
from torch import Tensor

from pipeline.regions.refine import with_class

#: What a network makes of a picture seen at some long sides: (1, 3, H, W) to (1, K, H, W).
See = Callable[[Tensor, Sequence[int]], Tensor]

#: Probability of being any object from which on a pixel is part of one.
_POSSIBLE = 0.4
#: Mean probability from which on its class is believed. A person is with less: what the networks
#: know best, and what is there most often.
_SURE = 0.5
#: Share of the picture under which an object is a speck.
_LEAST = 0.002
#: Share of the picture from which on a class has its figure: what looks like a second, small one
#: is more often a flag or a chair beside it.
_MAIN = 0.2
#: Surroundings on each side, as a share of the object's longer side.
_MARGIN = 0.5
#: Share of the picture's long side over which a cut would show little more than the whole does.
_LARGEST = 0.6
#: How many times as large a cut is made at most.
_ENLARGEMENT = 2
#: The second look's part in the mean of both.
_WEIGHT = 0.7
#: Share of a cut's long side over which its part fades in from a border within the picture.
_FADE = 0.15


@dataclass(frozen=True)
class Cut:
    """An object with its surroundings.

    Attributes:
        rows, columns: of the picture.
        number: the object's class.
        inside: (rows, columns), where it may be.
    """

    rows: slice
    columns: slice
    number: int
    inside: Tensor


def look_closer(
    picture: Tensor,
    probabilities: Tensor,
    see: See,
    sizes: Sequence[int],
    objects: Sequence[str],
    under: Collection[str],
    most: int,
) -> tuple[Tensor, set[int]]:
    """The probabilities after a second look at the largest of the small objects.

    Args:
        picture: (1, 3, H, W) in [0, 1].
        probabilities: (1, K, H, W), of which those of objects add up to 1.
        see: gives such probabilities of a part of the picture.
        sizes: long sides in pixels at which a part is seen.
        objects: the names of the first classes.
        under: those of them that are no objects, such as the background, and a sky.
        most: how many objects are looked at.

    Returns:
        Them, and the numbers of the classes of which something was found.
    """
    height, width = picture.shape[2:]
    count = len(objects)
    small = cuts(probabilities[:, :count], objects, under, most)
    found = set[int]()
    if small:
        probabilities = probabilities.clone()
    for cut in small:
        here = ..., cut.rows, cut.columns
        part = picture[here]
        longest = max(part.shape[2:])
        near = see(part, [min(size, _ENLARGEMENT * longest) for size in sizes])
        chosen = slice(cut.number, cut.number + 1)
        before = probabilities[here][:, :count]
        own = before[:, chosen]
        if near[0, cut.number][cut.inside].mean() <= own[0, 0][cut.inside].mean():
            continue
        found.add(cut.number)
        down, across = (
            _fading(side, length, round(_FADE * longest)).to(near)
            for side, length in ((cut.rows, height), (cut.columns, width))
        )
        window = _WEIGHT * down[:, None] * across
        # What it misses was seen with all of the picture around it, which it lacks.
        after = own + window * (near[:, chosen] - own).clamp_min(0)
        probabilities[here][:, :count] = with_class(before, cut.number, after)
    return probabilities, found


def cuts(objects: Tensor, names: Sequence[str], under: Collection[str], most: int) -> list[Cut]:
    """The largest objects of which a cut shows more than the whole picture does.

    Args:
        objects: (1, K, H, W).
        names: of the K classes.
        under: as `look_closer`.
        most: how many.
    """
    height, width = objects.shape[2:]
    numbers = [number for number, name in enumerate(names) if name not in under]
    things = objects[0, numbers]
    possible = (things.sum(0) > _POSSIBLE).cpu().numpy().astype(np.uint8)
    count, parts, statistics, _ = cv2.connectedComponentsWithStats(possible, connectivity=8)
    areas = statistics[:, cv2.CC_STAT_AREA]
    main = (things > 0.5).float().mean((1, 2)) >= _MAIN
    found: list[Cut] = []
    for part in sorted(range(1, count), key=lambda number: -int(areas[number])):
        if areas[part] < _LEAST * possible.size or len(found) == most:
            break
        left, top, wide, tall = (int(n) for n in statistics[part, : cv2.CC_STAT_AREA])
        reach = (1 + 2 * _MARGIN) * max(wide, tall) / 2
        rows, columns = (
            slice(max(0, int(middle - reach)), min(length, int(np.ceil(middle + reach))))
            for middle, length in ((top + tall / 2, height), (left + wide / 2, width))
        )
        longest = max(rows.stop - rows.start, columns.stop - columns.start)
        if longest <= _LARGEST * max(height, width):
            inside = torch.from_numpy(parts == part).to(things.device)
            share, place = things[:, inside].mean(1).max(0)
            number = numbers[int(place)]
            if (names[number] == "person" or share > _SURE) and not main[place]:
                found.append(Cut(rows, columns, number, inside[rows, columns]))
    return found


def _fading(side: slice, length: int, edge: int) -> Tensor:
    """1 but for ramps up from the ends that are not the picture's own; (side's length,)."""
    count = side.stop - side.start
    numbers = torch.arange(count) + 0.5
    from_start = numbers if side.start > 0 else torch.full_like(numbers, torch.inf)
    from_stop = numbers.flip(0) if side.stop < length else torch.full_like(numbers, torch.inf)
    return (torch.minimum(from_start, from_stop) / max(1, edge)).clamp_max(1)
