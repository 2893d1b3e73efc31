"""Inputs: every file of a run, opened and checked before anything else is loaded."""

import dataclasses
import math
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TypeVar

from PIL import Image
from torch import Tensor

from pipeline.errors import UserError
from pipeline.paths import exists, located
from pipeline.pictures import read
from pipeline.pictures.read import InMemory, Photograph
from pipeline.pictures.resize import resize
from pipeline.regions.custom import own_names
from pipeline.regions.label_map import LabelMap, label_maps, label_picture, mask_of_size
from pipeline.regions.names import CLASSES, check_names
from pipeline.request import Request, StyleChoice
from pipeline.styles import StylePicture

Value = TypeVar("Value")
# Styles are read at this long side or the photograph's, the larger one: how large each is to be
# depends on the region that it paints, and a small one is painted enlarged.
_STYLE_SIZE = 1024


@dataclass(frozen=True)
class Inputs:
    """What was read, on the CPU.

    Attributes:
        photograph: to be repainted.
        styles: region to its style pictures.
        reference: whose regions style the same regions of the content.
        label_map: of the content.
        masks: name of a region of one's own to its mask, (1, 1, H, W) in [0, 1], where it is a
            picture (or, once that is known, a thing that was found or what a phrase says).
        init: (1, 3, h, w) in [0, 1], where the optimisation starts.
        reference_labels: label map of the reference.
        classes: the names of what the segmenter finds.

    The photograph and the masks are of one size.
    """

    photograph: Photograph
    styles: Mapping[str, Sequence[StylePicture]]
    reference: Tensor | None
    label_map: LabelMap | None
    masks: Mapping[str, Tensor]
    init: Tensor | None
    reference_labels: LabelMap | None = None
    classes: Collection[str] = CLASSES

    def shrunk(self, size: int) -> "Inputs":
        """The same with the photograph's long side, and the masks', bounded to ``size`` pixels."""
        photograph = self.photograph.shrunk(size)
        sides = photograph.picture.shape[2:]
        masks = {name: resize(mask, sides) for name, mask in self.masks.items()}
        return dataclasses.replace(self, photograph=photograph, masks=masks)

    def with_masks(self, masks: Mapping[str, Tensor]) -> "Inputs":
        """The same with more masks, or others."""
        return dataclasses.replace(self, masks={**self.masks, **masks})


def read_inputs(
    request: Request,
    size: int | None,
    folder: Path,
    in_memory: InMemory | None = None,
    classes: Collection[str] = CLASSES,
) -> Inputs:
    """Open every file that a run is to read.

    Args:
        request: what was asked for.
        size: bound of the photograph's long side in pixels; None: no bound.
        folder: where relative paths begin.
        in_memory: pictures in memory, by the names that stand for their paths.
        classes: the names of what the segmenter finds.

    Raises:
        UserError: all that is wrong, in one line.
    """
    problems: list[str] = []

    def attempt(open_file: Callable[[], Value]) -> Value | None:
        try:
            return open_file()
        except UserError as error:
            problems.append(str(error))
            return None

    photograph = attempt(partial(read.content_picture, request.content, size, folder, in_memory))
    # Where the photograph cannot be read, any size does.
    height, width = (_STYLE_SIZE,) * 2 if photograph is None else photograph.picture.shape[2:]
    longest = max(height, width, _STYLE_SIZE)

    def picture(what: str, source: str, choice: StyleChoice | None = None) -> Tensor | None:
        scale, crop = (1.0, None) if choice is None else (choice.scale, choice.crop)
        # Pixels that a larger scale shows are kept.
        bound = math.ceil(longest * max(1.0, scale))
        return attempt(
            lambda: read.style_picture(source, bound, folder, in_memory, crop=crop, what=what)
        )

    opened = [
        None if file is None else attempt(partial(_labels, file, folder, in_memory))
        for file in (request.label_map, request.reference_labels)
    ]
    label_map, reference_labels = label_maps(*opened)
    _check_names(request, label_map, classes, attempt)
    styles: dict[str, list[StylePicture]] = {region: [] for region in request.styles}
    for region, choices in request.styles.items():
        for choice in choices:
            found = picture("style", choice.image, choice)
            mask = None
            if choice.mask is not None:
                mask = attempt(partial(_style_mask, choice, folder, in_memory))
            if found is not None:
                style = StylePicture(choice, found)
                styles[region].append(style if mask is None else style.within(mask))
    reference = None if request.reference is None else picture("reference", request.reference)
    init = None if request.init is None else picture("init", request.init)
    masks = {
        name: attempt(partial(_mask, source, height, width, folder, in_memory))
        for name, source in _mask_files(request, label_map, classes).items()
    }
    for key, file in request.weights.items():
        if not exists(path := located(file, folder)) or not path.is_file():
            problems.append(
                f"weights file {path} not found; give the path of a .safetensors or .pth "
                f"with {key}=FILE"
            )
    if problems or photograph is None:
        raise UserError("; ".join(dict.fromkeys(problems)))
    read_masks = {name: mask for name, mask in masks.items() if mask is not None}
    return Inputs(
        photograph, styles, reference, label_map, read_masks, init, reference_labels, classes
    )


def _labels(source: str, folder: Path, in_memory: InMemory | None) -> Image.Image:
    picture = read.open_labels(source, folder, in_memory)
    try:
        return label_picture(picture)
    except ValueError as error:
        raise _unusable("label map", source, error) from None


def _mask(source: str, height: int, width: int, folder: Path, in_memory: InMemory | None) -> Tensor:
    picture = read.open_labels(source, folder, in_memory)
    try:
        return mask_of_size(picture, height, width)
    except ValueError as error:
        raise _unusable("mask", source, error) from None


def _unusable(what: str, source: str, error: ValueError) -> UserError:
    return UserError(f"{source} cannot be used as a {what}: {error}; save it anew as an 8-bit PNG")


def _style_mask(choice: StyleChoice, folder: Path, in_memory: InMemory | None) -> Tensor:
    """The mask of a style picture at its own size, cut as the picture is.

    Returns:
        (1, 1, h, w) in [0, 1].

    Raises:
        UserError: it cannot be read, or nothing of it is left.
    """
    source = str(choice.mask)
    size = read.open_style(choice.image, folder, in_memory).size
    mask = _mask(source, size[1], size[0], folder, in_memory)
    if choice.crop is not None:
        left, top, right, bottom = read.pixel_box(choice.crop, size, choice.image)
        mask = mask[..., top:bottom, left:right]
    if float(mask.max()) < 0.5:
        where = "" if choice.crop is None else " inside the crop"
        raise UserError(f"mask {source}: nothing of {choice.image} is white{where}; white is used")
    return mask


def _check_names(
    request: Request,
    label_map: LabelMap | None,
    classes: Collection[str],
    attempt: Callable[[Callable[[], None]], None],
) -> None:
    if request.label_map is not None and label_map is None:
        return  # Which names there are is not known.
    own = own_names(label_map, request.regions)
    attempt(lambda: check_names([*request.styles, *request.regions], own, classes))
    inside = [
        choice.region
        for choices in request.styles.values()
        for choice in choices
        if choice.region is not None
    ]
    attempt(lambda: check_names(inside, classes=classes))


def _mask_files(
    request: Request, label_map: LabelMap | None, classes: Collection[str]
) -> dict[str, str]:
    """The regions of one's own whose source is a file, with its name."""
    labels = own_names(label_map, {})
    return {
        name: choice.source
        for name, choice in request.regions.items()
        if isinstance(choice.source, str)
        and choice.source not in labels
        and choice.source.partition(".")[0] not in classes
    }
