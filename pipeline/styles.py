"""Styles: the pictures that regions are to look like, in the colours asked for."""

import dataclasses
import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from torch import Tensor

from pipeline.engine.objective import Style
from pipeline.errors import UserError
from pipeline.methods import Region
from pipeline.methods.working_size import enlargement
from pipeline.pictures import color
from pipeline.pictures.boxes import surroundings
from pipeline.pictures.read import SMALLEST_SIDE
from pipeline.pictures.resize import fitted_size, resample, resize
from pipeline.regions.label_map import LabelMap
from pipeline.regions.masks import class_masks, region_masks
from pipeline.regions.names import BACKGROUND
from pipeline.regions.segment import Segmentation
from pipeline.request import RegionChoice, StyleChoice

log = logging.getLogger(__name__)

#: Pixels of surroundings kept around the region of a style picture.
_STYLE_MARGIN = 16


@dataclass(frozen=True)
class StylePicture:
    """A style picture as read.

    Attributes:
        choice: what was asked for.
        picture: (1, 3, h, w) in [0, 1].
        mask: (1, 1, h, w), the region of it to use; None: all.
    """

    choice: StyleChoice
    picture: Tensor
    mask: Tensor | None = None

    def to(self, like: Tensor) -> "StylePicture":
        """The same on the device of a tensor."""
        mask = None if self.mask is None else self.mask.to(like)
        return dataclasses.replace(self, picture=self.picture.to(like), mask=mask)

    def strength(self, usual: float) -> float:
        """How boldly it is pursued, in [0, 1]; ``usual`` where it does not say."""
        return usual if self.choice.strength is None else self.choice.strength

    def sized(self, longest: float) -> "StylePicture":
        """The same at a size, times its own scale.

        Args:
            longest: long side in pixels. Only a scale enlarges the picture beyond its own pixels.
        """
        own = max(self.picture.shape[2:])
        wanted = fitted_size(
            self.picture.shape[2:], round(min(own, longest) * self.choice.scale), enlarge=True
        )
        sides = [max(SMALLEST_SIDE, side) for side in wanted]
        mask = None if self.mask is None else resize(self.mask, sides)
        return dataclasses.replace(self, picture=resample(self.picture, sides), mask=mask)

    def within(self, mask: Tensor) -> "StylePicture":
        """The part of it that a mask shows, (1, 1, h, w) in [0, 1] of any size."""
        return self.restricted(resize(mask, self.picture.shape[2:]))

    def restricted(self, mask: Tensor) -> "StylePicture":
        """A region of it, without what lies far from the region."""
        box = surroundings(mask, _STYLE_MARGIN)
        return StylePicture(self.choice, box.cut(self.picture), box.cut(mask))


def look_inside(pictures: Mapping[str, Sequence[StylePicture]]) -> bool:
    """Whether any style is to come from a region of its picture."""
    return any(found.choice.region is not None for own in pictures.values() for found in own)


def within_regions(
    pictures: Mapping[str, Sequence[StylePicture]], look: Callable[[Tensor], Segmentation]
) -> dict[str, list[StylePicture]]:
    """The style pictures with the masks of the regions asked for; each is segmented once.

    Args:
        pictures: region to its style pictures.
        look: segments a picture, (1, 3, h, w) in [0, 1].

    Raises:
        UserError: a style picture that does not show the region asked for.
    """
    # A picture is known by what was asked for, but for the region of it.
    seen: dict[StyleChoice, dict[str, Tensor]] = {}

    def restricted(found: StylePicture) -> StylePicture:
        region = found.choice.region
        if region is None:
            return found
        whole = dataclasses.replace(found.choice, region=None, weight=None, color=None)
        if whole not in seen:
            seen[whole] = class_masks(look(found.picture), found.picture)
        try:
            masks = region_masks([region], seen[whole], found.picture)
        except UserError as error:
            raise UserError(f"style {found.choice.image}: {error}") from None
        return found.restricted(masks[region])

    return {region: [restricted(found) for found in own] for region, own in pictures.items()}


#: Share of the picture below which a background is no region of its own.
_LEAST_BACKGROUND = 0.005


