"""Blending: bit-identical outside, soft inside, no photograph between two styles."""

import pytest
import torch
from torch import Tensor
from torchvision.transforms.functional import gaussian_blur

from pipeline.pictures.blend import _blur, blend, feather_inside
from pipeline.pictures.layers import take_apart
from pipeline.pictures.strips import strips


@pytest.fixture
def halves() -> dict[str, Tensor]:
    """Two regions that share the middle rows of a picture, side by side."""
    left = torch.zeros(1, 1, 40, 60)
    left[..., 10:30, 5:30] = 1
    right = torch.zeros(1, 1, 40, 60)
    right[..., 10:30, 30:55] = 1
    return {"left": left, "right": right}


def test_feathering_stays_inside(halves: dict[str, Tensor]) -> None:
    mask = halves["left"]
    soft = feather_inside(mask, 4)
    assert (soft <= mask).all()
    assert soft[0, 0, 20, 17] == 1
    edge = soft[0, 0, 20, 5:12]
    assert 0 < edge[0] < 0.5
    assert (edge.diff() >= 0).all()
    assert torch.equal(feather_inside(mask, 0), mask)


def test_a_narrow_part_keeps_its_middle() -> None:
    mask = torch.zeros(1, 1, 40, 60)
    mask[..., 10:16, :] = 1  # 6 pixels high, across the frame
    mask[..., 20:38, 4:50] = 1
    soft = feather_inside(mask, 30)
    assert soft[0, 0, 12:14].min() > 0.99
    assert soft[0, 0, 10].max() < 0.5
    assert soft[0, 0, 28:30, 20:30].min() > 0.9


@pytest.mark.parametrize("feather", [0, 2, 7.5])
def test_outside_is_identical(feather: float, halves: dict[str, Tensor]) -> None:
    content = torch.rand(1, 3, 40, 60, generator=torch.Generator().manual_seed(0))
    painted = dict.fromkeys(halves, 1 - content)
    result = blend(content, painted, halves, feather)
    outside = (halves["left"] + halves["right"] == 0).expand_as(content)
    assert torch.equal(result[outside], content[outside])
    inside = result[..., 20, 17], 1 - content[..., 20, 17]
    torch.testing.assert_close(*inside, atol=0.01 * feather, rtol=0)


def test_no_photograph_shows_between_two_styles(halves: dict[str, Tensor]) -> None:
    content = torch.zeros(1, 3, 40, 60)
    painted = {"left": torch.full_like(content, 0.4), "right": torch.full_like(content, 0.8)}
    result = blend(content, painted, halves, 6)
    border = result[0, 0, 20, 24:36]
    assert border.min() >= 0.4 - 1e-5
    assert (border.diff() >= -1e-5).all()
    assert border[6].item() == pytest.approx(0.6, abs=0.05)
    hard = blend(content, painted, halves, 0)
    assert hard[0, 0, 20, 29].item() == pytest.approx(0.4)
    assert hard[0, 0, 20, 30].item() == pytest.approx(0.8)


def test_every_region_has_its_own_feather(halves: dict[str, Tensor]) -> None:
    content = torch.zeros(1, 3, 40, 60)
    painted = dict.fromkeys(halves, torch.ones_like(content))
    result = blend(content, painted, halves, {"left": 0.0, "right": 8.0})[0, 0, 20]
    assert result[5] == 1
    assert 0 < result[54] < 0.2


def test_free_keeps_nothing_of_the_photograph(halves: dict[str, Tensor]) -> None:
    content = torch.zeros(1, 3, 40, 60)
    painted = {"left": torch.full_like(content, 0.4), "right": torch.full_like(content, 0.8)}
    result = blend(content, painted, halves, 0, free=True)
    assert result[0, 0, 20, 10].item() == pytest.approx(0.4)
    assert result[0, 0, 20, 50].item() == pytest.approx(0.8)
    assert result[0, 0, 2, 2].item() == pytest.approx(0.6)


@pytest.mark.parametrize("free", [False, True])
def test_strips_leave_no_seam(
    content: Tensor, disc: Tensor, free: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    masks = {"disc": disc, "rest": 1 - disc}
    pictures = {"disc": 1 - content, "rest": content.flip(3)}
    whole = blend(content, pictures, masks, {"disc": 5.0, "rest": 2.0}, free)
    monkeypatch.setattr(strips, "__defaults__", (83 * 10,))
    parts = blend(content, pictures, masks, {"disc": 5.0, "rest": 2.0}, free)
    torch.testing.assert_close(parts, whole, atol=1e-6, rtol=0)


def test_borders_are_blurred_as_torchvision_does(disc: Tensor) -> None:
    expected = gaussian_blur(disc, [13, 13], [2.0, 2.0])
    torch.testing.assert_close(_blur(disc, 2.0), expected, atol=1e-7, rtol=0)


def black_figure(soft: float) -> tuple[Tensor, Tensor]:
    """A black disc over a grey wall, and its share of each pixel."""
    rows, columns = torch.arange(40.0).view(-1, 1), torch.arange(60.0)
    distance = 12 - torch.hypot(rows - 19.5, columns - 29.5)
    share = (distance / soft + 0.5).clamp(0, 1)[None, None]
    return (0.6 * (1 - share)).expand(1, 3, 40, 60).contiguous(), share


@pytest.mark.parametrize("soft", [1.0, 3.0, 8.0])
def test_no_rim_of_the_old_figure_is_left(soft: float) -> None:
    content, share = black_figure(soft)
    layers = take_apart(content, share, share > 0)
    painted = {"figure": torch.ones_like(content)}
    result = blend(content, painted, {"figure": share}, 0, layers=layers)
    # White on grey: nothing is darker than the wall, and all of it is what a painter would do.
    assert result.min() > 0.6 - 0.02
    torch.testing.assert_close(
        result, (share + 0.6 * (1 - share)).expand(content.shape), atol=0.02, rtol=0
    )
    outside = (share == 0).expand_as(content)
    assert torch.equal(result[outside], content[outside])
    # Without the layers there is one.
    if soft > 1:
        assert blend(content, painted, {"figure": share}, 0).min() < 0.59


def test_an_edge_feathered_away_shows_the_photograph(halves: dict[str, Tensor]) -> None:
    content, share = black_figure(4.0)
    layers = take_apart(content, share, share > 0)
    painted = {"figure": torch.ones_like(content)}
    result = blend(content, painted, {"figure": share}, 6, layers=layers)
    ramp = feather_inside(share, 6) / share.clamp_min(1e-6)
    whole = blend(content, painted, {"figure": share}, 0, layers=layers)
    torch.testing.assert_close(result, content + ramp * (whole - content), atol=1e-5, rtol=0)


def test_neighbours_that_share_pixels_leave_no_gap() -> None:
    content, share = black_figure(6.0)
    pictures = {"in": torch.full_like(content, 0.4), "out": torch.full_like(content, 0.8)}
    masks = {"in": share, "out": 1 - share}
    layers = take_apart(content, (share + (1 - share)).clamp(0, 1), share > 0)
    assert layers is None
    result = blend(content, pictures, masks, 0, layers=layers)
    torch.testing.assert_close(result, (0.8 - 0.4 * share).expand(content.shape))
