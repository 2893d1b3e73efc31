"""Tiles cover a picture once, and their halos are as wide as receptive fields reach."""

import pytest
import torch

from pipeline.engine.tiles import grid, halo, total_stride
from pipeline.networks.encoder import Encoder, Window
from tests.conftest import tiny_features

VGG_TO_RELU2_1 = [Window(3, 1, 1), Window(3, 1, 1), Window(2, 2, 0), Window(3, 1, 1)]


def test_halo_by_hand() -> None:
    # One pixel for each of the first two convolutions, two for the third, rounded up to the stride.
    assert halo(VGG_TO_RELU2_1) == 4
    assert halo([*VGG_TO_RELU2_1, Window(3, 1, 1)]) == 6
    assert halo([Window(1, 1, 0)]) == 0
    # Unit 0 sees from pixel -2 to pixel 8 of its cell of 4.
    assert halo([Window(11, 4, 2)]) == 8
    assert total_stride(VGG_TO_RELU2_1) == 2


@pytest.mark.parametrize("side", [None, 8, 16, 30, 1000])
@pytest.mark.parametrize(("height", "width"), [(61, 83), (16, 16), (7, 40), (3, 3)])
def test_cores_cover_every_pixel_once(height: int, width: int, side: int | None) -> None:
    seen = torch.zeros(1, 1, height, width)
    for tile in grid(height, width, side, stride=4, margin=8):
        tile.core.cut(seen).add_(1)
        assert tile.core.top % 4 == 0
        assert tile.seen.top % 4 == 0
        assert tile.seen.top == max(0, tile.core.top - 8)
        assert tile.seen.right == min(width, tile.core.right + 8)
        if side is not None:
            # The last one has the pixels beyond the last whole stride, too.
            assert max(tile.core.height, tile.core.width) <= side + 3
    assert seen.min() == seen.max() == 1


def test_a_tiles_units_have_the_features_of_the_whole() -> None:
    encoder = Encoder(tiny_features(), padding="reflect").double()
    picture = torch.rand(1, 3, 61, 83, dtype=torch.float64)
    whole = encoder(picture, ["relu1_1", "relu2_1"])
    windows = encoder.windows("relu2_1")
    tiles = grid(61, 83, 24, total_stride(windows), halo(windows))
    assert len(tiles) == 3 * 4
    for layer, features in whole.items():
        stride = total_stride(encoder.windows(layer))
        seen = torch.zeros_like(features)
        for tile in tiles:
            found = encoder(tile.seen.cut(picture), [layer])[layer]
            units = tile.units(stride, *features.shape[2:])
            units.cut(seen)[:] += tile.local(units, stride).cut(found)
        torch.testing.assert_close(seen, features)
