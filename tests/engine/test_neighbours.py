"""Nearest style features: by hand, gradients, and which ones are looked at."""

import math

import pytest
import torch

from pipeline.engine.neighbours import Candidates, Samples, evenly

CHOSEN = torch.zeros(1, 1, 1, 3, dtype=torch.int64)


@pytest.fixture
def axes() -> Candidates:
    """Two samples along the axes of a plane, seen from its origin."""
    return Candidates(Samples(torch.zeros(2), torch.eye(2), torch.eye(2)), 1.0, CHOSEN.clone())


def test_directions_are_from_nine_tenths_of_the_mean() -> None:
    # Mean (2, 0), centre (1.8, 0).
    found = Samples.of(torch.tensor([[[1.8, 3.0]], [[2.2, -3.0]]]))
    torch.testing.assert_close(found.centre, torch.tensor([1.8, 0.0]))
    expected = torch.tensor([[0.0, 1.0], [0.4 / math.hypot(0.4, 3), -3 / math.hypot(0.4, 3)]])
    torch.testing.assert_close(found.directions, expected)
    torch.testing.assert_close(found.patches, expected)


def test_the_product_of_two_patches_is_the_mean_cosine() -> None:
    generator = torch.Generator().manual_seed(0)
    features = torch.rand(4, 9, 6, generator=generator, dtype=torch.float64)
    found = Samples.of(features)
    assert found.side == 3
    torch.testing.assert_close(found.centre, 0.9 * features[:, 4].mean(0))
    centred = features - found.centre
    torch.testing.assert_close(
        found.directions, torch.nn.functional.normalize(centred[:, 4], dim=1)
    )
    cosines = torch.nn.functional.cosine_similarity(centred[0], centred[1], dim=1)
    torch.testing.assert_close(found.patches[0] @ found.patches[1], cosines.mean())


def test_a_style_of_one_colour_keeps_its_direction() -> None:
    found = Samples.of(torch.tensor([[[3.0, 4.0]]] * 5))
    torch.testing.assert_close(found.directions, torch.tensor([[0.6, 0.8]] * 5))


def test_sums_by_hand(axes: Candidates) -> None:
    rows = torch.tensor([[3.0, 4.0], [0.0, 2.0], [0.0, 0.0]])
    axes.chosen[0, 0, 0] = torch.tensor([0, 1, 0])
    # Cosines 0.6 and 1; a feature that is 0 has none.
    assert axes.distance_sum(rows, None, None).item() == pytest.approx(0.4 + 0 + 1)
    half = torch.tensor([[0.5], [1.0], [0.0]])
    assert axes.distance_sum(rows, half, None).item() == pytest.approx(0.2)
    # The first unit of the three is another region's.
    index = torch.tensor([1, 2])
    assert axes.distance_sum(rows[1:], None, index).item() == pytest.approx(0 + 1)
    heavy = Candidates(axes.samples, 3.0, axes.chosen)
    assert heavy.distance_sum(rows, half, None).item() == pytest.approx(0.6)


def test_gradients() -> None:
    generator = torch.Generator().manual_seed(0)
    style, rows = (torch.rand(7, 4, generator=generator, dtype=torch.float64) for _ in range(2))
    weights = torch.rand(7, 1, generator=generator, dtype=torch.float64)
    chosen = torch.tensor([3, 1, 0, 6, 2, 2, 5]).view(1, 1, 1, 7)
    found = Candidates(Samples.of(style[:, None]), 0.7, chosen)
    rows.requires_grad_()
    for mask in (weights, None):
        total = found.distance_sum(rows, mask, None)
        (expected,) = torch.autograd.grad(total, rows)
        torch.testing.assert_close(found.distance_gradient(rows.detach(), mask, None), expected)


def test_features_without_a_direction_have_no_gradient(axes: Candidates) -> None:
    assert not axes.distance_gradient(torch.zeros(3, 2), None, None).any()


def test_half_precision_is_near() -> None:
    generator = torch.Generator().manual_seed(1)
    rows = torch.rand(300, 64, generator=generator)
    style = Samples.of(torch.rand(50, 1, 64, generator=generator))
    exact = Candidates(style, 1.0, torch.zeros(1, 1, 300, 1, dtype=torch.int64))
    low = Samples(*(one.bfloat16() for one in (style.centre, style.directions, style.patches)))
    half = Candidates(low, 1.0, exact.chosen)
    found = half.distance_sum(rows.bfloat16(), None, None)
    assert found.dtype == torch.float32
    assert found.item() == pytest.approx(exact.distance_sum(rows, None, None).item(), rel=0.01)
    gradients = [
        exact.distance_gradient(rows, None, None),
        half.distance_gradient(rows.bfloat16(), None, None).float(),
    ]
    assert (gradients[1] - gradients[0]).norm() < 0.02 * gradients[0].norm()


def test_samples_are_spread_evenly() -> None:
    assert evenly(3, 5).tolist() == [0, 1, 2]
    assert evenly(10, 4).tolist() == [0, 2, 5, 7]
