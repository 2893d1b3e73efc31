"""Overlay: the photograph with its regions tinted, outlined and named."""

from collections.abc import Mapping

import numpy as np
import numpy.typing as npt
import torch.nn.functional as F
from PIL import Image, ImageDraw, ImageFont
from torch import Tensor

from pipeline.pictures.read import tensor_to_array
from pipeline.pictures.resize import fitted_size
from pipeline.regions.label_map import voc_palette
from pipeline.regions.names import CLASSES

#: Long side in pixels of ``regions.png`` and of each panel of ``overview.png``, at most.
LARGEST_SHOWN = 2048


_OVERLAY = 0.5


def draw_overlay(content: Tensor, masks: Mapping[str, Tensor]) -> Image.Image:
    """The photograph with its regions tinted, outlined and named, at most `LARGEST_SHOWN` long.

    Args:
        content: (1, 3, H, W) in [0, 1].
        masks: region to (1, 1, H, W) in [0, 1]; later ones lie on top, ``background`` is not
            tinted.
    """
    content = _small(content)
    masks = {name: _small(mask) for name, mask in masks.items()}
    numbers = np.full(tuple(content.shape[2:]), -1)
    for k, mask in enumerate(masks.values()):
        numbers[(mask[0, 0] >= 0.5).cpu().numpy()] = k
    names = [*masks]
    photograph = tensor_to_array(content).astype(np.float32)
    palette = voc_palette().astype(np.float32)
    colours = np.stack([palette[_colour_number(name, k)] for k, name in enumerate(names)])
    tinted = np.array([name != "background" for name in names])
    share = np.where((numbers >= 0) & tinted[numbers], _OVERLAY, 0.0)[..., None]
    edge = np.zeros(numbers.shape, dtype=bool)
    edge[1:] |= numbers[1:] != numbers[:-1]
    edge[:, 1:] |= numbers[:, 1:] != numbers[:, :-1]
    mixed = photograph * (1 - share) + colours[numbers] * share
    mixed[edge] = 255
    picture = Image.fromarray(mixed.round().astype(np.uint8))
    draw = ImageDraw.Draw(picture)
    size = max(11, round(min(picture.size) / 24))
    for number in np.unique(numbers[numbers >= 0]):
        x, y = _anchor(numbers == number)
        name = f"{names[number]} {(numbers == number).mean():.0%}"
        _label(draw, name, x, y, size, picture.size)
    return picture


def _small(picture: Tensor) -> Tensor:
    """A picture or mask at a long side of at most `LARGEST_SHOWN` pixels."""
    size = fitted_size(picture.shape[2:], LARGEST_SHOWN)
    if size == tuple(picture.shape[2:]):
        return picture
    return F.interpolate(picture, size, mode="bilinear", antialias=True)


def _small_image(picture: Tensor) -> Image.Image:
    return Image.fromarray(tensor_to_array(_small(picture)))


def _colour_number(name: str, place: int) -> int:
    """A class has its colour in VOC's palette; other regions have those that come after.

    Of more regions than colours the last ones have the first ones' again.
    """
    others = 256 - len(CLASSES)
    return CLASSES.index(name) if name in CLASSES else len(CLASSES) + place % others


def _anchor(inside: npt.NDArray[np.bool_]) -> tuple[int, int]:
    """The point of a region farthest from its border, (x, y)."""
    import cv2

    padded = np.pad(inside.astype(np.uint8), 1)
    distance = cv2.distanceTransform(padded, cv2.DIST_L2, 3)
    row, column = np.unravel_index(int(distance.argmax()), distance.shape)
    return int(column) - 1, int(row) - 1


def _label(
    draw: ImageDraw.ImageDraw, name: str, x: int, y: int, size: int, picture: tuple[int, int]
) -> None:
    font = ImageFont.load_default(size)
    left, top, right, bottom = draw.textbbox((0, 0), name, font=font)
    width, height = right - left, bottom - top
    x = round(min(max(x - width / 2, 4), max(4, picture[0] - width - 4)))
    y = round(min(max(y - height / 2, 4), max(4, picture[1] - height - 4)))
    box = (x - 4, y - 3, x + width + 4, y + height + 3)
    draw.rounded_rectangle(box, radius=4, fill=(0, 0, 0))
    draw.text((x - left, y - top), name, font=font, fill=(255, 255, 255))
