"""Crops of photographs with things pasted on them (Ghiasi et al. 2021, Simple Copy-Paste).

People stand before flags, vehicles, furniture and gear, and behind gear: what touches people in
photographs is easily taken for a part of them.
"""

from dataclasses import dataclass

import cv2
import numpy as np

from pipeline.networks.compact_segmenter import CLASSES
from pipeline.training import pictures
from pipeline.training.pictures import UNCERTAIN, Array, Example

PERSON = 15


@dataclass(frozen=True)
class Layers:
    """A crop and what its pixels show.

    Attributes:
        picture: (H, W, 3) uint8 RGB.
        labels: (H, W) uint8, objects.
        scenes: (H, W) uint8, scenes.
    """

    picture: Array
    labels: Array
    scenes: Array


def objects(labels: Array) -> np.ndarray:
    """Where a label map shows anything but background, for certain."""
    found: np.ndarray = (labels > 0) & (labels < CLASSES)
    return found


def without_people(example: Example) -> bool:
    """Whether a photograph shows no person, and hardly anything uncertain that could be one."""
    return bool(
        (example.labels == PERSON).mean() == 0 and (example.labels == UNCERTAIN).mean() < 0.1
    )


def random_view(example: Example, size: int, rng: np.random.Generator) -> np.ndarray:
    """A random 2x3 affine map from the photograph to a crop: scale, mirror, rotation, place."""
    height, width = example.labels.shape
    # The whole short side fills between 60% and 200% of the crop, whatever the crop's size.
    scale = size / min(height, width) * np.exp(rng.uniform(np.log(0.6), np.log(2.0)))
    angle = np.radians(rng.normal(0, 8)) if rng.random() < 0.5 else 0.0
    mirror = -1.0 if rng.random() < 0.5 else 1.0
    stretch = np.exp(rng.normal(0, 0.08))
    matrix = scale * np.array(
        [
            [mirror * np.cos(angle) * stretch, -np.sin(angle)],
            [mirror * np.sin(angle) * stretch, np.cos(angle)],
        ]
    )
    room = (np.array([width, height]) * scale - size) / 2
    centre = np.array([width, height]) / 2 + rng.uniform(-1, 1, 2) * np.abs(room) / scale
    return np.column_stack([matrix, size / 2 - matrix @ centre])


def warp(example: Example, size: int, view: np.ndarray) -> Layers:
    """A crop of the picture and of its labels through the same view; outside is uncertain."""
    crop = cv2.warpAffine(
        example.picture, view, (size, size), flags=cv2.INTER_LINEAR, borderValue=(124, 116, 104)
    )
    labels, scenes = (
        cv2.warpAffine(known, view, (size, size), flags=cv2.INTER_NEAREST, borderValue=(UNCERTAIN,))
        for known in (example.labels, example.scenes)
    )
    return Layers(
        np.asarray(crop, np.uint8), np.asarray(labels, np.uint8), np.asarray(scenes, np.uint8)
    )


def paste_objects(under: Layers, cut: Example, rng: np.random.Generator) -> Layers:
    """Lay the objects cut out of a photograph over a crop."""
    size = under.labels.shape[0]
    view = random_view(cut, size, rng)
    view[:, 2] += rng.uniform(-0.35, 0.35, 2) * size
    figure = warp(cut, size, view)
    changed = pictures.jitter_colour(figure.picture, rng, 0.5)
    return _laid_over(under, changed, figure.labels, objects(figure.labels))


def paste_thing(under: Layers, thing: Example, rng: np.random.Generator) -> Layers:
    """Lay a piece of a photograph without people over a crop, as if it were held or stood there.

    Args:
        under: the crop.
        thing: the photograph.
        rng: source of chance.
    """
    size = under.labels.shape[0]
    piece = warp(thing, size, random_view(thing, size, rng))
    known = piece.labels != UNCERTAIN
    shape = np.zeros((size, size), np.uint8)
    middle = tuple(int(v) for v in rng.uniform(0.1, 0.9, 2) * size)
    axes = tuple(int(v) for v in rng.uniform(0.08, 0.25, 2) * size)
    if rng.random() < 0.6:
        cv2.ellipse(shape, middle, axes, rng.uniform(0, 180), 0, 360, (1,), -1)
    else:
        corners = cv2.boxPoints((middle, (2.0 * axes[0], 2.0 * axes[1]), rng.uniform(0, 90)))
        cv2.fillPoly(shape, [corners.astype(np.int32)], (1,))
    return _laid_over(under, piece.picture, piece.labels, (shape > 0) & known)


def paste_flag(under: Layers, rng: np.random.Generator) -> Layers:
    """Hang a flag of random stripes over a crop; it is background, and none of the scenes.

    It may be much larger than the crop, so that a stripe of it fills what is seen.
    """
    size = under.labels.shape[0]
    flag = _flag(max(8, int(0.4 * 6 ** rng.uniform(0, 1) * size)), rng)
    side = flag.shape[0]
    angle = rng.normal(0, 25) + rng.choice([0, 90])
    turn = cv2.getRotationMatrix2D((side / 2, side / 2), angle, rng.uniform(0.7, 1.3))
    turn[0] *= rng.uniform(0.6, 1.0)
    turn[:, 2] += rng.uniform(0, 1, 2) * size - side / 2
    picture = cv2.warpAffine(flag, turn, (size, size), flags=cv2.INTER_LINEAR)
    shape = cv2.warpAffine(np.ones((side, side), np.uint8), turn, (size, size))
    nothing = np.zeros_like(under.labels)
    return _laid_over(under, np.asarray(picture, np.uint8), nothing, shape > 0)


