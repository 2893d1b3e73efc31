"""Stitch: a canvas in the content's layout, one optimisation."""

import pytest
import torch
from torch import Tensor

from pipeline.engine.engine import Descent, Engine
from pipeline.engine.objective import Objective, Style
from pipeline.methods import Region
from pipeline.methods.stitch import stitch, style_canvas
from pipeline.networks.pyramid import PyramidEncoder
from pipeline.pictures.layers import widened
from tests.conftest import scene_of


def regions_of(masks: dict[str, Tensor], styles: dict[str, Style]) -> list[Region]:
    return [Region(name, mask, [styles[name]]) for name, mask in masks.items()]


@pytest.fixture
def engine(encoder: PyramidEncoder) -> Engine:
    objective = Objective(
        "balanced", 1.0, 100.0, 0.0, {"relu1_1": 0.5, "relu2_1": 0.5}, ["relu2_1"]
    )
    return Engine(encoder, objective, Descent("lbfgs", 20, 1, 1.0))


def test_the_canvas_has_the_contents_layout(content: Tensor, disc: Tensor) -> None:
    # A style of two halves, to see that it is scaled to cover the disc's box and centred there.
    style = torch.zeros(1, 3, 20, 20)
    style[..., 10:, :] = 1
    canvas = style_canvas(content, regions_of({"disc": disc}, {"disc": Style(style)})).picture
    outside = (disc == 0).expand_as(content)
    assert torch.equal(canvas[outside], content[outside])
    assert canvas[0, :, 16, 40].max() < 0.01
    assert canvas[0, :, 44, 40].min() > 0.99


def test_a_wide_style_covers_a_tall_region(content: Tensor, stripes: Tensor) -> None:
    tall = torch.zeros(1, 1, 61, 83)
    tall[..., 5:60, 30:40] = 1
    canvas = style_canvas(content, regions_of({"tall": tall}, {"tall": Style(stripes)})).picture
    assert canvas[0, 0, 5:60, 30:40].min().item() == pytest.approx(0.9, abs=1e-4)


@pytest.mark.parametrize("gram", ["masked", "global"])
def test_paints_inside_only(
    engine: Engine, content: Tensor, disc: Tensor, stripes: Tensor, gram: str
) -> None:
    rows = []
    scene = scene_of(content, {"disc": disc}, {"disc": [Style(stripes)]})
    done = stitch(scene, engine, rows.append, gram=gram, margin=4)
    outside = (widened(disc) == 0).expand_as(content)
    assert torch.equal(done.pictures["disc"][outside], content[outside])
    assert (done.pictures["disc"] - content).abs().max() > 0.05
    assert len(rows) == len(done.curve) == 20
    assert set(done.extra) == {"style_canvas"}


def test_global_and_masked_differ(
    engine: Engine, content: Tensor, disc: Tensor, stripes: Tensor
) -> None:
    masked, everywhere = (
        stitch(
            scene_of(content, {"disc": disc}, {"disc": [Style(stripes)]}),
            engine,
            lambda row: None,
            gram=gram,
            margin=4,
        ).pictures["disc"]
        for gram in ("masked", "global")
    )
    assert (masked - everywhere).abs().mean() > 1e-3


def test_two_regions_are_painted_by_one_optimisation(
    engine: Engine, content: Tensor, disc: Tensor, stripes: Tensor
) -> None:
    masks = {"disc": disc, "rest": 1 - disc}
    styles = {"disc": [Style(stripes)], "rest": [Style(stripes.flip(1))]}
    scene = scene_of(content, masks, styles)
    done = stitch(scene, engine, lambda row: None, gram="masked", margin=4)
    assert len(done.curve) == 20
    assert done.pictures["disc"] is done.pictures["rest"]
    assert {row.stage for row in done.curve} == {"stitch"}


@pytest.mark.parametrize(("side", "stripe"), [(16, 4), (8, 8), (32, 4)])
def test_a_style_fills_the_box_and_is_never_shrunk(content: Tensor, side: int, stripe: int) -> None:
    # Columns alternate every 4 pixels: as they are at the box's size and, where a larger scale was
    # asked for, beyond it; every 8 in a style of half the box's size.
    style = ((torch.arange(side) // 4) % 2).float().expand(1, 3, side, side)
    small = torch.zeros(1, 1, 61, 83)
    small[..., 20:36, 20:36] = 1
    canvas = style_canvas(content, regions_of({"small": small}, {"small": Style(style)}))
    row = (canvas.picture[0, 0, 28, 20:36] > 0.5).int()
    expected = (torch.arange(16) // stripe) % 2
    assert torch.equal(row, expected.int())


def test_a_style_from_a_region_of_its_picture_brings_its_mask(
    content: Tensor, disc: Tensor
) -> None:
    style = torch.rand(1, 3, 61, 83)
    left = torch.zeros(1, 1, 61, 83)
    left[..., :41] = 1
    canvas = style_canvas(content, regions_of({"disc": disc}, {"disc": Style(style, left)}))
    # The style covers the disc's box around column 40, its left half lies left of that.
    assert canvas.masks["disc"][0, 0, 30, 30] == 1
    assert canvas.masks["disc"][0, 0, 30, 50] == 0
    nowhere = Style(style, torch.zeros_like(left))
    assert torch.equal(
        style_canvas(content, regions_of({"disc": disc}, {"disc": nowhere})).masks["disc"], disc
    )


def test_second_styles_have_a_canvas_of_their_own(
    engine: Engine, content: Tensor, disc: Tensor, stripes: Tensor
) -> None:
    styles = {"disc": [Style(stripes, weight=0.5), Style(stripes.flip(1), weight=0.5)]}
    scene = scene_of(content, {"disc": disc}, styles)
    done = stitch(scene, engine, lambda row: None, gram="masked", margin=4)
    assert set(done.extra) == {"style_canvas", "style_canvas-2"}
    inside = (disc == 1).expand_as(content)
    first, second = done.extra["style_canvas"], done.extra["style_canvas-2"]
    assert (first - second)[inside].abs().mean() > 0.1
