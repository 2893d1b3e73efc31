"""Tones: by hand on pictures of two tones; limits, masks and shares."""

import numpy as np
import pytest
import torch
from torch import Tensor

from pipeline.pictures.color import luminance
from pipeline.pictures.tones import (
    FLATTEST,
    LEVELS,
    LIFTED,
    MOST_COLORFUL,
    PALEST,
    STEEPEST,
    Palette,
    colored,
    in_tones,
    specified,
)


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
    levels = np.linspace(0, 1, LEVELS)
    assert np.interp(given, levels, found).mean() == pytest.approx(0.5, abs=0.01)


def test_a_pale_style_leaves_light_and_dark() -> None:
    given, wanted = np.linspace(0.1, 0.5, LEVELS), np.full(LEVELS, 0.7)
    found = specified(given, wanted)
    levels = np.linspace(0, 1, LEVELS)
    seen = np.interp(given, levels, found)
    assert np.ptp(seen) == pytest.approx(FLATTEST * 0.4, abs=0.01)
    assert seen.mean() == pytest.approx(0.3 + LIFTED * 0.4, abs=0.01)


def test_differences_of_colour_by_hand() -> None:
    given = np.diag([0.01, 0.01, 0.0])
    found = colored(given, np.diag([0.04, 0.0004, 0.0]))
    expected = [np.sqrt(0.0401 / 0.0101), PALEST, 1.0]
    np.testing.assert_allclose(found, np.diag(expected), atol=1e-6)
    most = colored(given, np.diag([0.9, 0.01, 0.0]))
    np.testing.assert_allclose(most, np.diag([MOST_COLORFUL, 1.0, 1.0]), atol=1e-6)


def test_warm_and_cool_parts_take_the_styles_warm_and_cool_colours() -> None:
    # Nearly grey, and all of one lightness; the style is red and blue of that lightness.
    content = two_tones([0.42, 0.40, 0.36], [0.38, 0.40, 0.46])
    style = two_tones([0.70, 0.29, 0.20], [0.20, 0.41, 0.88])
    assert float(luminance(content).std()) < 0.01
    assert float(luminance(style).std()) < 0.02
    found = in_tones(content, EVERYWHERE, [(style, None, 1.0)])
    warm, cool = found[0, :, 0, 0], found[0, :, 0, -1]
    assert warm[0] - warm[2] > 2 * (0.42 - 0.36)
    assert cool[2] - cool[0] > 2 * (0.46 - 0.38)


def test_colours_of_one_lightness_stay_apart() -> None:
    red, green = [0.6, 0.2, 0.2], [0.2, 0.404, 0.2]
    flower = two_tones(red, green)
    assert float(luminance(flower).std()) < 0.005
    found = in_tones(flower, EVERYWHERE, [(GREYS, None, 1.0)])
    apart = found[0, :, 0, 0] - found[0, :, 0, -1]
    expected = PALEST * (torch.tensor(red) - torch.tensor(green))
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
    cut = in_tones(GREYS, EVERYWHERE, [(BLUE_AND_YELLOW[..., :15], None, 1.0)])
    assert torch.equal(found, cut)
    assert (found[0, 2] > found[0, 0]).all()


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
