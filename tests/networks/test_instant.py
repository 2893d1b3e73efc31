"""The instant painter: moments and maps by hand, masks, sizes."""

import pytest
import torch
from torch import Tensor

from pipeline.networks import encoders, instant
from pipeline.networks.pyramid import PyramidEncoder


@pytest.fixture(scope="module")
def encoder() -> PyramidEncoder:
    loaded = encoders.load("compact", None, torch.device("cpu"))
    return instant.encoder_of(loaded.module.encoder)


@pytest.fixture
def painter() -> instant.InstantPainter:
    torch.manual_seed(0)
    return instant.InstantPainter()


def normal(count: int, deviations: list[float], mean: float = 0.0, seed: int = 0) -> Tensor:
    """(1, d, 1, count), independent channels."""
    generator = torch.Generator().manual_seed(seed)
    rows = torch.randn(len(deviations), count, generator=generator, dtype=torch.float64)
    rows = (rows - rows.mean(1, keepdim=True)) / rows.std(1, keepdim=True, correction=0)
    # Without what they happen to have in common.
    rows = torch.linalg.inv(torch.linalg.cholesky(rows @ rows.T / count)) @ rows
    scaled = rows * torch.tensor(deviations)[:, None] + mean
    return scaled.float()[None, :, None]


def test_the_map_of_independent_channels_is_a_gain_each() -> None:
    given = instant.Moments.of(normal(1000, [1.0, 2.0]), None)
    wanted = instant.Moments.of(normal(1000, [3.0, 1.0], mean=5.0, seed=1), None)
    found = instant.transport(given, wanted)
    torch.testing.assert_close(
        found.slope, torch.diag(torch.tensor([3.0, 0.5])), rtol=0.03, atol=0.02
    )
    torch.testing.assert_close(found.offset, torch.tensor([5.0, 5.0]), atol=0.01, rtol=0)


def test_what_is_carried_has_the_styles_moments() -> None:
    generator = torch.Generator().manual_seed(0)
    mixing = 1.5 * torch.eye(5) + 0.5 * torch.rand(5, 5, generator=generator)
    style = torch.einsum("ij,bjhw->bihw", mixing, normal(900, [1.0] * 5, seed=1)) + 2
    content = torch.einsum("ij,bjhw->bihw", mixing.flip(0), normal(900, [1.0] * 5, seed=2))
    given, wanted = instant.Moments.of(content, None), instant.Moments.of(style, None)
    carried = instant.Moments.of(instant.transport(given, wanted)(content), None)
    torch.testing.assert_close(carried.mean, wanted.mean, atol=1e-3, rtol=0)
    torch.testing.assert_close(carried.covariance, wanted.covariance, atol=0.1, rtol=0.05)
    # The optimal map is symmetric, and positive.
    slope = instant.transport(given, wanted).slope
    torch.testing.assert_close(slope, slope.T, atol=1e-4, rtol=0)
    assert torch.linalg.eigvalsh(slope).min() > 0


def test_strength_is_the_part_of_the_way() -> None:
    content, style = normal(400, [1.0, 2.0]), normal(400, [2.0, 2.0], mean=3.0, seed=1)
    given, wanted = instant.Moments.of(content, None), instant.Moments.of(style, None)
    none, half, whole = (instant.transport(given, wanted, s)(content) for s in (0.0, 0.5, 1.0))
    torch.testing.assert_close(none, content, atol=1e-5, rtol=0)
    torch.testing.assert_close(half, (content + whole) / 2, atol=1e-5, rtol=0)


def test_moments_of_tiles_add_up_and_masks_choose() -> None:
    features = torch.rand(1, 4, 6, 10)
    whole = instant.Moments.of(features, None)
    left, right = (
        instant.Moments.of(part, None) for part in (features[..., :4], features[..., 4:])
    )
    tiles = left + right
    torch.testing.assert_close(tiles.covariance, whole.covariance)
    torch.testing.assert_close(tiles.mean, whole.mean)
    mask = torch.zeros(1, 1, 6, 10)
    mask[..., :4] = 1
    masked = instant.Moments.of(features, mask)
    torch.testing.assert_close(masked.covariance, left.covariance)


def test_each_region_gets_its_own_map_and_the_rest_stays(
    encoder: PyramidEncoder, painter: instant.InstantPainter
) -> None:
    content, style = torch.rand(1, 3, 48, 64), torch.rand(1, 3, 64, 64)
    mask = torch.zeros(1, 1, 48, 64)
    mask[..., :32] = 1
    with torch.no_grad():
        features, wanted = painter.projected(encoder, content), painter.projected(encoder, style)
    masks = instant.depth_masks(mask)
    maps = {
        layer: instant.transport(
            instant.Moments.of(features[layer], masks[layer]),
            instant.Moments.of(wanted[layer], None),
        )
        for layer in features
    }
    found = instant.carried(features, [(masks, maps)])
    for layer, divisor, channels in instant.DEPTHS:
        assert found[layer].shape == (1, channels, 48 // divisor, 64 // divisor)
        half = 32 // divisor
        assert torch.equal(found[layer][..., half:], features[layer][..., half:])
        inside = maps[layer](features[layer])[..., :half]
        torch.testing.assert_close(found[layer][..., :half], inside)


def test_a_picture_of_any_size(encoder: PyramidEncoder, painter: instant.InstantPainter) -> None:
    picture = torch.rand(1, 3, 45, 83)
    larger = instant.padded(picture)
    assert larger.shape == (1, 3, 48, 96)
    assert torch.equal(larger[..., :45, :83], picture)
    with torch.no_grad():
        painted = painter(painter.projected(encoder, larger))
    assert painted.shape == larger.shape
    assert instant.padded(larger) is larger


def test_its_size(painter: instant.InstantPainter) -> None:
    assert sum(values.numel() for values in painter.parameters()) * 2 < 2.5e6
