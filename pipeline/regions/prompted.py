"""Prompted regions: masks of what was found by a phrase, as a segmentation of two classes each."""

from collections.abc import Mapping

from torch import Tensor

from pipeline.errors import UserError
from pipeline.regions.masks import class_masks
from pipeline.regions.matte import class_outlines
from pipeline.regions.segment import Segmentation


def prompt_masks(found: Mapping[str, Segmentation], picture: Tensor) -> dict[str, Tensor]:
    """The masks of prompted regions.

    Args:
        found: name of a region to what was found: ``background``, and the thing after it.
        picture: (1, 3, H, W) in [0, 1].

    Returns:
        Name to (1, 1, H, W) in [0, 1].
    """
    return {name: [*class_masks(own, picture).values()][-1] for name, own in found.items()}


def prompt_outlines(
    found: Mapping[str, Segmentation], picture: Tensor, matte: bool, mixed: Tensor | None
) -> tuple[dict[str, Tensor], Tensor | None]:
    """The masks of prompted regions, mattes if wanted, and where a pixel may show several things.

    Args:
        found, picture: as `prompt_masks`.
        matte: as `matte.class_outlines`.
        mixed: where a pixel shows several classes, (1, 1, H, W); None: no classes or mattes.

    Returns:
        Name to (1, 1, H, W) in [0, 1]; and ``mixed`` with what the prompted regions add to it.
    """
    masks = {}
    for name, own in found.items():
        outlines, also = class_outlines(own, picture, matte)
        masks[name] = [*outlines.values()][-1]
        mixed = also if mixed is None or also is None else mixed | also
    return masks, mixed


def check_found(found: Mapping[str, Segmentation], phrases: Mapping[str, str]) -> None:
    """Refuse phrases that a picture shows nothing of.

    Args:
        found: name of a region to what was found.
        phrases: name to its phrase.

    Raises:
        UserError: one line for all of them.
    """
    missing = [name for name, own in found.items() if len(own.probabilities) < 2]
    if missing:
        named = ", ".join(f"regions.{name}=text({phrases[name]})" for name in missing)
        raise UserError(
            f"{named}: nothing in this photograph looks like it; say it otherwise, or lower "
            "prompts.text_threshold or segmenter.min_share"
        )
