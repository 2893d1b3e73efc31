"""Composite: one optimisation a region, on its surroundings."""

import pytest
import torch
from torch import Tensor

from pipeline.engine import Descent, Engine
from pipeline.methods import Scene
from pipeline.methods.composite import composite
from pipeline.networks.pyramid import PyramidEncoder
from pipeline.objective import Objective, Style


class Counting(PyramidEncoder):
    """Counts the pixels it is shown."""

    pixels = 0

    def forward(self, picture: Tensor, layers: list[str]) -> dict[str, Tensor]:
        self.pixels += picture.shape[2] * picture.shape[3]
        return super().forward(picture, layers)


@pytest.fixture
def engine(encoder: PyramidEncoder) -> Engine:
    objective = Objective("balanced", 1.0, 100.0, 0.0, {"relu1_1": 1.0}, ["relu2_1"])
    return Engine(Counting(encoder.encoder), objective, Descent("lbfgs", 10, 1, 1.0))


def test_each_region_is_painted_by_itself(
    engine: Engine, content: Tensor, disc: Tensor, stripes: Tensor
) -> None:
    masks = {"disc": disc, "rest": 1 - disc}
    styles = {"disc": [Style(stripes)], "rest": [Style(stripes.flip(1))]}
    scene = Scene(content, masks, styles)
    done = composite(scene, engine, lambda row: None, gram="masked", margin=4)
    assert [row.stage for row in done.curve] == ["disc"] * 10 + ["rest"] * 10
    for region, mask in masks.items():
        outside = (mask == 0).expand_as(content)
        assert torch.equal(done.pictures[region][outside], content[outside])
        assert (done.pictures[region] - content)[~outside].abs().mean() > 0.01
    assert set(done.seconds) == set(masks)


def test_a_small_region_costs_a_small_picture(
    engine: Engine, content: Tensor, stripes: Tensor
) -> None:
    large = content.repeat(1, 1, 4, 4)
    small = torch.zeros(1, 1, *large.shape[2:])
    small[..., 100:120, 100:120] = 1
    scene = Scene(large, {"r": small}, {"r": [Style(stripes)]})
    composite(scene, engine, lambda row: None, gram="masked", margin=10)
    # 10 iterations and the targets, on 40x40 pixels each, and the style picture once.
    assert engine.encoder.pixels <= 12 * 40 * 40 + 50 * 70


@pytest.mark.parametrize("margin", [0, 16])
def test_global_gram_sees_the_surroundings(
    engine: Engine, content: Tensor, disc: Tensor, stripes: Tensor, margin: int
) -> None:
    first = [
        composite(
            Scene(content, {"d": disc}, {"d": [Style(stripes)]}),
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
