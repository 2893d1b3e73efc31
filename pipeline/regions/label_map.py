"""Labels: masks and label maps as pictures, of the kinds that other tools write."""

from collections.abc import Sequence
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
from pipeline.regions.names import CLASSES


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


#: Modes of label maps whose pixels are numbers.
_NUMBERS = ("P", "L", "I", "I;16", "1")
#: A colour of less than the first share of a label map is the work of smoothed edges, where two
#: maps are compared; one of `LABEL_COLOURS`, of less than the second.
_BLEND, _SPECK = 0.005, 0.0005
#: Colours are the same up to this sum of differences in red, green and blue.
_SAME = 96


def label_maps(
    content: Image.Image | None, reference: Image.Image | None
) -> tuple[LabelMap | None, LabelMap | None]:
    """Read the label maps of content and reference (`label_map`); two so that their labels pair.

    Colours that JPEG or smoothed edges have made go to the nearest of those that remain, and a
    reference's label has the names of the content's label that it pairs with: one of the same name,
    else of nearly the same colour.
    """
    if content is None or reference is None:
        only = content or reference
        found = None if only is None else label_map(only)
        return (found, None) if reference is None else (None, found)
    content, reference = label_picture(content), label_picture(reference)
    first, second = label_map(content), label_map(reference)
    # Where one of them is compressed, the other knows the colours.
    if _is_compressed(content) and not _is_compressed(reference):
        first = label_map(content, _colours(_without_blends(second)))
    first = _without_blends(first)
    if _is_compressed(reference) and not _is_compressed(content):
        second = label_map(reference, _colours(first))
    return first, _renamed(_without_blends(second), first)


def _is_compressed(picture: Image.Image) -> bool:
    """Whether a colour-coded map has more colours than labels."""
    return picture.mode not in _NUMBERS and picture.getcolors(_MOST_LABELS) is None


def _colours(labels: LabelMap) -> list[tuple[int, int, int]]:
    return [colour for names in labels.names if (colour := _colour_of(names)) is not None]


def _colour_of(names: tuple[str, ...]) -> tuple[int, int, int] | None:
    """The colour that a label's names tell."""
    for name in names:
        if name in LABEL_COLOURS:
            return LABEL_COLOURS[name]
        if name.startswith("rgb_"):
            red, green, blue = bytes.fromhex(name.removeprefix("rgb_"))
            return red, green, blue
    return None


def _distance(colour: tuple[int, int, int], other: tuple[int, int, int]) -> int:
    return sum(abs(a - b) for a, b in zip(colour, other, strict=True))


def _without_blends(labels: LabelMap) -> LabelMap:
    """Rare colours go to the nearest of the others; numbered labels stay."""
    shares = np.bincount(labels.index.ravel(), minlength=len(labels.names)) / labels.index.size
    colours = [
        None if any(name.startswith("label_") for name in names) else _colour_of(names)
        for names in labels.names
    ]
    rare = [
        colour is not None
        and share < (_SPECK if any(name in LABEL_COLOURS for name in names) else _BLEND)
        for colour, share, names in zip(colours, shares, labels.names, strict=True)
    ]
    kept = [k for k, is_rare in enumerate(rare) if not is_rare and shares[k] > 0]
    near = [k for k in kept if colours[k] is not None]
    if not near:
        return labels
    places = np.zeros(len(labels.names), dtype=np.uint8)
    for k, colour in enumerate(colours):
        nearest = k
        if rare[k] and colour is not None:
            nearest = min(near, key=lambda n: _distance(colour, colours[n] or colour))
        places[k] = kept.index(nearest) if nearest in kept else 0
    return LabelMap(places[labels.index], [labels.names[k] for k in kept])


def _renamed(reference: LabelMap, content: LabelMap) -> LabelMap:
    """The reference's labels under the names of the content's that they pair with."""
    renamed = []
    for names in reference.names:
        pair = next((other for other in content.names if set(other) & set(names)), None)
        colour = _colour_of(names)
        if pair is None and colour is not None:
            distances = {
                other: _distance(colour, its)
                for other in content.names
                if (its := _colour_of(other)) is not None
            }
            nearest = min(distances, key=lambda other: distances[other], default=None)
            pair = nearest if nearest is not None and distances[nearest] <= _SAME else None
        renamed.append(pair or names)
    # Several colours may be nearly the same one.
    kept = [*dict.fromkeys(renamed)]
    places = np.array([kept.index(names) for names in renamed], dtype=np.uint8)
    return LabelMap(places[reference.index], kept)


def label_picture(picture: Image.Image) -> Image.Image:
    """A label map's picture of any mode as numbers or, colour-coded, as 8-bit RGB.

    Raises:
        ValueError: it holds values that are not numbers, or Pillow cannot convert its mode.
    """
    if picture.mode in _NUMBERS:
        return picture
    if picture.mode == "F":
        return grey_to_8_bit(picture).convert("L")
    return to_srgb(picture) if picture.mode == "LAB" else picture.convert("RGB")


def label_map(picture: Image.Image, colours: Sequence[tuple[int, int, int]] = ()) -> LabelMap:
    """Read a label map: palette, grey with labels for values, or colour-coded.

    Colours that compression or smoothing have made are taken for the nearest of the known ones:
    ``colours``, and those of `LABEL_COLOURS` that are none of these.
    """
    picture = label_picture(picture)
    if picture.mode in _NUMBERS:
        values = np.asarray(picture.convert("L") if picture.mode == "1" else picture)
        numbers = np.unique(values)
        palette = _palette(picture)
        if len(numbers) <= _MOST_LABELS or palette is not None:
            names = [_names_of_label(int(number), palette) for number in numbers]
            return LabelMap(_places(values, numbers, np.arange(len(numbers))), names)
    pixels = np.asarray(picture.convert("RGB"))
    codes = pixels[..., 0].astype(np.int32) << 16
    codes |= pixels[..., 1].astype(np.int32) << 8
    codes |= pixels[..., 2]
    found = np.unique(codes)
    if len(found) <= _MOST_LABELS:
        names = [_names_of_colour(int(code)) for code in found]
        return LabelMap(_places(codes, found, np.arange(len(found))), names)
    known = {_names_of_colour(_code(colour)): colour for colour in colours}
    for name, colour in LABEL_COLOURS.items():
        if all(_distance(colour, other) > _SAME for other in colours):
            known[(name,)] = colour
    channels = np.stack([found >> 16, found >> 8 & 255, found & 255], axis=-1)
    distance = np.abs(channels[:, None] - np.array([*known.values()])).sum(-1)
    present, nearest = np.unique(distance.argmin(-1), return_inverse=True)
    named = [*known]
    return LabelMap(_places(codes, found, nearest), [named[number] for number in present])


def _code(colour: tuple[int, int, int]) -> int:
    red, green, blue = colour
    return red << 16 | green << 8 | blue


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
    voc = voc_palette()[: len(CLASSES)]
    present = min(len(palette), len(voc))
    if number < present and present > 1 and np.array_equal(palette[:present], voc[:present]):
        return (CLASSES[number], *names)
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
