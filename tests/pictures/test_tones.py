"""Tones: by hand on pictures of two tones; limits, masks and shares."""

import numpy as np
import pytest
import torch
from torch import Tensor

from pipeline.pictures.color import luminance
from pipeline.pictures.tones import KEPT, LEVELS, STEEPEST, Palette, in_tones, specified


def two_tones(left: list[float], right: list[float]) -> Tensor:
    """(1, 3, 20, 30), one colour in the left half and another in the right."""
    colors = torch.tensor([left, right]).T.repeat_interleave(15, dim=1)  # (3, 30)
    return colors[None, :, None].expand(1, 3, 20, 30).clone()


EVERYWHERE = torch.ones(1, 1, 20, 30)
GREYS = two_tones([0.4] * 3, [0.6] * 3)
BLUE_AND_YELLOW = two_tones([0.1, 0.1, 0.9], [0.9, 0.8, 0.2])


def test_dark_becomes_the_styles_dark_and_light_its_light() -> None:
    found = in_tones(GREYS, EVERYWHERE, [(BLUE_AND_YELLOW, None, 1.0)])
    torch.testing.assert_close(found, BLUE_AND_YELLOW, atol=0.03, rtol=0)


def test_a_mirrored_style_has_the_same_tones() -> None:
    mirrored = in_tones(GREYS, EVERYWHERE, [(BLUE_AND_YELLOW.flip(3), None, 1.0)])
    assert torch.equal(mirrored, in_tones(GREYS, EVERYWHERE, [(BLUE_AND_YELLOW, None, 1.0)]))


def test_a_photograph_in_its_own_tones_is_itself() -> None:
    ramp = torch.linspace(0.1, 0.9, 30).expand(1, 3, 20, 30).clone()
    torch.testing.assert_close(
        in_tones(ramp, EVERYWHERE, [(ramp, None, 1.0)]), ramp, atol=0.01, rtol=0
    )


def test_no_grain_is_blown_up() -> None:
    given, wanted = np.linspace(0.49, 0.51, LEVELS), np.linspace(0, 1, LEVELS)
    found = specified(given, wanted)
    assert np.diff(found).max() <= STEEPEST / (LEVELS - 1) + 1e-9
    assert np.diff(found).min() >= 0
    levels = np.linspace(0, 1, LEVELS)
    assert np.interp(given, levels, found).mean() == pytest.approx(0.5, abs=0.01)


def test_colours_of_one_lightness_stay_apart() -> None:
    red, green = [0.6, 0.2, 0.2], [0.2, 0.404, 0.2]
    flower = two_tones(red, green)
    assert float(luminance(flower).std()) < 0.005
    found = in_tones(flower, EVERYWHERE, [(GREYS, None, 1.0)])
    apart = found[0, :, 0, 0] - found[0, :, 0, -1]
    expected = KEPT * (torch.tensor(red) - torch.tensor(green))
    torch.testing.assert_close(apart, expected, atol=0.04, rtol=0)


def test_outside_nothing_changes_and_only_the_region_counts() -> None:
    mask = EVERYWHERE.clone()
    mask[..., 20:] = 0
    other = GREYS.clone()
    other[..., 20:] = 0.99
    found = in_tones(other, mask, [(BLUE_AND_YELLOW, None, 1.0)])
    assert torch.equal(found[..., 20:], other[..., 20:])
    inside = in_tones(GREYS[..., :20], mask[..., :20], [(BLUE_AND_YELLOW, None, 1.0)])
    assert torch.equal(found[..., :20], inside)


def test_of_a_style_only_its_region_counts() -> None:
    mask = torch.zeros(1, 1, 20, 30)
    mask[..., :15] = 1
    found = in_tones(GREYS, EVERYWHERE, [(BLUE_AND_YELLOW, mask, 1.0)])
    blue = BLUE_AND_YELLOW[..., :1].expand_as(found)
    torch.testing.assert_close(found, blue, atol=0.03, rtol=0)


def test_shares() -> None:
    whole = in_tones(GREYS, EVERYWHERE, [(BLUE_AND_YELLOW, None, 1.0)])
    half = in_tones(GREYS, EVERYWHERE, [(BLUE_AND_YELLOW, None, 0.5)])
    torch.testing.assert_close(half, (whole + GREYS) / 2)
    none = in_tones(GREYS, EVERYWHERE, [(BLUE_AND_YELLOW, None, 0.0)])
    torch.testing.assert_close(none, GREYS)
    both = in_tones(GREYS, EVERYWHERE, [(BLUE_AND_YELLOW, None, 0.5), (GREYS, None, 0.5)])
    torch.testing.assert_close(both, half, atol=0.01, rtol=0)


def test_a_palette_of_one_colour() -> None:
    palette = Palette.of(torch.full((1, 3, 4, 5), 0.3), None)
    assert palette.quantiles == pytest.approx(np.full(LEVELS, 0.3))
    found = in_tones(torch.full((1, 3, 20, 30), 0.8), EVERYWHERE, [(GREYS, None, 1.0)])
    assert torch.isfinite(found).all()
