"""Feedforward: one pass of a network that was trained for the style (Johnson et al. 2016).

Instant takes any style picture; here each style has a network of its own, which has seen nothing
else. Each region is painted on its own surroundings, as in composite.
"""

import time
from collections.abc import Mapping

import torch
from torch import Tensor

from pipeline.engine.engine import Engine
from pipeline.engine.progress import Progress
from pipeline.methods import Scene, Stylized
from pipeline.networks.feedforward import FeedForward
from pipeline.runtime import memory


def feedforward(
    scene: Scene,
    engine: Engine,
    progress: Progress,
    *,
    networks: Mapping[str, FeedForward],
    margin: int,
) -> Stylized:
    """Paint each region by its styles' networks; see `methods.Method`.

    Args:
        scene: as `methods.Method`; a region of several styles gets the mean of their pictures by
            weight. Where an optimisation would start counts for nothing.
        engine, progress: not used: there are no losses.
        networks: of each style, by what its picture is called (`Region.images`).
        margin: pixels of surroundings on each side of the regions.
    """
    pictures, seconds = {}, {}
    for region in scene.regions:
        start = time.monotonic()
        box = scene.only(region).box(margin)
        content = box.cut(scene.content)
        weights = sum(style.weight for style in region.styles)
        painted = torch.zeros_like(content)
        for style, image in zip(region.styles, region.images, strict=True):
            found = one_pass(content, networks[image], min(1.0, 2 * style.strength))
            painted += (style.weight / weights) * found
        pictures[region.name] = box.put(painted, scene.content)
        seconds[region.name] = time.monotonic() - start
    return Stylized(pictures, [], seconds)


@torch.inference_mode()
def one_pass(content: Tensor, network: FeedForward, strength: float) -> Tensor:
    """(1, 3, H, W) in [0, 1], part of the way from a content to what a network makes of it."""
    with memory.keeping_freed():
        return torch.lerp(content, network(content).clamp(0, 1), strength)
