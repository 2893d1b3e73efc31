"""Checkpoints: kept whole or not at all, and used only where everything is the same."""

import errno
import json
import time
from pathlib import Path
from typing import Any

import pytest
import torch

from pipeline.engine.checkpoint import State
from pipeline.errors import UserError
from pipeline.results import checkpoints
from pipeline.results.checkpoints import Checkpoints, changes, under_way
from pipeline.results.failures import Failure
from pipeline.results.lock import locked
from pipeline.runtime.interruption import Interrupted, Interruption

SUMMARY = {
    "version": "1",
    "configuration": "c",
    "inputs": {"content=a.png": "1"},
    "networks": {"encoder": {"sha256": "e"}},
}
STATE = State({"iteration": 3}, {"a": torch.arange(6.0)[::2], "b": torch.tensor([True])})


def keeper(folder: Path, seconds: float = 0.0, resume: bool = True) -> Checkpoints:
    made = Checkpoints(folder, seconds, resume, Interruption(listening=False))
    made.expect(SUMMARY)
    return made


def kept(folder: Path) -> Path:
    """A folder with the states of two descents."""
    first = keeper(folder)
    for _ in range(2):
        first.begin()
        first.keep(STATE)
    return folder


def test_a_state_is_read_as_it_was_kept(tmp_path: Path) -> None:
    second = keeper(kept(tmp_path))
    for _ in range(2):
        state = second.begin()
        assert state is not None
        assert state.record == STATE.record
        assert torch.equal(state.tensors["a"], torch.tensor([0.0, 2.0, 4.0]))
        assert state.tensors["b"].dtype == torch.bool
    assert second.begin() is None


def test_without_resume_nothing_is_taken(tmp_path: Path) -> None:
    assert keeper(kept(tmp_path), resume=False).begin() is None
    assert keeper(tmp_path).begin() is None


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({"version": "2"}, "the program's version"),
        ({"configuration": "d"}, "the settings"),
        ({"inputs": {"content=a.png": "2", "styles.x=b.png": "3"}}, "content=a.png, styles.x=b"),
        ({"networks": {"encoder": {"sha256": "f"}}}, "the networks"),
    ],
)
def test_of_something_else_nothing_is_taken_and_it_is_said(
    changed: dict[str, Any], words: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    kept(tmp_path)
    other = Checkpoints(tmp_path, 0, True, Interruption(listening=False))
    other.expect({**SUMMARY, **changed})
    assert words in caplog.text
    assert "begins anew" in caplog.text
    assert other.begin() is None


def test_half_a_file_is_not_used(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    (file,) = kept(tmp_path).glob("*/descent-1.*")
    file.write_bytes(file.read_bytes()[:-5])
    second = keeper(tmp_path)
    assert second.begin() is None
    assert "cannot be read" in caplog.text
    assert second.begin() is not None


def test_a_full_disk_costs_the_state_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    first = keeper(tmp_path)
    first.begin()
    first.keep(STATE)

    def full(state: State, path: Path) -> None:
        path.write_bytes(b"half")
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(checkpoints, "_save", full)
    first.keep(State({}, {}))
    assert "no state was kept: No space left on device" in caplog.text
    found = keeper(tmp_path).begin()
    assert found is not None
    assert found.record == STATE.record
    assert not [*tmp_path.rglob("*.new")]


def test_states_are_kept_now_and_then_and_take_little_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = [0.0]
    monkeypatch.setattr(time, "monotonic", lambda: now[0])
    first = keeper(tmp_path, seconds=60.0)
    first.begin()
    assert not first.is_due()
    now[0] = 60.0
    assert first.is_due()

    def slow(state: State, path: Path) -> None:
        path.touch()
        now[0] += 10.0

    monkeypatch.setattr(checkpoints, "_save", slow)
    first.keep(STATE)
    now[0] += 199.0
    assert not first.is_due()
    now[0] += 1.0
    assert first.is_due()


def test_at_the_end_one_state_is_kept(tmp_path: Path) -> None:
    interruption = Interruption(listening=False)
    first = Checkpoints(tmp_path, 1e6, False, interruption)
    first.expect(SUMMARY)
    first.begin()
    assert not first.is_due()
    interruption.number = 2
    assert first.stopping
    assert first.is_due()
    first.keep(STATE)
    assert not first.is_due()
    assert first.conclude().startswith("interrupted")
    with pytest.raises(Interrupted):
        first.raise_if_asked()


def run(folder: Path, error: BaseException | None = None, keep: bool = False) -> None:
    with under_way(folder, {}, Failure("begun", overrides=("a=1",)), 0, False) as states:
        assert json.loads((folder / ".pipeline" / "begun.json").read_text())["message"] == "begun"
        states.expect(SUMMARY)
        if keep:
            states.begin()
            states.keep(STATE)
        if error is not None:
            raise error


def test_of_a_run_that_has_finished_nothing_is_left(tmp_path: Path) -> None:
    run(tmp_path, keep=True)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("error", "keep", "stays"),
    [
        (UserError("wrong"), True, False),
        (KeyboardInterrupt(), True, True),
        (KeyboardInterrupt(), False, False),
        (OSError(errno.ENOSPC, "full"), True, True),
    ],
)
def test_states_stay_where_the_run_may_go_on(
    error: BaseException, keep: bool, stays: bool, tmp_path: Path
) -> None:
    with pytest.raises(type(error)):
        run(tmp_path, error, keep)
    assert any(tmp_path.glob(".pipeline/descent-1.safetensors")) == stays
    assert (tmp_path / ".pipeline").exists() == stays


def test_a_folder_in_use_is_left_alone(tmp_path: Path) -> None:
    with locked(tmp_path), pytest.raises(UserError, match="another run is writing"):
        run(tmp_path)
    assert not list(tmp_path.iterdir())


def test_what_has_changed_is_named() -> None:
    same = {"version": "1", "configuration": "c", "inputs": {"a": "1"}, "networks": {}}
    assert changes(same, same) == []
    assert changes(same, {**same, "inputs": None}) == ["input files"]
