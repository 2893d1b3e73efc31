"""Segmenters by name: official weights' code path with seeded random ones, and the bundled one."""

from pathlib import Path

import pytest
import torch
from torchvision.models import segmentation

from pipeline.errors import UserError
from pipeline.networks import segmenters, weights

CPU = torch.device("cpu")


@pytest.fixture(autouse=True)
def empty_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.hub, "_hub_dir", str(tmp_path / "hub"))
    weights._unreachable.clear()
    # What is cached here is not torchvision's.
    monkeypatch.setattr(weights, "_is_whole", lambda path: True)


def cache(name: str) -> torch.nn.Module:
    """Put random weights where torchvision would have cached its own; as published, with aux."""
    torch.manual_seed(0)
    build = getattr(segmentation, name)
    model = build(weights=None, weights_backbone=None, num_classes=21, aux_loss=True).eval()
    path = weights.cached_file(segmenters.RECIPES[name].url)
    path.parent.mkdir(parents=True)
    torch.save(model.state_dict(), path)
    return model


@pytest.mark.parametrize(
    "name", ["deeplabv3_mobilenet_v3_large", "deeplabv3_resnet50", "deeplabv3_resnet101"]
)
def test_official_weights_give_torchvisions_scores(name: str) -> None:
    model = cache(name)
    loaded = segmenters.load(name, None, CPU)
    assert loaded.source.kind == "official"
    picture = torch.rand(1, 3, 70, 90)
    normalised = (picture - loaded.module.mean) / loaded.module.std
    with torch.no_grad():
        expected = model(normalised)["out"]
        low = loaded.module(picture)
    found = torch.nn.functional.interpolate(low, (70, 90), mode="bilinear", align_corners=False)
    torch.testing.assert_close(found, expected)


def test_auto_prefers_cached_official_weights() -> None:
    assert segmenters.load("auto", None, CPU).source.kind == "bundled"
    cache("deeplabv3_resnet101")
    assert segmenters.load("auto", None, CPU).source.network == "deeplabv3_resnet101"


def test_weights_that_do_not_fit_are_refused(tmp_path: Path) -> None:
    torch.save({"conv.weight": torch.zeros(2)}, tmp_path / "other.pth")
    with pytest.raises(UserError, match="does not fit this segmenter"):
        segmenters.load("compact", tmp_path / "other.pth", CPU)


def test_a_named_network_without_weights_says_where_to_put_them(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(weights, "_download", lambda url: None)
    with pytest.raises(UserError, match=r"deeplabv3_resnet101_coco-586e9e4e.pth at .*checkpoints"):
        segmenters.load("deeplabv3_resnet101", None, CPU)


def test_unknown_names_are_refused() -> None:
    with pytest.raises(UserError, match=r"segmenter.name=vgg20 is not one of auto, "):
        segmenters.load("vgg20", None, CPU)


def test_auto_with_a_file_takes_the_network_it_fits(tmp_path: Path) -> None:
    loaded = segmenters.load("auto", segmenters.BUNDLED_FILE, CPU)
    assert (loaded.source.network, loaded.source.kind) == ("compact", "file")
    torch.save({"conv.weight": torch.zeros(2)}, tmp_path / "other.pth")
    with pytest.raises(UserError, match="fits no segmenter"):
        segmenters.load("auto", tmp_path / "other.pth", CPU)


@pytest.mark.parametrize(
    "name", [name for name, recipe in segmenters.RECIPES.items() if recipe.url]
)
def test_addresses_are_torchvisions(name: str) -> None:
    # Kept apart from torchvision's list, which is slow to import.
    from torchvision.models import get_model_weights

    assert segmenters.RECIPES[name].url in {entry.url for entry in get_model_weights(name)}
