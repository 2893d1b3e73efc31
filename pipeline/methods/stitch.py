"""Stitch: one optimisation against one style picture stitched from all styles.

The style canvas has the content's layout: each styled region is filled with its style picture,
the rest is the content itself. Content and canvas share the masks, so a region's texture is
compared with what the canvas shows in the same place. Where composite paints once a region,
stitch paints all of them at once; its result depends on which part of a style lies in the region.
"""

import dataclasses
import math
from collections.abc import Sequence
from typing import Literal

import torch.nn.functional as F
from torch import Tensor

from pipeline.engine.engine import Engine
from pipeline.engine.objective import Guide, Style
from pipeline.engine.progress import Progress
from pipeline.methods import Region, Scene, Stylized, paint_at_once
from pipeline.pictures.boxes import surroundings


def stitch(
    scene: Scene,
    engine: Engine,
    progress: Progress,
    *,
    gram: Literal["masked", "global"],
    margin: int,
) -> Stylized:
    """Paint all regions at once; see `methods.Method`.

    Args:
        scene, engine, progress: as `methods.Method`. The first styles of all regions make one
            canvas, the second ones another, and so on.
        gram: ``masked`` compares region by region; ``global`` takes one Gram matrix of the whole
            frame, the classic result in which styles bleed into each other.
        margin: pixels of surroundings on each side; with ``masked`` only the box around all
            styled regions is painted.
    """
    numbers = range(max(len(region.styles) for region in scene.regions))
    canvases = [style_canvas(scene.content, scene.regions, number) for number in numbers]
    if gram == "global":
        box = scene.frame
        strengths = [style.strength for region in scene.regions for style in region.styles]
        usual = sum(strengths) / len(strengths)
        styles = [
            Style(canvas.picture, weight=1 / len(canvases), strength=usual) for canvas in canvases
        ]
        guides = [Guide(" + ".join(region.name for region in scene.regions), styles)]
    else:
        box = scene.box(margin)
        cut = [box.cut(canvas.picture) for canvas in canvases]
        guides = [
            Guide(
                region.name,
                [
                    dataclasses.replace(
                        style,
                        picture=cut[k],
                        mask=box.cut(canvases[k].masks[region.name]),
                        name=f"canvas {k + 1}",
                    )
                    for k, style in enumerate(region.styles)
                ],
                box.cut(region.mask),
            )
            for region in scene.regions
        ]
    done = paint_at_once(scene, box, guides, engine, "stitch", progress)
    names = ["style_canvas", *(f"style_canvas-{k + 1}" for k in numbers[1:])]
    return dataclasses.replace(
        done, extra=dict(zip(names, [canvas.picture for canvas in canvases], strict=True))
    )


@dataclasses.dataclass(frozen=True)
class Canvas:
    """A style picture in the content's layout.

    Attributes:
        picture: (1, 3, H, W) in [0, 1].
        masks: region to (1, 1, H, W) in [0, 1], where the canvas shows its style.
    """

    picture: Tensor
    masks: dict[str, Tensor]


def style_canvas(content: Tensor, regions: Sequence[Region], number: int = 0) -> Canvas:
    """The stitched style picture: each region filled with its style, the rest with the content.

    A style fills the box around its region: it is enlarged, keeping its proportions, to cover the
    box, and centred there. It comes at the region's size; one that was asked for at a larger scale
    is not shrunk again, so that its strokes are as large as asked for, and is cropped.

    Args:
        content: (1, 3, H, W) in [0, 1].
        regions: of it.
        number: which of each region's styles to take, the last one where it has fewer.
    """
    canvas, shown = content, {}
    for region in regions:
        mask, style = region.mask, region.styles[min(number, len(region.styles) - 1)]
        box = surroundings(mask, 0, smallest=1)
        filled = box.put(_cover(style.picture, box.height, box.width), canvas)
        canvas = canvas + mask * (filled - canvas)
        shown[region.name] = mask
        if style.mask is not None:
            inside = mask * box.put(_cover(style.mask, box.height, box.width), mask)
            # The part of the style's own region that is asked for may lie outside this region.
            shown[region.name] = inside if float(inside.max()) > 0.5 else mask
    return Canvas(canvas, shown)


def _cover(style: Tensor, height: int, width: int) -> Tensor:
    scale = max(height / style.shape[2], width / style.shape[3], 1.0)
    # Cut before scaling: a long strip scaled to cover a tall region would be enormous.
    rows = min(style.shape[2], max(1, math.ceil(height / scale)))
    columns = min(style.shape[3], max(1, math.ceil(width / scale)))
    top, left = (style.shape[2] - rows) // 2, (style.shape[3] - columns) // 2
    part = style[..., top : top + rows, left : left + columns]
    return F.interpolate(part, (height, width), mode="bilinear", antialias=True).clamp(0, 1)
