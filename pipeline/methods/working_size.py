"""Working size: small regions are painted enlarged, whatever the method.

The deep layers of an encoder have a sixteenth of a picture's sides, and fewer at the coarser
levels of a pyramid: of a small region they see a handful of units, which say nothing about a
style. So such a region is painted by itself, in a crop that is enlarged, and brought back.
"""

import dataclasses
import functools
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TypeVar

import torch
from torch import Tensor

from pipeline.engine.engine import Engine
from pipeline.engine.progress import LossRow, Progress
from pipeline.methods import Method, Region, Scene, Stylized
from pipeline.pictures.boxes import MULTIPLE, Box, surroundings
from pipeline.pictures.resize import resample, resize

Value = TypeVar("Value")

#: Regions of fewer pixels are enlarged: a figure of so many fills a box of about 224 a side.
AREA = 160**2
#: How many times larger than it is a region is painted at most; more would only be a blur.
MOST = 4.0
# Of the enlarged box, in pixels: a long thin region has a large one.
_LARGEST_BOX = 512**2
# A smaller factor is not worth a painting of its own.
_LEAST = 1.2
# Pixels of the crop besides the margin, which rounding may need.
_SPARE = 8


def enlargement(mask: Tensor) -> float:
    """How many times larger than it is a region is painted.

    Args:
        mask: (1, 1, H, W) in [0, 1], positive somewhere.

    Returns:
        1 for a region that is large enough as it is, else up to `MOST`.
    """
    box = surroundings(mask, 0, smallest=1)
    factor = min(
        MOST,
        math.sqrt(AREA / max(1.0, float(mask.sum()))),
        math.sqrt(_LARGEST_BOX / box.area),
    )
    return factor if factor >= _LEAST else 1.0


@dataclass(frozen=True)
class Enlarged:
    """A crop of a picture at another size.

    Attributes:
        box: the crop.
        size: its rows and columns at the other size.
    """

    box: Box
    size: tuple[int, int]

    @classmethod
    def of(cls, region: Region, margin: int) -> "Enlarged":
        """A region with ``margin`` pixels of surroundings, enlarged as it asks for."""
        factor = region.enlargement
        box = surroundings(region.mask, math.ceil(margin / factor) + _SPARE, multiple=MULTIPLE)
        return cls(box, (round(box.height * factor), round(box.width * factor)))

    def cut(self, picture: Tensor) -> Tensor:
        """The crop of (1, C, H, W), enlarged."""
        return resize(self.box.cut(picture), self.size)

    def put(self, part: Tensor, picture: Tensor) -> Tensor:
        """A copy of ``picture`` with an enlarged crop brought back."""
        return self.box.put(resample(part, (self.box.height, self.box.width)), picture)


def enlarged_region(region: Region, margin: int) -> tuple[Enlarged, Region]:
    """The crop that a region is painted in, and the region there."""
    crop = Enlarged.of(region, margin)
    feather = region.feather * region.enlargement
    return crop, dataclasses.replace(
        region, mask=crop.cut(region.mask), feather=feather, enlargement=1.0
    )


def at_working_size(
    scene: Scene, engine: Engine, progress: Progress, *, method: Method, margin: int
) -> Stylized:
    """Paint small regions one by one, enlarged, and the others together; see `methods.Method`.

    Args:
        scene, engine, progress: as `methods.Method`.
        method: paints.
        margin: pixels of surroundings that it paints with a region.
    """
    large = [region for region in scene.regions if region.enlargement <= 1]
    small = [region for region in scene.regions if region.enlargement > 1]
    if not small:
        return method(scene, engine, progress)
    found = [method(dataclasses.replace(scene, regions=large), engine, progress)] if large else []
    # What a method shows besides, such as stitch's canvas, is of all regions.
    extra = dict(found[0].extra) if found else {}
    for region in small:
        crop, alone = enlarged_region(region, margin)
        start = None if scene.start is None else crop.cut(scene.start)
        part = Scene(crop.cut(scene.content), [alone], start, viewer=scene.viewer_of(crop.put))
        done = method(part, engine, functools.partial(_advance, progress, region.name))
        found.append(_brought_back(done, region.name, crop, scene.content))
        extra = _joined(extra, done.extra, crop, region.mask, scene.content)
    pictures = _merged([done.pictures for done in found])
    return Stylized(
        {region.name: pictures[region.name] for region in scene.regions},
        [row for done in found for row in done.curve],
        _merged([done.seconds for done in found]),
        {
            number: _merged([done.snapshots.get(number, {}) for done in found])
            for number in sorted({number for done in found for number in done.snapshots})
        },
        extra,
        "; ".join(done.stopped for done in found if done.stopped),
    )


def _advance(progress: Progress, stage: str, row: LossRow) -> None:
    progress(dataclasses.replace(row, stage=stage))


def _brought_back(done: Stylized, stage: str, crop: Enlarged, content: Tensor) -> Stylized:
    def whole(pictures: dict[str, Tensor]) -> dict[str, Tensor]:
        return {name: crop.put(picture, content) for name, picture in pictures.items()}

    return Stylized(
        whole(done.pictures),
        [dataclasses.replace(row, stage=stage) for row in done.curve],
        done.seconds,
        {number: whole(pictures) for number, pictures in done.snapshots.items()},
        stopped=done.stopped,
    )


def _joined(
    before: dict[str, Tensor],
    more: dict[str, Tensor],
    crop: Enlarged,
    mask: Tensor,
    content: Tensor,
) -> dict[str, Tensor]:
    """What a method shows of some regions and of one more; of fewer styles, the last again."""
    if not more:
        return before
    before = before or dict.fromkeys(more, content)
    last, last_part = [*before.values()][-1], [*more.values()][-1]
    return {
        name: torch.lerp(before.get(name, last), crop.put(more.get(name, last_part), content), mask)
        for name in {**before, **more}
    }


def _merged(parts: Sequence[Mapping[str, Value]]) -> dict[str, Value]:
    return {name: value for part in parts for name, value in part.items()}
