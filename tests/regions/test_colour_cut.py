"""Colours decide what a mask leaves open, and nothing else."""

import pytest
import torch
from torch import Tensor

from pipeline.regions.colour_cut import colour_models


def red_on_blue() -> tuple[Tensor, Tensor]:
    """A red rectangle on blue, both a little noisy, and where it is."""
    picture = torch.rand(1, 3, 64, 90, generator=torch.Generator().manual_seed(2)) * 0.2
    truth = torch.zeros(1, 1, 64, 90)
    truth[..., 16:48, 20:70] = 1
    picture[:, :1] += 0.7 * truth
    picture[:, 2:] += 0.7 * (1 - truth)
    return picture, truth


def test_colours_decide_where_the_mask_is_uncertain() -> None:
    picture, truth = red_on_blue()
    # Certain in the middle and far outside; in between it leans to the wrong side.
    given = torch.full_like(truth, 0.4) + 0.2 * (1 - truth)
    given[..., 26:38, 35:55] = 0.95
    given[..., :8, :] = given[..., 56:, :] = 0.02
    found = colour_models(picture, given)
    assert ((found > 0.5) == (truth > 0.5)).float().mean() > 0.99
    assert ((given > 0.5) == (truth > 0.5)).float().mean() < 0.6
    certain = (given < 0.15) | (given > 0.85)
    assert torch.equal(found[certain], given[certain])


def test_colours_far_from_what_is_uncertain_have_no_say() -> None:
    # A red sleeve on a person in orange, before blue; far away there is more of the same red.
    picture, truth = red_on_blue()
    picture[:, 1:2, 16:48, 32:70] += 0.5
    given = torch.where(truth > 0, 0.95, 0.02)
    given[..., 14:50, 18:32] = 0.6
    other = torch.rand(1, 3, 64, 400, generator=torch.Generator().manual_seed(3)) * 0.2
    other[:, 0] += 0.7
    beside = torch.cat([picture, other], dim=3)
    found = colour_models(beside, torch.cat([given, torch.full((1, 1, 64, 400), 0.02)], dim=3))
    assert ((found[..., :90] > 0.5) == (truth > 0.5)).float().mean() > 0.99
    assert float(found[..., 90:].max()) < 0.5


@pytest.mark.parametrize(("likely", "whole"), [(0.6, True), (0.3, False)])
def test_a_hole_by_colour_in_what_is_likely_whole_is_none(likely: float, whole: bool) -> None:
    # A blue label on a red cap, before blue.
    picture, truth = red_on_blue()
    given = torch.where(truth > 0, 0.95, 0.02)
    label = ..., slice(26, 36), slice(40, 54)
    picture[label] = picture[..., :10, :14]
    given[..., 24:38, 38:56] = likely
    found = colour_models(picture, given)
    assert bool((found[label] > 0.5).all()) == whole
    assert bool((found[label] < 0.5).all()) != whole


def test_without_an_uncertain_pixel_nothing_changes() -> None:
    picture, truth = red_on_blue()
    assert torch.equal(colour_models(picture, truth), truth)


def test_colours_are_not_asked_without_certain_pixels() -> None:
    picture, truth = red_on_blue()
    given = 0.3 + 0.4 * truth
    assert torch.equal(colour_models(picture, given), given)


def test_a_cut_that_leaves_nothing_is_none() -> None:
    # What is certainly outside is small, and what is uncertain looks like what is inside.
    picture = torch.rand(1, 3, 60, 80, generator=torch.Generator().manual_seed(0)) * 0.1 + 0.4
    picture[..., 72:] = 0.9
    probability = torch.full((1, 1, 60, 80), 0.95)
    probability[..., 30:] = 0.3
    probability[..., 76:] = 0.05
    assert torch.equal(colour_models(picture, probability), probability)
    # As much of it is cut where enough is left.
    probability[..., 40:] = 0.05
    assert not torch.equal(colour_models(picture, probability), probability)


def test_the_cut_of_a_large_picture_is_made_on_a_small_one() -> None:
    picture, truth = red_on_blue()
    given = 0.1 + 0.8 * truth
    given[..., 14:50, 18:24] = 0.5
    large = colour_models(picture, given, longest=45)
    assert large.shape == given.shape
    assert ((large > 0.5) == (truth > 0.5)).float().mean() > 0.97
