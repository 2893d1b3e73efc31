"""Composite: one optimisation a region, put together by the masks.

Each region is painted on its own surroundings, the box around it and a margin, not on the whole
frame, so that all regions together cost about as much as one. Its style statistics come from the
whole style picture. Where stitch compares places (what the canvas shows in a region), composite
compares a region with a painting.
"""

import time
from collections.abc import Mapping
from typing import Literal

from torch import Tensor

from pipeline.engine import Engine, Guide, LossRow, Progress
from pipeline.methods import Stylized
from pipeline.regions import surroundings


def composite(
    content: Tensor,
    masks: Mapping[str, Tensor],
    styles: Mapping[str, Tensor],
    engine: Engine,
    progress: Progress,
    *,
    gram: Literal["masked", "global"],
    margin: int,
) -> Stylized:
    """Paint each region by itself; see `methods.Method`.

    Args:
        content, masks, styles, engine, progress: as `methods.Method`.
        gram: ``masked`` takes the painted picture's Gram matrices inside the region, ``global``
            over all of its surroundings.
        margin: pixels of surroundings on each side.
    """
    pictures: dict[str, Tensor] = {}
    seconds: dict[str, float] = {}
    curve: list[LossRow] = []
    for region, mask in masks.items():
        start = time.monotonic()
        box = surroundings(mask, margin)
        here = box.cut(mask)
        guide = Guide(region, styles[region], here if gram == "masked" else None)
        painting = engine.paint(box.cut(content), here, [guide], region, progress)
        pictures[region] = box.put(painting.picture, content)
        curve += painting.curve
        seconds[region] = time.monotonic() - start
    return Stylized(pictures, curve, seconds, {})
