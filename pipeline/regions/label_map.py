"""Labels: masks and label maps as pictures, of the kinds that other tools write."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor

from pipeline.pictures.read import ALPHA_MODES, grey_to_8_bit, to_srgb
from pipeline.pictures.strips import strips
from pipeline.regions.names import VOC_CLASSES


def voc_palette() -> npt.NDArray[np.uint8]:
    """PASCAL VOC's colour map, (256, 3): the bits of the class number, spread over RGB."""
    numbers = np.arange(256)
    colours = np.zeros((256, 3), dtype=np.uint8)
    for shift in range(8):
        for channel in range(3):
            bit = (numbers >> (3 * shift + channel)) & 1
            colours[:, channel] |= (bit << (7 - shift)).astype(np.uint8)
    return colours


def mask_values(picture: Image.Image) -> npt.NDArray[np.float32]:
    """HW in [0, 1]: white is inside; of a picture with transparency, what is opaque."""
    grey = picture
    if picture.mode in ALPHA_MODES:
        alpha = picture.convert("RGBA").getchannel("A")
        grey = alpha if np.asarray(alpha).min() < 255 else picture.convert("RGB")
    elif picture.mode == "P":
        grey = picture.convert("RGB")
    elif picture.mode == "LAB":
        grey = to_srgb(picture)
    if grey.mode.startswith("I") or grey.mode == "F":
        grey = grey_to_8_bit(grey)
    levels = np.asarray(grey.convert("L"), dtype=np.float32)
    # Masks of zeros and ones are common, too.
    return levels if levels.max(initial=0) <= 1 else levels / np.float32(255)


def mask_of_size(picture: Image.Image, height: int, width: int) -> Tensor:
    """A mask picture (`mask_values`) as (1, 1, H, W) in [0, 1], whatever its own size."""
    return resized(mask_values(picture), height, width)


@dataclass(frozen=True)
class LabelMap:
    """A label map picture.

    Attributes:
        index: HW uint8, for each pixel the place of its label in ``names``.
        names: each label's names: the label's number (``label_12``, palette and grey pictures),
            VOC's class (with VOC's palette), the colour's name or its hexadecimal ``rgb_ff8000``.
    """

    index: npt.NDArray[np.uint8]
    names: list[tuple[str, ...]]

    def masks(self, height: int, width: int) -> dict[str, Tensor]:
        """Each name's mask, (1, 1, H, W) in [0, 1], at any size."""
        found: dict[str, Tensor] = {}
        for number, names in enumerate(self.names):
            mask = resized((self.index == number).astype(np.float32), height, width)
            found |= dict.fromkeys(names, mask)
        return found


#: The colours of deep-photo-styletransfer's label maps, which WCT2 reads, too.
LABEL_COLOURS = {
    "black": (0, 0, 0),
    "white": (255, 255, 255),
    "red": (255, 0, 0),
    "green": (0, 255, 0),
    "blue": (0, 0, 255),
    "yellow": (255, 255, 0),
    "lightblue": (0, 255, 255),
    "purple": (255, 0, 255),
    "grey": (128, 128, 128),
}
# More colours than this are the work of JPEG or of smoothed edges.
_MOST_LABELS = 64


def label_map(picture: Image.Image) -> LabelMap:
    """Read a label map: palette, grey with labels for values, or colour-coded.

    Colours that compression or smoothing have made are taken for the nearest of `LABEL_COLOURS`.
    """
    if picture.mode == "F":
        picture = grey_to_8_bit(picture).convert("L")
    if picture.mode in ("P", "L", "I", "I;16", "1"):
        values = np.asarray(picture.convert("L") if picture.mode == "1" else picture)
        numbers = np.unique(values)
        palette = _palette(picture)
        if len(numbers) <= _MOST_LABELS or palette is not None:
            names = [_names_of_label(int(number), palette) for number in numbers]
            return LabelMap(_places(values, numbers, np.arange(len(numbers))), names)
    pixels = np.asarray(to_srgb(picture) if picture.mode == "LAB" else picture.convert("RGB"))
    codes = pixels[..., 0].astype(np.int32) << 16
    codes |= pixels[..., 1].astype(np.int32) << 8
    codes |= pixels[..., 2]
    colours = np.unique(codes)
    if len(colours) <= _MOST_LABELS:
        names = [_names_of_colour(int(code)) for code in colours]
        return LabelMap(_places(codes, colours, np.arange(len(colours))), names)
    reference = np.array([*LABEL_COLOURS.values()])
    channels = np.stack([colours >> 16, colours >> 8 & 255, colours & 255], axis=-1)
    distance = np.abs(channels[:, None] - reference).sum(-1)
    present, nearest = np.unique(distance.argmin(-1), return_inverse=True)
    named = [*LABEL_COLOURS]
    return LabelMap(_places(codes, colours, nearest), [(named[number],) for number in present])


def _places(
    values: npt.NDArray[Any], known: npt.NDArray[Any], places: npt.NDArray[np.int64]
) -> npt.NDArray[np.uint8]:
    """HW: what ``places`` has where ``known``, which is sorted, has a pixel's value."""
    small = places.astype(np.uint8)
    found = np.empty(values.shape, dtype=np.uint8)
    for rows in strips(*values.shape):
        found[rows] = small[np.searchsorted(known, values[rows])]
    return found


def _palette(picture: Image.Image) -> npt.NDArray[np.uint8] | None:
    if picture.mode != "P":
        return None
    return np.array(picture.getpalette("RGB"), dtype=np.uint8).reshape(-1, 3)


def _names_of_label(number: int, palette: npt.NDArray[np.uint8] | None) -> tuple[str, ...]:
    names: tuple[str, ...] = (f"label_{number}",)
    if palette is None:
        return names + (_names_of_colour(number * 0x010101) if number in (0, 255) else ())
    if number >= len(palette):
        return names
    voc = voc_palette()[: len(VOC_CLASSES)]
    present = min(len(palette), len(voc))
    if number < present and present > 1 and np.array_equal(palette[:present], voc[:present]):
        return (VOC_CLASSES[number], *names)
    return names + _names_of_colour(int(palette[number] @ np.array([1 << 16, 1 << 8, 1])))


def _names_of_colour(code: int) -> tuple[str, ...]:
    rgb = (code >> 16, code >> 8 & 255, code & 255)
    named = tuple(name for name, colour in LABEL_COLOURS.items() if colour == rgb)
    return (*named, f"rgb_{code:06x}")


def resized(values: npt.NDArray[np.float32], height: int, width: int) -> Tensor:
    """HW in [0, 1] to (1, 1, H, W) of another size."""
    mask = torch.from_numpy(np.ascontiguousarray(values))[None, None]
    smaller = height < mask.shape[2]
    resized = F.interpolate(mask, (height, width), mode="bilinear", antialias=smaller)
    return resized.clamp(0, 1)
