"""Guided: one optimisation for all regions, each towards its own whole style pictures.

Gatys et al. 2017, Controlling Perceptual Factors in Neural Style Transfer, section 4: guidance
channels weigh the features, so that every layer has one Gram matrix a region (eq. 5-6), compared
with the Gram matrix of that region's style (eq. 7). Where stitch takes the target from a canvas
in the content's layout, guided takes it from the whole style picture, or from a region of it; where
composite optimises once a region, guided optimises once.
"""

from pipeline.engine.engine import Engine
from pipeline.engine.objective import Guide
from pipeline.engine.progress import Progress
from pipeline.methods import Scene, Stylized, paint_at_once


def guided(scene: Scene, engine: Engine, progress: Progress, *, margin: int) -> Stylized:
    """Paint all regions at once; see `methods.Method`.

    Args:
        scene, engine, progress: as `methods.Method`; the engine's ``propagation`` says how masks
            become the layers' guidance channels.
        margin: pixels of surroundings on each side of the regions.
    """
    box = scene.box(margin)
    guides = [Guide(region.name, region.styles, box.cut(region.mask)) for region in scene.regions]
    return paint_at_once(scene, box, guides, engine, "guided", progress)
