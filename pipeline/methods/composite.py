"""Composite: one optimisation a region, put together by the masks.

Each region is painted on its own surroundings, the box around it and a margin, not on the whole
frame, so that all of them cost the sum of their boxes; small ones of like size are painted as one
batch. Its style statistics come from the whole style picture. Where stitch compares places
(what the canvas shows in a region), composite compares a region with a painting; where guided
paints all regions at once, each in the sight of the others, composite paints each in the sight of
the photograph.
"""

import time
from typing import Literal

from pipeline.engine.engine import Engine, Painting
from pipeline.engine.objective import Guide
from pipeline.engine.progress import Progress
from pipeline.methods import Scene, Stylized
from pipeline.pictures.boxes import alike


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
    alone = {region: scene.only(region) for region in scene.masks}
    boxes = alike({region: part.box(margin) for region, part in alone.items()}, scene.frame)
    together: dict[tuple[int, int], list[str]] = {}
    for region, box in boxes.items():
        together.setdefault((box.height, box.width), []).append(region)
    paintings: dict[str, Painting] = {}
    seconds: dict[str, float] = {}
    for regions in together.values():
        start = time.monotonic()
        jobs = []
        for region in regions:
            mask = boxes[region].cut(scene.masks[region]) if gram == "masked" else None
            guide = Guide(region, scene.styles[region], mask)
            jobs.append(alone[region].job(boxes[region], [guide], region))
        found = engine.paint_together(jobs, progress)
        share = (time.monotonic() - start) / len(regions)
        for region, painting in zip(regions, found, strict=True):
            paintings[region] = scene.placed(painting, boxes[region])
            seconds[region] = share
    paintings = {region: paintings[region] for region in scene.masks}
    numbers = dict.fromkeys(n for painting in paintings.values() for n in painting.snapshots)
    return Stylized(
        {region: painting.picture for region, painting in paintings.items()},
        [row for painting in paintings.values() for row in painting.curve],
        {region: seconds[region] for region in scene.masks},
        {
            n: {
                r: painting.snapshots[n]
                for r, painting in paintings.items()
                if n in painting.snapshots
            }
            for n in numbers
        },
    )
