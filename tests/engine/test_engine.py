"""The engine paints: losses fall, pixels outside stay, regions of any size are equally strong."""

import dataclasses
import math
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor

from pipeline.engine import losses, search
from pipeline.engine.engine import Descent, Engine, Resources
from pipeline.engine.evaluation import Comparison, Evaluate, whole_evaluation
from pipeline.engine.job import Job, scales
from pipeline.engine.neighbours import Samples
from pipeline.engine.objective import Guide, Objective, Style
from pipeline.engine.tiled import tiled_evaluation
from pipeline.engine.tiles import Tiling
from pipeline.errors import UserError
from pipeline.networks.pyramid import Layer, PyramidEncoder
from pipeline.runtime.distributed import Team


def objective(kind: str = "balanced", style_weight: float = 10.0) -> Objective:
    return Objective(
        kind,
        1.0,
        style_weight,
        0.0,
        {"relu1_1": 0.5, "relu2_1": 0.5},
        ["relu2_1"],
        neighbour_layers={Layer("relu2_1"): 1.0},
        neighbour_weight=style_weight,
    )


@pytest.fixture
def engine(encoder: PyramidEncoder) -> Engine:
    return Engine(encoder, objective(style_weight=1e3), Descent("lbfgs", 30, 1, 1.0))


@pytest.mark.parametrize(("optimizer", "rate"), [("lbfgs", 1.0), ("adam", 0.02)])
@pytest.mark.parametrize("kind", ["balanced", "gatys"])
def test_the_loss_falls(
    encoder: PyramidEncoder,
    content: Tensor,
    disc: Tensor,
    stripes: Tensor,
    optimizer: str,
    rate: float,
    kind: str,
) -> None:
    engine = Engine(encoder, objective(kind, 1e4), Descent(optimizer, 30, 1, rate))
    painting = engine.paint(Job(content, disc, [Guide("disc", [Style(stripes)], disc)], "disc"))
    totals = [row.total for row in painting.curve]
    assert len(totals) == 30
    assert min(totals) < 0.7 * totals[0]
    assert all(math.isfinite(total) for total in totals)


@pytest.mark.parametrize("style", ["wasserstein", "neighbours", "gram_neighbours"])
def test_every_style_loss_falls_and_comes_nearer(
    encoder: PyramidEncoder, content: Tensor, disc: Tensor, stripes: Tensor, style: str
) -> None:
    goal = dataclasses.replace(objective(style_weight=1e3), style=style)
    engine = Engine(encoder, goal, Descent("lbfgs", 40, 1, 1.0))
    guide = Guide("disc", [Style(stripes)], disc)
    painting = engine.paint(Job(content, disc, [guide], "disc"))
    totals = [row.total for row in painting.curve]
    assert min(totals) < 0.7 * totals[0]
    assert all(math.isfinite(total) for total in totals)
    # Measured by Gram matrices, whatever the loss.
    before = engine.style_distance(content, guide)
    assert engine.style_distance(painting.picture, guide) < 0.95 * before


