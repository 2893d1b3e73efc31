"""Inputs: every file of a run, opened before anything else is loaded."""

from pathlib import Path

from torch import Tensor

from pipeline.pictures.read import Held, open_labels
from pipeline.regions import label_map as labels


def mask_picture(
    source: str, height: int, width: int, folder: Path, held: Held | None = None
) -> Tensor:
    """A mask from a file (`labels.mask_values`), brought to any size.

    Args:
        source: a path, tried relative to ``folder``.
        height, width: of the mask in pixels, whatever its file's.
        folder, held: as `content_picture`.

    Returns:
        (1, 1, H, W) in [0, 1].

    Raises:
        UserError: not found or not a picture.
    """
    picture = open_labels(source, folder, held)
    return labels.resized(labels.mask_values(picture), height, width)


def label_map(source: str, folder: Path, held: Held | None = None) -> labels.LabelMap:
    """A label map from a file (`labels.label_map`); arguments and errors as `mask_picture`."""
    return labels.label_map(open_labels(source, folder, held))
