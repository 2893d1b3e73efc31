"""Encoders name their layers and leave nothing of them in place."""

import pytest
import torch
from torch import nn
from torchvision.models.vgg import cfgs, make_layers

from pipeline.networks.encoder import Encoder
from pipeline.networks.pyramid import Layer, PyramidEncoder
from tests.conftest import tiny_features


def test_vgg19_has_the_papers_layers() -> None:
    index = Encoder(make_layers(cfgs["E"])).index
    relus = [name for name in index if name.startswith("relu")]
    assert len(relus) == 16
    assert [index[f"relu{block}_1"] for block in range(1, 6)] == [1, 6, 11, 20, 29]
    assert index["conv4_2"] == 21
    assert index["pool5"] == 36


def test_relu_does_not_overwrite_the_convolution() -> None:
    encoder = Encoder(tiny_features())
    found = encoder(torch.rand(1, 3, 9, 11), ["conv1_1", "relu1_1"])
    assert found["conv1_1"].min() < 0
    torch.testing.assert_close(found["relu1_1"], found["conv1_1"].relu())


def test_replicated_padding_leaves_no_frame() -> None:
    flat = torch.full((1, 3, 16, 22), 0.7)
    found = Encoder(tiny_features())(flat, ["relu2_1"])["relu2_1"]
    torch.testing.assert_close(found, found[..., :1, :1].expand_as(found))
    framed = Encoder(tiny_features(), padding="zeros")(flat, ["relu2_1"])["relu2_1"]
    assert (framed[..., 0, :] - framed[..., 4, :]).abs().max() > 1e-3


def test_pooling_can_be_average() -> None:
    features = nn.Sequential(nn.MaxPool2d(2, 2))
    picture = torch.rand(1, 3, 4, 6)
    encoder = Encoder(features, mean=(0, 0, 0), std=(1, 1, 1), pooling="average")
    expected = nn.functional.avg_pool2d(picture, 2)
    torch.testing.assert_close(encoder(picture, ["pool1"])["pool1"], expected)


def test_nothing_behind_the_deepest_layer_is_computed() -> None:
    features = tiny_features()
    called = []
    features[5].register_forward_hook(lambda *_: called.append(True))
    encoder = Encoder(features)
    encoder(torch.rand(1, 3, 8, 8), ["relu1_2"])
    assert not called
    encoder(torch.rand(1, 3, 8, 8), ["conv2_1"])
    assert called


def test_other_modules_are_refused() -> None:
    with pytest.raises(TypeError, match="Linear"):
        Encoder(nn.Sequential(nn.Linear(3, 3)))


def test_the_pyramid_reads_smaller_pictures() -> None:
    pyramid = PyramidEncoder(Encoder(tiny_features()), levels=2)
    half = Layer("relu1_1", 1)
    assert pyramid.layers("relu1_1") == [Layer("relu1_1"), half]
    assert [str(layer) for layer in pyramid.layers("relu1_1")] == ["relu1_1", "relu1_1/2"]
    picture = torch.rand(1, 3, 41, 57)
    found = pyramid(picture, [half, Layer("relu1_1")])
    assert list(found) == [half, Layer("relu1_1")]
    assert found[half].shape == (1, 6, 20, 28)
    assert found[Layer("relu1_1")].shape == (1, 6, 41, 57)


def test_the_pyramid_keeps_a_flat_picture_and_drops_a_checkerboard() -> None:
    pyramid = PyramidEncoder(Encoder(nn.Sequential(nn.ReLU()), (0, 0, 0), (1, 1, 1)), levels=2)
    flat = torch.full((1, 3, 40, 44), 0.3)
    torch.testing.assert_close(
        pyramid(flat, [Layer("relu1_0", 1)])[Layer("relu1_0", 1)], flat[..., ::2, ::2]
    )
    rows = torch.arange(40).view(1, 1, 40, 1) + torch.arange(44).view(1, 1, 1, 44)
    checkers = (rows % 2).float().expand(1, 3, 40, 44)
    inside = pyramid(checkers, [Layer("relu1_0", 1)])[Layer("relu1_0", 1)][..., 1:-1, 1:-1]
    torch.testing.assert_close(inside, torch.full_like(inside, 0.5))


def test_levels_too_small_to_read_are_left_out() -> None:
    pyramid = PyramidEncoder(Encoder(tiny_features()), levels=3)
    found = pyramid(torch.rand(1, 3, 40, 60), pyramid.layers("relu1_1"))
    assert list(found) == [Layer("relu1_1"), Layer("relu1_1", 1)]
