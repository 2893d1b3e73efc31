"""Own regions: label maps, mask files and shapes that stand beside the segmenter's classes."""

from collections.abc import Collection, Mapping
from pathlib import Path

from torch import Tensor

from pipeline import read
from pipeline.errors import UserError
from pipeline.labels import LabelMap
from pipeline.networks.segmenters import VOC_CLASSES
from pipeline.shapes import shape_mask
from pipeline.specification import RegionChoice, Shape


def own_names(labels: LabelMap | None, choices: Mapping[str, RegionChoice]) -> list[str]:
    """The names that do not come from the segmenter."""
    of_labels = [] if labels is None else [name for names in labels.names for name in names]
    return [*of_labels, *(name for name, choice in choices.items() if choice.source is not None)]


def aliases(labels: LabelMap | None) -> set[str]:
    """The labels' second names, under which they need not be shown again."""
    return set() if labels is None else {name for names in labels.names for name in names[1:]}


def needs_classes(
    names: Collection[str], labels: LabelMap | None, choices: Mapping[str, RegionChoice]
) -> bool:
    """Whether any of the regions, or what one of them stands for, is a class of the segmenter."""
    own = own_names(labels, choices)
    for name in names:
        if name in own:
            source = choices[name].source if name in choices else None
            base = source.partition(".")[0] if isinstance(source, str) else ""
        else:
            base = name.partition(".")[0]
        if base in VOC_CLASSES and base not in own:
            return True
    return False


def label_masks(labels: LabelMap | None, content: Tensor) -> dict[str, Tensor]:
    """Each label's mask at the content's size, under all of its names."""
    if labels is None:
        return {}
    return {name: mask.to(content) for name, mask in labels.masks(*content.shape[2:]).items()}


def own_masks(
    choices: Mapping[str, RegionChoice],
    available: Mapping[str, Tensor],
    content: Tensor,
    original: tuple[int, int],
    folder: Path,
    held: read.Held,
) -> dict[str, Tensor]:
    """Masks of the regions that have a source.

    Args:
        choices: the user's own regions.
        available: regions that a source may name: classes, their objects, labels.
        content: (1, 3, H, W).
        original: width and height of the photograph in its file, for shapes in pixels.
        folder, held: where mask files are, as `read.mask_picture`.

    Returns:
        Name to (1, 1, H, W) in [0, 1].

    Raises:
        UserError: a mask that cannot be read.
    """
    height, width = content.shape[2:]
    found: dict[str, Tensor] = {}
    for name, choice in choices.items():
        source = choice.source
        if source is None:
            continue
        if isinstance(source, Shape):
            mask = shape_mask(source, height, width, original)
        elif source in available:
            mask = available[source]
        elif source.partition(".")[0] in VOC_CLASSES and not (folder / source).exists():
            raise UserError(f"regions.{name}={source}: there is no {source} in this photograph")
        else:
            mask = read.mask_picture(source, height, width, folder, held)
        found[name] = mask.to(content)
    return found
