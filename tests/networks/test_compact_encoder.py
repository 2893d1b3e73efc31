"""The compact encoder has the layers that losses read, at VGG-19's widths, and its weights fit."""

import pytest
import torch
from torch import nn
from torchvision.models.vgg import cfgs, make_layers

from pipeline.networks import compact_encoder, encoders, weights
from pipeline.networks.encoder import Encoder
from pipeline.networks.pyramid import Layer

LAYERS = ("relu1_1", "relu2_1", "relu3_1", "relu4_1", "relu5_1")
FILE = weights.BUNDLED / "compact_encoder.safetensors"


def test_layers_have_the_shapes_of_vgg19() -> None:
    picture = torch.rand(2, 3, 37, 54)
    compact = Encoder(compact_encoder.features())
    original = Encoder(make_layers(cfgs["E"])[:30])
    with torch.no_grad():
        ours, theirs = compact(picture, LAYERS), original(picture, LAYERS)
    assert {layer: tuple(ours[layer].shape) for layer in LAYERS} == {
        "relu1_1": (2, 64, 37, 54),
        "relu2_1": (2, 128, 18, 27),
        "relu3_1": (2, 256, 9, 13),
        "relu4_1": (2, 512, 4, 6),
        "relu5_1": (2, 512, 2, 3),
    }
    assert all(ours[layer].shape == theirs[layer].shape for layer in LAYERS)


def test_is_smaller_than_vgg19_to_relu5_1() -> None:
    features = compact_encoder.features()
    assert sum(parameter.numel() for parameter in features.parameters()) == 1_416_464
    channels = [m.out_channels for m in features if isinstance(m, nn.Conv2d)]
    assert channels == [64, 32, 128, 96, 256, 96, 64, 64, 512, 128, 96, 80, 512]
    assert list(features.state_dict())[:3] == ["0.weight", "0.bias", "2.weight"]
    assert [module.inplace for module in features if isinstance(module, nn.ReLU)] == [False] * 13


def test_bundled_file_is_half_precision_and_loads() -> None:
    state = weights.read_state_dict(FILE)
    wanted = compact_encoder.features().state_dict()
    assert {k: v.shape for k, v in state.items()} == {k: v.shape for k, v in wanted.items()}
    assert {tensor.dtype for tensor in state.values()} == {torch.float16}
    assert FILE.stat().st_size < 3_000_000
    loaded = encoders.load("compact", None, torch.device("cpu"))
    assert loaded.source.kind == "bundled"
    features = loaded.module(torch.rand(1, 3, 48, 66), [Layer("relu3_1")])[Layer("relu3_1")]
    assert features.dtype == torch.float32
    assert torch.isfinite(features).all()


@pytest.mark.parametrize("layer", LAYERS)
def test_bundled_channels_vary_by_about_one(layer: str) -> None:
    # They predict the teacher's channels divided by their standard deviations.
    loaded = encoders.load("compact", None, torch.device("cpu"), neighbour_layers=[layer])
    generator = torch.Generator().manual_seed(0)
    picture = torch.rand(1, 3, 12, 16, generator=generator)
    picture = nn.functional.interpolate(picture, size=(96, 128), mode="bilinear")
    deviation = loaded.module(picture, [Layer(layer)])[Layer(layer)].std((0, 2, 3))
    assert 0.2 < float(deviation.mean()) < 3
