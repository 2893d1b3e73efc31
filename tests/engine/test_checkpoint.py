"""Checkpoints: a descent that goes on from any iteration ends in the same picture, to the bit."""

import json
from collections.abc import Mapping, Sequence
from typing import Any

import pytest
import torch
from torch import Tensor

from pipeline.engine.checkpoint import NoKeeper, State
from pipeline.engine.engine import Descent, Engine, Resources
from pipeline.engine.job import Job
from pipeline.engine.objective import Guide, Objective, Style
from pipeline.engine.work import Painting
from pipeline.networks.pyramid import Layer, PyramidEncoder

GOAL = Objective(
    "balanced",
    1.0,
    1e3,
    0.0,
    {"relu1_1": 0.5, "relu2_1": 0.5},
    ["relu2_1"],
    neighbour_layers={Layer("relu2_1"): 1.0},
    neighbour_weight=1e3,
)


class InMemory:
    """Keeps every state of every descent, and stops after so many."""

    def __init__(self, states: Sequence[State] = (), stop_after: int | None = None) -> None:
        self.kept: list[State] = []
        self._given, self._stop_after = [*states], stop_after

    @property
    def stopping(self) -> bool:
        return self._stop_after is not None and len(self.kept) >= self._stop_after

    def begin(self) -> State | None:
        return self._given.pop(0) if self._given else None

    def is_due(self) -> bool:
        return True

    def keep(self, state: State) -> None:
        # As a file would: numbers as text, tensors as they are now.
        record: Mapping[str, Any] = json.loads(json.dumps(state.record))
        self.kept.append(State(record, {k: t.clone() for k, t in state.tensors.items()}))


def jobs(content: Tensor, disc: Tensor, stripes: Tensor, count: int) -> list[Job]:
    masks = [disc, 1 - disc][:count]
    wide = [torch.nn.functional.interpolate(p, (96, 104)) for p in (content, *masks)]
    return [
        Job(wide[0], mask, [Guide(f"{n}", [Style(stripes)], mask)], f"{n}")
        for n, mask in enumerate(wide[1:])
    ]


def same(first: Sequence[Painting], second: Sequence[Painting]) -> bool:
    return all(
        torch.equal(a.picture, b.picture)
        and a.curve == b.curve
        and a.snapshots.keys() == b.snapshots.keys()
        and all(torch.equal(a.snapshots[n], b.snapshots[n]) for n in a.snapshots)
        for a, b in zip(first, second, strict=True)
    )


@pytest.mark.parametrize("optimizer", ["lbfgs", "adam"])
@pytest.mark.parametrize(
    ("count", "resources", "tolerance"),
    [
        (1, Resources(), 0.0),
        (1, Resources(tile=64), 0.0),
        (2, Resources(), 0.0),
        (2, Resources(memory="low"), 0.0),
        (1, Resources(), 0.9),
    ],
    ids=["alone", "tiles", "together", "in turn", "tolerance"],
)
def test_it_goes_on_from_every_iteration_to_the_same_picture(
    encoder: PyramidEncoder,
    content: Tensor,
    disc: Tensor,
    stripes: Tensor,
    optimizer: Any,
    count: int,
    resources: Resources,
    tolerance: float,
) -> None:
    rate = 1.0 if optimizer == "lbfgs" else 0.02
    plan = Descent(optimizer, 28, 2, rate, 3, tolerance, snapshots=[2, 20])
    engine = Engine(encoder, GOAL, plan, resources=resources)
    work = jobs(content, disc, stripes, count)
    whole = engine.paint_together(work)
    engine.keeper = InMemory()
    assert same(engine.paint_together(work), whole)
    states = engine.keeper.kept
    # Two pictures in turn have iterations of their own; the last state is the end.
    own = 2 if resources.memory == "low" else 1
    assert len(states) == 28 * own + 1 or tolerance
    for state in states[::6] + states[-2:]:
        engine.keeper = InMemory([state])
        rows: list[object] = []
        assert same(engine.paint_together(work, rows.append), whole)
        # A progress bar and trackers are told of all iterations.
        assert len(rows) == sum(len(painting.curve) for painting in whole)


def test_it_stops_after_the_iteration_with_the_best_so_far(
    encoder: PyramidEncoder, content: Tensor, disc: Tensor, stripes: Tensor
) -> None:
    engine = Engine(encoder, GOAL, Descent("lbfgs", 24, 2, 1.0))
    work = jobs(content, disc, stripes, 1)
    whole = engine.paint_together(work)
    engine.keeper = keeper = InMemory(stop_after=5)
    (stopped,) = engine.paint_together(work)
    assert stopped.curve == whole[0].curve[:5]
    assert stopped.picture.shape == work[0].content.shape
    outside = work[0].mask == 0
    assert torch.equal(stopped.picture * outside, work[0].content * outside)
    assert not torch.equal(stopped.picture, work[0].content)
    # What has not begun is as it would begin.
    (unbegun,) = engine.paint_together(work)
    assert torch.equal(unbegun.picture, work[0].content)
    engine.keeper = InMemory(keeper.kept[-1:])
    assert same(engine.paint_together(work), whole)


def test_the_state_of_another_picture_is_not_taken(
    encoder: PyramidEncoder, content: Tensor, disc: Tensor, stripes: Tensor
) -> None:
    engine = Engine(encoder, GOAL, Descent("lbfgs", 6, 1, 1.0, history=3))
    work = jobs(content, disc, stripes, 1)
    whole = engine.paint_together(work)
    smaller = [Job(content, disc, [Guide("0", [Style(stripes)], disc)], "0")]
    engine.keeper = other = InMemory()
    engine.paint_together(smaller)
    engine.keeper = InMemory(other.kept[3:4])
    assert same(engine.paint_together(work), whole)
    # Nor one with another history, as where memory is shorter now.
    engine.descent = Descent("lbfgs", 6, 1, 1.0, history=2)
    engine.keeper = short = InMemory()
    engine.paint_together(work)
    engine.descent = Descent("lbfgs", 6, 1, 1.0, history=3)
    engine.keeper = InMemory(short.kept[3:4])
    assert same(engine.paint_together(work), whole)


def test_no_keeper_keeps_nothing() -> None:
    keeper = NoKeeper()
    keeper.keep(State({}, {}))
    assert keeper.begin() is None
    assert not keeper.is_due()
    assert not keeper.stopping
