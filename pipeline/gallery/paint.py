"""Paint the gallery: `python -m pipeline.gallery.paint [FOLDER]`.

Every picture is painted stroke by stroke along flow fields by this program, from fixed seeds, so
the same machine paints the same bytes again. Brushes keep their size in pixels: a smaller picture
has fewer strokes.
"""

import argparse
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np

from pipeline.gallery import GALLERY
from pipeline.gallery.strokes import (
    Floats,
    Labels,
    Pixels,
    along,
    at,
    brush,
    finish,
    new_canvas,
    palette,
    plane,
    scatter,
    smooth_noise,
    spaced,
    trace,
    pen,
    turned,
)

#: A bundled picture is smaller than this, in bytes.
LARGEST_FILE = 250_000


def layer(
    canvas: Pixels,
    rng: np.random.Generator,
    field: Floats,
    picture: Floats,
    labels: Labels,
    width: float,
    length: float,
    spacing: float,
    variety: float,
    streak: float = 14.0,
    where: Floats | None = None,
) -> None:
    """Cover the canvas with one layer of strokes.

    Args:
        canvas: painted on in place.
        rng: source of every choice.
        field: directions the strokes follow, (H, W, 2).
        picture: colours to paint with, (H, W, 3) in [0, 255].
        labels: areas a stroke does not leave, (H, W).
        width: of the brush in pixels.
        length: of a stroke in pixels.
        spacing: mean distance of starting points in pixels.
        variety: standard deviation of a stroke's colour.
        streak: standard deviation of a bristle's shade.
        where: probability that a stroke starts here, (H, W); nothing means everywhere.
    """
    starts = scatter(rng, *labels.shape, spacing)
    if where is not None:
        starts = starts[rng.random(len(starts)) < at(where, starts)]
    paths = trace(starts, field, length * rng.uniform(0.6, 1.3, len(starts)), 13, labels)
    extent = np.linalg.norm(np.diff(paths, axis=1), axis=-1).sum(1)
    keep = extent > min(length * 0.3, width * 1.5)
    starts, paths = starts[keep], paths[keep]
    count = len(starts)
    colours = at(picture, starts) + rng.normal(0, variety, (count, 1))
    colours = colours + rng.normal(0, variety * 0.6, (count, 3))
    brush(canvas, rng, paths, np.clip(colours, 0, 255), width, streak)


