"""The instant painter: moments, maps and places by hand, masks, sizes."""

from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from pipeline.errors import UserError
from pipeline.networks import encoders, instant, weights
from pipeline.networks.pyramid import Layer, PyramidEncoder


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


def wish(
    painter: instant.InstantPainter,
    encoder: PyramidEncoder,
    features: dict[Layer, Tensor],
    style: Tensor,
    masks: dict[Layer, Tensor],
    strength: float = 1.0,
) -> instant.Painted:
    wanted = painter.projected(encoder, style)
    own, others = instant.moments(features, masks), instant.moments(wanted)
    return instant.Painted(instant.transports(own, others, strength), wanted, strength)


@torch.no_grad()
def test_each_region_gets_its_own_map_and_the_rest_stays(
    encoder: PyramidEncoder, painter: instant.InstantPainter
) -> None:
    content, style = torch.rand(1, 3, 48, 64), torch.rand(1, 3, 64, 64)
    mask = torch.zeros(1, 1, 48, 64)
    mask[..., :32] = 1
    features = painter.projected(encoder, content)
    masks = instant.depth_masks(mask)
    region = wish(painter, encoder, features, style, masks)
    carried, beside = instant.mixed(features, [region], [masks])
    for layer, divisor, channels in instant.DEPTHS:
        assert carried[layer].shape == (1, channels, 48 // divisor, 64 // divisor)
        half = 32 // divisor
        for found in (carried, beside):
            assert torch.equal(found[layer][..., half:], features[layer][..., half:])
        inside = region.maps[layer](features[layer])[..., :half]
        torch.testing.assert_close(carried[layer][..., :half], inside)
    # Beside them lie features that are the style's, unit by unit.
    deepest = instant.DEPTHS[0][0]
    for unit in beside[deepest][0, :, :, :2].flatten(1).T:
        distances = (region.style[deepest][0].flatten(1) - unit[:, None]).abs().amax(0)
        assert distances.min() < 1e-4


@torch.no_grad()
def test_half_the_strength_is_half_of_both(
    encoder: PyramidEncoder, painter: instant.InstantPainter
) -> None:
    content, style = torch.rand(1, 3, 32, 48), torch.rand(1, 3, 32, 32)
    features, masks = (
        painter.projected(encoder, content),
        instant.depth_masks(torch.ones(1, 1, 32, 48)),
    )
    none = wish(painter, encoder, features, style, masks, 0.0)
    for found in instant.mixed(features, [none], [masks]):
        for layer, own in features.items():
            torch.testing.assert_close(found[layer], own, atol=1e-4, rtol=1e-4)


def test_places_are_where_directions_agree() -> None:
    # Four units of a style, two channels; centred they point right, up, left and down.
    style = torch.tensor([[1.0, 0, -1, 0], [0, 1, 0, -1]]).view(1, 2, 2, 2) + 5
    wanted = torch.tensor([[0.1, -3.0], [2.0, 0.2]]).view(1, 2, 1, 2) + 5
    assert instant.places([wanted], [style]).tolist() == [1, 2]
    inside = torch.tensor([1.0, 0, 0, 1]).view(1, 1, 2, 2)
    assert instant.places([wanted], [style], inside).tolist() == [0, 3]
    # A region too small to have a unit of its own does not forbid all of them.
    assert instant.places([wanted], [style], 0 * inside).tolist() == [1, 2]


def test_every_layer_counts_alike() -> None:
    one = torch.tensor([3.0, -3, 3, -3]).view(1, 1, 1, 4)
    other = torch.tensor([0.1, 0.1, -0.1, -0.1]).view(1, 1, 1, 4)
    # Only one unit agrees with both, whatever their sizes.
    wanted = [torch.full((1, 1, 1, 1), 5.0), torch.full((1, 1, 1, 1), -0.2)]
    assert instant.places(wanted, [one, other]).tolist() == [2]


def test_units_that_are_all_but_alike_take_turns() -> None:
    # Two kinds of style units: those of even numbers resemble a little more.
    angles = torch.tensor([0.0, 0.2] * 4)
    columns = torch.stack([angles.cos(), angles.sin()])
    rows = torch.tensor([[1.0], [0.0]]).expand(2, 12)
    found = instant.nearest(rows, columns, (3, 4))
    kinds = (3 * torch.arange(3)[:, None] + 5 * torch.arange(4)) % 4
    assert torch.equal(found % 4, kinds.flatten())
    # Where one is far better, all take it.
    columns[:, 1:] *= 0.1
    assert instant.nearest(rows, columns, (3, 4)).tolist() == [0] * 12


def test_neighbours_follow_the_middle_of_their_square() -> None:
    side = instant.SQUARE
    rows, columns = torch.ones(1, side * side), torch.ones(1, 100)
    # All have found one place of a style of ten by ten units.
    where = torch.full((side * side,), 55)
    found = instant.coherent(where, rows, columns, (side, side), (10, 10)).view(side, side)
    middle = side // 2
    assert int(found[middle, middle]) == 55
    assert int(found[middle, middle + 1]) == 56
    assert int(found[middle - 2, middle]) == 35
    assert int(found[0, 0]) == 11
    # Whoever would lose by it stays, and so do those who would come to what may not be used.
    columns[0, 56] = 0.1
    usable = torch.ones(100, dtype=torch.bool)
    usable[35] = False
    found = instant.coherent(where, rows, columns, (side, side), (10, 10), usable)
    found = found.view(side, side)
    assert int(found[middle, middle + 1]) == 55
    assert int(found[middle - 2, middle]) == 55
    # At the style's border they go back.
    corner = torch.zeros(side * side, dtype=torch.long)
    found = instant.coherent(corner, rows, torch.ones(1, 100), (side, side), (10, 10))
    assert int(found.view(side, side)[middle - 2, middle - 1]) == 21


def test_what_is_compared_at_a_depth() -> None:
    features = {
        layer: torch.rand(1, channels, 32 // divisor, 48 // divisor)
        for layer, divisor, channels in instant.DEPTHS
    }
    deepest, second, third, fourth, _ = (layer for layer, _, _ in instant.DEPTHS)
    (own,) = instant.compared(features, 0)
    assert own is features[deepest]
    coarse, own, *finer = instant.compared(features, 1)
    assert coarse.shape == (1, 96, 4, 6)
    assert torch.equal(coarse[..., 1::2, 1::2], features[deepest])
    assert own is features[second]
    assert len(finer) == 2
    torch.testing.assert_close(finer[0][0, :, 0, 0], features[third][0, :, :2, :2].mean((1, 2)))
    torch.testing.assert_close(finer[1][0, :, 3, 5], features[fourth][0, :, 12:, 20:].mean((1, 2)))


def test_units_are_laid_out_in_blocks() -> None:
    picture = torch.arange(16.0).view(1, 1, 4, 4)
    assert instant.laid_out(picture, torch.tensor([5, 6]), 2, 1, 1).flatten().tolist() == [5, 6]
    # In their own order they are the picture.
    own = instant.laid_out(picture, torch.arange(4), 2, 2, 2)
    torch.testing.assert_close(own, picture)
    # Where one block ends and the next begins there are 3/4 of the one, 1/4 of the other.
    larger = torch.arange(64.0).view(1, 1, 8, 8)
    found = instant.laid_out(larger, torch.tensor([3, 0]), 1, 2, 4)[0, 0]
    beside = [36, 37, 38, 0.75 * 39 + 0.25 * 0, 0.75 * 0 + 0.25 * 39, 1, 2, 3]
    torch.testing.assert_close(found[0], torch.tensor(beside))
    # Beyond the border, where no block counts, nothing is divided by 0.
    larger.requires_grad_(True)
    instant.laid_out(larger, torch.tensor([3, 0]), 1, 2, 4).sum().backward()
    assert larger.grad is not None
    assert bool(larger.grad.isfinite().all())


@pytest.mark.parametrize("block", [2, 4, 8, 16])
@pytest.mark.parametrize(("height", "width"), [(3, 5), (2, 1)])
def test_blocks_are_laid_out_as_folding_them_does(block: int, height: int, width: int) -> None:
    generator = torch.Generator().manual_seed(0)
    features = torch.rand(1, 3, 3 * block, 4 * block, generator=generator)
    where = torch.randint(12, (height * width,), generator=generator)
    found = instant.laid_out(features, where, height, width, block)
    around = block // 4
    side = block + 2 * around
    wider = F.pad(features, (around,) * 4, mode="replicate")
    slope = (0.5 + torch.arange(side)).clamp_max(2 * around) / max(1, 2 * around)
    slope = torch.minimum(slope, slope.flip(0)).clamp_max(1) if around else torch.ones(side)
    window = torch.outer(slope, slope).flatten()[None, :, None]
    chosen = F.unfold(wider, side, stride=block)[..., where].unflatten(1, (3, -1)) * window
    size = height * block + 2 * around, width * block + 2 * around
    total = F.fold(chosen.flatten(1, 2), size, side, stride=block)
    weight = F.fold(window.expand(1, -1, height * width), size, side, stride=block)
    inner = ..., slice(around, around + height * block), slice(around, around + width * block)
    torch.testing.assert_close(found, total[inner] / weight[inner])


def test_details_of_the_photograph_come_back() -> None:
    content = torch.rand(1, 3, 32, 48)
    before = torch.nn.functional.avg_pool2d(content, 2)
    # Of a small picture that was not painted at all, everything.
    torch.testing.assert_close(instant.enlarged(before, before, content), content)
    flat = torch.full_like(before, 0.5)
    found = instant.enlarged(flat, before, content, share=0.0)
    torch.testing.assert_close(found, torch.full_like(content, 0.5))


@torch.no_grad()
def test_a_picture_of_any_size(encoder: PyramidEncoder, painter: instant.InstantPainter) -> None:
    picture = torch.rand(1, 3, 45, 83)
    larger = instant.padded(picture)
    assert larger.shape == (1, 3, 48, 96)
    assert torch.equal(larger[..., :45, :83], picture)
    features = painter.projected(encoder, larger)
    assert painter(features, features).shape == larger.shape
    assert instant.padded(larger) is larger


def test_the_bundled_painter_and_files_that_hold_none(tmp_path: Path) -> None:
    loaded = instant.load(torch.device("cpu"))
    assert loaded.source.kind == "bundled"
    assert not any(values.requires_grad for values in loaded.network.parameters())
    other = weights.BUNDLED / "compact_encoder.safetensors"
    with pytest.raises(UserError, match="does not hold an instant painter"):
        instant.load(torch.device("cpu"), other)
    with pytest.raises(UserError, match="not found"):
        instant.load(torch.device("cpu"), tmp_path / "none.safetensors")


def test_its_size(painter: instant.InstantPainter) -> None:
    assert sum(values.numel() for values in painter.parameters()) * 2 < 2.5e6
