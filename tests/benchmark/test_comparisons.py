"""The comparisons at tiny sizes: both sides have samples, and both sides do the same."""

import dataclasses
import math
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
import torch
from torch import Tensor

from pipeline.benchmark import bench as benches
from pipeline.benchmark import comparisons, locality, memory, quality, speed
from pipeline.benchmark.bench import EQUAL_WORK, Bench
from pipeline.benchmark.report import Comparison
from pipeline.errors import UserError
from pipeline.runtime import precision


def test_an_iteration_has_samples_of_both_sides(bench: Bench) -> None:
    found = speed.iteration(bench, "here", 48, EQUAL_WORK)
    [engine], [textbook] = found.samples["engine"], found.samples["textbook"]
    [figure] = found.figures
    assert (figure.measured, figure.against) == (engine, textbook)
    assert 0 < engine != textbook > 0
    assert figure.ratio == textbook / engine


@pytest.mark.parametrize("size", [48, 67])
def test_both_sides_have_the_same_loss(bench: Bench, size: int) -> None:
    overrides = [*EQUAL_WORK, "precision=float32", *bench.vgg19_overrides()]
    found = speed.same_picture(bench, size, overrides)
    assert found["engine"] == pytest.approx(found["textbook"], rel=1e-4)


def test_other_work_has_another_loss(bench: Bench) -> None:
    overrides = ["method=global", "optimizer.scales=1", *bench.vgg19_overrides()]
    found = speed.same_picture(bench, 48, overrides)
    assert found["engine"] != pytest.approx(found["textbook"], rel=1e-2)


def test_the_default_loss_is_the_engines(bench: Bench) -> None:
    noise = torch.rand(1, 3, 72, 72, generator=torch.Generator().manual_seed(0))
    overrides = ["encoder=compact", "method=global", "precision=float32"]
    scene = benches.whole_frame(72, bench.where, noise)
    painted = benches.prepare_engine(bench, overrides, scene)(1)()
    loss = quality.default_loss(bench, overrides, scene)
    assert float(loss(noise)) == pytest.approx(painted.curve[0].total, rel=1e-4)


