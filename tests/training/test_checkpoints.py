"""Checkpoints: whole or not at all."""

import pickle
from pathlib import Path

import pytest
import torch

from pipeline.errors import UserError
from pipeline.training import checkpoints


def test_what_was_saved_is_loaded(tmp_path: Path) -> None:
    path = tmp_path / "new" / "state.pth"
    checkpoints.save(path, {"step": 3, "weights": torch.arange(4.0)})
    found = checkpoints.load(path)
    assert found["step"] == 3
    assert torch.equal(found["weights"], torch.arange(4.0))
    assert [entry.name for entry in path.parent.iterdir()] == ["state.pth"]


def test_a_failure_leaves_the_state_before(tmp_path: Path) -> None:
    path = tmp_path / "state.pth"
    checkpoints.save(path, {"step": 3})
    # The second is what Python 3.13 says.
    with pytest.raises((pickle.PicklingError, AttributeError), match=r"pickle|get local object"):
        checkpoints.save(path, {"step": lambda: 4})
    assert checkpoints.load(path) == {"step": 3}


def test_none_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"no checkpoint .*state.pth .* leave out resume=true"):
        checkpoints.load(tmp_path / "state.pth")
