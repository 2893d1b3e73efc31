"""Own regions: label maps, mask files and shapes that stand beside the segmenter's classes."""

from collections.abc import Collection, Mapping

import cv2
import numpy as np
import torch
from torch import Tensor

from pipeline.errors import UserError
from pipeline.pictures.strips import strips
from pipeline.regions.label_map import LabelMap
from pipeline.regions.masks import find_region
from pipeline.regions.names import CLASSES
from pipeline.request import Prompt, RegionChoice, Seeds, Shape


def own_names(labels: LabelMap | None, choices: Mapping[str, RegionChoice]) -> list[str]:
    """The names that do not come from the segmenter."""
    of_labels = [] if labels is None else [name for names in labels.names for name in names]
    return [*of_labels, *(name for name, choice in choices.items() if choice.source is not None)]


def aliases(labels: LabelMap | None) -> set[str]:
    """The labels' second names, under which they need not be shown again."""
    return set() if labels is None else {name for names in labels.names for name in names[1:]}


def needs_classes(
    names: Collection[str],
    labels: LabelMap | None,
    choices: Mapping[str, RegionChoice],
    classes: Collection[str] = CLASSES,
) -> bool:
    """Whether the segmenter is to say where a region is, or what one of them stands for."""
    if any(isinstance(choice.source, Seeds) for choice in choices.values()):
        return True
    own = own_names(labels, choices)
    for name in names:
        if name in own:
            source = choices[name].source if name in choices else None
            base = source.partition(".")[0] if isinstance(source, str) else ""
        else:
            base = name.partition(".")[0]
        if base in classes and base not in own:
            return True
    return False


def label_masks(labels: LabelMap | None, content: Tensor) -> dict[str, Tensor]:
    """Each label's mask at the content's size, under all of its names."""
    if labels is None:
        return {}
    return {name: mask.to(content) for name, mask in labels.masks(*content.shape[2:]).items()}


def available_masks(
    classes: Mapping[str, Tensor],
    labels: LabelMap | None,
    choices: Mapping[str, RegionChoice],
    pictures: Mapping[str, Tensor],
    content: Tensor,
    original: tuple[int, int],
    hidden: Collection[str] = (),
) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    """Masks of all regions that were found or drawn; classes, labels and one's own.

    Args:
        classes: the masks of those that were found.
        labels: a label map of it.
        choices, pictures, content, original: as `own_masks`.
        hidden: classes that need not be shown, as others show the same.

    Returns:
        Name to (1, 1, H, W) in [0, 1], under all names; and under one name each.
    """
    found = dict(classes) | label_masks(labels, content)
    found |= own_masks(choices, found, pictures, content, original)
    again = aliases(labels) | ({*hidden} - {*own_names(labels, choices)})
    return found, {name: mask for name, mask in found.items() if name not in again}


def own_masks(
    choices: Mapping[str, RegionChoice],
    available: Mapping[str, Tensor],
    pictures: Mapping[str, Tensor],
    content: Tensor,
    original: tuple[int, int],
) -> dict[str, Tensor]:
    """Masks of the regions that have a source.

    Args:
        choices: the user's own regions.
        available: regions that a source may name: classes, their objects, labels.
        pictures: name of a region to its mask, (1, 1, H, W) in [0, 1], where that is a picture,
            a thing that was found or what a phrase says.
        content: (1, 3, H, W).
        original: width and height of the photograph in its file, for shapes in pixels.

    Returns:
        Name to (1, 1, H, W) in [0, 1].

    Raises:
        UserError: a source that the photograph does not show.
    """
    height, width = content.shape[2:]
    found: dict[str, Tensor] = {}
    for name, choice in choices.items():
        source = choice.source
        if source is None:
            continue
        if isinstance(source, Shape):
            mask = shape_mask(source, height, width, original)
        elif name in pictures or isinstance(source, Prompt):
            mask = pictures[name]
        elif isinstance(source, Seeds):
            raise UserError(f"regions.{name}={source}: nothing was found there")
        elif source in available or source.partition(".")[0] in available:
            mask = find_region(source, available)
        else:
            raise UserError(f"regions.{name}={source}: there is no {source} in this photograph")
        found[name] = mask.to(content)
    return found


# Drawn so many times larger and averaged, for edges that are not stairs.
_OVERSAMPLING = 4


def shape_mask(shape: Shape, height: int, width: int, original: tuple[int, int]) -> Tensor:
    """Draw a shape.

    Args:
        shape: what to draw.
        height, width: of the mask in pixels.
        original: width and height of the picture in its file, in which pixels are counted.

    Returns:
        (1, 1, H, W) in [0, 1]; a pixel that is half covered has one half.
    """
    x_scale, y_scale = float(width), float(height)
    radius_scale: float = min(width, height)
    if not shape.in_fractions:
        x_scale, y_scale = width / original[0], height / original[1]
        radius_scale = (x_scale + y_scale) / 2
    numbers = np.array(shape.numbers)
    if shape.kind == "circle":
        angles = np.linspace(0, 2 * np.pi, 720, endpoint=False)
        radius = numbers[2] * radius_scale
        points = numbers[:2] * (x_scale, y_scale) + radius * np.stack(
            [np.cos(angles), np.sin(angles)], axis=1
        )
    elif shape.kind == "box":
        left, top, right, bottom = numbers
        points = np.array([[left, top], [right, top], [right, bottom], [left, bottom]])
        points = points * (x_scale, y_scale)
    else:
        points = numbers.reshape(-1, 2) * (x_scale, y_scale)
    return torch.from_numpy(_fill(points, height, width))[None, None]


def _fill(points: np.ndarray, height: int, width: int) -> np.ndarray:
    """Share of each pixel inside the polygon, HW float32."""
    fine = points * _OVERSAMPLING - 0.5  # from corners to centres of the fine pixels
    filled = np.empty((height, width), dtype=np.float32)
    for strip in strips(height, width):
        size = strip.stop - strip.start
        shifted = fine - (0, strip.start * _OVERSAMPLING)
        large = _inside(shifted, size * _OVERSAMPLING, width * _OVERSAMPLING) * np.uint8(255)
        filled[strip] = cv2.resize(large, (width, size), interpolation=cv2.INTER_AREA)
    return filled / 255


def _inside(points: np.ndarray, height: int, width: int) -> np.ndarray:
    """1 where a pixel's centre is inside the polygon, by the even-odd rule, HW uint8."""
    # Along a row each edge that is crossed turns outside into inside, or back.
    crossed = np.zeros((height, width + 1), dtype=np.uint8)
    for (x, y), (next_x, next_y) in zip(points, np.roll(points, -1, axis=0), strict=True):
        first, last = np.clip(np.ceil(sorted((y, next_y))), 0, height).astype(int)
        rows = np.arange(first, last)
        if len(rows):
            columns = np.ceil(x + (rows - y) * (next_x - x) / (next_y - y))
            crossed[rows, np.clip(columns, 0, width).astype(int)] ^= 1
    return np.bitwise_xor.accumulate(crossed, axis=1)[:, :width]
