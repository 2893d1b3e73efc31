"""The methods: ways from styles and regions to painted pictures, on the shared engine."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

from torch import Tensor

from pipeline.engine import Engine, LossRow, Progress


@dataclass(frozen=True)
class Stylized:
    """What a method made.

    Attributes:
        pictures: region to (1, 3, H, W) in [0, 1], right inside that region; a method that paints
            all regions at once gives the same picture for each.
        curve: the losses.
        seconds: region to the time it took; shared equally where they were painted together.
        extra: name to further pictures worth writing, such as the stitched canvas.
    """

    pictures: dict[str, Tensor]
    curve: list[LossRow]
    seconds: dict[str, float]
    extra: dict[str, Tensor]


class Method(Protocol):
    """A method: paints every region of a photograph in its style."""

    def __call__(
        self,
        content: Tensor,
        masks: Mapping[str, Tensor],
        styles: Mapping[str, Tensor],
        engine: Engine,
        progress: Progress,
    ) -> Stylized:
        """Paint.

        Args:
            content: (1, 3, H, W) in [0, 1].
            masks: styled region to its mask, (1, 1, H, W) in [0, 1].
            styles: styled region to its style picture, (1, 3, h, w) in [0, 1].
            engine: does the painting.
            progress: called at every iteration.
        """
        ...
