"""Regions: what a photograph shows, which of it lies at a point, and how that is seen."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field

import cv2
import numpy as np
import torch
from PIL import Image
from torch import Tensor

from pipeline.pictures.read import tensor_to_array
from pipeline.regions.masks import object_masks
from pipeline.regions.names import BACKGROUND, SCENE_CLASSES
from pipeline.results.overlay import draw_overlay

#: Shares of the picture below which a region is not offered.
_LEAST = 0.003
#: Shares that have to be seen for a region to be named on the picture.
_LEAST_SEEN = 0.02
#: How much of a picture is left where it is not selected.
_DIMMED = 0.55


@dataclass(frozen=True)
class Regions:
    """The regions of a photograph at the size at which the page shows it.

    Attributes:
        content: (1, 3, H, W) in [0, 1], the photograph.
        masks: region to (1, 1, H, W) in [0, 1]; those that were drawn come last.
        unions: as `Segmentation.unions`.
        drawn: the names of regions of one's own.
    """

    content: Tensor
    masks: Mapping[str, Tensor]
    unions: Mapping[str, Sequence[str]] = field(default_factory=dict)
    drawn: Collection[str] = ()
    _found: dict[str, dict[str, Tensor]] = field(default_factory=dict, repr=False, compare=False)

    def with_drawn(self, name: str, mask: Tensor) -> "Regions":
        """The same with a region of one's own over the others."""
        masks = {other: kept for other, kept in self.masks.items() if other != name}
        drawn = (*(other for other in self.drawn if other != name), name)
        # What was found of the others stays.
        found = {other: kept for other, kept in self._found.items() if other != name}
        return Regions(self.content, {**masks, name: mask}, self.unions, drawn, found)

    @property
    def names(self) -> list[str]:
        """What is offered: things first, then scenes, each the largest first, the rest last."""
        shares = {name: float(mask.mean()) for name, mask in self.masks.items()}
        offered = [name for name, share in shares.items() if share >= _LEAST or name in self.drawn]

        def place(name: str) -> tuple[int, float]:
            kind = 2 if name == BACKGROUND else 1 if name in SCENE_CLASSES else 0
            return kind, -shares[name]

        return sorted(offered, key=place)

    def objects(self, name: str) -> list[str]:
        """The names of a class's objects, ``person.1``, ...; empty where it is one object."""
        return [*self._objects(name)]

    def _objects(self, name: str) -> dict[str, Tensor]:
        if name not in self.masks or name in self.drawn or name in (BACKGROUND, *SCENE_CLASSES):
            return {}
        if name not in self._found:
            masks = object_masks(self.masks[name])
            named = {f"{name}.{number + 1}": mask for number, mask in enumerate(masks)}
            self._found[name] = named if len(named) > 1 else {}
        return self._found[name]

    def has(self, name: str) -> bool:
        """Whether there is such a region, or such an object of one."""
        return name in self.masks or name in self._objects(name.partition(".")[0])

    def mask(self, name: str) -> Tensor:
        """(1, 1, H, W) in [0, 1], of a region or one of its objects that there is."""
        if name in self.masks:
            return self.masks[name]
        return self._objects(name.partition(".")[0])[name]

    def together(self, names: Sequence[str]) -> Tensor:
        """(1, 1, H, W) in [0, 1], of several regions or objects, at least one."""
        return torch.stack([self.mask(name) for name in names]).sum(0).clamp(0, 1)

    def at(self, x: float, y: float, objects: bool = False) -> str | None:
        """The region that lies on top at a point.

        Args:
            x, y: as fractions of width and height, in [0, 1].
            objects: whether to tell the objects of a class.

        Returns:
            Its name; None where nothing has a name, or only the background.
        """
        height, width = self.content.shape[2:]
        row, column = min(height - 1, int(y * height)), min(width - 1, int(x * width))
        for name in reversed([*self.masks]):
            if name == BACKGROUND or float(self.masks[name][0, 0, row, column]) < 0.5:
                continue
            if objects:
                for one in self.objects(name):
                    if float(self.mask(one)[0, 0, row, column]) >= 0.5:
                        return one
            return name
        return None

    def overview(self) -> Image.Image:
        """The photograph with its regions tinted, outlined and named."""
        # What lies below others first; labels of what is hardly seen would hide other labels.
        ordered = sorted(self.masks, key=lambda name: name != BACKGROUND)
        top = torch.cat([self.masks[name] >= 0.5 for name in ordered], dim=1)
        above = top.flip(1).cumsum(1).flip(1) - top.int()
        seen = (top & (above == 0)).float().mean((0, 2, 3))
        shown = {
            name: self.masks[name]
            for name, share in zip(ordered, seen.tolist(), strict=True)
            if share >= _LEAST_SEEN
        }
        return draw_overlay(self.content, shown or {name: self.masks[name] for name in ordered})

    def outlined(self, picture: Image.Image, selected: Sequence[str]) -> Image.Image:
        """A picture with what is selected set off from the rest, which is dimmed.

        Args:
            picture: of any size.
            selected: names of regions.
        """
        if not selected:
            return picture
        inside = self.together(selected)[0, 0].cpu().numpy()
        levels = np.asarray(cv2.resize(inside, picture.size), np.float32)
        share = np.clip(levels, 0, 1)[..., None] * (1 - _DIMMED) + _DIMMED
        pixels = np.asarray(picture, np.float32) * share
        shape = (levels >= 0.5).astype(np.uint8)
        width = max(1, round(max(picture.size) / 400))
        around = np.ones((2 * width + 1, 2 * width + 1), np.uint8)
        line = cv2.dilate(shape, around) - shape
        pixels[line > 0] = 255
        dark = cv2.dilate(shape + line, np.ones((3, 3), np.uint8)) - shape - line
        pixels[dark > 0] = 0
        return Image.fromarray(pixels.round().astype(np.uint8))


def as_image(picture: Tensor) -> Image.Image:
    """(1, 3, H, W) in [0, 1] as 8-bit sRGB."""
    return Image.fromarray(tensor_to_array(picture))
