"""Masks arrive at exactly the layers' sizes, at odd picture sizes too."""

import logging

import pytest
import torch
from torchvision.models import vgg19

from pipeline.engine import guides
from pipeline.networks.encoder import Encoder, Window
from pipeline.networks.pyramid import Layer, PyramidEncoder
from tests.conftest import tiny_features

HALF = Window(2, 2, 0)


@pytest.mark.parametrize(("height", "width"), [(64, 64), (61, 83), (33, 47), (100, 35)])
def test_sizes_match_the_features_of_vgg19(height: int, width: int) -> None:
    encoder = PyramidEncoder(Encoder(vgg19(weights=None).features), levels=2)
    names = ("relu1_1", "relu2_1", "relu3_1", "relu4_2", "relu5_1")
    layers = [*map(Layer, names), Layer("relu2_1", 1), Layer("relu4_1", 1)]
    with torch.no_grad():
        features = encoder(torch.rand(1, 3, height, width), layers)
    for layer, feature in features.items():
        mask = guides.layer_mask(torch.rand(1, 1, height, width), encoder.windows(layer))
        assert mask.shape[2:] == feature.shape[2:], layer


def test_values_are_the_share_of_the_pooling_cell() -> None:
    mask = torch.tensor([[[[1.0, 1, 0, 0, 9], [1, 0, 0, 0, 9], [9, 9, 9, 9, 9]]]])
    # Odd rows and columns at the end are dropped, as max pooling drops them.
    expected = torch.tensor([[[[0.75, 0.0]]]])
    torch.testing.assert_close(guides.layer_mask(mask, [HALF]), expected)


def test_padding_does_not_darken_the_border() -> None:
    ones = torch.ones(1, 1, 9, 7)
    assert guides.layer_mask(ones, [Window(3, 2, 1)]).min() == 1


def test_a_vanishing_region_is_warned_about(caplog: pytest.LogCaptureFixture) -> None:
    there = {"relu1_1": torch.ones(1, 1, 3, 3), "relu2_1": torch.full((1, 1, 1, 1), 0.5)}
    with caplog.at_level(logging.WARNING):
        kept = guides.drop_vanishing(there, "cat")
    assert list(kept) == ["relu1_1"]
    assert "cat" in caplog.text
    assert "relu2_1" in caplog.text
    assert "0.5" in caplog.text


def test_a_tiny_region_keeps_its_largest_layer() -> None:
    there = {"relu1_1": torch.full((1, 1, 1, 2), 0.9), "relu2_1": torch.full((1, 1, 1, 1), 0.4)}
    assert list(guides.drop_vanishing(there, "cat", warn=False)) == ["relu1_1"]


def test_an_empty_region_keeps_nothing_and_says_so(caplog: pytest.LogCaptureFixture) -> None:
    assert guides.drop_vanishing({"relu1_1": torch.zeros(1, 1, 2, 2)}, "cat") == {}
    assert "cat is too small for all layers" in caplog.text


def test_windows_are_those_of_every_layer_before() -> None:
    encoder = PyramidEncoder(Encoder(tiny_features()), levels=3)
    same, halving = Window(3, 1, 1), Window(4, 2, 1)
    assert encoder.windows(Layer("relu1_2")) == [same, same]
    assert encoder.windows(Layer("relu2_1")) == [same, same, HALF, same]
    assert encoder.windows(Layer("relu2_1", 2)) == [halving, halving, same, same, HALF, same]


@pytest.mark.parametrize(
    ("propagation", "expected"),
    [
        # A 3x3 convolution, a 2x2 pooling, a 3x3 convolution: unit k sees pixels 2k-3 to 2k+4.
        ("inside", [0, 0, 0, 1, 1, 1]),
        ("all", [0, 0, 1, 1, 1, 1]),
        ("simple", [0, 0, 0, 0.5, 1, 1]),
    ],
)
def test_propagation_by_receptive_fields(propagation: str, expected: list[float]) -> None:
    mask = torch.zeros(1, 1, 12, 12)
    mask[..., 3 if propagation == "inside" else 7 :] = 1
    windows = [Window(3, 1, 1), HALF, Window(3, 1, 1)]
    found = guides.layer_mask(mask, windows, propagation)
    assert found.shape == (1, 1, 6, 6)
    assert found[0, 0, 3].tolist() == expected


@pytest.mark.parametrize("propagation", ["inside", "all"])
def test_propagation_agrees_with_gradients(propagation: str) -> None:
    # A unit sees the pixels that change it: the gradient of a stack with positive weights.
    features = tiny_features()
    for module in features:
        if isinstance(module, torch.nn.Conv2d):
            module.weight.data.abs_()
    # Average pooling: through a maximum only one pixel of four has a gradient.
    encoder = PyramidEncoder(Encoder(features, pooling="average", padding="zeros"), levels=2)
    mask = torch.zeros(1, 1, 36, 46)
    mask[..., 6:31, 5:39] = 1
    layer = Layer("relu2_1", 1)
    found = guides.layer_mask(mask, encoder.windows(layer), propagation)[0, 0]
    for row in range(found.shape[0]):
        for column in range(found.shape[1]):
            picture = torch.full((1, 3, 36, 46), 0.9, requires_grad=True)
            unit = encoder(picture, [layer])[layer][0, :, row, column].sum()
            (gradient,) = torch.autograd.grad(unit, picture)
            seen = gradient[0].abs().sum(0) > 0
            inside = mask[0, 0][seen]
            expected = inside.min() if propagation == "inside" else inside.max()
            assert found[row, column] == expected
