"""The networks that the compact encoder learns from, with random weights."""

from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torchvision.models.vgg import cfgs, make_layers

from pipeline.errors import UserError
from pipeline.networks.compact_encoder import LAYERS, SHALLOW
from pipeline.networks.encoder import Encoder
from pipeline.training import encoder as training
from pipeline.training.teacher import load_teacher


def random_vgg(path: Path, modules: int = 12) -> Path:
    """A VGG-19 with torchvision's keys, up to relu3_1 unless told otherwise."""
    features = make_layers(cfgs["E"])[:modules]
    training.initialise(features, seed=3)
    state = {f"features.{key}": tensor for key, tensor in features.state_dict().items()}
    save_file(state | {"classifier.0.weight": torch.zeros(2, 2)}, path)
    return path


def random_thin(path: Path) -> Path:
    """A thin VGG-19 with heads."""
    generator = torch.Generator().manual_seed(5)

    def random(*shape: int) -> torch.Tensor:
        fan_in = torch.tensor(shape[1:]).prod()
        return torch.randn(shape, generator=generator) * (2 / fan_in).sqrt()

    state, channels = {}, 3
    for block, (width, count) in enumerate(((16, 2), (32, 2), (64, 4), (128, 4), (128, 1)), 1):
        for index in range(1, count + 1):
            state[f"conv{block}_{index}.weight"] = random(width, channels, 3, 3)
            state[f"conv{block}_{index}.bias"] = torch.zeros(width)
            channels = width
        outputs = min(512, 64 * 2 ** (block - 1))
        state[f"head{block}_1.weight"] = random(outputs, width, 1, 1)
        state[f"head{block}_1.bias"] = torch.full((outputs,), 0.25)
    save_file(state, path)
    return path


def test_deep_layers_come_from_the_thin_network_and_the_others_do_not(tmp_path: Path) -> None:
    vgg, thin = random_vgg(tmp_path / "vgg.safetensors"), random_thin(tmp_path / "thin.safetensors")
    alone, both = load_teacher(str(vgg)), load_teacher(str(vgg), str(thin))
    assert (alone.layers, both.layers) == (SHALLOW, LAYERS)
    picture = torch.rand(1, 3, 48, 64, generator=torch.Generator().manual_seed(0))
    found, shallow = both(picture, LAYERS), alone(picture, SHALLOW)
    sizes = [(64, 48, 64), (128, 24, 32), (256, 12, 16), (512, 6, 8), (512, 3, 4)]
    assert [tuple(features.shape[1:]) for features in found.values()] == sizes
    assert all(torch.equal(found[layer], shallow[layer]) for layer in SHALLOW)
    # The head of relu4_1 by hand, from the thin network's own layer.
    assert both.deep is not None
    inner = both.deep.encoder(picture, ["relu4_1"])["relu4_1"]
    head = both.deep.heads["relu4_1"][0]
    by_hand = torch.einsum("oc,bchw->bohw", head.weight[..., 0, 0], inner) + 0.25
    torch.testing.assert_close(found["relu4_1"], by_hand.clamp_min(0))
    with pytest.raises(KeyError, match="relu5_1"):
        alone(picture, ["relu5_1"])


def test_a_whole_vgg_teaches_all_layers(tmp_path: Path) -> None:
    teacher = load_teacher(str(random_vgg(tmp_path / "vgg.safetensors", modules=34)))
    assert teacher.layers == LAYERS
    assert [*teacher.vgg.index][-1] == "relu5_1"
    plain = Encoder(make_layers(cfgs["E"])[:30])
    assert teacher.vgg.index == plain.index


def test_files_that_are_no_teachers_are_refused(tmp_path: Path) -> None:
    vgg = random_vgg(tmp_path / "vgg.safetensors")
    shallow = random_vgg(tmp_path / "shallow.safetensors", modules=7)
    with pytest.raises(UserError, match="not found"):
        load_teacher(str(tmp_path / "none.safetensors"))
    with pytest.raises(UserError, match="does not hold a VGG-19 up to relu3_1"):
        load_teacher(str(shallow))
    with pytest.raises(UserError, match="does not hold a thin VGG-19"):
        load_teacher(str(vgg), str(vgg))