def test_a_loss_is_reached(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(quality, "smallest", lambda reaches, largest: 10 if reaches(10) else None)
    found = quality.reach(bench, 64, iterations=2, clamp=True, overrides=[])
    details = found.details
    assert details["loss_of_textbook"] < details["loss_at_start"]
    assert details["loss_of_engine_by_iterations"][10] <= details["loss_of_textbook"]
    assert details["iterations_of_engine"] == 10
    assert [*map(len, found.samples.values())] == [1, 1]


def test_a_loss_that_is_not_reached_says_so(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    def nowhere(reaches: object, largest: int) -> None:
        reaches(1)  # type: ignore[operator]

    monkeypatch.setattr(quality, "smallest", nowhere)
    [figure] = quality.reach(bench, 64, iterations=5, clamp=False, overrides=[]).figures
    assert figure.measured is None
    assert figure.met is False
    assert "NOT REACHED" in figure.note


@pytest.mark.parametrize("enough", [3, 10, 23, 100])
def test_the_smallest_number_is_found_to_a_tenth(enough: int) -> None:
    found = quality.smallest(lambda number: number >= enough, largest=100)
    assert found is not None
    assert enough <= found <= max(enough + 3, 1.2 * enough)


def test_no_number_may_do() -> None:
    assert quality.smallest(lambda number: False, largest=100) is None


def test_two_ways_that_are_the_same_are_close(bench: Bench) -> None:
    found = quality.close(bench, 64, 3, [], [])
    psnr, style, content = found.figures
    assert psnr.measured == math.inf
    assert (style.measured, content.measured) == (0, 0)
    assert found.details["close"]
    assert psnr.against is not None
    assert psnr.against < math.inf


def test_two_ways_that_differ_are_not_close(bench: Bench) -> None:
    found = quality.close(bench, 64, 3, [], ["loss.style_weight=0"])
    assert not found.details["close"]
    assert all(figure.met is False for figure in found.figures[1:])


def test_psnr_by_hand() -> None:
    reference = torch.zeros(1, 3, 4, 4)
    assert quality.psnr(reference + 0.1, reference) == pytest.approx(20, abs=1e-4)


def test_discs_are_apart_and_have_the_area_of_one() -> None:
    masks = locality.discs(200, torch.device("cpu"))
    together = torch.stack([*masks.values()]).sum(0)
    assert together.max() == 1
    alone = locality.disc(200, 0.5, 0.5, locality.RADIUS * math.sqrt(3), torch.device("cpu"))
    assert float(alone.mean()) == pytest.approx(float(together.mean()), rel=0.02)
    assert float(together.mean()) == pytest.approx(3 * math.pi * locality.RADIUS**2, rel=0.02)


def test_three_classes_are_compared_with_one(bench: Bench) -> None:
    for found in locality.composite(dataclasses.replace(bench, size=64)):
        [three], [other] = found.samples.values()
        [figure] = found.figures
        assert figure.ratio == three / other
        assert (figure.target is None) == ("textbook" in figure.label)


@pytest.mark.parametrize(
    "name", ["iteration-default", "guided", "memory", "memory-low", "utilisation", "six-hundred"]
)
def test_a_comparison_has_figures(name: str, bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    peaks = {"bytes": 2**20, "before": 0, "peak": 2**20}
    monkeypatch.setattr(memory, "in_a_child", lambda *args: peaks)
    found = [
        one
        for each in comparisons.compare([name], dataclasses.replace(bench, size=64))
        for one in each
    ]
    assert found
    for comparison in found:
        assert not comparison.skipped
        assert comparison.name == name
        assert comparison.figures
        assert all(math.isfinite(figure.measured or 0) for figure in comparison.figures)


def test_peaks_are_of_the_run_alone(bench: Bench) -> None:
    # More than all features of the child's picture: a child must not be charged its parent's peak.
    ballast = torch.ones(100, 2**20)
    found = memory.in_a_child(bench, 128, 1, None)
    assert ballast.sum() > 0
    # The outputs of conv1_1 to relu5_1 have some 24 MB.
    assert 10 < found["bytes"] / 2**20 < 200
    assert found["bytes"] == found["peak"] - found["before"]


def test_a_child_that_fails_says_why(bench: Bench) -> None:
    with pytest.raises(UserError, match="no setting 'nonsense'"):
        memory.in_a_child(bench, 64, 1, ["nonsense=1"])


def test_one_that_fails_leaves_the_others_be(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    def wrong(bench: Bench) -> list[Comparison]:
        raise UserError("it cannot be had")

    def full(bench: Bench) -> list[Comparison]:
        raise torch.OutOfMemoryError("not\nenough")

    monkeypatch.setitem(comparisons.COMPARISONS, "composite", wrong)
    monkeypatch.setitem(comparisons.COMPARISONS, "guided", full)
    monkeypatch.setitem(comparisons.COMPARISONS, "memory", lambda bench: [Comparison("memory")])
    names = ["composite", "guided", "memory"]
    found = [one for each in comparisons.compare(names, bench) for one in each]
    assert [one.name for one in found] == names
    assert [one.skipped for one in found] == ["it cannot be had", "not enough", ""]


def test_no_comparison_is_made_in_tf32(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    inside: list[bool] = []

    @contextmanager
    def tf32(allowed: bool) -> Iterator[None]:
        inside.append(allowed)
        yield
        inside.pop()

    def look(bench: Bench) -> list[Comparison]:
        return [Comparison("guided", details={"tf32": [*inside]})]

    monkeypatch.setattr(precision, "tf32", tf32)
    monkeypatch.setitem(comparisons.COMPARISONS, "guided", look)
    [[found]] = comparisons.compare(["guided"], bench)
    assert found.details["tf32"] == [False]


def test_long_ones_are_made_on_a_cpu_only_if_named() -> None:
    cpu, cuda = torch.device("cpu"), torch.device("cuda")
    assert "six-hundred" not in comparisons.choose([], cpu)
    assert "six-hundred" in comparisons.choose([], cuda)
    assert comparisons.choose(["six-hundred"], cpu) == ["six-hundred"]


def test_the_random_weights_keep_the_size_of_activations(bench: Bench) -> None:
    from pipeline.benchmark import textbook

    stack = textbook.vgg19(bench.vgg19, bench.where)
    noise: Tensor = torch.rand(1, 3, 64, 64, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        deepest = stack.layers(noise)
    assert 0.05 < float(deepest.std()) < 20
