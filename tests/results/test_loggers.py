"""TensorBoard gets every iteration's losses and the pictures; without it nothing is left."""

import importlib.util
import json
from pathlib import Path

import pytest
import torch

from pipeline.engine.progress import LossRow
from pipeline.errors import UserError
from pipeline.results.loggers import NoLogger, logger


def test_none_leaves_nothing(tmp_path: Path) -> None:
    with logger("none", tmp_path) as chosen:
        chosen.advance(LossRow("person", 1, 0, 6.0, 1.0, 2.0, 3.0))
        chosen.show({"result": torch.zeros(1, 3, 5, 7)}, 1)
    assert isinstance(chosen, NoLogger)
    assert not list(tmp_path.iterdir())


def test_losses_and_pictures_are_in_tensorboards_file(tmp_path: Path) -> None:
    pytest.importorskip("tensorboard", reason="TensorBoard is not installed (.[tensorboard])")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    other = tmp_path / "events.out.tfevents.somebody"
    other.touch()
    for total in (9.0, 6.0):
        with logger("tensorboard", tmp_path) as chosen:
            chosen.advance(LossRow("person", 2, 0, total, 1.0, 2.0, 3.0))
            chosen.advance(LossRow("dog", 2, 0, 5.0, 1.0, 2.0, 3.0))
            chosen.advance(LossRow("person", 1, 0, total / 2, 1.0, 1.0, 1.0))
            chosen.show({"result": torch.zeros(1, 3, 5, 7)}, 2)
        (tmp_path / "summary.json").write_text(json.dumps({"files": chosen.files}))
    # The second run has replaced the first one's file, and no other.
    assert {path.name for path in tmp_path.iterdir()} == {other.name, "summary.json", *chosen.files}
    assert len(chosen.files) == 1
    other.unlink()
    events = EventAccumulator(str(tmp_path))
    events.Reload()
    losses = [(event.step, event.value) for event in events.Scalars("loss/total/person")]
    assert losses == [(0, 6.0), (1, 3.0)]
    assert [(event.step, event.value) for event in events.Scalars("loss/tv/dog")] == [(0, 3.0)]
    (picture,) = events.Images("result")
    assert (picture.width, picture.height, picture.step) == (7, 5, 2)


def test_a_run_that_never_starts_leaves_no_file(tmp_path: Path) -> None:
    pytest.importorskip("tensorboard", reason="TensorBoard is not installed (.[tensorboard])")
    with logger("tensorboard", tmp_path):
        pass
    assert not list(tmp_path.iterdir())


def test_a_run_that_fails_leaves_no_file(tmp_path: Path) -> None:
    pytest.importorskip("tensorboard", reason="TensorBoard is not installed (.[tensorboard])")

    def fail() -> None:
        with logger("tensorboard", tmp_path) as chosen:
            chosen.advance(LossRow("person", 1, 0, 6.0, 1.0, 2.0, 3.0))
            raise KeyError

    with pytest.raises(KeyError):
        fail()
    assert not list(tmp_path.iterdir())


def test_a_missing_tensorboard_is_said_in_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(UserError, match=r'pip install -e "\.\[tensorboard\]"'):
        logger("tensorboard", tmp_path)