def match(
    name: str, reference: Tensor, look: Callable[[Tensor], Segmentation], content: Segmentation
) -> dict[str, list[StylePicture]]:
    """Each class of the content in the style of the same class of a reference.

    Classes without a partner take the whole reference.

    Args:
        name: of the reference, for the record.
        reference: (1, 3, h, w) in [0, 1].
        look: segments a picture.
        content: which classes there are.
    """
    there = look(reference).shares
    found = {}
    for region, share in content.shares.items():
        # What neither objects nor scenes cover of the background may be next to nothing.
        if share < (_LEAST_BACKGROUND if region == BACKGROUND else 1e-9):
            continue
        partner = there.get(region, 0) > 0
        choice = StyleChoice(name, region=region if partner else None)
        found[region] = [StylePicture(choice, reference)]
        log.info("%s in the style of the %s", region, region if partner else "whole reference")
    return found


def match_labels(
    name: str, reference: Tensor, there: LabelMap, content: LabelMap
) -> dict[str, list[StylePicture]]:
    """Each label of the content in the style of the same label of a reference.

    Labels without a partner take the whole reference.

    Args:
        name: of the reference, for the record.
        reference: (1, 3, h, w) in [0, 1].
        there: its label map, read together with the content's (`label_map.label_maps`).
        content: the content's.
    """
    masks = there.masks(*reference.shape[2:])
    found = {}
    for names in content.names:
        region, whole = names[0], StylePicture(StyleChoice(name), reference)
        partner = next((masks[label] for label in names if label in masks), None)
        used = partner is not None and float(partner.max()) >= 0.5
        found[region] = [
            whole.restricted(partner.to(reference)) if used and partner is not None else whole
        ]
        log.info("%s in the style of the %s", region, region if used else "whole reference")
    return found


def style_of(
    found: StylePicture,
    name: str,
    weight: float,
    content: Tensor,
    mask: Tensor,
    kind: str,
    strength: float = 0.5,
) -> Style:
    """A style for a region of the content, its colours changed as asked for (`color`).

    Args:
        found: the style picture; its own colour goes before ``kind``.
        name: of the style, different from all others'.
        weight: of its loss.
        content: (1, 3, H, W) in [0, 1].
        mask: (1, 1, H, W), the region.
        kind: the run's colour.
        strength: the run's; the style's own goes before it.
    """
    change = {
        "luminance": color.grey_style,
        "match": color.match_mean_covariance,
        "histogram": color.match_histogram,
    }.get(found.choice.color or kind)
    picture = found.picture
    if change is not None:
        picture = change(picture, content, found.mask, mask)
    return Style(picture, found.mask, weight, name, found.strength(strength))


def weight_of(choice: StyleChoice, count: int, sequential: bool) -> float:
    """A style's own weight, else equal shares of 1 for styles pursued at once."""
    if choice.weight is not None:
        return choice.weight
    return 1.0 if sequential else 1 / count


def prepared_regions(
    styles: Mapping[str, Sequence[StylePicture]],
    masks: Mapping[str, Tensor],
    choices: Mapping[str, RegionChoice],
    content: Tensor,
    kind: str,
    feather: float,
    sequential: bool,
    enlarge: bool = True,
    strength: float = 0.5,
    share: float = 1.0,
) -> list[Region]:
    """The regions to be painted, with their styles at their size, in the colours asked for.

    Args:
        styles: region to its style pictures.
        masks: region to (1, 1, H, W) in [0, 1].
        choices: what was asked for about regions.
        content: (1, 3, H, W) in [0, 1].
        kind, feather: the run's colour, and its width of soft edges in pixels.
        sequential: whether several styles are pursued one after the other.
        enlarge: whether small regions are painted enlarged (`working_size.enlargement`).
        strength: the run's. Styles of strength 0 are left out, and regions that have no other:
            they stay the photograph.
        share: long side of a style picture at a scale of 1, as a share of that of the box around
            its region.
    """
    found = []
    for name, given in styles.items():
        own = [style for style in given if style.strength(strength) > 0]
        if not own:
            continue
        factor = enlargement(masks[name]) if enlarge else 1.0
        box = surroundings(masks[name], 0, smallest=1)
        longest = share * factor * max(box.height, box.width)
        prepared = [
            style_of(
                style.sized(longest),
                f"{name} {number}",
                weight_of(style.choice, len(own), sequential),
                content,
                masks[name],
                kind,
                strength,
            )
            for number, style in enumerate(own, start=1)
        ]
        asked = choices[name].feather if name in choices else None
        images = [style.choice.image for style in own]
        luminance = (own[0].choice.color or kind) == "luminance"
        width = feather if asked is None else asked
        found.append(Region(name, masks[name], prepared, width, luminance, images, factor))
    return found
