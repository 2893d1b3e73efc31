"""Shapes as masks: areas are exact, pixels may be half covered, counted in the original."""

import math

import numpy as np
import pytest
import torch
from skimage.draw import polygon2mask

from pipeline.pictures.strips import strips
from pipeline.regions.custom import shape_mask
from pipeline.request import Shape


def test_a_box_covers_its_pixels() -> None:
    mask = shape_mask(Shape("box", (10, 5, 30, 25)), 60, 80, (80, 60))
    expected = torch.zeros(60, 80)
    expected[5:25, 10:30] = 1
    torch.testing.assert_close(mask[0, 0], expected, atol=0.02, rtol=0)


def test_a_pixel_may_be_half_covered() -> None:
    mask = shape_mask(Shape("box", (10, 5, 30.5, 25)), 60, 80, (80, 60))
    assert mask[0, 0, 10, 30].item() == pytest.approx(0.5, abs=0.07)


def test_pixels_are_those_of_the_original() -> None:
    small = shape_mask(Shape("box", (20, 10, 60, 50)), 60, 80, (160, 120))
    same = shape_mask(Shape("box", (10, 5, 30, 25)), 60, 80, (80, 60))
    torch.testing.assert_close(small, same, atol=0.02, rtol=0)


def test_fractions_are_of_the_sides() -> None:
    mask = shape_mask(Shape("box", (0.25, 0.5, 0.75, 1)), 60, 80, (4000, 3000))
    assert mask.sum().item() == pytest.approx(40 * 30, rel=0.01)
    assert mask[0, 0, 30:, 20:60].min() > 0.9


@pytest.mark.parametrize(
    "shape", [Shape("circle", (40, 30, 20)), Shape("circle", (0.5, 0.5, 1 / 3))]
)
def test_a_circle_has_its_area(shape: Shape) -> None:
    mask = shape_mask(shape, 60, 80, (80, 60))
    assert mask.sum().item() == pytest.approx(math.pi * 20**2, rel=0.01)
    assert mask[0, 0, 30, 40] == 1
    assert mask[0, 0, 30, 61:].max() == 0


def test_a_polygon_may_leave_the_picture() -> None:
    mask = shape_mask(Shape("polygon", (0, 0, 200, 0, 0, 60)), 60, 80, (80, 60))
    # The triangle's hypotenuse is at row 60 (1 - x / 200): 60 to 36 over the columns 0 to 80.
    assert mask.sum().item() == pytest.approx(80 * (60 + 36) / 2, rel=0.01)


@pytest.mark.parametrize("pixels", [2**20, 70 * 9])
def test_a_polygon_covers_what_scikit_image_says(
    pixels: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(strips, "__defaults__", (pixels,))
    corners = (3.3, 4.1, 90.7, 11.3, 20.9, 47.7, -8.3, 60.1, 33.1, 2.7)
    mask = shape_mask(Shape("polygon", corners), 50, 70, (70, 50))
    fine = np.array(corners).reshape(-1, 2) * 4 - 0.5
    expected = polygon2mask((200, 280), fine[:, ::-1]).reshape(50, 4, 70, 4).mean((1, 3))
    assert np.abs(mask[0, 0].numpy() - expected).max() < 0.01
