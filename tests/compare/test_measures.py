"""Measures against numbers computed by hand."""

import math

import numpy as np
import pytest
import torch

from pipeline.compare import measures

BLACK, WHITE, GREY = (0, 0, 0), (255, 255, 255), (119, 119, 119)


def flat(colour: tuple[int, int, int], shape: tuple[int, int] = (20, 30)) -> measures.Pixels:
    return np.full((*shape, 3), colour, dtype=np.uint8)


def left_part(columns: int, shape: tuple[int, int] = (20, 30)) -> measures.Mask:
    mask = np.zeros(shape, dtype=np.float32)
    mask[:, :columns] = 1
    return mask


# Two channels, two units: F = [[1, 3], [0, 2]]; Gram matrix over the first unit [[1, 0], [0, 0]].
FEATURES = torch.tensor([[[[1.0, 3.0]], [[0.0, 2.0]]]])
FIRST_UNIT = torch.tensor([[[[1.0, 0.0]]]])


def test_style_distance_is_the_relative_distance_of_gram_matrices() -> None:
    # A = [[4, 0], [0, 3]]: |G - A| = sqrt(9 + 9), |A| = sqrt(16 + 9).
    style = {"a": torch.tensor([[4.0, 0.0], [0.0, 3.0]])}
    distance = measures.style_distance({"a": FEATURES}, style, {"a": FIRST_UNIT})
    assert distance == pytest.approx(math.sqrt(18 / 25))


def test_style_distance_is_the_mean_over_the_layers_that_all_have() -> None:
    own, far = torch.tensor([[1.0, 0.0], [0.0, 0.0]]), torch.tensor([[0.0, 0.0], [0.0, 1.0]])
    features = {"a": FEATURES, "b": FEATURES, "c": FEATURES}
    style = {"a": own, "b": far, "c": far}
    masks = {"a": FIRST_UNIT, "b": FIRST_UNIT, "d": FIRST_UNIT}
    # 0 at a; at b |G - A| = sqrt(1 + 1) and |A| = 1.
    distance = measures.style_distance(features, style, masks)
    assert distance == pytest.approx(math.sqrt(2) / 2)
    assert math.isnan(measures.style_distance(features, style, {}))


def test_perceptual_distance_is_a_share_of_the_contents_variance() -> None:
    content = {"a": torch.tensor([[[[1.0, 3.0, 9.0]]]])}
    masks = {"a": torch.tensor([[[[1.0, 1.0, 0.0]]]])}
    picture = {"a": torch.tensor([[[[2.0, 4.0, 0.0]]]])}
    # Squared differences 1 + 1; variance (1 - 2)^2 + (3 - 2)^2, and a thousandth of 1 + 9.
    expected = math.sqrt(2 / (2 + 0.01))
    assert measures.perceptual_distance(picture, content, masks) == pytest.approx(expected)
    assert measures.perceptual_distance(content, content, masks) == 0
    nowhere = {"a": torch.zeros(1, 1, 1, 3)}
    assert math.isnan(measures.perceptual_distance(picture, content, nowhere))


def test_outside_difference_of_black_and_white_is_a_hundred() -> None:
    # L* of white is 100; only the right third is outside, and half of its rows changed.
    content, result = flat(BLACK), flat(WHITE)
    result[:10, 20:] = 0
    masks = [left_part(10), left_part(20)]
    assert measures.outside_difference(content, result, masks) == pytest.approx(50, abs=0.01)


def test_outside_difference_counts_no_pixel_that_a_region_touches() -> None:
    mask = np.full((20, 30), 0.01, dtype=np.float32)
    assert math.isnan(measures.outside_difference(flat(BLACK), flat(WHITE), [mask]))
    mask[0, 0] = 0
    assert measures.outside_difference(flat(GREY), flat(GREY), [mask]) == 0


def test_content_similarity_of_flat_pictures_is_the_luminance_term() -> None:
    # SSIM of constants a, b: (2ab + C1) / (a^2 + b^2 + C1) with C1 = 0.01^2 (Wang et al. 2004).
    a, b = 51 / 255, 204 / 255
    expected = (2 * a * b + 1e-4) / (a * a + b * b + 1e-4)
    found = measures.content_similarity(flat((51,) * 3), flat((204,) * 3), left_part(30))
    assert found == pytest.approx(expected)


def test_content_similarity_looks_at_the_region_only() -> None:
    content = np.random.default_rng(0).integers(0, 255, (20, 60, 3), dtype=np.uint8)
    result = content.copy()
    result[:, 40:] = 255 - result[:, 40:]
    shape = (20, 60)
    assert measures.content_similarity(content, result, left_part(30, shape)) == pytest.approx(1)
    assert measures.content_similarity(content, result, 1 - left_part(50, shape)) < 0
    assert math.isnan(measures.content_similarity(content, result, left_part(0, shape)))


def lightness(values: measures.Mask) -> measures.Pixels:
    """A grey picture with (nearly) these L* values, by the inverse of CIE's formula (L* > 8)."""
    linear = ((values + 16) / 116) ** 3
    encoded = np.where(linear <= 0.0031308, 12.92 * linear, 1.055 * linear ** (1 / 2.4) - 0.055)
    return np.repeat((encoded * 255).round().astype(np.uint8)[..., None], 3, axis=-1)


def test_seam_is_the_gradient_near_the_border_against_that_inside() -> None:
    # L* = 20 left of column 10; from there a jump of 30 and a slope of 2 a pixel.
    columns = np.arange(30.0)
    values = np.broadcast_to(np.where(columns < 10, 20, 50 + 2 * (columns - 10)), (20, 30))
    # Columns 6 to 13: differences of 0 three times, 30 once and 2 four times; 2 inside.
    assert measures.SEAM_WIDTH == 4
    found = measures.seam(lightness(values[:, :29]), [1 - left_part(10, (20, 29))])
    # The last column's difference is to itself, 0, which counts among the 15 inside.
    expected = (38 / 8) / (2 * 14 / 15)
    assert found == pytest.approx(expected, rel=0.05)


def test_a_rim_is_a_seam_twice_and_a_soft_edge_no_better_than_a_hard_one() -> None:
    columns = np.arange(30.0)
    stripes = 60 + columns % 2

    def seam(values: measures.Mask) -> float:
        return measures.seam(lightness(np.broadcast_to(values, (20, 30))), [left_part(10)])

    hard = seam(np.where(columns < 10, stripes, 90))
    moved = seam(np.where(columns < 12, stripes, 90))
    soft = seam(np.where(columns < 10, stripes, np.interp(columns, [9, 13], [61, 90])))
    rim = seam(np.where(columns < 8, stripes, np.where(columns < 10, 20, 90)))
    assert soft == pytest.approx(hard, rel=0.2)
    assert moved == pytest.approx(hard, rel=0.2)
    assert rim > 2.5 * hard


def test_a_border_that_is_not_there_is_no_seam() -> None:
    ramp = np.broadcast_to(20 + 2 * np.arange(30.0), (20, 30))
    assert measures.seam(lightness(ramp), [left_part(10)]) == pytest.approx(1, rel=0.05)
    assert math.isnan(measures.seam(lightness(ramp), [left_part(30)]))
    assert math.isnan(measures.seam(flat(GREY), [left_part(10)]))
