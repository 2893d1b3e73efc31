"""Job: a part of a photograph that the engine paints, and the same at coarser scales."""

import dataclasses
import math
from collections.abc import Sequence
from dataclasses import dataclass

from torch import Tensor

from pipeline.engine.objective import Guide, Style
from pipeline.engine.progress import Viewer
from pipeline.pictures.resize import resize, shrink

#: How many times more iterations each coarser scale has.
MORE_COARSE = 1.6
#: Pictures of a coarse scale are not made smaller than this on their short side, in pixels.
SMALLEST_SCALE = 48


@dataclass(frozen=True)
class Job:
    """A picture to be repainted where its mask is.

    Attributes:
        content: (1, 3, H, W) in [0, 1].
        mask: (1, 1, H, W) in [0, 1], where the picture may change.
        guides: the styles and where they go.
        stage: name for the loss curve.
        start: (1, 3, h, w) in [0, 1], where the optimisation begins, of another size maybe; None:
            at the content.
        viewer: is shown the picture on its way, at full size; None: nobody is.
    """

    content: Tensor
    mask: Tensor
    guides: Sequence[Guide]
    stage: str
    start: Tensor | None = None
    viewer: Viewer | None = None

    @property
    def size(self) -> tuple[int, int]:
        """Rows and columns."""
        return self.content.shape[2], self.content.shape[3]

    @property
    def beginning(self) -> Tensor:
        """Where the optimisation begins, at the job's size."""
        return self.content if self.start is None else resize(self.start, self.size)

    def at_scale(self, factor: int, start: Tensor) -> "Job":
        """The same at a fraction of its size.

        Args:
            factor: sides are divided by it.
            start: as the attribute.
        """
        return Job(
            shrink(self.content, factor),
            shrink(self.mask, factor),
            _shrink_guides(self.guides, factor),
            self.stage,
            start,
        )


def scales(longest: int) -> int:
    """How many sizes suit a picture: the coarsest is near 128 pixels.

    Args:
        longest: the long side of what is painted, in pixels.

    Returns:
        3 at 512 pixels and less, one more for each doubling.
    """
    return 3 + max(0, round(math.log2(longest / 512)))


def factors(size: Sequence[int], scales: int) -> list[int]:
    """Reductions from coarse to fine, powers of two ending with 1.

    Args:
        size: rows and columns at full size.
        scales: how many at most.
    """
    return [2**n for n in range(scales - 1, 0, -1) if min(size) >> n >= SMALLEST_SCALE] + [1]


def _shrink_guides(guides: Sequence[Guide], factor: int) -> list[Guide]:
    shrunk: dict[str, Tensor] = {}

    def at_scale(style: Style) -> Style:
        # A picture of several styles is shrunk once.
        picture = shrunk.get(style.name)
        if picture is None:
            picture = shrink(style.picture, factor)
        if style.name:
            shrunk[style.name] = picture
        mask = None if style.mask is None else shrink(style.mask, factor)
        return dataclasses.replace(style, picture=picture, mask=mask)

    return [
        Guide(
            guide.region,
            [at_scale(style) for style in guide.styles],
            None if guide.mask is None else shrink(guide.mask, factor),
        )
        for guide in guides
    ]
