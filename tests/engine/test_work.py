"""Work: a loss that is not finite, or that diverges, is noticed, tried again, and named."""

import dataclasses
import math
from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from pipeline.engine.engine import Descent, Engine
from pipeline.engine.evaluation import Comparison, Evaluate, whole_evaluation
from pipeline.engine.job import Job
from pipeline.engine.objective import Guide, Style
from pipeline.engine.progress import LossRow
from pipeline.engine.work import DIVERGED, PATIENCE, Diverged, Watch, Work
from pipeline.networks.pyramid import PyramidEncoder
from tests.engine.test_checkpoint import GOAL

Spoil = Callable[[Comparison, int], float | None]


def spoil_losses(monkeypatch: pytest.MonkeyPatch, spoil: Spoil) -> None:
    """Evaluations give what ``spoil`` says, by the number of them at one scale, from 0."""

    def spoiled(compared: Comparison, start: Tensor) -> Evaluate:
        evaluate, count = whole_evaluation(compared, start), 0

        def evaluation(painted: Tensor) -> tuple[Tensor, Tensor]:
            nonlocal count
            terms, gradient = evaluate(painted)
            value = spoil(compared, count)
            count += 1
            if value is None:
                return terms, gradient
            return terms * value, gradient * value

        return evaluation

    monkeypatch.setattr("pipeline.engine.engine.whole_evaluation", spoiled)


@pytest.fixture
def job(content: Tensor, disc: Tensor, stripes: Tensor) -> Job:
    return Job(content, disc, [Guide("disc", [Style(stripes)], disc)], "disc")


@pytest.mark.parametrize(("optimizer", "rate"), [("lbfgs", 1.0), ("adam", 0.02)])
def test_it_is_noticed_within_a_step_and_the_last_good_picture_is_kept(
    optimizer: str,
    rate: float,
    encoder: PyramidEncoder,
    job: Job,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    engine = Engine(encoder, GOAL, Descent(optimizer, 40, 1, rate))
    seen: list[LossRow] = []
    spoil_losses(monkeypatch, lambda _, count: math.nan if count >= 5 else None)
    painting = engine.paint(job, seen.append)
    # Each of three attempts ends with the step, L-BFGS's after it has gone back in vain.
    ended = 6 if optimizer == "adam" else 7
    assert len(seen) == 3 * ended
    assert painting.stopped == f"the loss became nan at iteration {ended} at 1/1 size (disc)"
    assert caplog.text.count("once more with smaller steps") == 2
    assert bool(painting.picture.isfinite().all())
    assert float((painting.picture - job.content).abs().max()) > 0
    assert torch.equal(painting.picture * (job.mask == 0), job.content * (job.mask == 0))


def test_where_the_loss_is_not_finite_at_the_start_the_content_stays(
    encoder: PyramidEncoder, job: Job, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine = Engine(encoder, GOAL, Descent("lbfgs", 40, 2, 1.0))
    seen: list[LossRow] = []
    spoil_losses(monkeypatch, lambda *_: math.inf)
    painting = engine.paint(job, seen.append)
    assert len(seen) == 2
    assert "iteration 2" in painting.stopped
    assert torch.equal(painting.picture, job.content)


def test_in_few_digits_it_is_tried_in_float32(
    encoder: PyramidEncoder,
    job: Job,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    plan = Descent("lbfgs", 10, 1, 1.0)
    whole = Engine(encoder, GOAL, plan).paint(job)
    rough = PyramidEncoder(encoder.encoder, levels=1)
    spoil_losses(monkeypatch, lambda compared, _: math.nan if compared.encoder is rough else None)
    painting = Engine(rough, GOAL, plan, exact=lambda: encoder).paint(job)
    assert painting.stopped == ""
    assert "once more in float32" in caplog.text
    assert torch.equal(painting.picture, whole.picture)
    assert painting.curve == whole.curve


def test_smaller_steps_help_where_large_ones_diverge(encoder: PyramidEncoder, job: Job) -> None:
    plan = Descent("adam", 30, 1, 2.0)
    painting = Engine(encoder, GOAL, plan).paint(job)
    assert painting.stopped == ""
    assert len(painting.curve) == 30
    totals = [row.total for row in painting.curve]
    assert min(totals) < 0.9 * totals[0]
    assert max(totals) < DIVERGED * totals[0]


def test_of_pictures_painted_together_the_others_go_on(
    encoder: PyramidEncoder, job: Job, monkeypatch: pytest.MonkeyPatch
) -> None:
    dark = dataclasses.replace(job, content=job.content / 4, stage="dark")
    engine = Engine(encoder, GOAL, Descent("lbfgs", 10, 1, 1.0))
    expected = engine.paint(dark)

    def spoil(compared: Comparison, _: int) -> float | None:
        return math.nan if torch.equal(compared.content[:1], job.content) else None

    spoil_losses(monkeypatch, spoil)
    spoiled, good = engine.paint_together([job, dark])
    assert spoiled.stopped
    assert good.stopped == ""
    assert torch.equal(good.picture, expected.picture)


def row(number: int, total: float) -> LossRow:
    return LossRow("s", 1, number, total, 0.0, 0.0, 0.0)


@pytest.mark.parametrize(
    ("totals", "recovers", "ends"),
    [
        ([1, math.nan, 1, math.nan, 1], True, None),
        ([1, math.nan], False, 2),
        ([1, math.nan, math.inf], True, 3),
        ([1, *[2 * DIVERGED] * PATIENCE], True, 1 + PATIENCE),
        ([1, *[2 * DIVERGED] * (PATIENCE - 1), 1], True, None),
    ],
)
def test_what_counts_as_diverged(
    job: Job, totals: list[float], recovers: bool, ends: int | None
) -> None:
    work = Work(job, job.content)
    watch = Watch(work, 0, recovers)
    for number, total in enumerate(totals):
        work.curve.append(row(number, total))
        if number + 1 == ends:
            with pytest.raises(Diverged, match=f"iteration {ends} "):
                watch.look()
            return
        watch.look()
    assert ends is None
