"""The figures' targets, the table's cells and the JSON."""

import json
import math
import platform
from pathlib import Path

import pytest
import torch

from pipeline.benchmark import report
from pipeline.benchmark.report import Comparison, Figure, Target

CPU = torch.device("cpu")


@pytest.mark.parametrize(
    ("target", "met"),
    [
        (Target("ratio", "at least", 1.5), True),
        (Target("ratio", "at least", 2.5), False),
        (Target("ratio", "at most", 1.5), False),
        (Target("measured", "at most", 3), True),
        (None, None),
    ],
)
def test_targets(target: Target | None, met: bool | None) -> None:
    assert Figure("a", 3.0, "s", 6.0, 2.0, target).met is met


def test_what_was_not_measured_is_neither_met_nor_missed() -> None:
    assert Figure("a", None, "s", target=Target("measured", "at most", 3)).met is None


@pytest.mark.parametrize(
    ("value", "unit", "text"),
    [
        (0.01234, "s", "12.3 ms"),
        (12.34, "s", "12.3 s"),
        (0.5, "share", "50.0%"),
        (2.5e12, "FLOP/s", "2.5 TFLOP/s"),
        (31e9, "B/s", "31 GB/s"),
        (1234.5, "MiB", "1234 MiB"),
        (None, "s", ""),
    ],
)
def test_quantities(value: float | None, unit: str, text: str) -> None:
    assert report.quantity(value, unit) == text


def test_the_json_has_everything(tmp_path: Path) -> None:
    figure = Figure("a", 1.0, "s", 2.0, 2.0, Target("ratio", "at least", 1.1))
    one = Comparison("one", [figure], {"engine": [1.0, 1.5]}, {"engine": ["size=64"]}, {"size": 64})
    two = Comparison("two", details={"psnr": math.inf, 5: None}, skipped="no weights")
    report.save(tmp_path / "new" / "b.json", [one, two], {"quick": True}, CPU)
    found = json.loads((tmp_path / "new" / "b.json").read_text())
    assert found["quick"] is True
    assert {"date", "torch", "device_name", "cores", "torch_threads", "processor_flags"} <= set(
        found["environment"]
    )
    # Whose kernel it was is nobody's business.
    assert platform.release() not in json.dumps(found["environment"])
    assert found["comparisons"] == [
        {
            "name": "one",
            "figures": [
                {
                    "label": "a",
                    "measured": 1.0,
                    "unit": "s",
                    "against": 2.0,
                    "ratio": 2.0,
                    "target": {"of": "ratio", "better": "at least", "bound": 1.1},
                    "note": "",
                    "met": True,
                }
            ],
            "samples": {"engine": [1.0, 1.5]},
            "settings": {"engine": ["size=64"]},
            "details": {"size": 64},
            "skipped": "",
        },
        {
            "name": "two",
            "figures": [],
            "samples": {},
            "settings": {},
            "details": {"psnr": None, "5": None},
            "skipped": "no weights",
        },
    ]


def test_the_table_shows_targets_and_what_was_left_out(capsys: pytest.CaptureFixture[str]) -> None:
    figure = Figure("an iteration", 0.5, "s", 0.6, 1.2, Target("ratio", "at least", 1.1))
    report.print_table([Comparison("a", [figure]), Comparison("b", skipped="too dear")], "here")
    text = capsys.readouterr().out
    line = next(line for line in text.splitlines() if line.startswith("an iteration"))
    assert line.split() == [
        "an",
        "iteration",
        "500",
        "ms",
        "600",
        "ms",
        "1.20x",
        ">=",
        "1.1x",
        "yes",
    ]
    assert "b: not measured: too dear" in text
