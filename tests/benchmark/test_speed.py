"""One iteration: both sides have samples, and both do the same."""

import pytest

from pipeline.benchmark import speed
from pipeline.benchmark.bench import EQUAL_WORK, Bench


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
