"""Guided: one optimisation, each region towards its own whole style."""

import pytest
import torch
from torch import Tensor

from pipeline.engine.engine import Descent, Engine
from pipeline.engine.objective import Guide, Objective, Style
from pipeline.methods import Scene
from pipeline.methods.guided import guided
from pipeline.methods.whole import whole
from pipeline.networks.pyramid import PyramidEncoder
from pipeline.pictures.layers import widened
from tests.conftest import scene_of


@pytest.fixture
def engine(encoder: PyramidEncoder) -> Engine:
    layers = {"relu1_1": 0.5, "relu2_1": 0.5}
    objective = Objective("balanced", 1.0, 300.0, 0.0, layers, ["relu2_1"])
    return Engine(encoder, objective, Descent("lbfgs", 30, 1, 1.0, snapshots=(10,)))


@pytest.fixture
def scene(content: Tensor, disc: Tensor, stripes: Tensor) -> Scene:
    styles = {"disc": [Style(stripes)], "rest": [Style(stripes.flip(1))]}
    return scene_of(content, {"disc": disc, "rest": 1 - disc}, styles)


def test_one_optimisation_paints_all_regions(engine: Engine, scene: Scene) -> None:
    done = guided(scene, engine, lambda row: None, margin=4)
    assert len(done.curve) == 30
    assert {row.stage for row in done.curve} == {"guided"}
    assert done.pictures["disc"] is done.pictures["rest"]
    assert set(done.snapshots) == {10}
    for region in scene.regions:
        guide = Guide(region.name, region.styles, region.mask)
        assert engine.style_distance(done.pictures[region.name], guide) < (
            0.75 * engine.style_distance(scene.content, guide)
        )


@pytest.mark.parametrize("propagation", ["simple", "inside", "all"])
def test_every_propagation_paints(
    encoder: PyramidEncoder, engine: Engine, scene: Scene, propagation: str
) -> None:
    engine = Engine(encoder, engine.objective, Descent("lbfgs", 4, 1, 1.0), propagation)
    first = guided(scene, engine, lambda row: None, margin=4).curve[0].style
    simple = guided(
        scene, Engine(encoder, engine.objective, engine.descent), lambda row: None, margin=4
    )
    assert (first == simple.curve[0].style) == (propagation == "simple")


def test_only_the_box_around_the_regions_is_painted(
    engine: Engine, content: Tensor, stripes: Tensor
) -> None:
    mask = torch.zeros(1, 1, 61, 83)
    mask[..., 5:20, 5:25] = 1
    scene = scene_of(content, {"r": mask}, {"r": [Style(stripes)]})
    assert (scene.box(4).height, scene.box(4).width) == (32, 32)
    done = guided(scene, engine, lambda row: None, margin=4)
    outside = (widened(mask) == 0).expand_as(content)
    assert torch.equal(done.pictures["r"][outside], content[outside])


def test_free_regions_may_change(engine: Engine, content: Tensor, stripes: Tensor) -> None:
    mask = torch.zeros(1, 1, 61, 83)
    mask[..., 15:45, 25:60] = 1
    scene = scene_of(content, {"r": mask}, {"r": [Style(stripes)]}, free=True)
    done = guided(scene, engine, lambda row: None, margin=4)
    inside, outside = (
        (done.pictures["r"] - content)[(mask == value).expand_as(content)].abs().mean()
        for value in (1, 0)
    )
    assert 0 < outside < inside


def test_global_takes_one_gram_matrix_of_the_whole_frame(
    engine: Engine, content: Tensor, stripes: Tensor
) -> None:
    ones = torch.ones(1, 1, 61, 83)
    scene = scene_of(content, {"all": ones}, {"all": [Style(stripes)]})
    done = whole(scene, engine, lambda row: None)
    assert {row.stage for row in done.curve} == {"global"}
    masked = guided(scene, engine, lambda row: None, margin=0)
    # With one region that covers everything, guided has the same Gram matrices.
    assert done.curve[0].style == pytest.approx(masked.curve[0].style, rel=1e-4)
    assert (done.pictures["all"] - content).abs().mean() > 0.05
