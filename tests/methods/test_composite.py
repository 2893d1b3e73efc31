"""Composite: one optimisation a region, on its surroundings."""

from typing import Any

import pytest
import torch
from torch import Tensor

from pipeline.engine.engine import Descent, Engine
from pipeline.engine.objective import Objective, Style
from pipeline.methods.composite import composite
from pipeline.networks.encoder import Encoder
from pipeline.networks.pyramid import PyramidEncoder
from pipeline.pictures.layers import widened
from tests.conftest import scene_of


def count_pixels(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The pixels of each batch that the encoder is shown from now on."""
    shown = []
    read = Encoder.read

    def counting(self: Encoder, features: Tensor, *args: Any, **kwargs: Any) -> Tensor:
        shown.append(len(features) * features.shape[2] * features.shape[3])
        return read(self, features, *args, **kwargs)

    monkeypatch.setattr(Encoder, "read", counting)
    return shown


@pytest.fixture
def engine(encoder: PyramidEncoder) -> Engine:
    objective = Objective("balanced", 1.0, 100.0, 0.0, {"relu1_1": 1.0}, ["relu2_1"])
    return Engine(PyramidEncoder(encoder.encoder), objective, Descent("lbfgs", 10, 1, 1.0))


def test_each_region_is_painted_by_itself(
    engine: Engine, content: Tensor, disc: Tensor, stripes: Tensor
) -> None:
    masks = {"disc": disc, "rest": 1 - disc}
    styles = {"disc": [Style(stripes)], "rest": [Style(stripes.flip(1))]}
    scene = scene_of(content, masks, styles)
    done = composite(scene, engine, lambda row: None, gram="masked", margin=4)
    assert [row.stage for row in done.curve] == ["disc"] * 10 + ["rest"] * 10
    for region, mask in masks.items():
        outside = (widened(mask) == 0).expand_as(content)
        assert torch.equal(done.pictures[region][outside], content[outside])
        assert (done.pictures[region] - content)[~outside].abs().mean() > 0.01
    assert set(done.seconds) == set(masks)


def test_a_small_region_costs_a_small_picture(
    engine: Engine, content: Tensor, stripes: Tensor, monkeypatch: pytest.MonkeyPatch
) -> None:
    shown = count_pixels(monkeypatch)
    large = content.repeat(1, 1, 4, 4)
    small = torch.zeros(1, 1, *large.shape[2:])
    small[..., 100:120, 100:120] = 1
    scene = scene_of(large, {"r": small}, {"r": [Style(stripes)]})
    composite(scene, engine, lambda row: None, gram="masked", margin=10)
    # The content and 12 evaluations of the 48x48 pixels around the region and its margin (one more
    # than iterations at either end), and the style picture once.
    assert sum(shown) == 13 * 48 * 48 + stripes.shape[2] * stripes.shape[3]


def test_regions_of_like_size_are_painted_as_one_batch(
    engine: Engine, content: Tensor, stripes: Tensor, monkeypatch: pytest.MonkeyPatch
) -> None:
    large = content.repeat(1, 1, 4, 4)
    masks = {}
    for region, left, side in (("a", 100, 20), ("b", 200, 17), ("c", 0, 220)):
        masks[region] = torch.zeros(1, 1, *large.shape[2:])
        masks[region][..., 10 : 10 + side, left : left + side] = 1
    styles = {region: [Style(stripes, name="stripes")] for region in masks}
    shown = count_pixels(monkeypatch)
    done = composite(
        scene_of(large, masks, styles), engine, lambda row: None, gram="masked", margin=4
    )
    # One batch of two boxes of 32 pixels a side, and a large one by itself.
    assert shown.count(2 * 32 * 32) == 13
    assert len(shown) == 2 * 13 + 2
    assert [*done.pictures] == [*masks]
    for region, mask in masks.items():
        outside = (widened(mask) == 0).expand_as(large)
        assert torch.equal(done.pictures[region][outside], large[outside])
        assert (done.pictures[region] - large)[~outside].abs().mean() > 0.01


@pytest.mark.parametrize("margin", [0, 16])
def test_global_gram_sees_the_surroundings(
    engine: Engine, content: Tensor, disc: Tensor, stripes: Tensor, margin: int
) -> None:
    first = [
        composite(
            scene_of(content, {"d": disc}, {"d": [Style(stripes)]}),
            engine,
            lambda row: None,
            gram=gram,
            margin=margin,
        )
        .curve[0]
        .style
        for gram in ("masked", "global")
    ]
    assert first[0] != pytest.approx(first[1], rel=1e-3)
