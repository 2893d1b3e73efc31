"""Progress: the losses of a run, iteration by iteration, and the picture now and then."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor


@dataclass(frozen=True)
class LossRow:
    """The loss at one iteration.

    ``content`` (layout included), ``style`` and ``tv`` are weighted, and add up to ``total`` but
    for a penalty on pixels outside [0, 1] (`evaluation.RANGE_WEIGHT`).
    """

    stage: str
    scale: int
    iteration: int
    total: float
    content: float
    style: float
    tv: float


Progress = Callable[[LossRow], None]


class Viewer(Protocol):
    """Is shown pictures while they are painted."""

    def is_due(self) -> bool:
        """Whether the picture after this iteration is wanted."""
        ...

    def show(self, picture: Tensor, mask: Tensor) -> None:
        """Look at a picture; it changes afterwards.

        Args:
            picture: (1, 3, H, W) in [0, 1].
            mask: (1, 1, H, W) in [0, 1], where it is being painted.
        """
        ...


@dataclass(frozen=True)
class Placed:
    """A viewer of a whole picture that is shown a part of it.

    Attributes:
        viewer: of the whole.
        put: a part and a whole to the whole with that part.
        whole: (1, 3, H, W) in [0, 1].
    """

    viewer: Viewer
    put: Callable[[Tensor, Tensor], Tensor]
    whole: Tensor

    def is_due(self) -> bool:
        """As `Viewer.is_due`."""
        return self.viewer.is_due()

    def show(self, picture: Tensor, mask: Tensor) -> None:
        """As `Viewer.show`."""
        nowhere = torch.zeros_like(self.whole[:, :1])
        self.viewer.show(self.put(picture, self.whole), self.put(mask, nowhere))
