"""Feed-forward networks: sizes, files, and the pictures of their styles."""

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from pipeline.errors import UserError
from pipeline.networks import feedforward, weights
from pipeline.networks.feedforward import FeedForward
from pipeline.training.export import export

CPU = torch.device("cpu")


@pytest.fixture
def network() -> FeedForward:
    torch.manual_seed(0)
    return FeedForward(4)


@pytest.fixture
def file(network: FeedForward, tmp_path: Path) -> Path:
    picture = Image.new("RGB", (600, 300), (200, 40, 90))
    path = tmp_path / "red.safetensors"
    export(feedforward.with_style(network.state_dict(), picture), path, {})
    return path


@pytest.mark.parametrize("size", [(16, 16), (33, 50), (64, 18)])
def test_pictures_of_any_size(network: FeedForward, size: tuple[int, int]) -> None:
    with torch.no_grad():
        found = network(torch.rand(2, 3, *size))
    assert found.shape == (2, 3, *size)
    assert found.min() > -0.25
    assert found.max() < 1.25


def test_features_are_normalised_by_picture(network: FeedForward) -> None:
    dark, light = torch.rand(2, 1, 3, 24, 32) * 0.4
    light += 0.6
    with torch.no_grad():
        together = network(torch.cat([dark, light]))
        alone = torch.cat([network(dark), network(light)])
    torch.testing.assert_close(together, alone, atol=1e-5, rtol=0)


def test_a_file_holds_the_network_and_shows_its_style(network: FeedForward, file: Path) -> None:
    loaded = feedforward.load(file, CPU)
    assert loaded.network.width == 4
    assert loaded.source.kind == "file"
    assert not loaded.network.training
    picture = torch.rand(1, 3, 32, 40)
    with torch.no_grad():
        difference = (loaded.network(picture) - network(picture)).abs().max()
    assert float(difference) < 0.02  # half precision
    shown = feedforward.style_picture(file)
    assert shown.size == (256, 128)
    assert np.abs(np.asarray(shown).astype(int) - (200, 40, 90)).max() < 6


def test_files_that_are_no_networks(tmp_path: Path) -> None:
    other = weights.BUNDLED / "compact_encoder.safetensors"
    with pytest.raises(UserError, match="does not hold a feed-forward network"):
        feedforward.load(other, CPU)
    with pytest.raises(UserError, match="is no network of a style"):
        feedforward.style_picture(other)
    with pytest.raises(UserError, match="not found"):
        feedforward.style_picture(tmp_path / "none.safetensors")


def test_where_networks_are_looked_for(tmp_path: Path) -> None:
    own = tmp_path / "mine.safetensors"
    assert feedforward.find("mine.safetensors", own) == own
    with pytest.raises(UserError, match=r"no network for the style a/ink.jpg.*style=a/ink.jpg"):
        feedforward.find("a/ink.jpg", tmp_path / "a" / "ink.jpg")


BUNDLED = sorted(path.stem for path in feedforward.BUNDLED.glob("*.safetensors"))


def test_there_are_bundled_networks() -> None:
    assert "scream" in BUNDLED


@pytest.mark.parametrize("name", BUNDLED)
@pytest.mark.parametrize("ending", ["", ".jpg"])
def test_bundled_networks(name: str, ending: str) -> None:
    path = feedforward.find(name + ending, Path(name + ending))
    assert path.stat().st_size < 1e6
    assert feedforward.load(path, CPU).source.kind == "bundled"
    assert max(feedforward.style_picture(path).size) == 256
