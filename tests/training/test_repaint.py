"""Crops that the instant painter repaints for the segmenter's training."""

import numpy as np
import pytest
import torch
from torch import Tensor

from pipeline.training import pictures
from pipeline.training.repaint import Repainter

SIDE = 48


@pytest.fixture
def crops() -> Tensor:
    """A dark disc before a light wall, four times."""
    rows, columns = torch.meshgrid(torch.arange(SIDE), torch.arange(SIDE), indexing="ij")
    disc = (rows - 24) ** 2 + (columns - 20) ** 2 < 14**2
    one = torch.where(disc, 0.25, 0.75).expand(3, SIDE, SIDE)
    return one.repeat(4, 1, 1, 1)


@pytest.fixture
def paintings() -> list[pictures.Array]:
    """Red and yellow squares."""
    rng = np.random.default_rng(0)
    squares = rng.random((16, 20, 1)) < 0.5
    painting = np.where(squares, [200, 30, 20], [230, 200, 40]).astype(np.uint8)
    return [painting.repeat(5, 0).repeat(5, 1)]


def repainter(paintings: list[pictures.Array], share: float) -> Repainter:
    return Repainter(paintings, share, 0.7, torch.device("cpu"))


def redness(crop: Tensor) -> float:
    return float((crop[0] - crop[2]).mean())


def test_a_share_is_painted_and_the_rest_stays(
    crops: Tensor, paintings: list[pictures.Array]
) -> None:
    before = crops.clone()
    found = repainter(paintings, 0.5)(crops, np.random.default_rng(0))
    assert torch.equal(crops, before)
    assert torch.equal(found[2:], crops[2:])
    assert 0 <= float(found.min()) <= float(found.max()) <= 1
    for painted in found[:2]:
        assert redness(painted) > 0.1  # the paintings' colours ...
        disc = crops[0, 0] < 0.5
        light = painted.mean(0)
        assert light[disc].mean() < light[~disc].mean() - 0.05  # ... and what the photograph shows
    assert not torch.equal(found[0], found[1])


def test_chance_decides_on_the_last_crop(crops: Tensor, paintings: list[pictures.Array]) -> None:
    paint = repainter(paintings, 0.125)
    rng = np.random.default_rng(0)
    counts = [int((paint(crops, rng) != crops).flatten(1).any(1).sum()) for _ in range(12)]
    assert set(counts) == {0, 1}


def test_the_same_chance_gives_the_same(crops: Tensor, paintings: list[pictures.Array]) -> None:
    paint = repainter(paintings, 0.25)
    first, again, other = (paint(crops, np.random.default_rng(seed)) for seed in (1, 1, 2))
    assert torch.equal(first, again)
    assert not torch.equal(first, other)