@pytest.mark.parametrize(("style", "expected"), [("gram", 0), ("neighbours", 8)])
def test_neighbours_are_looked_for_evenly_over_a_scale(
    encoder: PyramidEncoder,
    stripes: Tensor,
    style: str,
    expected: int,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    shown: list[int] = []
    nearest = search.nearest

    def counted(
        samples: Samples, rows: Tensor, offset: Tensor | None, free: Tensor | None
    ) -> Tensor:
        shown.append(len(rows))
        return nearest(samples, rows, offset, free)

    monkeypatch.setattr("pipeline.engine.search.nearest", counted)
    goal = dataclasses.replace(objective(), style=style)
    engine = Engine(encoder, goal, Descent("adam", 90, 2, 0.01))
    picture = torch.rand(1, 3, 100, 110, generator=torch.Generator().manual_seed(0))
    everywhere = torch.ones_like(picture[:, :1])
    engine.paint(Job(picture, everywhere, [Guide("all", [Style(stripes)])], "all"))
    # Four times at each scale, at relu2_1 alone.
    assert len(shown) == expected
    assert set(shown) <= {50 * 55, 25 * 27}


def test_the_papers_formulas_know_gram_matrices_alone() -> None:
    with pytest.raises(ValueError, match="know no style loss wasserstein"):
        dataclasses.replace(objective("gatys"), style="wasserstein")


def test_pixels_outside_the_mask_stay(
    engine: Engine, content: Tensor, disc: Tensor, stripes: Tensor
) -> None:
    painted = engine.paint(
        Job(content, disc, [Guide("disc", [Style(stripes)], disc)], "disc")
    ).picture
    outside = (disc == 0).expand_as(content)
    assert torch.equal(painted[outside], content[outside])
    assert (painted - content)[~outside].abs().mean() > 0.02
    assert painted.min() >= 0
    assert painted.max() <= 1


def test_the_region_comes_nearer_to_its_style(
    engine: Engine, content: Tensor, disc: Tensor, stripes: Tensor
) -> None:
    guide = Guide("disc", [Style(stripes)], disc)
    painted = engine.paint(Job(content, disc, [guide], "disc")).picture
    before, after = engine.style_distance(content, guide), engine.style_distance(painted, guide)
    assert after < 0.75 * before


def test_the_style_is_at_no_distance_from_itself(engine: Engine, stripes: Tensor) -> None:
    assert engine.style_distance(stripes, Guide("all", [Style(stripes)])) == pytest.approx(
        0, abs=1e-3
    )


def test_scales_share_the_iterations_and_end_at_full_size(
    encoder: PyramidEncoder, stripes: Tensor
) -> None:
    content = torch.rand(1, 3, 201, 230, generator=torch.Generator().manual_seed(0))
    engine = Engine(encoder, objective(), Descent("lbfgs", 20, 3, 1.0))
    painting = engine.paint(
        Job(content, torch.ones(1, 1, 201, 230), [Guide("all", [Style(stripes)])], "all")
    )
    scales = [row.scale for row in painting.curve]
    assert len(scales) == 20
    assert sorted(set(scales), reverse=True) == [4, 2, 1]
    assert scales == sorted(scales, reverse=True)
    assert scales.count(4) > scales.count(1)
    assert painting.picture.shape == content.shape


def test_the_rows_terms_add_up(
    engine: Engine, content: Tensor, disc: Tensor, stripes: Tensor
) -> None:
    row = engine.paint(Job(content, disc, [Guide("disc", [Style(stripes)], disc)], "disc")).curve[0]
    # At the start the picture is the content: in range, and without content loss.
    assert row.content == pytest.approx(0, abs=1e-6)
    assert row.total == pytest.approx(row.content + row.style + row.tv, rel=1e-5)


def test_a_guides_strength_does_not_depend_on_the_regions_area(
    engine: Engine, content: Tensor, stripes: Tensor
) -> None:
    # Content that repeats: a region of one tile and one of four have the same Gram matrices.
    tile = content[..., :40, :40]
    repeated = torch.cat([torch.cat([tile, tile], 2)] * 2, 3)
    engine = dataclasses.replace(engine, descent=Descent("adam", 1, 1, 0.01))
    losses = []
    for side in (40, 80):
        mask = torch.zeros(1, 1, 80, 80)
        mask[..., :side, :side] = 1
        losses.append(
            engine.paint(Job(repeated, mask, [Guide("r", [Style(stripes)], mask)], "r"))
            .curve[0]
            .style
        )
    assert losses[0] == pytest.approx(losses[1], rel=0.1)


def test_the_same_input_gives_the_same_picture(
    engine: Engine, content: Tensor, disc: Tensor, stripes: Tensor
) -> None:
    first = engine.paint(
        Job(content, disc, [Guide("disc", [Style(stripes)], disc)], "disc")
    ).picture
    second = engine.paint(
        Job(content, disc, [Guide("disc", [Style(stripes)], disc)], "disc")
    ).picture
    assert torch.equal(first, second)


def test_a_region_that_pooling_drops_does_no_harm(encoder: PyramidEncoder, stripes: Tensor) -> None:
    # 61 columns: the last is dropped by the pooling; a region of it alone has no unit at relu2_1.
    content = torch.rand(1, 3, 61, 61, generator=torch.Generator().manual_seed(0))
    first, last = torch.zeros(1, 1, 61, 61), torch.zeros(1, 1, 61, 61)
    first[..., :40], last[..., 60:] = 1, 1
    engine = Engine(encoder, objective(style_weight=1e3), Descent("lbfgs", 10, 1, 1.0))
    guides = [Guide("first", [Style(stripes)], first), Guide("last", [Style(stripes)], last)]
    painting = engine.paint(Job(content, first + last, guides, "both"))
    assert all(math.isfinite(row.total) for row in painting.curve)
    changes = (painting.picture - content).abs()
    assert changes[..., :40].mean() > 0.005
    assert changes[..., 60].mean() > 0.001


def test_layers_of_weight_zero_take_no_part(
    encoder: PyramidEncoder, content: Tensor, stripes: Tensor
) -> None:
    goal = Objective("balanced", 1.0, 10.0, 0.0, {"relu1_1": 0.0, "relu2_1": 1.0}, ["relu2_1"])
    small = torch.zeros(1, 1, 61, 83)
    small[..., 30:33, 40:43] = 1
    painting = Engine(encoder, goal, Descent("lbfgs", 4, 1, 1.0)).paint(
        Job(content, small, [Guide("small", [Style(stripes)], small)], "small")
    )
    assert painting.curve[-1].style > 0


@pytest.mark.parametrize("iterations", [1, 2, 3, 5])
def test_few_iterations_are_as_many_and_never_blur(
    encoder: PyramidEncoder, stripes: Tensor, iterations: int
) -> None:
    content = torch.rand(1, 3, 200, 210, generator=torch.Generator().manual_seed(0))
    engine = Engine(encoder, objective(), Descent("lbfgs", iterations, 3, 1.0))
    mask = torch.ones(1, 1, 200, 210)
    painting = engine.paint(Job(content, mask, [Guide("all", [Style(stripes)], mask)], "all"))
    assert len(painting.curve) == iterations
    assert engine.style_distance(painting.picture, Guide("all", [Style(stripes)], mask)) < (
        engine.style_distance(content, Guide("all", [Style(stripes)], mask))
    )


def test_two_styles_of_a_region_share_it(
    engine: Engine, content: Tensor, disc: Tensor, stripes: Tensor
) -> None:
    other = stripes.transpose(2, 3).flip(1)
    losses = {}
    for share in (1.0, 0.5, 0.0):
        styles = [Style(stripes, weight=share), Style(other, weight=1 - share)]
        painting = engine.paint(Job(content, disc, [Guide("disc", styles, disc)], "disc"))
        losses[share] = [
            engine.style_distance(painting.picture, Guide("disc", [Style(s)], disc))
            for s in (stripes, other)
        ]
    # Nearest to the first alone, farthest with the second alone, and in between with both.
    assert losses[1.0][0] < losses[0.5][0] < losses[0.0][0]
    assert losses[0.0][1] < losses[0.5][1] < losses[1.0][1]


def test_the_weighted_loss_of_two_styles_is_their_sum(
    engine: Engine, content: Tensor, disc: Tensor, stripes: Tensor
) -> None:
    other = stripes.flip(1)
    engine = dataclasses.replace(engine, descent=Descent("adam", 1, 1, 0.01))

    def first(*styles: Style) -> float:
        return engine.paint(Job(content, disc, [Guide("d", styles, disc)], "d")).curve[0].style

    together = first(Style(stripes, weight=0.7), Style(other, weight=0.3))
    assert together == pytest.approx(0.7 * first(Style(stripes)) + 0.3 * first(Style(other)))


def test_a_style_may_come_from_a_part_of_its_picture(
    engine: Engine, content: Tensor, disc: Tensor, stripes: Tensor
) -> None:
    # Left half stripes, right half black: only the left half counts.
    half = torch.cat([stripes, torch.zeros_like(stripes)], dim=3)
    left = torch.zeros(1, 1, 50, 140)
    left[..., :64] = 1
    engine = dataclasses.replace(engine, descent=Descent("adam", 1, 1, 0.01))
    found = [
        engine.paint(Job(content, disc, [Guide("d", [style], disc)], "d")).curve[0].style
        for style in (Style(half, left), Style(stripes), Style(half))
    ]
    assert found[0] == pytest.approx(found[1], rel=0.05)
    assert abs(found[2] - found[1]) > 0.1 * found[1]


def test_it_begins_where_it_is_told(
    engine: Engine, content: Tensor, disc: Tensor, stripes: Tensor
) -> None:
    engine = dataclasses.replace(engine, descent=Descent("adam", 1, 1, 1e-6))
    start = 1 - content
    painted = engine.paint(
        Job(content, disc, [Guide("d", [Style(stripes)], disc)], "d", start=start)
    )
    inside = (disc == 1).expand_as(content)
    torch.testing.assert_close(painted.picture[inside], start[inside], atol=1e-4, rtol=0)
    assert torch.equal(painted.picture[~inside], content[~inside])


def test_snapshots_are_taken_on_the_way(
    encoder: PyramidEncoder, content: Tensor, disc: Tensor, stripes: Tensor
) -> None:
    descent = Descent("lbfgs", 30, 2, 1.0, snapshots=(5, 20))
    engine = Engine(encoder, objective(style_weight=1e3), descent)
    guide = Guide("disc", [Style(stripes)], disc)
    painting = engine.paint(Job(content, disc, [guide], "disc"))
    assert sorted(painting.snapshots) == [5, 20]
    distances = [
        engine.style_distance(picture, guide)
        for picture in (content, painting.snapshots[5], painting.snapshots[20])
    ]
    assert distances[0] > distances[1] > distances[2]
    outside = (disc == 0).expand_as(content)
    assert all(torch.equal(s[outside], content[outside]) for s in painting.snapshots.values())


def test_it_stops_when_the_loss_no_longer_falls(
    encoder: PyramidEncoder, content: Tensor, disc: Tensor, stripes: Tensor
) -> None:
    guide = Guide("disc", [Style(stripes)], disc)

    def iterations(tolerance: float) -> int:
        descent = Descent("lbfgs", 120, 1, 1.0, tolerance=tolerance)
        engine = Engine(encoder, objective(), descent)
        return len(engine.paint(Job(content, disc, [guide], "disc")).curve)

    assert iterations(0) == 120
    assert 10 < iterations(0.2) < iterations(0.02) < 120


def test_of_jobs_each_stops_when_its_own_loss_no_longer_falls(
    encoder: PyramidEncoder, content: Tensor, disc: Tensor, stripes: Tensor
) -> None:
    engine = Engine(encoder, objective(), Descent("lbfgs", 120, 1, 1.0, tolerance=0.05))
    first, second = jobs(content, disc, stripes)
    second = dataclasses.replace(second, start=torch.full_like(content, 0.5))
    lengths = [len(painting.curve) for painting in engine.paint_together([first, second])]
    assert lengths == [len(engine.paint(job).curve) for job in (first, second)]
    assert lengths[0] != lengths[1]


def test_a_guide_without_styles_holds_the_content(
    engine: Engine, content: Tensor, disc: Tensor, stripes: Tensor
) -> None:
    everywhere = torch.ones_like(disc)
    start = torch.full_like(content, 0.5)

    def content_losses(*guides: Guide) -> list[float]:
        painting = engine.paint(Job(content, everywhere, guides, "d", start=start))
        return [row.content for row in painting.curve]

    held = content_losses(Guide("free", [], 1 - disc))
    assert held[-1] < 0.3 * held[0]
    both = content_losses(Guide("disc", [Style(stripes)], disc), Guide("free", [], 1 - disc))
    assert both[0] > held[0]


def test_layout_counts_as_content(
    engine: Engine, content: Tensor, disc: Tensor, stripes: Tensor
) -> None:
    guide = Guide("disc", [Style(stripes)], disc)
    start = 1 - content

    def first(weight: float) -> float:
        goal = dataclasses.replace(engine.objective, layout_weight=weight)
        chosen = dataclasses.replace(engine, objective=goal, descent=Descent("adam", 1, 1, 0.01))
        return chosen.paint(Job(content, disc, [guide], "d", start=start)).curve[0].content

    shown = content + disc * (start - content)
    expected = losses.layout_loss(shown, content, disc).item()
    assert first(3.0) - first(0.0) == pytest.approx(3 * expected, rel=1e-3)
    assert expected > 1


OUT_OF_MEMORY = torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB")


def replace_evaluations(
    monkeypatch: pytest.MonkeyPatch, watch: Callable[[Tensor, int | None], None]
) -> None:
    """Tell ``watch`` of every evaluation: the pictures, and the side of the tiles."""

    def watched(evaluate: Evaluate, side: int | None) -> Evaluate:
        def evaluation(painted: Tensor) -> tuple[Tensor, Tensor]:
            watch(painted, side)
            return evaluate(painted)

        return evaluation

    def whole(compared: Comparison, start: Tensor) -> Evaluate:
        return watched(whole_evaluation(compared, start), None)

    def tiled(compared: Comparison, start: Tensor, tiling: Tiling, team: Team) -> Evaluate:
        return watched(tiled_evaluation(compared, start, tiling, team), tiling.side)

    monkeypatch.setattr("pipeline.engine.engine.whole_evaluation", whole)
    monkeypatch.setattr("pipeline.engine.engine.tiled_evaluation", tiled)


def short_of_memory(
    monkeypatch: pytest.MonkeyPatch, largest: int | None, error: Exception = OUT_OF_MEMORY
) -> list[int | None]:
    """Evaluations of more than so many pixels a side fail; what sides were tried."""
    tried: list[int | None] = []

    def short(painted: Tensor, side: int | None) -> None:
        if not tried or tried[-1] != side:
            tried.append(side)
        if largest is None or (side or 10_000) > largest:
            raise error

    replace_evaluations(monkeypatch, short)
    monkeypatch.setattr("pipeline.engine.budget.SMALLEST_TILE", 16)
    return tried


@pytest.fixture
def cutting(encoder: PyramidEncoder) -> Engine:
    descent = Descent("lbfgs", 6, 1, 1.0)
    return Engine(encoder, objective(), descent, resources=Resources(tile="auto"))


@pytest.mark.parametrize("error", [OUT_OF_MEMORY, MemoryError()])
def test_short_of_memory_it_goes_on_in_tiles(
    cutting: Engine,
    content: Tensor,
    disc: Tensor,
    stripes: Tensor,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    error: Exception,
) -> None:
    guide = Guide("disc", [Style(stripes)], disc)
    expected = cutting.paint(Job(content, disc, [guide], "disc"))
    tried = short_of_memory(monkeypatch, 25, error)
    found = cutting.paint(Job(content, disc, [guide], "disc"))
    assert tried == [None, 42, 21]
    assert "83x61 pixels; going on in tiles of 21" in caplog.text
    assert len(found.curve) == 6
    assert found.curve[-1].total == pytest.approx(expected.curve[-1].total, rel=1e-3)


def test_where_no_tile_fits_it_says_what_to_do(
    cutting: Engine,
    content: Tensor,
    disc: Tensor,
    stripes: Tensor,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    guide = Guide("disc", [Style(stripes)], disc)
    tried = short_of_memory(monkeypatch, None)
    with pytest.raises(UserError, match="even in tiles of 21; lower size"):
        cutting.paint(Job(content, disc, [guide], "disc"))
    assert tried == [None, 42, 21]
    monkeypatch.setattr("pipeline.engine.budget.SMALLEST_TILE", 128)
    with pytest.raises(UserError, match=r"for 83x61 pixels; lower size"):
        cutting.paint(Job(content, disc, [guide], "disc"))
    uncut = dataclasses.replace(cutting, resources=Resources(tile="off"))
    with pytest.raises(UserError, match="use tile=auto"):
        uncut.paint(Job(content, disc, [guide], "disc"))


@pytest.mark.parametrize("memory", ["normal", "low"])
@pytest.mark.parametrize("tile", ["off", 32])
def test_tiles_paint_the_same_picture(
    encoder: PyramidEncoder, stripes: Tensor, tile: str | int, memory: str
) -> None:
    # In double precision: rounding would tip which of two pixels a pooling takes.
    generator = torch.Generator().manual_seed(0)
    content = torch.rand(1, 3, 260, 301, generator=generator, dtype=torch.float64)
    mask = torch.ones(1, 1, 260, 301, dtype=torch.float64)
    guides = [Guide("all", [Style(stripes.double())], mask)]
    engine = Engine(encoder.double(), objective(), Descent("lbfgs", 4, 1, 1.0))
    expected = engine.paint(Job(content, mask, guides, "all")).picture
    cut = dataclasses.replace(engine, resources=Resources(tile=tile, memory=memory))
    found = cut.paint(Job(content, mask, guides, "all")).picture
    assert (found - content).abs().mean() > 0.005
    torch.testing.assert_close(found, expected, atol=1e-6, rtol=0)
    distances = [e.style_distance(found, guides[0]) for e in (engine, cut)]
    assert distances[0] == pytest.approx(distances[1], rel=1e-4)


def jobs(content: Tensor, disc: Tensor, stripes: Tensor) -> list[Job]:
    other = disc.flip(3)
    return [
        Job(content, disc, [Guide("disc", [Style(stripes)], disc)], "disc"),
        Job(content, other, [Guide("other", [Style(stripes.flip(1))], other)], "other"),
    ]


@pytest.mark.parametrize(("optimizer", "rate"), [("lbfgs", 1.0), ("adam", 0.02)])
def test_jobs_painted_together_become_what_each_becomes_alone(
    encoder: PyramidEncoder,
    content: Tensor,
    disc: Tensor,
    stripes: Tensor,
    optimizer: str,
    rate: float,
) -> None:
    descent = Descent(optimizer, 12, 2, rate, snapshots=[4, 12])
    engine = Engine(encoder.double(), objective(), descent)
    given = [
        dataclasses.replace(
            job,
            content=job.content.double(),
            mask=job.mask.double(),
            guides=[
                Guide(g.region, [Style(s.picture.double()) for s in g.styles], g.mask.double())
                for g in job.guides
                if g.mask is not None
            ],
        )
        for job in jobs(content, disc, stripes)
    ]
    rows = []
    together = engine.paint_together(given, rows.append)
    assert [row.stage for row in rows[:4]] == ["disc", "other"] * 2
    for job, found in zip(given, together, strict=True):
        expected = engine.paint(job)
        torch.testing.assert_close(found.picture, expected.picture, rtol=0, atol=1e-6)
        assert [row.iteration for row in found.curve] == [row.iteration for row in expected.curve]
        assert [r.total for r in found.curve] == pytest.approx([r.total for r in expected.curve])
        assert {row.stage for row in found.curve} == {job.stage}
        assert [*found.snapshots] == [4, 12]
        for count, shown in expected.snapshots.items():
            torch.testing.assert_close(found.snapshots[count], shown, rtol=0, atol=1e-6)


@pytest.mark.gpu
@pytest.mark.parametrize(("optimizer", "rate"), [("lbfgs", 1.0), ("adam", 0.02)])
def test_recorded_steps_paint_what_others_paint(
    encoder: PyramidEncoder,
    content: Tensor,
    disc: Tensor,
    stripes: Tensor,
    optimizer: str,
    rate: float,
) -> None:
    content, disc, stripes = content.cuda(), disc.cuda(), stripes.cuda()
    engine = Engine(encoder.cuda(), objective(), Descent(optimizer, 12, 2, rate))
    for count in (1, 2):
        given = jobs(content, disc, stripes)[:count]
        recorded, others = (
            dataclasses.replace(engine, resources=Resources(record=record)).paint_together(given)
            for record in (True, False)
        )
        for one, other in zip(recorded, others, strict=True):
            totals = [row.total for row in other.curve]
            assert [row.total for row in one.curve] == pytest.approx(totals, rel=1e-2)
            assert (one.picture - other.picture).abs().mean() < 0.01


def test_jobs_of_different_sizes_are_not_painted_together(
    engine: Engine, content: Tensor, disc: Tensor, stripes: Tensor
) -> None:
    first, second = jobs(content, disc, stripes)
    smaller = dataclasses.replace(second, content=content[..., :40], mask=disc[..., :40])
    with pytest.raises(ValueError, match="one size, not"):
        engine.paint_together([first, smaller])


@pytest.mark.parametrize(
    ("resources", "largest", "sizes"),
    [
        (Resources(tile="auto"), 83 * 61, [2]),
        (Resources(tile="off"), 83 * 61, [2]),
        (Resources(tile="off"), 83 * 61 - 1, [1, 1]),
        (Resources(tile=32), 83 * 61, [1, 1]),
        (Resources(memory="low"), 83 * 61, [1, 1]),
    ],
)
def test_jobs_are_painted_together_where_that_is_faster_and_costs_no_memory(
    engine: Engine,
    content: Tensor,
    disc: Tensor,
    stripes: Tensor,
    resources: Resources,
    largest: int,
    sizes: list[int],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    found: list[int] = []
    replace_evaluations(monkeypatch, lambda painted, side: found.append(len(painted)))
    monkeypatch.setattr("pipeline.engine.engine.LARGEST_TOGETHER", largest)
    cut = dataclasses.replace(engine, descent=Descent("lbfgs", 2, 1, 1.0), resources=resources)
    cut.paint_together(jobs(content, disc, stripes))
    # Two iterations, and where the last one led.
    assert found == [size for size in sizes for _ in range(3)]


@pytest.mark.parametrize("tile", ["auto", "off"])
def test_short_of_memory_jobs_are_painted_one_by_one(
    encoder: PyramidEncoder,
    content: Tensor,
    disc: Tensor,
    stripes: Tensor,
    monkeypatch: pytest.MonkeyPatch,
    tile: Any,
) -> None:
    sizes: list[int] = []

    def short(painted: Tensor, side: int | None) -> None:
        sizes.append(len(painted))
        if len(painted) > 1 and len(sizes) > 3:
            raise OUT_OF_MEMORY

    replace_evaluations(monkeypatch, short)
    descent = Descent("lbfgs", 10, 2, 1.0)
    engine = Engine(encoder, objective(), descent, resources=Resources(tile=tile))
    found = engine.paint_together(jobs(content, disc, stripes))
    for painting in found:
        assert len(painting.curve) == 10
        assert [row.iteration for row in painting.curve] == [*range(10)]
    assert len(sizes) > 20


@pytest.mark.parametrize(
    ("longest", "count"), [(20, 3), (512, 3), (600, 3), (1000, 4), (1024, 4), (8192, 7), (16384, 8)]
)
def test_the_coarsest_automatic_scale_is_near_128_pixels(longest: int, count: int) -> None:
    assert scales(longest) == count


@pytest.mark.parametrize(("width", "coarsest"), [(400, 4), (900, 8)])
def test_automatic_scales_follow_what_is_painted(engine: Engine, width: int, coarsest: int) -> None:
    content = torch.rand(1, 3, 400, width, generator=torch.Generator().manual_seed(0))
    style = Style(content[..., :100, :100])
    job = Job(content, torch.ones_like(content[:, :1]), [Guide("all", [style])], "all")
    automatic = dataclasses.replace(engine, descent=Descent("adam", 20, "auto", 0.02))
    assert max(row.scale for row in automatic.paint(job).curve) == coarsest
