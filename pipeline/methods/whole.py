"""Global: one style for the whole picture, the classic baseline (Gatys et al. 2016).

Without regions there is one Gram matrix a layer over the whole frame; guided with one region that
covers everything is the same up to the border.
"""

from pipeline.engine.engine import Engine
from pipeline.engine.objective import Guide
from pipeline.engine.progress import Progress
from pipeline.methods import Scene, Stylized, paint_at_once


def whole(scene: Scene, engine: Engine, progress: Progress) -> Stylized:
    """Paint the whole picture; see `methods.Method`.

    Args:
        scene: with one region, whose mask covers the picture.
        engine, progress: as `methods.Method`.
    """
    guides = [Guide(region.name, region.styles) for region in scene.regions]
    return paint_at_once(scene, scene.frame, guides, engine, "global", progress)
