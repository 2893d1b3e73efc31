"""Strips cover a picture's rows once, in order."""

import pytest

from pipeline.pictures.strips import PIXELS, strips


@pytest.mark.parametrize(
    ("height", "width", "pixels", "rows"),
    [(10, 7, 21, [3, 3, 3, 1]), (4, 50, 20, [1, 1, 1, 1]), (1024, 1024, PIXELS, [1024])],
)
def test_every_row_is_in_one_strip(height: int, width: int, pixels: int, rows: list[int]) -> None:
    found = list(strips(height, width, pixels))
    assert [strip.stop - strip.start for strip in found] == rows
    assert [row for strip in found for row in range(height)[strip]] == list(range(height))
