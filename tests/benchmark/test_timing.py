"""Samples: in turns, and of iterations alone."""

from collections.abc import Callable
from types import SimpleNamespace

import pytest
import torch

from pipeline.benchmark import timing

CPU = torch.device("cpu")


def test_sides_take_turns_and_change_places() -> None:
    order: list[str] = []

    def side(name: str, value: float) -> Callable[[], float]:
        def sample() -> float:
            order.append(name)
            return value + len(order)

        return sample

    found = timing.alternate({"a": side("a", 0), "b": side("b", 100)}, repeats=3)
    assert order == ["a", "b", "a", "b", "b", "a", "a", "b"]
    # The first two are the warm-up.
    assert found == {"a": [3, 6, 7], "b": [104, 105, 108]}


def test_an_iteration_is_timed_without_what_is_around_it(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = 0.0
    monkeypatch.setattr(timing, "time", SimpleNamespace(perf_counter=lambda: clock))

    def prepare(iterations: int) -> Callable[[], None]:
        def run() -> None:
            nonlocal clock
            clock += 7 + 0.25 * iterations

        return run

    assert timing.per_iteration(prepare, CPU, few=2, many=10)() == pytest.approx(0.25)


def test_ratios_by_hand() -> None:
    found = timing.ratios([2.0, 4.0, 9.0], [1.0, 4.0, 3.0])
    assert found == {"of_medians": 4 / 3, "median_of_pairs": 2.0}


def test_noise_below_zero_has_no_ratio() -> None:
    assert timing.ratios([1.0], [-1.0]) == {"of_medians": None, "median_of_pairs": None}
