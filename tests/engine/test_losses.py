"""Losses against numbers computed by hand."""

import pytest
import torch

from pipeline.engine import losses

# Two channels, three units: F = [[1, 2, 3], [0, 1, 1]].
FEATURES = torch.tensor([[[[1.0, 2.0, 3.0]], [[0.0, 1.0, 1.0]]]])
# F F^T = [[1 + 4 + 9, 0 + 2 + 3], [5, 0 + 1 + 1]]
UNNORMALISED = torch.tensor([[14.0, 5.0], [5.0, 2.0]])


def test_gram_matrix_is_the_mean_of_outer_products() -> None:
    torch.testing.assert_close(losses.gram_matrix(FEATURES), UNNORMALISED / 3)


def test_masked_gram_matrix_weighs_units() -> None:
    mask = torch.tensor([[[[1.0, 0.0, 0.5]]]])
    # (1*[1,0][1,0]^T + 0.5*[3,1][3,1]^T) / 1.5
    expected = torch.tensor([[1 + 4.5, 1.5], [1.5, 0.5]]) / 1.5
    torch.testing.assert_close(losses.gram_matrix(FEATURES, mask), expected)


def test_masked_gram_matrix_does_not_depend_on_the_area() -> None:
    texture = torch.rand(1, 4, 8, 10, generator=torch.Generator().manual_seed(0))
    twice = torch.cat([texture, texture, torch.rand(1, 4, 8, 10)], dim=3)
    mask = torch.zeros(1, 1, 8, 30)
    mask[..., :20] = 1
    torch.testing.assert_close(losses.gram_matrix(twice, mask), losses.gram_matrix(texture))


def test_gatys_content_loss() -> None:
    target = torch.tensor([[[[1.0, 0.0, 3.0]], [[0.0, 1.0, 4.0]]]])
    assert losses.gatys_content_loss(FEATURES, target).item() == pytest.approx((4 + 9) / 2)
    mask = torch.tensor([[[[1.0, 0.5, 0.0]]]])
    assert losses.gatys_content_loss(FEATURES, target, mask).item() == pytest.approx(4 * 0.5 / 2)


def test_gatys_style_loss_equals_the_papers_formula() -> None:
    target = torch.tensor([[10.0, 5.0], [5.0, 6.0]])
    # 1 / (4 N^2 M^2) * sum (G - A)^2 with N = 2, M = 3 and G, A unnormalised.
    expected = (16 + 0 + 0 + 16) / (4 * 4 * 9)
    found = losses.gatys_style_loss(losses.gram_matrix(FEATURES), target / 3)
    assert found.item() == pytest.approx(expected)


def test_relative_style_loss() -> None:
    target = torch.tensor([[3.0, 0.0], [0.0, 4.0]])
    assert losses.relative_style_loss(torch.zeros(2, 2), target).item() == pytest.approx(1)
    assert losses.relative_style_loss(target, target).item() == 0
    assert losses.relative_style_loss(2 * target, target).item() == pytest.approx(1)


def test_relative_content_loss_of_the_mean_is_one() -> None:
    target = FEATURES
    mean = target.mean((2, 3), keepdim=True).expand_as(target)
    # Just under 1: a thousandth of the features' energy is added to their variance.
    assert losses.relative_content_loss(mean, target).item() == pytest.approx(1, abs=0.01)
    assert losses.relative_content_loss(target, target).item() == 0


def test_relative_content_loss_of_flat_content_is_finite() -> None:
    flat = torch.ones(1, 2, 3, 3)
    assert torch.isfinite(losses.relative_content_loss(flat + 0.1, flat))


def test_total_variation() -> None:
    picture = torch.tensor([[[[0.0, 1.0], [0.0, 3.0]]]])
    # down: 0, 2 -> mean of 0, 4; right: 1, 3 -> mean of 1, 9
    assert losses.total_variation(picture).item() == pytest.approx(2 + 5)
    mask = torch.tensor([[[[1.0, 0.0], [0.0, 1.0]]]])
    # Only the lower right pixel counts: 2^2 to the one above, 3^2 to the one on its left.
    assert losses.total_variation(picture, mask).item() == pytest.approx(4 + 9)


def halves(left: float, right: float) -> torch.Tensor:
    picture = torch.full((1, 3, 48, 96), left)
    picture[..., 48:] = right
    return picture


