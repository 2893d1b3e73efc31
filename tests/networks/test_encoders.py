"""Encoders by name: official weights' code path with seeded random ones, and the bundled one."""

from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch import nn
from torchvision.models.vgg import cfgs, make_layers

from pipeline.engine.guides import layer_mask
from pipeline.errors import UserError
from pipeline.networks import encoders, weights
from pipeline.networks.encoder import Encoder
from pipeline.networks.pyramid import Layer

CPU = torch.device("cpu")


def vgg19_features() -> nn.Sequential:
    """VGG-19 to pool5, without the classifier, which has most of the weights."""
    return make_layers(cfgs["E"])


@pytest.fixture
def official(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, torch.Tensor]:
    """Random weights where torchvision would have cached its own."""
    monkeypatch.setattr(torch.hub, "_hub_dir", str(tmp_path / "hub"))
    # What is cached here is not torchvision's.
    monkeypatch.setattr(weights, "_is_whole", lambda path: True)
    torch.manual_seed(0)
    state = {f"features.{k}": v for k, v in vgg19_features().state_dict().items()}
    path = weights.cached_file(encoders.RECIPES["vgg19"].url)
    path.parent.mkdir(parents=True)
    torch.save(state, path)
    return state


def test_auto_prefers_cached_official_weights(official: dict[str, torch.Tensor]) -> None:
    loaded = encoders.load("auto", None, CPU)
    assert (loaded.source.network, loaded.source.kind) == ("vgg19", "official")
    assert loaded.style_layers == ("relu1_1", "relu2_1", "relu3_1")
    assert loaded.content_layers == ("relu3_1",)
    assert loaded.neighbour_layers == (
        Layer("relu2_1", 1),
        Layer("relu3_1"),
        Layer("relu3_1", 1),
        Layer("relu4_1"),
    )
    assert loaded.module.levels == 3
    first = loaded.module.encoder.features[0].weight
    torch.testing.assert_close(first, official["features.0.weight"])
    features = loaded.module(torch.rand(1, 3, 45, 61), [Layer("relu4_1")])[Layer("relu4_1")]
    assert features.shape == (1, 512, 5, 7)
    gatys = encoders.load("auto", None, CPU, style_layers=["relu5_1"], levels=1)
    assert gatys.neighbour_layers == (Layer("relu3_1"), Layer("relu4_1"))
    features = gatys.module(torch.rand(1, 3, 45, 61), [Layer("relu5_1")])[Layer("relu5_1")]
    assert features.shape == (1, 512, 2, 3)


def test_layers_of_neighbours_are_read_with_their_levels() -> None:
    chosen = encoders.load("compact", None, CPU, neighbour_layers=["relu5_1", "relu3_1/4"])
    assert chosen.neighbour_layers == (Layer("relu5_1"), Layer("relu3_1", 2))
    assert len(chosen.module.encoder.features) == 30
    none = encoders.load("compact", None, CPU, neighbour_layers=[])
    assert len(none.module.encoder.features) == 12
    with pytest.raises(UserError, match=r"relu3_1/3 is no layer; write relu3_1, relu3_1/2"):
        encoders.load("compact", None, CPU, neighbour_layers=["relu3_1/3"])
    with pytest.raises(UserError, match=r"relu3_1/4 is not read with encoder.levels=2"):
        encoders.load("compact", None, CPU, neighbour_layers=["relu3_1/4"], levels=2)


def test_auto_falls_back_to_the_bundled_encoder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.hub, "_hub_dir", str(tmp_path / "hub"))
    # What is cached here is not torchvision's.
    monkeypatch.setattr(weights, "_is_whole", lambda path: True)
    loaded = encoders.load("auto", None, CPU)
    assert (loaded.source.network, loaded.source.kind) == ("compact", "bundled")
    assert loaded.module.levels == 3


def test_a_partial_file_is_enough_for_the_layers_it_covers(tmp_path: Path) -> None:
    state = vgg19_features()[:12].state_dict()
    file = tmp_path / "part.safetensors"
    save_file({f"features.{key}": tensor for key, tensor in state.items()}, file)
    layers = {"style_layers": ["relu1_1", "relu3_1"], "content_layers": ["relu2_1"]}
    layers["neighbour_layers"] = []
    loaded = encoders.load("vgg19", file, CPU, **layers)
    assert loaded.source.kind == "file"
    assert len(loaded.module.encoder.features) == 12
    with pytest.raises(UserError, match=r"lacks the weights of conv3_2, .*conv4_1"):
        encoders.load("vgg19", file, CPU)


