"""Calm water under what a crop shows, which it mirrors.

Few photographs of a small collection show a lake that mirrors its mountains, or a river its city;
a network that has seen few takes the mirrored mountain for a mountain.
"""

import cv2
import numpy as np

from pipeline.regions.names import SCENE_CLASSES
from pipeline.training.paste import Layers
from pipeline.training.pictures import UNCERTAIN, Array

_SKY, _WATER = (1 + SCENE_CLASSES.index(name) for name in ("sky", "water"))


def reflect(under: Layers, rng: np.random.Generator) -> Layers:
    """Lay water under a crop: what is above it upside down, in ripples, darker or tinted.

    A crop that shows next to no sky, or little that is certain, is returned as it is: seen from
    above or within a room, water would not mirror it so.

    Args:
        under: the crop, (S, S).
        rng: source of chance.
    """
    size = under.labels.shape[0]
    shore = _shore(size, rng)
    rows, columns = np.mgrid[:size, :size].astype(np.float32)
    depth = rows - shore
    water = depth >= 0
    above = under.scenes[~water]
    if (above == _SKY).mean() < 0.05 or (above == UNCERTAIN).mean() > 0.3:
        return under
    side, up = _ripples(depth, size, rng)
    mirrored = cv2.remap(
        under.picture,
        columns + side,
        np.minimum(shore - 1 - depth * rng.uniform(0.6, 1.4) + up, shore - 1).astype(np.float32),
        cv2.INTER_LINEAR,
        borderMode=cv2.BORDER_REFLECT_101,
    )
    blur = rng.uniform(0.3, 3)
    mirrored = cv2.GaussianBlur(mirrored, (0, 0), sigmaX=0.5, sigmaY=blur)
    tint = rng.uniform((0, 20, 20), (110, 130, 150))
    share = rng.uniform(0, 0.5)
    # Water mirrors less where one looks down into it, which is near the viewer.
    nearer = share + (1 - share) * 0.6 * rng.random() * np.clip(depth / size, 0, 1)
    laid = (1 - nearer[..., None]) * mirrored * rng.uniform(0.55, 1) + nearer[..., None] * tint
    edge = cv2.GaussianBlur(water.astype(np.float32), (0, 0), 0.8)[..., None]
    return Layers(
        (laid * edge + under.picture * (1 - edge)).clip(0, 255).astype(np.uint8),
        np.where(water, np.uint8(0), under.labels),
        np.where(water, np.uint8(_WATER), under.scenes),
    )


def _shore(size: int, rng: np.random.Generator) -> Array:
    """The row where the water begins, (1, S) float32: level, tilted a little, or with bays."""
    across = np.linspace(-1, 1, size)
    bays = np.sin(across * rng.uniform(2, 9) + rng.uniform(0, 7)) * rng.uniform(0, 0.03)
    tilt = across * rng.normal(0, 0.03)
    line: Array = (size * (rng.uniform(0.4, 0.85) + bays + tilt))[None].astype(np.float32)
    return line


def _ripples(depth: Array, size: int, rng: np.random.Generator) -> tuple[Array, Array]:
    """How far each pixel of the water mirrors from aside and from above, in pixels, (S, S).

    Waves are longer and higher the nearer they are, and wider than they are tall.
    """
    noise = rng.normal(0, 1, (size, size)).astype(np.float32)
    wide, tall = rng.uniform(3, 12), rng.uniform(0.7, 2)
    noise = np.asarray(cv2.GaussianBlur(noise, (0, 0), sigmaX=wide, sigmaY=tall), np.float32)
    noise /= noise.std() + 1e-6
    waves = np.sin(np.sqrt(np.maximum(depth, 0)) * rng.uniform(2, 8) + noise)
    height = rng.uniform(0, 0.03) * size * (0.3 + np.clip(depth / size, 0, 1))
    side, up = noise * height, waves * height
    return side.astype(np.float32), up.astype(np.float32)
