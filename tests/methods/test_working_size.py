"""Small regions are painted enlarged, by every method, and brought back."""

import dataclasses
import functools
from typing import Any

import pytest
import torch
from torch import Tensor

from pipeline.engine.engine import Descent, Engine
from pipeline.engine.objective import Objective, Style
from pipeline.engine.progress import LossRow
from pipeline.methods import Method, Region, Scene
from pipeline.methods.composite import composite
from pipeline.methods.guided import guided
from pipeline.methods.stitch import stitch
from pipeline.methods.working_size import (
    Enlarged,
    at_working_size,
    enlarged_region,
    enlargement,
)
from pipeline.networks.pyramid import PyramidEncoder

METHODS: dict[str, Method] = {
    "stitch": functools.partial(stitch, gram="masked", margin=4),
    "guided": functools.partial(guided, margin=4),
    "composite": functools.partial(composite, gram="masked", margin=4),
}


def rectangle(height: int, width: int, rows: int, columns: int) -> Tensor:
    """(1, 1, height, width): 1 in so many rows and columns from (10, 20)."""
    mask = torch.zeros(1, 1, height, width)
    mask[..., 10 : 10 + rows, 20 : 20 + columns] = 1
    return mask


@pytest.mark.parametrize(
    ("rows", "columns", "factor"),
    [
        (160, 160, 1.0),
        (80, 80, 2.0),
        (320, 20, 2.0),
        (20, 20, 4.0),  # at most
        (140, 140, 1.0),  # 1.14 is not worth it
        (400, 9, 8 / 3),  # 160 / 60
    ],
)
def test_how_many_times_larger(rows: int, columns: int, factor: float) -> None:
    assert enlargement(rectangle(450, 500, rows, columns)) == pytest.approx(factor)


def test_a_thin_region_is_enlarged_as_far_as_its_box_allows() -> None:
    diagonal = torch.eye(400).expand(1, 1, 400, 400)
    assert enlargement(diagonal) == pytest.approx(512 / 400)


def test_a_crop_is_enlarged_and_brought_back(content: Tensor) -> None:
    region = Region("r", rectangle(61, 83, 20, 24), [], feather=2.0, enlargement=2.0)
    crop, alone = enlarged_region(region, margin=4)
    # 2 pixels of margin, which become 4, and 8 to spare; 40 x 44 pixels, in sixteens 48 x 48.
    assert (crop.box.top, crop.box.left) == (0, 8)
    assert (crop.box.height, crop.box.width) == (48, 48)
    assert crop.size == (96, 96)
    assert (alone.mask.shape[2:], alone.feather, alone.enlargement) == ((96, 96), 4.0, 1.0)
    assert alone.mask[0, 0, 20:60, 24:72].mean() > 0.97
    smooth = torch.nn.functional.avg_pool2d(content, 5, 1, 2, count_include_pad=False)
    back = crop.put(crop.cut(smooth), torch.zeros_like(smooth))
    torch.testing.assert_close(crop.box.cut(back), crop.box.cut(smooth), atol=0.03, rtol=0)
    outside = torch.ones_like(back)
    crop.box.cut(outside).zero_()
    assert not (back * outside).any()


@pytest.fixture
def engine(encoder: PyramidEncoder) -> Engine:
    objective = Objective(
        "balanced", 1.0, 100.0, 0.0, {"relu1_1": 0.5, "relu2_1": 0.5}, ["relu2_1"]
    )
    return Engine(encoder, objective, Descent("lbfgs", 8, 1, 1.0, snapshots=(3,)))


@pytest.fixture
def scene(content: Tensor, disc: Tensor, stripes: Tensor) -> Scene:
    """A large region, and two small ones of which one has two styles."""
    small = torch.zeros_like(disc)
    small[..., 2:8, 2:12] = 1
    tiny = torch.zeros_like(disc)
    tiny[..., 50:58, 70:80] = 1
    return Scene(
        content,
        [
            Region("small", small, [Style(stripes), Style(stripes.flip(1))], enlargement=3.0),
            Region("disc", disc, [Style(stripes.flip(2))]),
            Region("tiny", tiny, [Style(stripes)], enlargement=2.5),
        ],
    )


