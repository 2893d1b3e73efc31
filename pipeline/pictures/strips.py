"""Strips: bands of rows, so that what is computed on the way of a large picture stays small."""

from collections.abc import Iterator

#: Pixels of a strip; pictures up to 1024 x 1024 are one strip.
PIXELS = 2**20


def strips(height: int, width: int, pixels: int = PIXELS) -> Iterator[slice]:
    """The rows of a picture from top to bottom, in bands of about so many pixels.

    Args:
        height, width: of the picture.
        pixels: of a band; it has at least one row.
    """
    rows = max(1, pixels // width)
    for top in range(0, height, rows):
        yield slice(top, min(top + rows, height))
