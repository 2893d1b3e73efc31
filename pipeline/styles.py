"""Styling: the pictures that regions are to look like, in the colours asked for."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from pipeline.engine.objective import Style
from pipeline.errors import UserError
from pipeline.pictures import color
from pipeline.pictures.boxes import surroundings
from pipeline.regions.masks import class_masks, region_masks
from pipeline.regions.segment import Segmentation
from pipeline.request import StyleChoice

#: Pixels of surroundings kept around the region of a style picture.
_STYLE_MARGIN = 16


@dataclass(frozen=True)
class StylePicture:
    """A style picture as read.

    Attributes:
        picture: (1, 3, h, w) in [0, 1].
        mask: (1, 1, h, w), the region of it to use; None: all.
    """

    picture: Tensor
    mask: Tensor | None = None

    def cropped(self) -> "StylePicture":
        """Without what lies far from the region."""
        if self.mask is None:
            return self
        box = surroundings(self.mask, _STYLE_MARGIN)
        return StylePicture(box.cut(self.picture), box.cut(self.mask))


def looks_into_styles(styles: Mapping[str, Sequence[StyleChoice]]) -> bool:
    """Whether any style is to come from a region of its picture."""
    return any(choice.region is not None for chosen in styles.values() for choice in chosen)


def within_regions(
    styles: Mapping[str, Sequence[StyleChoice]],
    pictures: Mapping[str, Sequence[StylePicture]],
    look: Callable[[Tensor], Segmentation],
) -> dict[str, list[StylePicture]]:
    """The style pictures with the masks of the regions asked for; each is segmented once.

    Args:
        styles: region to what was asked for.
        pictures: region to the pictures, in the same order.
        look: segments a picture, (1, 3, h, w) in [0, 1].

    Raises:
        UserError: a style picture that does not show the region asked for.
    """
    seen: dict[int, dict[str, Tensor]] = {}

    def restricted(choice: StyleChoice, found: StylePicture) -> StylePicture:
        if choice.region is None:
            return found
        if id(found.picture) not in seen:
            seen[id(found.picture)] = class_masks(look(found.picture), found.picture)
        try:
            masks = region_masks([choice.region], seen[id(found.picture)], found.picture)
        except UserError as error:
            raise UserError(f"style {choice.image}: {error}") from None
        return StylePicture(found.picture, masks[choice.region]).cropped()

    return {
        region: [
            restricted(choice, found)
            for choice, found in zip(chosen, pictures[region], strict=True)
        ]
        for region, chosen in styles.items()
    }


def coloured(
    found: StylePicture,
    choice: StyleChoice,
    weight: float,
    content: Tensor,
    mask: Tensor,
    kind: str,
) -> Style:
    """A style for a region of the content, its colours changed as asked for (`color`).

    Args:
        found: the style picture.
        choice: what was asked for; its colour goes before ``kind``.
        weight: of the style's loss.
        content: (1, 3, H, W) in [0, 1].
        mask: (1, 1, H, W), the region.
        kind: the run's colour.
    """
    change = {
        "luminance": color.grey_style,
        "match": color.match_mean_covariance,
        "histogram": color.match_histogram,
    }.get(choice.color or kind)
    picture = found.picture
    if change is not None:
        picture = change(picture, content, found.mask, mask)
    return Style(picture, found.mask, weight)


def rounds(
    styles: Mapping[str, Sequence[Style]], sequential: bool
) -> list[dict[str, Sequence[Style]]]:
    """The optimisations to make one after the other, each with the styles it pursues at once."""
    if not sequential:
        return [dict(styles)]
    longest = max(len(chosen) for chosen in styles.values())
    return [
        {region: [chosen[k]] for region, chosen in styles.items() if len(chosen) > k}
        for k in range(longest)
    ]


def weight_of(choice: StyleChoice, count: int, sequential: bool) -> float:
    """A style's own weight, else equal shares of 1 for styles pursued at once."""
    if choice.weight is not None:
        return choice.weight
    return 1.0 if sequential else 1 / count


def grey_inside(content: Tensor, masks: Sequence[Tensor]) -> Tensor:
    """The content with the regions of `masks` in grey, for regions painted in luminance alone."""
    for mask in masks:
        content = content + mask * (color.grey(content) - content)
    return content


def noise_picture(like: Tensor, seed: int) -> Tensor:
    """Uniform noise of ``like``'s shape in [0, 1], the same on every device."""
    generator = torch.Generator().manual_seed(seed)
    return torch.rand(like.shape, generator=generator).to(like)


def content_with_noise(content: Tensor, deviation: float, seed: int) -> Tensor:
    """The content with Gaussian noise of that standard deviation, in [0, 1]."""
    generator = torch.Generator().manual_seed(seed)
    noise = torch.randn(content.shape, generator=generator).to(content)
    return (content + deviation * noise).clamp(0, 1)
