"""All comparisons have figures; one that fails leaves the others be."""

import dataclasses
import math
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
import torch

from pipeline.benchmark import comparisons, memory
from pipeline.benchmark.bench import Bench
from pipeline.benchmark.report import Comparison
from pipeline.errors import UserError
from pipeline.runtime import precision


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
