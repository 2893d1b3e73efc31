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

from pipeline.engine.engine import Engine
from pipeline.engine.objective import Guide
from pipeline.engine.progress import Progress
from pipeline.engine.work import Painting
from pipeline.methods import Region, Scene, Stylized
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
    alone = {region.name: scene.only(region) for region in scene.regions}
    boxes = alike({name: part.box(margin) for name, part in alone.items()}, scene.frame)
    together: dict[tuple[int, int], list[Region]] = {}
    for region in scene.regions:
        box = boxes[region.name]
        together.setdefault((box.height, box.width), []).append(region)
    paintings: dict[str, Painting] = {}
    seconds: dict[str, float] = {}
    for regions in together.values():
        start = time.monotonic()
        jobs = []
        for region in regions:
            box = boxes[region.name]
            mask = box.cut(region.mask) if gram == "masked" else None
            guide = Guide(region.name, region.styles, mask)
            jobs.append(alone[region.name].job(box, [guide], region.name))
        found = engine.paint_together(jobs, progress)
        share = (time.monotonic() - start) / len(regions)
        for region, painting in zip(regions, found, strict=True):
            paintings[region.name] = scene.placed(painting, boxes[region.name])
            seconds[region.name] = share
    paintings = {region.name: paintings[region.name] for region in scene.regions}
    numbers = dict.fromkeys(n for painting in paintings.values() for n in painting.snapshots)
    return Stylized(
        {name: painting.picture for name, painting in paintings.items()},
        [row for painting in paintings.values() for row in painting.curve],
        {name: seconds[name] for name in paintings},
        {
            n: {
                name: painting.snapshots[n]
                for name, painting in paintings.items()
                if n in painting.snapshots
            }
            for n in numbers
        },
        stopped="; ".join(painting.stopped for painting in paintings.values() if painting.stopped),
    )