def painted(scene: Scene, engine: Engine, name: str, **more: Any) -> tuple[Any, list[LossRow]]:
    rows: list[LossRow] = []
    done = at_working_size(
        dataclasses.replace(scene, **more), engine, rows.append, method=METHODS[name], margin=4
    )
    return done, rows


@pytest.mark.parametrize("name", METHODS)
def test_small_regions_are_painted_by_themselves(scene: Scene, engine: Engine, name: str) -> None:
    done, rows = painted(scene, engine, name)
    together = "disc" if name == "composite" else name
    assert [row.stage for row in rows] == [together] * 8 + ["small"] * 8 + ["tiny"] * 8
    assert rows == done.curve
    assert [*done.pictures] == ["small", "disc", "tiny"]
    assert set(done.seconds) == {"small", "disc", "tiny"}
    assert {number: [*shown] for number, shown in done.snapshots.items()} == {
        3: ["disc", "small", "tiny"]
    }
    for region in scene.regions:
        for picture in (done.pictures[region.name], done.snapshots[3][region.name]):
            assert picture.shape == scene.content.shape
            inside = (region.mask == 1).expand_as(picture)
            assert (picture - scene.content)[inside].abs().mean() > 0.01
        if region.enlargement > 1:
            far = torch.ones_like(scene.content, dtype=torch.bool)
            Enlarged.of(region, 4).box.cut(far).fill_(False)
            assert torch.equal(done.pictures[region.name][far], scene.content[far])


@pytest.mark.parametrize("name", METHODS)
def test_the_enlarged_crop_is_what_the_engine_paints(
    scene: Scene, engine: Engine, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    sizes = []
    paint_together = Engine.paint_together

    def noted(self: Engine, jobs: Any, progress: Any) -> Any:
        sizes.extend(job.size for job in jobs)
        return paint_together(self, jobs, progress)

    monkeypatch.setattr(Engine, "paint_together", noted)
    painted(scene, engine, name)
    # 3 times 6 x 10, and 2.5 times 8 x 10, with edges that are soft by then and 4 pixels on each
    # side, in sixteens.
    assert sizes[1:] == [(32, 48), (48, 48)]


def test_large_regions_alone_are_painted_as_without(scene: Scene, engine: Engine) -> None:
    large = [dataclasses.replace(region, enlargement=1.0) for region in scene.regions]
    for name, method in METHODS.items():
        done, _ = painted(scene, engine, name, regions=large)
        plain = method(dataclasses.replace(scene, regions=large), engine, lambda row: None)
        for region in large:
            assert torch.equal(done.pictures[region.name], plain.pictures[region.name])


def test_the_canvas_shows_all_regions(scene: Scene, engine: Engine) -> None:
    for regions in (scene.regions, scene.regions[::2]):
        done, _ = painted(scene, engine, "stitch", regions=regions)
        assert [*done.extra] == ["style_canvas", "style_canvas-2"]
        outside = (sum(region.mask for region in regions) == 0).expand_as(scene.content)
        for canvas in done.extra.values():
            assert canvas.shape == scene.content.shape
            assert torch.equal(canvas[outside], scene.content[outside])
            for region in regions:
                inside = (region.mask == 1).expand_as(canvas)
                assert (canvas - scene.content)[inside].abs().mean() > 0.1
        first, second = done.extra.values()
        assert (first - second)[(regions[0].mask == 1).expand_as(first)].abs().mean() > 0.1


def test_small_regions_begin_where_the_scene_does(
    scene: Scene, engine: Engine, content: Tensor
) -> None:
    noise = torch.rand(content.shape, generator=torch.Generator().manual_seed(0))
    _, plain = painted(scene, engine, "guided")
    _, rows = painted(scene, engine, "guided", start=noise)
    for found, at_content in ((plain, True), (rows, False)):
        first = {row.stage: row.content for row in found if row.iteration == 0}
        assert [*first] == ["guided", "small", "tiny"]
        assert all((content == 0) == at_content for content in first.values())
