"""Trainings that are interrupted."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any

import pytest

from pipeline.training import checkpoints

Interrupted = Callable[[int], AbstractContextManager[None]]


@pytest.fixture
def interrupted(monkeypatch: pytest.MonkeyPatch) -> Interrupted:
    """Ends the training inside it as soon as its state after so many steps has been kept."""

    class Enough(Exception):
        pass

    @contextmanager
    def after(steps: int) -> Iterator[None]:
        saved = checkpoints.save

        def save(path: Path, state: Mapping[str, Any]) -> None:
            saved(path, state)
            if state["step"] == steps:
                raise Enough

        with monkeypatch.context() as patch:
            patch.setattr(checkpoints, "save", save)
            with pytest.raises(Enough):
                yield

    return after
