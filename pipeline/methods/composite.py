"""Composite: one optimisation a region, put together by the masks.

Each region is painted on its own surroundings, the box around it and a margin, not on the whole
frame, so that all regions together cost about as much as one. Its style statistics come from the
whole style picture. Where stitch compares places (what the canvas shows in a region), composite
compares a region with a painting; where guided paints all regions at once, each in the sight of
the others, composite paints each in the sight of the photograph.
"""

import time
from typing import Literal

from torch import Tensor

from pipeline.engine import Engine, LossRow, Progress
from pipeline.methods import Scene, Stylized
from pipeline.objective import Guide


def composite(
    scene: Scene,
    engine: Engine,
    progress: Progress,
    *,
    gram: Literal["masked", "global"],
    margin: int,
) -> Stylized:
    """Paint each region by itself; see `methods.Method`.

    Args:
        scene, engine, progress: as `methods.Method`.
        gram: ``masked`` takes the painted picture's Gram matrices inside the region, ``global``
            over all of its surroundings.
        margin: pixels of surroundings on each side.
    """
    pictures: dict[str, Tensor] = {}
    seconds: dict[str, float] = {}
    curve: list[LossRow] = []
    snapshots: dict[int, dict[str, Tensor]] = {}
    for region, mask in scene.masks.items():
        start = time.monotonic()
        alone = scene.only(region)
        box = alone.box(margin)
        guide = Guide(region, scene.styles[region], box.cut(mask) if gram == "masked" else None)
        painting = alone.paint(box, [guide], engine, region, progress)
        pictures[region] = painting.picture
        curve += painting.curve
        for number, shown in painting.snapshots.items():
            snapshots.setdefault(number, {})[region] = shown
        seconds[region] = time.monotonic() - start
    return Stylized(pictures, curve, seconds, snapshots)
