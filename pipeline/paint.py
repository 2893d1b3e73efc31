"""Paint: stylize and blend, once, or once a style of a region; and what came of it in figures."""

import dataclasses
import functools
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from pipeline.engine.engine import Engine
from pipeline.engine.objective import Guide
from pipeline.engine.progress import LossRow, Progress, Viewer
from pipeline.methods import Method, Region, Scene
from pipeline.methods.stitch import style_canvas
from pipeline.methods.working_size import enlarged_region
from pipeline.pictures import color
from pipeline.pictures.blend import blend
from pipeline.pictures.layers import Layers, take_apart, widened
from pipeline.pictures.tones import in_tones
from pipeline.results.summary import Clock


@dataclass
class Painted:
    """What was painted.

    Attributes:
        picture: (1, 3, H, W) in [0, 1].
        losses: the loss at every iteration.
        snapshots: number of iterations to the picture after them.
        extra: name to further pictures, such as stitch's ``style_canvas``.
        seconds: region to the time it took.
        stopped: why it is not what was asked for; empty if it is.
    """

    picture: Tensor
    losses: list[LossRow] = field(default_factory=list)
    snapshots: dict[int, Tensor] = field(default_factory=dict)
    extra: dict[str, Tensor] = field(default_factory=dict)
    seconds: dict[str, float] = field(default_factory=dict)
    stopped: str = ""


def rounds(regions: Sequence[Region], sequential: bool) -> list[list[Region]]:
    """The optimisations to make one after the other, each with the styles it pursues at once.

    None where there is no region.
    """
    if not sequential:
        return [[*regions]] if regions else []
    longest = max((len(region.styles) for region in regions), default=0)
    return [
        [
            dataclasses.replace(region, styles=[region.styles[k]])
            for region in regions
            if k < len(region.styles)
        ]
        for k in range(longest)
    ]


def paint(
    content: Tensor,
    turns: Sequence[Sequence[Region]],
    method: Method,
    engine: Engine,
    begin: Callable[[Tensor, Sequence[Region]], Tensor | None],
    free: bool,
    clock: Clock,
    progress: Progress,
    mixed: Tensor | None = None,
    tones: float = 0.0,
    viewer: Viewer | None = None,
    chroma_smoothing: float = 0.0,
) -> Painted:
    """Stylize and blend, turn by turn.

    Args:
        content: (1, 3, H, W) in [0, 1].
        turns: the regions of each optimisation (`rounds`).
        method: paints the regions.
        engine: with which it does.
        begin: the content and the regions of the first turn to where its optimisation starts;
            None: at the content.
        free: whether pixels outside the regions may change.
        clock: where the seconds go.
        progress: called at every iteration.
        mixed: (1, 1, H, W), where a pixel may show a region and what is behind it; None: nowhere.
        tones: share of their styles' tones that regions have before they are painted.
        viewer: is shown the picture on its way; None: nobody is.
        chroma_smoothing: standard deviation in pixels by which the colours that an optimisation has
            painted are smoothed (`color.smooth_chroma`).
    """
    done = Painted(content, seconds={region.name: 0.0 for turn in turns for region in turn})
    for number, regions in enumerate(turns):
        with clock.stage("stylize"):
            layers = None
            if mixed is not None and not free:
                layers = take_apart(done.picture, Scene(content, regions).union, mixed)
            # Painted as if nothing else showed in their pixels; that is laid behind them again.
            alone = done.picture if layers is None else layers.foreground()
            shown = grey_inside(alone, [r.mask for r in regions if r.luminance])
            shown = in_tones_of_styles(shown, regions, tones)
            start = begin(shown, regions) if number == 0 else None
            stylized = method(Scene(shown, regions, start, free, viewer), engine, progress)
        with clock.stage("blend"):
            smoothing = chroma_smoothing if stylized.curve else 0.0
            blended = functools.partial(
                _blended, done.picture, alone, regions, free, layers, smoothing
            )
            earlier = number * engine.descent.iterations
            done.snapshots |= {
                earlier + n: blended(stylized.pictures | taken)
                for n, taken in stylized.snapshots.items()
            }
            done.picture = blended(stylized.pictures)
        done.losses += stylized.curve
        done.stopped = "; ".join(filter(None, (done.stopped, stylized.stopped)))
        done.extra = stylized.extra | done.extra
        for name, spent in stylized.seconds.items():
            done.seconds[name] += spent
    done.snapshots = dict(sorted(done.snapshots.items()))
    return done