def scream(size: int = 768) -> Pixels:
    """Waves of fire in the sky over a dark fjord, in long flowing strokes.

    Args:
        size: long side in pixels.

    Returns:
        (H, W, 3) uint8, red first.
    """
    rng = np.random.default_rng(1893)
    height, width = round(size * 0.8), size
    x, y = plane(height, width)
    turn = 2 * np.pi
    sun = np.hypot((x - 0.7) / 1.25, y - 0.29)
    sky = y + 0.050 * np.sin(turn * (1.05 * x + 0.9 * y)) * (1.15 - 1.8 * y)
    sky += 0.022 * np.sin(turn * (2.5 * x - 1.6 * y + 0.2)) + 0.008 * np.sin(turn * 5.3 * x + 9 * y)
    sky += -0.15 * np.exp(-((sun / 0.085) ** 2)) + 0.10 * np.exp(
        -(((x - 0.22) / 0.15) ** 2) - ((y - 0.13) / 0.07) ** 2
    )
    eddy = np.hypot((x - 0.36) / 1.9, y - 0.60)
    water = y + 0.012 * np.sin(turn * (1.9 * x + y)) + 0.008 * np.sin(turn * (4.1 * x - 3 * y))
    water += 0.13 * np.exp(-((eddy / 0.075) ** 2)) - 0.10 * np.exp(
        -(((x - 0.86) / 0.16) ** 2) - ((y - 0.54) / 0.055) ** 2
    )
    ridge = 0.425 - 0.075 * np.exp(-(((x - 0.05) / 0.17) ** 2)) - 0.055 * np.exp(
        -(((x - 0.36) / 0.12) ** 2)
    )
    ridge -= 0.045 * np.exp(-(((x - 1.0) / 0.1) ** 2)) + 0.006 * np.sin(turn * 6 * x)
    shore = 0.455 + 0.014 * np.sin(turn * (1.3 * x + 0.3)) 
    bank = 0.80 - 0.20 * np.exp(-(((x - 1.02) / 0.3) ** 2)) - 0.13 * np.exp(-((x / 0.15) ** 2))
    bank += 0.012 * np.sin(turn * 3.1 * x)
    labels = np.select([y < ridge, y < shore, y < bank], [0, 1, 2], 3)
    hills = y - ridge + 0.25 * (shore - ridge) * np.sin(turn * 2.2 * x)
    stream = np.choose(labels, [sky, hills, water, y - bank + 0.35 * (x - 0.5) ** 2])
    field = np.choose(
        labels[..., None], [along(sky), along(hills), along(water), along(y - bank * 0.9)]
    )
    fire = [
        (214, 62, 30), (236, 112, 32), (245, 170, 48), (250, 214, 96), (238, 138, 38),
        (196, 40, 34), (128, 30, 44), (222, 84, 30), (248, 190, 70), (252, 228, 150),
        (240, 150, 44), (206, 56, 28), (166, 178, 160), (230, 120, 50), (242, 176, 60),
        (150, 34, 40),
    ]  # fmt: skip
    sea = [
        (14, 34, 62), (22, 62, 84), (34, 92, 98), (16, 44, 74), (70, 124, 116), (28, 74, 96),
        (12, 26, 48), (46, 98, 120), (134, 158, 130), (20, 54, 72), (30, 84, 80),
    ]  # fmt: skip
    land = [(24, 26, 52), (44, 52, 84), (34, 58, 66), (72, 62, 92), (28, 34, 58)]
    earth = [(62, 30, 30), (104, 50, 34), (48, 48, 36), (150, 84, 42), (80, 70, 38), (36, 24, 34)]
    wander = 0.02 * smooth_noise(rng, height, width, 60)
    glow = np.exp(-((sun / 0.045) ** 2))[..., None]
    fires = palette((sky + wander) * 2.6 - 0.1, fire, True) * (1 - glow)
    fires = fires + np.array([255, 236, 150]) * glow
    warm = np.exp(-(((x - 0.7) / (0.03 + 0.5 * np.maximum(y - 0.44, 0))) ** 2))
    seas = palette((water + wander) * 3.6, sea, True)
    picture = np.choose(
        labels[..., None],
        [
            fires,
            palette((hills + wander) * 14, land, True),
            seas,
            palette((y - bank + wander) * 9, earth, True),
        ],
    )
    canvas = new_canvas(height, width, (70, 30, 34))
    layer(canvas, rng, field, picture, labels, 20, 150, 13, 8)
    layer(canvas, rng, field, picture, labels, 11, 130, 11, 14)
    reflection = np.where(labels == 2, 0.75 * warm, 0.0)
    blaze = np.broadcast_to(np.array([238.0, 140, 54]), picture.shape)
    layer(canvas, rng, field, blaze, labels, 6, 60, 9, 24, where=reflection)
    layer(canvas, rng, field, picture, labels, 6, 110, 10, 22)
    layer(canvas, rng, field, picture * 0.6, labels, 3, 90, 17, 8)
    layer(canvas, rng, field, picture * 1.12 + 14, labels, 3, 80, 17, 14)
    return finish(canvas, 0.35)