@pytest.mark.parametrize(
    ("picture", "loss"),
    [
        (halves(0.2, 0.8), 0),  # itself
        (halves(0.5, 0.6), 0),  # less contrast, brighter
        (halves(0.9, 0.1), 2),  # light where the content is dark
        (halves(0.5, 0.5), 1),  # nothing of it
    ],
)
def test_layout_by_hand(picture: torch.Tensor, loss: float) -> None:
    found = losses.layout_loss(picture, halves(0.2, 0.8))
    assert found.item() == pytest.approx(loss, abs=0.01)


def test_layout_ignores_colours_and_what_lies_outside() -> None:
    content, picture = halves(0.2, 0.8), halves(0.2, 0.8)
    mask = torch.zeros(1, 1, 48, 96)
    mask[..., 24:72] = 1
    # The same luma in other colours: 0.299 r + 0.587 g + 0.114 b.
    picture[:, 0, :, 48:] -= 0.1 / 0.299
    picture[:, 1, :, 48:] += 0.1 / 0.587
    picture[..., :20] = 1
    assert losses.layout_loss(picture, content, mask).item() == pytest.approx(0, abs=0.01)


def test_layout_of_a_flat_content_pulls_nowhere() -> None:
    picture = torch.rand(1, 3, 20, 30, generator=torch.Generator().manual_seed(0)).requires_grad_()
    losses.layout_loss(picture, torch.full((1, 3, 20, 30), 0.5)).backward()
    assert picture.grad is not None
    assert picture.grad.abs().max() < 1e-3


def warm_halves(left: float, right: float) -> torch.Tensor:
    """Of one luma, with so much more red on either side: 0.299 r + 0.587 g + 0.114 b."""
    picture = torch.full((1, 3, 48, 96), 0.5)
    amount = halves(left, right)[:, 0]
    picture[:, 0] += amount
    picture[:, 1] -= amount * 0.299 / 0.587
    return picture


@pytest.mark.parametrize(
    ("picture", "loss"),
    [
        (warm_halves(0.0, 0.2), 0),  # itself
        (warm_halves(0.1, 0.15), 0),  # less of a difference, warmer on the whole
        (warm_halves(0.0, 0.2) * 0.5, 0),  # darker
        (warm_halves(0.2, 0.0), 2),  # warm where the content is cold
        (halves(0.2, 0.8), 1),  # no colours, whatever the light
    ],
)
def test_color_layout_by_hand(picture: torch.Tensor, loss: float) -> None:
    found = losses.color_layout_loss(picture, warm_halves(0.0, 0.2))
    assert found.item() == pytest.approx(loss, abs=0.01)


def test_color_layout_knows_which_color() -> None:
    # Blue instead of red: of (r - y, b - y) the content has (1, 0) t, the picture (0, 1) t, both
    # centred, so that their product is 0.
    content = warm_halves(0.0, 0.2)
    picture = torch.full((1, 3, 48, 96), 0.5)
    picture[:, 2, :, 48:] += 0.2
    picture[:, 1, :, 48:] -= 0.2 * 0.114 / 0.587
    assert losses.color_layout_loss(picture, content).item() == pytest.approx(1, abs=0.01)


def test_color_layout_does_not_see_what_lies_outside() -> None:
    content, picture = warm_halves(0.0, 0.2), warm_halves(0.0, 0.2)
    mask = torch.zeros(1, 1, 48, 96)
    mask[..., 24:72] = 1
    picture[..., :20] = torch.tensor([1.0, 0.0, 0.0]).view(3, 1, 1)
    assert losses.color_layout_loss(picture, content, mask).item() == pytest.approx(0, abs=0.01)


def test_color_layout_of_a_grey_content_pulls_nowhere() -> None:
    picture = torch.rand(1, 3, 20, 30, generator=torch.Generator().manual_seed(0)).requires_grad_()
    losses.color_layout_loss(picture, torch.rand(1, 1, 20, 30).expand(-1, 3, -1, -1)).backward()
    assert picture.grad is not None
    assert picture.grad.abs().max() < 1e-3


def test_layout_has_no_grid() -> None:
    # Disjoint cells would give gradients that are constant inside and jump between them.
    picture = torch.full((1, 3, 96, 192), 0.5)
    picture += 0.1 * torch.linspace(0, 1, 192)
    picture.requires_grad_()
    losses.layout_loss(
        picture, halves(0.2, 0.8).repeat_interleave(2, 2).repeat_interleave(2, 3)
    ).backward()
    assert picture.grad is not None
    row = picture.grad[0, 0, 48, 20:80]
    steps = row.diff().abs()
    assert steps.max() < 3 * steps.median() + 1e-9
