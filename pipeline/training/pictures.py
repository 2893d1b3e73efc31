"""Photographs and label maps for training, held in memory."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt

from pipeline.errors import UserError

Array = npt.NDArray[np.uint8]
#: In label maps: nobody knows what the pixel shows.
UNCERTAIN = 255
_SUFFIXES = {".jpg", ".jpeg", ".png"}


@dataclass(frozen=True)
class Example:
    """One photograph and what is known of its pixels.

    Attributes:
        name: without its suffix.
        picture: HWC uint8 RGB.
        labels: HW uint8, VOC's classes, 255 for uncertain.
        scenes: HW uint8, 0 for none and the scene classes from 1, 255 for uncertain.
    """

    name: str
    picture: Array
    labels: Array
    scenes: Array


def list_pictures(folders: Sequence[str]) -> list[Path]:
    """The pictures in the folders, sorted by name within each.

    Raises:
        UserError: a folder is missing or holds none.
    """
    found: list[Path] = []
    for folder in folders:
        here = sorted(p for p in Path(folder).glob("*") if p.suffix.lower() in _SUFFIXES)
        if not here:
            raise UserError(f"no pictures in {folder}; name a folder of .jpg or .png files")
        found += here
    return found


def read_rgb(path: Path) -> Array:
    """A picture as HWC uint8 RGB.

    Raises:
        UserError: it cannot be read.
    """
    picture = cv2.imread(str(path), cv2.IMREAD_COLOR)
    if picture is None:
        raise UserError(f"{path} cannot be read as a picture; remove or replace it")
    return np.ascontiguousarray(picture[..., ::-1])


def read_labels(path: Path) -> Array:
    """A label map as HW uint8, class numbers and 255 for uncertain.

    Raises:
        UserError: it cannot be read.
    """
    labels = cv2.imread(str(path), cv2.IMREAD_GRAYSCALE)
    if labels is None:
        raise UserError(f"label map {path} is missing or cannot be read")
    return np.asarray(labels, dtype=np.uint8)


def random_square(picture: Array, length: int, side: int, rng: np.random.Generator) -> Array:
    """A square part of a picture, mirrored every second time.

    Args:
        picture: HWC uint8 RGB.
        length: of its sides in the picture, in pixels; at most the shorter side.
        side: of what is returned.
        rng: source of chance.

    Returns:
        (side, side, 3) uint8.
    """
    top = rng.integers(picture.shape[0] - length + 1)
    left = rng.integers(picture.shape[1] - length + 1)
    crop = _resized_square(picture[top : top + length, left : left + length], side)
    return crop[:, ::-1] if rng.random() < 0.5 else crop


def random_crop(
    pool: Sequence[Array], side: int, smallest: float, rng: np.random.Generator
) -> Array:
    """A square part of one of several pictures; small and large parts are equally likely.

    Args:
        pool: HWC uint8 RGB pictures.
        side: of what is returned, in pixels; the part has as many, where the picture does.
        smallest: share of the picture's shorter side that the part has at least.
        rng: source of chance.

    Returns:
        (side, side, 3) uint8.
    """
    picture = pool[int(rng.integers(len(pool)))]
    longest = min(picture.shape[:2])
    least = min(longest, max(side, round(smallest * longest)))
    length = round(np.exp(rng.uniform(np.log(least), np.log(longest))))
    return random_square(picture, length, side, rng)


def middle_square(picture: Array, side: int) -> Array:
    """(side, side, 3) uint8, the largest square in the middle of a HWC uint8 picture."""
    length = min(picture.shape[:2])
    top, left = ((size - length) // 2 for size in picture.shape[:2])
    return _resized_square(picture[top : top + length, left : left + length], side)


def _resized_square(square: Array, side: int) -> Array:
    """(side, side, 3) uint8 of a square HWC uint8 picture of any size."""
    return np.asarray(cv2.resize(square, (side, side), interpolation=cv2.INTER_AREA), np.uint8)


def jitter_colour(picture: Array, rng: np.random.Generator, strength: float) -> Array:
    """Change brightness, contrast, saturation and the balance of the channels at random.

    Args:
        picture: HWC uint8 RGB.
        rng: source of chance.
        strength: 0 leaves it, 1 is strong.

    Returns:
        HWC uint8 RGB.
    """
    gain = 1 + strength * rng.uniform(-0.4, 0.4) + strength * rng.uniform(-0.2, 0.2, 3)
    saturation = 1 + strength * rng.uniform(-0.8, 0.8)
    offset = 255 * strength * rng.uniform(-0.2, 0.2)
    centre = 127.5
    # One linear map of RGB: saturation around the luma, then gain around the centre, then offset.
    luma = np.array([0.299, 0.587, 0.114])
    matrix = saturation * np.eye(3) + (1 - saturation) * np.outer(np.ones(3), luma)
    matrix = gain[:, None] * matrix
    shift = centre * (1 - gain) + offset
    changed = cv2.transform(picture, np.column_stack([matrix, shift]))
    return np.asarray(changed, dtype=np.uint8)
