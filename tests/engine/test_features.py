"""Features around units."""

import torch

from pipeline.engine.features import evenly_over, patches_of, unit_numbers
from pipeline.pictures.boxes import Box


def test_patches_by_hand() -> None:
    features = torch.arange(12.0).view(1, 1, 3, 4)
    features = torch.cat([features, -features], 1)
    found = patches_of(features, torch.tensor([5, 3]), 3)
    assert found.shape == (2, 9, 2)
    assert found[0, :, 0].tolist() == [0, 1, 2, 4, 5, 6, 8, 9, 10]
    # Beyond the edge are the units on it.
    assert found[1, :, 1].tolist() == [-2, -3, -3, -2, -3, -3, -6, -7, -7]
    assert patches_of(features, torch.tensor([5]), 1).tolist() == [[[5, -5]]]


def test_units_are_numbered_in_what_is_seen() -> None:
    wanted = torch.tensor([[0.0, 1.0], [0.5, 0.0]])
    assert unit_numbers(wanted[None, None], Box(1, 2, 3, 4), 7).tolist() == [10, 16]


def test_units_of_a_region_are_taken_evenly() -> None:
    mask = torch.tensor([[[[0.1, 0.5], [0.4, 0.9]]]])
    assert evenly_over(mask, (2, 2), mask).tolist() == [[False, True], [False, True]]
    many = evenly_over(None, (100, 100), mask)
    assert many.sum() == 2048
    for half in many.flatten().split(5000):
        assert half.sum() == 1024