def _blended(
    before: Tensor,
    alone: Tensor,
    regions: Sequence[Region],
    free: bool,
    layers: Layers | None,
    smoothing: float,
    pictures: Mapping[str, Tensor],
) -> Tensor:
    def toned(region: Region) -> Tensor:
        picture = pictures[region.name]
        if smoothing:
            picture = color.smooth_chroma(picture, widened(region.mask), smoothing)
        return color.with_luminance(alone, picture) if region.luminance else picture

    masks = {region.name: region.mask for region in regions}
    widths = {region.name: region.feather for region in regions}
    shown = {region.name: toned(region) for region in regions}
    return blend(before, shown, masks, widths, free, layers)


def grey_inside(content: Tensor, masks: Sequence[Tensor]) -> Tensor:
    """The content with some regions in grey, for regions painted in luminance alone."""
    for mask in masks:
        content = content + mask * (color.grey(content) - content)
    return content


def in_tones_of_styles(content: Tensor, regions: Sequence[Region], share: float) -> Tensor:
    """The content with each region in the tones of its styles, less where strength is below 1/2.

    Args:
        content: (1, 3, H, W) in [0, 1].
        regions: of it, with their styles.
        share: of those tones, in [0, 1].
    """
    if not share:
        return content
    for region in regions:
        weights = sum(style.weight for style in region.styles)
        wanted = [
            (
                style.picture,
                style.mask,
                share * min(1.0, 2 * style.strength) * style.weight / weights,
            )
            for style in region.styles
        ]
        content = in_tones(content, region.mask, wanted)
    return content


def beginning(
    kind: str,
    picture: Tensor | None,
    content: Tensor,
    regions: Sequence[Region],
    noise: float,
    seed: int,
) -> Tensor | None:
    """Where the optimisation starts.

    Args:
        kind: ``content``, ``noise``, ``content+noise`` or ``style``; anything else: a picture.
        picture: that picture, (1, 3, h, w) in [0, 1].
        content: (1, 3, H, W) in [0, 1].
        regions: to be painted.
        noise: standard deviation of ``content+noise``.
        seed: of the noise.

    Returns:
        (1, 3, H, W) in [0, 1]; None: the content.
    """
    if kind == "noise":
        return noise_picture(content, seed)
    if kind == "content+noise":
        return content_with_noise(content, noise, seed)
    if kind == "style":
        return style_canvas(content, regions).picture
    if picture is None:
        return None
    fitted = F.interpolate(picture.to(content), content.shape[2:], mode="bilinear", antialias=True)
    return fitted.clamp(0, 1)


def painted_instantly(
    content: Tensor, regions: Sequence[Region], instant: Method, engine: Engine, free: bool
) -> Tensor:
    """The content with its regions as a method without an optimisation paints them.

    Args:
        content: (1, 3, H, W) in [0, 1].
        regions: of it.
        instant: the method.
        engine: for the method.
        free: as `paint`.
    """
    done = instant(Scene(content, regions, None, free), engine, lambda row: None)
    for region in regions:
        content = torch.lerp(content, done.pictures[region.name], widened(region.mask))
    return content


def noise_picture(like: Tensor, seed: int) -> Tensor:
    """Uniform noise of ``like``'s shape in [0, 1], the same on every device."""
    generator = torch.Generator().manual_seed(seed)
    return torch.rand(like.shape, generator=generator).to(like)


def content_with_noise(content: Tensor, deviation: float, seed: int) -> Tensor:
    """The content with Gaussian noise of that standard deviation, in [0, 1]."""
    generator = torch.Generator().manual_seed(seed)
    noise = torch.randn(content.shape, generator=generator).to(content)
    return (content + deviation * noise).clamp(0, 1)


def describe(painted: Painted, regions: Sequence[Region]) -> dict[str, dict[str, Any]]:
    """Each region's styles, and the seconds it took."""
    return {
        region.name: {
            "style": region.images[0] if len(region.images) == 1 else [*region.images],
            "seconds": round(painted.seconds[region.name], 2),
        }
        for region in regions
    }


def distances(
    content: Tensor, painted: Tensor, regions: Sequence[Region], engine: Engine, margin: int = 0
) -> dict[str, dict[str, float | None]]:
    """Each region's distance to its styles before and after, `Engine.style_distance`.

    It is seen as it was painted: in its surroundings of ``margin`` pixels, enlarged if it was.

    Args:
        content, painted: (1, 3, H, W) in [0, 1].
        regions: that were painted.
        engine: with whose encoder.
        margin: in pixels.
    """
    found = {}
    for region in regions:
        crop, alone = enlarged_region(region, margin)
        guide = Guide(region.name, region.styles, alone.mask)
        pictures = [crop.cut(picture) for picture in (content, painted)]
        seen = [color.grey(p) if region.luminance else p for p in pictures]
        # A region too small for every layer has none; JSON knows no NaN.
        before, after = (
            None if math.isnan(d) else round(d, 4)
            for d in (engine.style_distance(picture, guide) for picture in seen)
        )
        found[region.name] = {"style_distance_before": before, "style_distance_after": after}
    return found
