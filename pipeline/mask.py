"""From what was found in the photograph to the mask of each region: the stage between two others.

segment -> **mask** -> stylize
"""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from torch import Tensor

from pipeline.fit import Room, fitted
from pipeline.inputs import Inputs
from pipeline.regions import custom
from pipeline.regions.masks import region_masks
from pipeline.regions.matte import class_outlines
from pipeline.regions.prompted import prompt_masks, prompt_outlines
from pipeline.regions.segment import Segmentation
from pipeline.regions.snap import Finder, snapped_masks
from pipeline.request import RegionChoice, Request


class Masked(NamedTuple):
    """The photograph at the size at which it is painted, and its masks, (1, 1, H, W) in [0, 1].

    Attributes:
        inputs: as they were read, but at that size, with the masks of things pointed at or named.
        content: the photograph, (1, 3, H, W) in [0, 1], on the device.
        shown: the masks of all regions that there are, to be listed and drawn.
        wanted: those of the regions that have a style.
        mixed: where a pixel shows several classes; None: no classes, or no mattes.
    """

    inputs: Inputs
    content: Tensor
    shown: dict[str, Tensor]
    wanted: dict[str, Tensor]
    mixed: Tensor | None


def mask(
    asked: Request,
    inputs: Inputs,
    content: Tensor,
    segmentation: Segmentation | None,
    prompted: Mapping[str, Segmentation],
    styled: Sequence[str],
    room: Room | None,
    matte: bool,
    find: Finder | None = None,
) -> Masked:
    """Outline classes, things and own regions, choose the size to paint at, and pick what is asked.

    Args:
        asked: of the run.
        inputs: as they were read.
        content: the photograph, (1, 3, H, W) in [0, 1], on the device.
        segmentation: of the photograph; None where no class is needed.
        prompted: what was found for phrases, by the names of their regions.
        styled: names of the regions that have a style.
        room: how large the painted parts may be; as `fit.fitted`.
        matte: whether outlines are mattes.
        find: finds the things at points; as `snap.snapped_masks`.

    Raises:
        UserError: a region is not in the photograph, or its mask is empty.
    """
    original = inputs.photograph.original
    things = snapped_masks(asked.regions, segmentation, content, original, matte, find)
    inputs = inputs.with_masks(things | prompt_masks(prompted, content))
    inputs = fitted(inputs, segmentation, styled, asked.regions, content, room)
    content = inputs.photograph.picture.to(content.device)
    things = {name: inputs.masks[name].to(content.device) for name in things}
    named = _classes_named(styled, asked.regions, segmentation) if styled else None
    classes, mixed = class_outlines(segmentation, content, matte, things, named)
    outlined, mixed = prompt_outlines(prompted, content, matte, mixed)
    drawn, hidden = {**inputs.masks, **outlined}, segmentation.hidden if segmentation else ()
    unions = segmentation.unions if segmentation else {}
    available, shown = custom.available_masks(
        classes, inputs.label_map, asked.regions, drawn, content, original, hidden
    )
    wanted = region_masks(styled, available, content, asked.regions, unions)
    return Masked(inputs, content, shown, wanted, mixed)


def _classes_named(
    styled: Sequence[str], choices: Mapping[str, RegionChoice], segmentation: Segmentation | None
) -> set[str]:
    """The classes that styles and own regions name, by themselves, an object, or a union."""
    unions = {} if segmentation is None else segmentation.unions
    sources = (choice.source for choice in choices.values())
    named = {name.partition(".")[0] for name in [*styled, *sources] if isinstance(name, str)}
    return {part for name in named for part in unions.get(name, (name,))}
