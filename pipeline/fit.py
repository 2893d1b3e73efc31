"""Fit: the size at which a photograph is repainted, by what its regions need."""

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from torch import Tensor

from pipeline.errors import UserError
from pipeline.inputs import Inputs
from pipeline.pictures.boxes import surroundings
from pipeline.pictures.resize import fitted_size, resize
from pipeline.pictures.size import Part, chosen_size, union
from pipeline.regions.custom import available_masks
from pipeline.regions.masks import class_masks, region_masks
from pipeline.regions.segment import Segmentation
from pipeline.request import RegionChoice

# Long side in pixels at which regions are looked for; their boxes need not be exact.
_LOOKING_SIZE = 384


@dataclass(frozen=True)
class Room:
    """How much of a photograph may be painted, and how a method does it.

    Attributes:
        budget: pixels to be painted.
        margin: pixels of surroundings that are painted with a region.
        together: whether all regions are painted in one box, not each in its own.
        whole: whether the whole frame is painted, whatever the regions.
    """

    budget: int
    margin: int
    together: bool
    whole: bool


def fitted(
    inputs: Inputs,
    segmentation: Segmentation | None,
    names: Sequence[str],
    choices: Mapping[str, RegionChoice],
    content: Tensor,
    room: Room | None,
) -> Inputs:
    """The photograph and its masks at the size at which what is to be painted has room.

    Args:
        inputs, segmentation, choices: of the run.
        names: of the regions to be painted; none needs no room.
        content: (1, 3, H, W), the photograph as it was read.
        room: None: the size stays.

    Raises:
        UserError: as `available_masks` and `region_masks`.
    """
    height, width = content.shape[2:]
    if room is None:
        return inputs.shrunk(max(height, width))
    parts = []
    if names and room.whole:
        parts = [Part(0, 0, 1, 1)]
    elif names:
        small = resize(content, fitted_size(content.shape[2:], _LOOKING_SIZE))
        try:
            parts = _parts(inputs, segmentation, names, choices, small, room.margin)
        except UserError:
            # A region may be too small to be seen at that size.
            parts = _parts(inputs, segmentation, names, choices, content, room.margin)
        parts = [union(parts)] if room.together else parts
    return inputs.shrunk(chosen_size(height, width, parts, room.budget))


def _parts(
    inputs: Inputs,
    segmentation: Segmentation | None,
    names: Sequence[str],
    choices: Mapping[str, RegionChoice],
    content: Tensor,
    margin: int,
) -> list[Part]:
    """The boxes of the regions, found on a picture of any size."""
    size = content.shape[2], content.shape[3]
    pictures = {name: resize(mask, size) for name, mask in inputs.masks.items()}
    # What a region grows by is counted in pixels of the result, as the margin is.
    grown = {name: choice.grow for name, choice in choices.items()}
    as_found = {name: dataclasses.replace(choice, grow=0) for name, choice in choices.items()}
    classes = {} if segmentation is None else class_masks(segmentation, content)
    available, _ = available_masks(
        classes,
        inputs.label_map,
        as_found,
        pictures,
        content,
        inputs.photograph.original,
    )
    unions = None if segmentation is None else segmentation.unions
    wanted = region_masks(names, available, content, as_found, unions)
    return [
        Part.of(surroundings(mask, 0, smallest=1), *size, margin + grown.get(name, 0))
        for name, mask in wanted.items()
    ]
