"""How near two ways come, and how soon a loss is reached."""

import math

import pytest
import torch

from pipeline.benchmark import bench as benches
from pipeline.benchmark import quality
from pipeline.benchmark.bench import Bench


def test_the_fixed_loss_is_the_engines(bench: Bench) -> None:
    noise = torch.rand(1, 3, 72, 72, generator=torch.Generator().manual_seed(0))
    overrides = ["encoder=compact", "method=global", "loss.style=gram", "precision=float32"]
    scene = benches.whole_frame(72, bench.where, noise)
    painted = benches.prepare_engine(bench, overrides, scene)(1)()
    loss = quality.fixed_loss(bench, overrides, scene)
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
