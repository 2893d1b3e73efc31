"""Bands: by hand, of regions, a part of the way, limits."""

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from pipeline.pictures import bands
from pipeline.pictures.bands import LEVELS, MULTIPLE, band, smaller_ones, with_bands_of


def noise(height: int, width: int, seed: int, scale: int = 1) -> Tensor:
    """(1, 3, height, width) around 1/2, spots of ``scale`` pixels."""
    generator = torch.Generator().manual_seed(seed)
    spots = torch.randn(1, 3, height // scale, width // scale, generator=generator)
    return 0.5 + 0.1 * F.interpolate(spots, (height, width), mode="nearest")


def octaves(picture: Tensor) -> list[Tensor]:
    """The bands, from fine to coarse."""
    pictures = smaller_ones(picture)
    return [band(pictures, level) for level in range(LEVELS)]


def variances(picture: Tensor) -> list[float]:
    return [float(octave.square().mean()) for octave in octaves(picture)]


def test_a_picture_is_the_sum_of_its_octaves() -> None:
    picture = noise(48, 80, 0)
    pictures = smaller_ones(picture)
    assert [one.shape[3] for one in pictures] == [80, 40, 20, 10, 5]
    found = pictures[-1]
    for octave in reversed(octaves(picture)):
        size = octave.shape[2:]
        found = F.interpolate(found, size, mode="bilinear") + octave
    torch.testing.assert_close(found, picture)


def test_octaves_by_hand() -> None:
    # Columns of 0 and 1 average to 1/2: all of them is in the finest band.
    columns = torch.zeros(1, 3, 32, 32)
    columns[..., 1::2] = 1
    first, *others = octaves(columns)
    torch.testing.assert_close(first, columns - 0.5)
    for octave in others:
        torch.testing.assert_close(octave, torch.zeros_like(octave))
    torch.testing.assert_close(smaller_ones(columns)[-1], torch.full((1, 3, 2, 2), 0.5))


@pytest.mark.parametrize(
    ("fine", "coarse", "wanted_fine", "wanted_coarse"), [(0.6, 0.4, 1.0, 0.8), (1, 0.8, 0.6, 0.4)]
)
def test_each_scale_gets_the_styles_variance(
    fine: float, coarse: float, wanted_fine: float, wanted_coarse: float
) -> None:
    picture = 0.5 + fine * (noise(128, 160, 1) - 0.5) + coarse * (noise(128, 160, 2, 8) - 0.5)
    style = 0.6 + wanted_fine * (noise(96, 128, 3) - 0.5)
    style += wanted_coarse * (noise(96, 128, 4, 8) - 0.5)
    found = with_bands_of(picture, torch.ones(1, 1, 128, 160), style)
    for before, own, wanted in zip(
        variances(picture), variances(found), variances(style), strict=True
    ):
        # Not to the digit: what one octave holds shows a little in its neighbours.
        assert abs(own / wanted - 1) < 0.2
        assert abs(before / wanted - 1) > 0.5
    torch.testing.assert_close(found.mean((2, 3)), style.mean((2, 3)))


def test_of_a_region_nothing_else_counts() -> None:
    left = torch.zeros(1, 1, 64, 512)
    left[..., :256] = 1
    one, other = noise(64, 256, 5), noise(64, 256, 6, 4)
    style = noise(64, 256, 7, 2)
    found = with_bands_of(torch.cat([one, 0.3 * other], 3), left, style)
    again = with_bands_of(torch.cat([one, 1 - other], 3), left, style)
    # But for what the windows of the octaves see of it over the border.
    torch.testing.assert_close(found[..., :200], again[..., :200], atol=0.02, rtol=0)
    both = torch.cat([one, one], 3)
    masked = with_bands_of(both, left, torch.cat([style, 1 - other], 3), left)
    torch.testing.assert_close(masked, with_bands_of(both, left, style), atol=0.02, rtol=0)
    assert float((found[..., :200] - one[..., :200]).abs().max()) > 0.1


@pytest.mark.parametrize("strength", [0.0, 0.25, 1.0, torch.tensor(0.25)])
def test_a_part_of_the_way(strength: float | Tensor) -> None:
    picture, style = noise(64, 96, 8), 0.3 + noise(64, 64, 9, 4) / 2
    mask = torch.ones(1, 1, 64, 96)
    whole = with_bands_of(picture, mask, style)
    expected = torch.lerp(picture, whole, torch.as_tensor(strength))
    torch.testing.assert_close(with_bands_of(picture, mask, style, None, strength), expected)


def test_a_gain_has_limits() -> None:
    picture, mask = noise(64, 64, 10), torch.ones(1, 1, 64, 64)
    flat, steep = torch.full((1, 3, 64, 64), 0.5), 0.5 + 9 * (noise(64, 64, 11) - 0.5)
    weaker = with_bands_of(picture, mask, flat)
    stronger = with_bands_of(picture, mask, steep)
    middle = [octaves(p)[0] for p in (picture, weaker, stronger)]
    torch.testing.assert_close(middle[1], bands.WEAKEST * middle[0])
    torch.testing.assert_close(middle[2], bands.STRONGEST * middle[0])


def test_flat_pictures_and_empty_regions_give_numbers() -> None:
    flat, style = torch.full((1, 3, 32, 32), 0.2), noise(32, 32, 12)
    for mask in (torch.ones(1, 1, 32, 32), torch.zeros(1, 1, 32, 32)):
        assert bool(with_bands_of(flat, mask, style).isfinite().all())


def test_the_least_size_has_a_pixel_at_the_coarsest_scale() -> None:
    assert smaller_ones(noise(MULTIPLE, MULTIPLE, 13))[-1].shape[2:] == (1, 1)
