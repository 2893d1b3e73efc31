"""The Gaussian pyramid by slices: the binomial filter at every other pixel, and its transpose."""

import pytest
import torch
import torch.nn.functional as F

from pipeline.networks.encoder import Encoder
from pipeline.networks.pyramid import Layer, PyramidEncoder
from tests.conftest import tiny_features


@pytest.mark.parametrize("size", [(33, 50), (40, 64), (37, 71)])
def test_halving_is_the_binomial_filters(size: tuple[int, int]) -> None:
    picture = torch.rand(1, 3, *size, dtype=torch.float64, requires_grad=True)
    encoder = PyramidEncoder(Encoder(tiny_features()), 2)
    taps = torch.tensor([1, 3, 3, 1], dtype=torch.float64) / 8
    kernel = torch.outer(taps, taps).expand(3, 1, 4, 4)
    padded = F.pad(picture, (1, 1, 1, 1), mode="replicate")
    expected = F.conv2d(padded, kernel, stride=2, groups=3)
    _, half = encoder.pyramid(picture)
    torch.testing.assert_close(half, expected)
    upstream = torch.rand_like(half)
    (gradient,) = torch.autograd.grad(expected, picture, upstream, retain_graph=True)
    torch.testing.assert_close(torch.autograd.grad(half, picture, upstream)[0], gradient)
    total = torch.ones_like(gradient)
    encoder.add_finer_gradient(total, upstream)
    torch.testing.assert_close(total, gradient + 1)


@pytest.mark.parametrize("size", [(33, 50), (40, 64), (37, 71), (32, 32)])
@pytest.mark.parametrize("rows", [2, 4, 16, 64])
def test_halving_by_bands_is_halving(size: tuple[int, int], rows: int) -> None:
    picture = torch.rand(1, 3, *size)
    encoder = PyramidEncoder(Encoder(tiny_features()), 2)

    def cut(first: int, last: int) -> torch.Tensor:
        return picture[:, :, first:last]

    _, half = encoder.pyramid(picture)
    found = encoder.halved_by_bands(cut, *size, rows)
    assert found is not None
    torch.testing.assert_close(found, half)
    assert encoder.halved_by_bands(cut, 31, size[1], rows) is None


def test_layers_are_read_as_they_are_written() -> None:
    for text, layer in (("relu3_1", Layer("relu3_1")), ("relu3_1/4", Layer("relu3_1", 2))):
        assert Layer.parse(text) == layer
        assert str(layer) == text
    for text in ("relu3_1/3", "relu3_1/1", "relu3_1/", "relu3_1/x"):
        with pytest.raises(ValueError, match=f"{text} is no layer"):
            Layer.parse(text)


def test_sizes_are_those_of_the_features() -> None:
    encoder = PyramidEncoder(Encoder(tiny_features()), 3)
    picture = torch.rand(1, 3, 61, 83)
    layers = [layer for name in ("relu1_1", "pool1", "relu2_1") for layer in encoder.layers(name)]
    found = {layer: tuple(f.shape[2:]) for layer, f in encoder(picture, layers).items()}
    sizes = encoder.sizes(61, 83)
    assert {layer: sizes[layer] for layer in layers if layer in sizes} == found
    # 61 pixels are 30 and then 15, which is under the smallest level.
    assert Layer("relu1_1", 1) in found
    assert Layer("relu1_1", 2) not in found
