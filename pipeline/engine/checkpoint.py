"""Checkpoints: what a descent's next step depends on, handed out and taken back.

The engine knows no files. It tells a keeper of each iteration, hands it the state where that is
asked for, and goes on from a state that the keeper has of an earlier process. What does not change
on the way down (targets, masks, weights of terms) is computed again.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from torch import Tensor


@dataclass(frozen=True)
class State:
    """A descent under way, or at its end.

    Attributes:
        record: numbers and lists of them, as JSON has them.
        tensors: by name; the descent's own, which its next step changes.
    """

    record: Mapping[str, Any]
    tensors: Mapping[str, Tensor]


class Keeper(Protocol):
    """Keeps states of the descents of a run, which are the same from process to process."""

    @property
    def stopping(self) -> bool:
        """Whether the descents are to end after the present iteration."""
        ...

    def begin(self) -> State | None:
        """The next descent begins. What an earlier process has kept of it, if anything."""
        ...

    def is_due(self) -> bool:
        """Whether the state after this iteration is wanted."""
        ...

    def keep(self, state: State) -> None:
        """Keep the present descent's state in place of an earlier one."""
        ...


class NoKeeper:
    """Keeps nothing and never stops."""

    stopping = False

    def begin(self) -> State | None:
        """Nothing is known of an earlier process."""
        return None

    def is_due(self) -> bool:
        """Never."""
        return False

    def keep(self, state: State) -> None:
        """Keep nothing."""