def test_weights_of_another_shape_are_refused(tmp_path: Path) -> None:
    state = vgg19_features()[:12].state_dict()
    state["5.weight"] = torch.zeros(1, 2, 3, 3)
    save_file(state, tmp_path / "odd.safetensors")
    with pytest.raises(UserError, match=r"5.weight is \(1, 2, 3, 3\)"):
        encoders.load(
            "vgg19",
            tmp_path / "odd.safetensors",
            CPU,
            style_layers=["relu3_1"],
            content_layers=["relu3_1"],
            neighbour_layers=[],
        )


def test_unknown_layers_are_named() -> None:
    with pytest.raises(UserError, match=r"compact has no layer relu9_1; it has relu1_1"):
        encoders.load("compact", None, CPU, style_layers=["relu9_1"])


def test_auto_with_a_file_takes_the_network_it_fits(tmp_path: Path) -> None:
    compact = encoders.load("auto", encoders.BUNDLED_FILE, CPU)
    assert (compact.source.network, compact.source.kind) == ("compact", "file")
    state = vgg19_features()[:12].state_dict()
    save_file(state, tmp_path / "part.safetensors")
    layers = {
        "style_layers": ["relu2_1"],
        "content_layers": ["relu3_1"],
        "neighbour_layers": [],
    }
    part = encoders.load("auto", tmp_path / "part.safetensors", CPU, **layers)
    assert part.source.network == "vgg19"
    save_file({"0.weight": torch.zeros(1)}, tmp_path / "other.safetensors")
    with pytest.raises(UserError, match=r"fits no encoder; there are vgg19, .*compact"):
        encoders.load("auto", tmp_path / "other.safetensors", CPU)


def test_unknown_names_are_refused() -> None:
    with pytest.raises(UserError, match=r"encoder.name=vgg20 is not one of auto, "):
        encoders.load("vgg20", None, CPU)


@pytest.mark.parametrize("name", ["alexnet", "vgg11", "vgg13", "vgg16"])
def test_official_encoders_have_their_own_layers(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.hub, "_hub_dir", str(tmp_path / "hub"))
    # What is cached here is not torchvision's.
    monkeypatch.setattr(weights, "_is_whole", lambda path: True)
    recipe = encoders.RECIPES[name]
    assert recipe.url is not None
    path = weights.cached_file(recipe.url)
    path.parent.mkdir(parents=True)
    torch.manual_seed(0)
    state = {f"features.{k}": v for k, v in recipe.build().state_dict().items()}
    for tensor in state.values():
        torch.nn.init.normal_(tensor, std=0.05)
    torch.save(state, path)
    loaded = encoders.load(name, None, CPU)
    assert (loaded.source.network, loaded.source.kind) == (name, "official")
    layers = [Layer(name) for name in (*loaded.style_layers, *loaded.content_layers)]
    layers += [layer for layer in loaded.neighbour_layers if layer.level == 0]
    features = loaded.module(torch.rand(1, 3, 75, 91), layers)
    assert set(features) == set(layers)
    for layer, found in features.items():
        mask = layer_mask(torch.ones(1, 1, 75, 91), loaded.module.windows(layer))
        assert mask.shape[2:] == found.shape[2:]
    # The file's shapes say which network it is.
    assert encoders.load("auto", path, CPU).source.network == name


def test_layers_that_a_small_picture_has_no_room_for_are_left_out() -> None:
    encoder = Encoder(encoders.RECIPES["alexnet"].build())
    found = encoder(torch.rand(1, 3, 16, 20), ["relu1_1", "relu3_1"])
    assert set(found) == {"relu1_1"}


@pytest.mark.parametrize("name", [name for name, recipe in encoders.RECIPES.items() if recipe.url])
def test_addresses_are_torchvisions(name: str) -> None:
    # Kept apart from torchvision's list, which is slow to import.
    from torchvision.models import get_model_weights

    assert encoders.RECIPES[name].url in {entry.url for entry in get_model_weights(name)}