def night(size: int = 768) -> Pixels:
    """A deep blue night in short thick strokes that circle glowing stars and a moon.

    Args:
        size: long side in pixels.

    Returns:
        (H, W, 3) uint8, red first.
    """
    rng = np.random.default_rng(1889)
    height, width = round(size * 0.8), size
    x, y = plane(height, width)
    turn = 2 * np.pi
    lights = [
        (0.20, 0.17, 0.060), (0.43, 0.08, 0.026), (0.60, 0.21, 0.034), (0.80, 0.10, 0.038),
        (0.92, 0.29, 0.026), (0.05, 0.36, 0.024), (0.37, 0.31, 0.028), (0.72, 0.37, 0.022),
    ]  # fmt: skip
    sky = y + 0.045 * np.sin(turn * (1.2 * x + 0.5 * y)) + 0.02 * np.sin(turn * (2.7 * x - 2 * y))
    for across, down, reach, strength in [
        (0.50, 0.19, 0.085, -0.22), (0.235, 0.37, 0.07, 0.16), (0.86, 0.20, 0.06, 0.12),
        (0.66, 0.04, 0.06, -0.10), (0.56, 0.36, 0.05, 0.10),
    ]:  # fmt: skip
        sky += strength * np.exp(-(((x - across) / 1.5) ** 2 + (y - down) ** 2) / reach**2)
    halo = np.zeros_like(x)
    core = np.zeros_like(x)
    for across, down, radius in lights:
        distance = np.hypot(x - across, y - down)
        sky += 0.55 * np.exp(-((distance / (1.5 * radius)) ** 2))
        ring = 0.5 + 0.5 * np.cos(distance / radius * 7.5)
        halo = np.maximum(halo, np.exp(-((distance / (1.25 * radius)) ** 2)) * (0.6 + 0.4 * ring))
        core = np.maximum(core, np.exp(-((distance / (0.45 * radius)) ** 4)))
    hill = 0.56 - 0.05 * np.sin(turn * (0.8 * x + 0.05)) - 0.03 * np.sin(turn * 1.9 * x + 1)
    meadow = 0.66 + 0.03 * np.sin(turn * (1.1 * x + 0.3)) - 0.05 * x
    trunk = 0.115 + 0.012 * np.sin(y * 22)
    flame = 0.062 * np.clip((y - 0.235) / 0.30, 0, 1) ** 0.8 * (1 + 0.16 * np.sin(y * 60))
    tree = (np.abs(x - trunk) < flame) & (y > 0.235)
    tree2 = (np.abs(x - 0.215 - 0.008 * np.sin(y * 30)) < 0.036 * np.clip((y - 0.40) / 0.25, 0, 1))
    labels = np.select([tree | tree2, y < hill, y < meadow], [3, 0, 1], 2)
    rising = np.stack([0.25 * np.sin(y * 34 + x * 40), -np.ones_like(y)], axis=-1)
    fields = [
        along(sky),
        along(y - hill + 0.02 * np.sin(turn * (2 * x + 3 * y))),
        along(y - 0.8 * meadow + 0.03 * np.sin(turn * (1.6 * x - 2 * y))),
        rising / np.linalg.norm(rising, axis=-1, keepdims=True),
    ]
    field = np.choose(labels[..., None], fields)
    blues = [
        (16, 28, 84), (28, 58, 138), (52, 98, 176), (22, 42, 110), (108, 152, 196), (36, 76, 152),
        (14, 22, 66), (70, 124, 180), (164, 190, 196), (30, 62, 130),
    ]  # fmt: skip
    wander = 0.03 * smooth_noise(rng, height, width, 40)
    heaven = palette((sky + wander) * 3.1, blues, True)
    glow = palette(np.clip(halo * 1.1, 0, 1), [(40, 84, 150), (120, 160, 130), (222, 190, 70),
                                               (250, 214, 84)])  # fmt: skip
    heaven = heaven + (glow - heaven) * np.clip(halo * 1.7, 0, 1)[..., None]
    heaven = heaven + (np.array([255, 244, 190]) - heaven) * core[..., None]
    ranges = [(18, 30, 74), (34, 62, 112), (58, 92, 136), (24, 40, 88), (44, 84, 104)]
    fields_of_corn = [(22, 40, 44), (52, 82, 58), (96, 112, 62), (30, 56, 66), (150, 142, 70),
                      (36, 62, 48)]  # fmt: skip
    cypress = [(12, 22, 26), (24, 46, 38), (44, 66, 40), (16, 28, 40), (70, 78, 38)]
    picture = np.choose(
        labels[..., None],
        [
            heaven,
            palette((y - hill + wander) * 9, ranges, True),
            palette((y - meadow + wander) * 8, fields_of_corn, True),
            palette((x + wander) * 26, cypress, True),
        ],
    )
    canvas = new_canvas(height, width, (14, 22, 58))
    layer(canvas, rng, field, picture, labels, 13, 48, 10, 8)
    layer(canvas, rng, field, picture, labels, 8, 36, 8, 18)
    layer(canvas, rng, field, picture, labels, 6, 30, 8, 26, 18)
    layer(canvas, rng, field, picture * 1.15 + 18, labels, 4, 26, 15, 20, 16)
    layer(canvas, rng, field, picture * 0.5, labels, 3, 28, 19, 8, 8)
    return finish(canvas, 0.8)


PICTURES: dict[str, Callable[[int], Pixels]] = {"scream.jpg": scream, "night.jpg": night}


def encode(picture: Pixels) -> bytes:
    """The picture as a JPEG file below `LARGEST_FILE` bytes, at the best quality that fits."""
    for quality in range(95, 10, -1):
        data = cv2.imencode(
            ".jpg", picture[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, quality]
        )[1].tobytes()
        if len(data) < LARGEST_FILE:
            return data
    raise ValueError(f"{picture.shape} does not fit into {LARGEST_FILE} bytes")


def main() -> None:
    """Paint all pictures into a folder."""
    parser = argparse.ArgumentParser(description="Paint the bundled style pictures.")
    parser.add_argument("folder", nargs="?", type=Path, default=GALLERY, metavar="FOLDER")
    folder = parser.parse_args().folder
    folder.mkdir(parents=True, exist_ok=True)
    for name, picture in PICTURES.items():
        (folder / name).write_bytes(encode(picture(768)))
        print(folder / name)


if __name__ == "__main__":
    main()
