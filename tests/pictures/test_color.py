"""Colours: statistics match, masks count, lightness alone changes."""

import pytest
import torch
from torch import Tensor

from pipeline.pictures import color


@pytest.fixture
def pictures() -> tuple[Tensor, Tensor]:
    """A reddish and a bluish picture of noise, in the middle of the range."""
    generator = torch.Generator().manual_seed(0)
    style = 0.4 + 0.1 * torch.rand(1, 3, 40, 50, generator=generator)
    content = 0.5 + 0.2 * torch.rand(1, 3, 30, 60, generator=generator)
    content[:, 2] += 0.5 * (content[:, 0] - 0.5)
    return style, content


def covariance(picture: Tensor) -> Tensor:
    return torch.cov(picture[0].flatten(1), correction=0)


def test_mean_and_covariance_match(pictures: tuple[Tensor, Tensor]) -> None:
    style, content = pictures
    matched = color.match_mean_covariance(style, content, None, None)
    torch.testing.assert_close(matched.mean((2, 3)), content.mean((2, 3)), atol=2e-3, rtol=0)
    torch.testing.assert_close(covariance(matched), covariance(content), atol=1e-4, rtol=0.02)


def test_one_channel_by_hand() -> None:
    # Independent channels: the transform is a gain of 0.2 / 0.1 around the means.
    style = torch.tensor([0.4, 0.6]).view(1, 1, 1, 2).expand(1, 3, 1, 2).clone()
    style = torch.cat([style, style.flip(3)], dim=2)
    content = torch.tensor([0.3, 0.7]).view(1, 1, 1, 2).expand(1, 3, 2, 2)
    matched = color.match_mean_covariance(style, content, None, None)
    expected = torch.tensor([[0.3, 0.7], [0.7, 0.3]]).expand(1, 3, 2, 2)
    torch.testing.assert_close(matched, expected, atol=2e-3, rtol=0)


def test_only_the_region_counts(pictures: tuple[Tensor, Tensor]) -> None:
    style, content = pictures
    mask = torch.zeros(1, 1, 30, 60)
    mask[..., :20] = 1
    other = content.clone()
    other[..., 20:] = 0
    for match in (color.match_mean_covariance, color.match_histogram, color.grey_style):
        torch.testing.assert_close(
            match(style, content, None, mask), match(style, other, None, mask)
        )


def test_histograms_match(pictures: tuple[Tensor, Tensor]) -> None:
    style, content = pictures
    matched = color.match_histogram(style, content, None, None)
    levels = torch.linspace(0, 1, 21)
    for channel in range(3):
        found = matched[0, channel].flatten().quantile(levels)
        wanted = content[0, channel].flatten().quantile(levels)
        torch.testing.assert_close(found, wanted, atol=5e-3, rtol=0)


def test_luma_by_hand() -> None:
    picture = torch.tensor([0.5, 0.2, 0.1]).view(1, 3, 1, 1)
    assert color.luminance(picture).item() == pytest.approx(0.299 * 0.5 + 0.587 * 0.2 + 0.0114)
    painted = torch.full((1, 3, 1, 1), 0.5)
    changed = color.with_luminance(picture, painted)
    assert color.luminance(changed).item() == pytest.approx(0.5, abs=1e-6)
    # The differences of the channels, the chroma, stay.
    assert (changed[0, 0] - changed[0, 1]).item() == pytest.approx(0.3, abs=1e-6)


def test_a_grey_style_has_the_contents_lightness(pictures: tuple[Tensor, Tensor]) -> None:
    style, content = pictures
    found = color.grey_style(style, content, None, None)
    assert torch.equal(found[:, 0], found[:, 2])
    wanted = color.luminance(content)
    assert found[:, 0].mean().item() == pytest.approx(wanted.mean().item(), abs=2e-3)
    assert found[:, 0].std().item() == pytest.approx(wanted.std().item(), rel=0.02)


@pytest.mark.parametrize(
    "match", [color.match_mean_covariance, color.match_histogram, color.grey_style]
)
def test_a_flat_content_is_no_reason_to_fail(match: object) -> None:
    assert callable(match)
    style = torch.rand(1, 3, 20, 20, generator=torch.Generator().manual_seed(1))
    matched = match(style, torch.full((1, 3, 9, 9), 0.3), None, None)
    assert matched.isfinite().all()
    assert (matched - 0.3).abs().max() < 0.02


def test_chroma_is_smoothed_and_lightness_stays() -> None:
    generator = torch.Generator().manual_seed(0)
    picture = 0.3 + 0.4 * torch.rand(1, 3, 40, 50, generator=generator)
    mask = torch.zeros(1, 1, 40, 50)
    mask[..., :30] = 1
    picture[..., 30:] = torch.tensor([0.9, 0.0, 0.0]).view(1, 3, 1, 1)  # red, outside
    smoothed = color.smooth_chroma(picture, mask, 1.5)
    assert torch.equal(smoothed[..., 30:], picture[..., 30:])
    torch.testing.assert_close(color.luminance(smoothed), color.luminance(picture))
    chroma, before = (p - color.luminance(p) for p in (smoothed, picture))
    assert chroma[..., 5:25].std() < 0.35 * before[..., 5:25].std()
    # Nothing of the red has come in.
    assert chroma[..., 29].mean((0, 2))[0] < 0.03
    # What is of one colour stays as it is.
    flat = torch.full((1, 3, 20, 30), 0.25) * torch.tensor([1.0, 2.0, 3.0]).view(1, 3, 1, 1)
    torch.testing.assert_close(color.smooth_chroma(flat, torch.ones(1, 1, 20, 30), 1.5), flat)
