"""Layers: colours of a figure and of what is behind it, told apart."""

import pytest
import torch
from torch import Tensor

from pipeline.pictures.layers import BEYOND, spread, take_apart, widened
from pipeline.pictures.strips import strips


@pytest.fixture
def edge() -> Tensor:
    """A figure's share: none, then more over eight columns, then all; (1, 1, 40, 60)."""
    return ((torch.arange(60.0) - 25) / 8).clamp(0, 1).expand(1, 1, 40, 60)


def colour(*rgb: float) -> Tensor:
    return torch.tensor(rgb).view(1, 3, 1, 1).expand(1, 3, 40, 60)


def test_both_colours_are_found_in_mixed_pixels(edge: Tensor) -> None:
    figure, behind = colour(0.1, 0.1, 0.2), colour(0.6, 0.7, 0.6)
    picture = edge * figure + (1 - edge) * behind
    layers = take_apart(picture, edge, edge > 0)
    assert layers is not None
    mixed = ((edge > 0) & (edge < 1)).expand_as(picture)
    background = layers.background(slice(0, 40))
    torch.testing.assert_close(background[mixed], behind[mixed], atol=0.02, rtol=0)
    assert torch.equal(background[~mixed], picture[~mixed])
    foreground = layers.foreground()
    torch.testing.assert_close(foreground[mixed], figure[mixed], atol=0.02, rtol=0)
    # It goes on beyond the outline, and no further than is painted.
    beyond = foreground[..., 26 - BEYOND : 26]
    torch.testing.assert_close(beyond, figure[..., :BEYOND], atol=0.02, rtol=0)
    assert torch.equal(foreground[..., : 26 - BEYOND], picture[..., : 26 - BEYOND])


def test_the_backgrounds_own_texture_stays_where_it_is_nearly_alone(edge: Tensor) -> None:
    stripes = 0.5 + 0.2 * (torch.arange(40).view(-1, 1) % 2).expand(1, 3, 40, 60)
    picture = edge * colour(0, 0, 0) + (1 - edge) * stripes
    layers = take_apart(picture, edge, edge > 0)
    assert layers is not None
    found = layers.background(slice(0, 40))[..., 26]  # an eighth of figure
    torch.testing.assert_close(found, stripes[..., 26], atol=0.06, rtol=0)


def test_a_soft_edge_that_was_drawn_is_no_mixture(edge: Tensor) -> None:
    picture = torch.rand(1, 3, 40, 60, generator=torch.Generator().manual_seed(0))
    assert take_apart(picture, edge, torch.zeros_like(edge, dtype=torch.bool)) is None
    assert take_apart(picture, edge.round(), edge > 0) is None


def test_strips_are_those_of_the_whole(edge: Tensor, monkeypatch: pytest.MonkeyPatch) -> None:
    picture = torch.rand(1, 3, 40, 60, generator=torch.Generator().manual_seed(0))
    layers = take_apart(picture, edge, edge > 0)
    assert layers is not None
    whole = layers.background(slice(0, 40)), layers.foreground()
    monkeypatch.setattr(strips, "__defaults__", (60 * 7,))
    parts = torch.cat([layers.background(rows) for rows in strips(40, 60)], dim=2)
    torch.testing.assert_close(parts, whole[0], atol=1e-6, rtol=0)
    torch.testing.assert_close(layers.foreground(), whole[1], atol=1e-6, rtol=0)


def test_known_values_stay_and_the_others_are_averages_of_them() -> None:
    values = torch.tensor([[[[0.2, 9.0, 9.0, 0.8]]]])
    known = torch.tensor([[[[1.0, 0.0, 0.0, 1.0]]]])
    found = spread(values, known)[0, 0, 0]
    # At half the size 0.2 and 0.8, each a quarter of a pixel from the middles between them.
    assert found.tolist() == pytest.approx([0.2, 0.35, 0.65, 0.8])


def test_nothing_known_is_nothing_wrong() -> None:
    assert spread(torch.ones(1, 3, 5, 7), torch.zeros(1, 1, 5, 7)).isfinite().all()


def test_widened_is_so_many_pixels_to_each_side() -> None:
    mask = torch.zeros(1, 1, 9, 11)
    mask[..., 4, 5] = 0.1
    found = widened(mask, 2)
    assert found.sum() == 25
    assert found[0, 0, 2:7, 3:8].min() == 1
