"""The methods: ways from styles and regions to painted pictures, on the shared engine."""

import dataclasses
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Protocol

import torch
from torch import Tensor

from pipeline.engine.engine import Engine
from pipeline.engine.job import Job
from pipeline.engine.objective import Guide, Style
from pipeline.engine.progress import LossRow, Placed, Progress, Viewer
from pipeline.engine.work import Painting
from pipeline.pictures.boxes import MULTIPLE, Box, surroundings
from pipeline.pictures.layers import widened


@dataclass(frozen=True)
class Region:
    """A region to be painted.

    Attributes:
        name: unlike all others'.
        mask: (1, 1, H, W) in [0, 1], its share of each pixel.
        styles: at least one; pursued at once, each with its weight.
        feather: width of its soft edge towards the photograph, in pixels.
        luminance: whether only lightness is painted and the photograph's colours stay.
        images: what its style pictures are called, for the record.
        enlargement: how many times larger it is painted, and its styles are, than it is
            (`working_size`).
    """

    name: str
    mask: Tensor
    styles: Sequence[Style]
    feather: float = 0.0
    luminance: bool = False
    images: Sequence[str] = ()
    enlargement: float = 1.0


@dataclass(frozen=True)
class Scene:
    """What is to be painted.

    Attributes:
        content: (1, 3, H, W) in [0, 1].
        regions: of it, at least one; their masks add up to at most 1.
        start: (1, 3, H, W) in [0, 1], where the optimisation begins; None: at the content.
        free: whether pixels outside the regions may change, held by the content loss alone.
        viewer: is shown the picture on its way; None: nobody is.
    """

    content: Tensor
    regions: Sequence[Region]
    start: Tensor | None = None
    free: bool = False
    viewer: Viewer | None = None

    @property
    def union(self) -> Tensor:
        """(1, 1, H, W), all regions together."""
        if len(self.regions) == 1:
            return self.regions[0].mask  # not a copy: at the largest sizes each counts
        masks = [region.mask for region in self.regions]
        return torch.cat(masks, dim=1).sum(1, keepdim=True).clamp(0, 1)

    @property
    def frame(self) -> Box:
        """The whole picture."""
        return Box(0, 0, *self.content.shape[2:])

    def box(self, margin: int) -> Box:
        """The part of the picture that has to be computed: its regions and ``margin`` pixels."""
        return self.frame if self.free else surroundings(self.union, margin, multiple=MULTIPLE)

    def only(self, region: Region) -> "Scene":
        """The same with one region."""
        return dataclasses.replace(self, regions=[region])

    def job(self, box: Box, guides: Sequence[Guide], stage: str) -> Job:
        """What is to be painted inside a box, towards guides that are cut to it."""
        union = box.cut(self.union)
        if self.free and float(union.min()) < 1:
            guides = [*guides, Guide("free", [], 1 - union)]
        return Job(
            box.cut(self.content),
            # A little beyond the outline, so that there is paint under all of a soft edge.
            torch.ones_like(union) if self.free else widened(union),
            guides,
            stage,
            None if self.start is None else box.cut(self.start),
            self.viewer_of(box.put),
        )

    def viewer_of(self, put: Callable[[Tensor, Tensor], Tensor]) -> Viewer | None:
        """Who is shown a part of the picture; ``put`` as `Placed.put`."""
        return None if self.viewer is None else Placed(self.viewer, put, self.content)

    def placed(self, painting: Painting, box: Box) -> Painting:
        """What was painted inside a box, in the whole picture."""
        return Painting(
            box.put(painting.picture, self.content),
            painting.curve,
            {n: box.put(shown, self.content) for n, shown in painting.snapshots.items()},
            painting.stopped,
        )


@dataclass(frozen=True)
class Stylized:
    """What a method made.

    Attributes:
        pictures: region to (1, 3, H, W) in [0, 1], right inside that region; a method that paints
            all regions at once gives the same picture for each.
        curve: the losses.
        seconds: region to the time it took; shared equally where they were painted together.
        snapshots: number of iterations to pictures as ``pictures``.
        extra: name to further pictures worth writing, such as the stitched canvas.
        stopped: why it is not what was asked for; empty if it is (`Painting.stopped`).
    """

    pictures: dict[str, Tensor]
    curve: list[LossRow]
    seconds: dict[str, float]
    snapshots: dict[int, dict[str, Tensor]] = field(default_factory=dict)
    extra: dict[str, Tensor] = field(default_factory=dict)
    stopped: str = ""


class Method(Protocol):
    """A method: paints every region of a scene in its style."""

    def __call__(self, scene: Scene, engine: Engine, progress: Progress) -> Stylized:
        """Paint.

        Args:
            scene: what is to be painted.
            engine: does the painting.
            progress: called at every iteration.
        """
        ...


def paint_at_once(
    scene: Scene,
    box: Box,
    guides: Sequence[Guide],
    engine: Engine,
    stage: str,
    progress: Progress,
) -> Stylized:
    """One optimisation for all regions of a scene; arguments as `Scene.job`."""
    start = time.monotonic()
    painting = scene.placed(engine.paint(scene.job(box, guides, stage), progress), box)
    share = (time.monotonic() - start) / len(scene.regions)
    names = [region.name for region in scene.regions]
    return Stylized(
        dict.fromkeys(names, painting.picture),
        painting.curve,
        dict.fromkeys(names, share),
        {n: dict.fromkeys(names, shown) for n, shown in painting.snapshots.items()},
        stopped=painting.stopped,
    )