def paste_smooth_thing(under: Layers, rng: np.random.Generator) -> Layers:
    """Lay a smooth round thing over a crop, such as a helmet or a vase; it is background.

    An ellipsoid of one colour, often dark, in the light of one lamp (Phong 1975), often with a rim
    of another colour.
    """
    size = under.labels.shape[0]
    rows, columns = np.mgrid[:size, :size].astype(np.float32)
    middle = rng.uniform(0, 1, 2) * size
    axes = rng.uniform(0.1, 0.35) * size * np.exp(rng.normal(0, 0.2, 2))
    angle = rng.uniform(0, np.pi)
    across, down = columns - middle[0], rows - middle[1]
    x = (np.cos(angle) * across + np.sin(angle) * down) / axes[0]
    y = (np.cos(angle) * down - np.sin(angle) * across) / axes[1]
    inside = x * x + y * y < 1
    normal = np.stack([x, y, np.sqrt((1 - x * x - y * y).clip(0))], -1)
    lamp = rng.normal(0, 1, 3) + np.array([0, 0, 1.5])
    lamp /= np.linalg.norm(lamp)
    lit = (normal @ lamp).clip(0)[..., None]
    half = lamp + np.array([0, 0, 1])
    gloss = (normal @ (half / np.linalg.norm(half))).clip(0)[..., None] ** rng.uniform(8, 80)
    darkest, lightest = (0, 60) if rng.random() < 0.5 else (0, 256)
    colour = np.full((size, size, 3), rng.integers(darkest, lightest, 3), np.float32)
    if rng.random() < 0.5:
        colour[x > rng.uniform(0.3, 0.9)] = rng.integers(0, 256, 3)
    shaded = colour * (0.35 + 0.65 * lit) + 255 * rng.uniform(0, 0.8) * gloss
    nothing = np.zeros_like(under.labels)
    return _laid_over(under, shaded.clip(0, 255).astype(np.uint8), nothing, inside)


def _flag(side: int, rng: np.random.Generator) -> Array:
    """A square flag: two or three strong colours in stripes, often a field of marks, in folds."""
    palette = rng.integers(0, 2, (3, 3)) * rng.integers(120, 256, (3, 3)) + rng.integers(0, 40)
    if rng.random() < 0.6:
        palette[0] = rng.integers(210, 250)
    colours = palette.clip(0, 255).astype(np.uint8)
    count = int(rng.integers(2, 14))
    stripes = colours[np.arange(count) % (2 if count > 3 else 3)][:, None]
    picture = cv2.resize(stripes, (side, side), interpolation=cv2.INTER_NEAREST)
    if rng.random() < 0.5:
        picture = np.ascontiguousarray(picture.transpose(1, 0, 2))
    if rng.random() < 0.7:
        tall, wide = (int(v) for v in rng.uniform(0.25, 0.6, 2) * side)
        picture[:tall, :wide] = colours[2]
        step = max(4, side // int(rng.integers(10, 24)))
        for row in range(step, tall, step):
            for column in range(step, wide, step):
                mark = tuple(int(v) for v in colours[0])
                cv2.circle(picture, (column, row), max(1, step // 3), mark, -1)
    rows, columns = np.mgrid[:side, :side].astype(np.float32) / side
    direction = rng.uniform(0, np.pi)
    phase = np.cos(direction) * columns + np.sin(direction) * rows
    phase = 2 * np.pi * rng.uniform(0.5, 4) * (phase + 0.1 * np.sin(5 * rows + rng.uniform(0, 6)))
    height = 0.04 * side * np.sin(phase)
    folded = cv2.remap(
        picture,
        (columns * side + height).astype(np.float32),
        (rows * side + height).astype(np.float32),
        cv2.INTER_LINEAR,
        borderMode=cv2.BORDER_REFLECT,
    )
    light = 1 + rng.uniform(0.1, 0.5) * np.cos(phase)[..., None] - rng.uniform(0, 0.3)
    shaded: Array = (folded * light).clip(0, 255).astype(np.uint8)
    return shaded


def _laid_over(under: Layers, picture: Array, labels: Array, inside: np.ndarray) -> Layers:
    """Put ``picture`` over a crop where ``inside``, its edge soft by about a pixel.

    What is pasted counts as none of the scenes.
    """
    edge = cv2.GaussianBlur(inside.astype(np.float32), (0, 0), 0.8)[..., None]
    return Layers(
        (picture * edge + under.picture * (1 - edge)).astype(np.uint8),
        np.where(inside, labels, under.labels),
        np.where(inside, np.uint8(0), under.scenes),
    )
