"""Report: means between lines, time left, curves."""

import logging
import sys
from pathlib import Path

import pytest

from pipeline.errors import UserError
from pipeline.training import report
from pipeline.training.report import Report


def test_lines_say_means_and_the_time_left(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = iter([100.0, 110.0, 120.0, 125.0, 126.0])
    monkeypatch.setattr(report.time, "monotonic", lambda: next(clock))
    caplog.set_level(logging.INFO)
    told = Report(7, 1, lines=3)
    for number in range(2, 8):
        told.step(number, {"loss": float(number), "style": 0.5})
    assert [record.getMessage() for record in caplog.records] == [
        "step 2 of 7, 10 s, 50 s left: loss 2, style 0.5",
        "step 4 of 7, 20 s, 20 s left: loss 3.5, style 0.5",
        "step 6 of 7, 25 s, 5 s left: loss 5.5, style 0.5",
        "step 7 of 7, 26 s, 0 s left: loss 7, style 0.5",
    ]


def test_curves(tmp_path: Path) -> None:
    pytest.importorskip("tensorboard")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    told = Report(4, 0, lines=2, curves=str(tmp_path))
    for number in range(1, 5):
        told.step(number, {"loss": float(number)})
    found = EventAccumulator(str(tmp_path)).Reload()
    assert [(event.step, event.value) for event in found.Scalars("loss")] == [(2, 1.5), (4, 3.5)]


def test_curves_without_tensorboard(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", None)
    with pytest.raises(UserError, match="TensorBoard is missing: pip install"):
        Report(4, 0, curves=str(tmp_path))
