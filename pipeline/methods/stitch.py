"""Stitch: one optimisation against one style picture stitched from all styles.

The style canvas has the content's layout: each styled region is filled with its style picture,
the rest is the content itself. Content and canvas share the masks, so a region's texture is
compared with what the canvas shows in the same place. Where composite paints once a region,
stitch paints all of them at once; its result depends on which part of a style lies in the region.
"""

import math
import time
from collections.abc import Mapping
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor

from pipeline.engine import Engine, Guide, Progress
from pipeline.methods import Stylized
from pipeline.regions import surroundings

#: How far a style is shrunk to fit a small region; smaller, its strokes would turn into noise.
SMALLEST_STYLE = 0.5


def stitch(
    content: Tensor,
    masks: Mapping[str, Tensor],
    styles: Mapping[str, Tensor],
    engine: Engine,
    progress: Progress,
    *,
    gram: Literal["masked", "global"],
    margin: int,
) -> Stylized:
    """Paint all regions at once; see `methods.Method`.

    Args:
        content, masks, styles, engine, progress: as `methods.Method`.
        gram: ``masked`` compares region by region; ``global`` takes one Gram matrix of the whole
            frame, the classic result in which styles bleed into each other.
        margin: pixels of surroundings on each side; with ``masked`` only the box around all
            styled regions is painted.
    """
    start = time.monotonic()
    canvas = style_canvas(content, masks, styles)
    union = torch.cat([*masks.values()], dim=1).sum(1, keepdim=True).clamp(0, 1)
    if gram == "global":
        guides = [Guide(" + ".join(masks), canvas)]
        painting = engine.paint(content, union, guides, "stitch", progress)
        picture = painting.picture
    else:
        box = surroundings(union, margin)
        guides = [
            Guide(region, box.cut(canvas), box.cut(mask), box.cut(mask))
            for region, mask in masks.items()
        ]
        painting = engine.paint(box.cut(content), box.cut(union), guides, "stitch", progress)
        picture = box.put(painting.picture, content)
    share = (time.monotonic() - start) / len(masks)
    return Stylized(
        dict.fromkeys(masks, picture),
        painting.curve,
        dict.fromkeys(masks, share),
        {"style_canvas": canvas},
    )


def style_canvas(
    content: Tensor, masks: Mapping[str, Tensor], styles: Mapping[str, Tensor]
) -> Tensor:
    """The stitched style picture: each region filled with its style, the rest with the content.

    A style is scaled, keeping its proportions, to cover the box around its region, and centred
    there; for a small region it is shrunk to `SMALLEST_STYLE` at most and cropped.

    Args:
        content: (1, 3, H, W) in [0, 1].
        masks: region to (1, 1, H, W) in [0, 1].
        styles: region to (1, 3, h, w) in [0, 1].

    Returns:
        (1, 3, H, W) in [0, 1].
    """
    canvas = content
    for region, mask in masks.items():
        box = surroundings(mask, 0, smallest=1)
        filled = box.put(_cover(styles[region], box.height, box.width), canvas)
        canvas = canvas + mask * (filled - canvas)
    return canvas


def _cover(style: Tensor, height: int, width: int) -> Tensor:
    scale = max(height / style.shape[2], width / style.shape[3], SMALLEST_STYLE)
    # Cut before scaling: a long strip scaled to cover a tall region would be enormous.
    rows = min(style.shape[2], max(1, math.ceil(height / scale)))
    columns = min(style.shape[3], max(1, math.ceil(width / scale)))
    top, left = (style.shape[2] - rows) // 2, (style.shape[3] - columns) // 2
    part = style[..., top : top + rows, left : left + columns]
    return F.interpolate(part, (height, width), mode="bilinear", antialias=True).clamp(0, 1)
