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
    SUPERSAMPLING,
    Floats,
    Labels,
    Pixels,
    along,
    at,
    brush,
    fill,
    finish,
    new_canvas,
    palette,
    pen,
    plane,
    resampled,
    scatter,
    smooth_curve,
    smooth_noise,
    spaced,
    trace,
    turned,
    unit,
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
    starts = scatter(rng, labels.shape[0], labels.shape[1], spacing)
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
    sky += -0.24 * np.exp(-((sun / 0.085) ** 2)) + 0.055 * np.exp(
        -(((x - 0.22) / 0.17) ** 2) - ((y - 0.13) / 0.07) ** 2
    )
    eddy = np.hypot((x - 0.36) / 1.9, y - 0.60)
    water = y + 0.012 * np.sin(turn * (1.9 * x + y)) + 0.008 * np.sin(turn * (4.1 * x - 3 * y))
    water += 0.08 * np.exp(-((eddy / 0.085) ** 2)) - 0.045 * np.exp(
        -(((x - 0.86) / 0.16) ** 2) - ((y - 0.54) / 0.055) ** 2
    )
    ridge = (
        0.425
        - 0.075 * np.exp(-(((x - 0.05) / 0.17) ** 2))
        - 0.055 * np.exp(-(((x - 0.36) / 0.12) ** 2))
    )
    ridge -= 0.045 * np.exp(-(((x - 1.0) / 0.1) ** 2)) + 0.006 * np.sin(turn * 6 * x)
    shore = 0.455 + 0.014 * np.sin(turn * (1.3 * x + 0.3))
    bank = 0.80 - 0.20 * np.exp(-(((x - 1.02) / 0.3) ** 2)) - 0.13 * np.exp(-((x / 0.15) ** 2))
    bank += 0.012 * np.sin(turn * 3.1 * x)
    labels = np.select([y < ridge, y < shore, y < bank], [0, 1, 2], 3)
    hills = y - ridge + 0.25 * (shore - ridge) * np.sin(turn * 2.2 * x)
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
    glow = np.exp(-((sun / 0.05) ** 4))[..., None]
    fires = palette((sky + wander) * 2.6 - 0.1, fire, True) * (1 - glow)
    fires = fires + np.array([255, 240, 142]) * glow
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
    layer(canvas, rng, field, picture, labels, 6, 110, 10, 22)
    layer(canvas, rng, field, blaze, labels, 5, 50, 10, 26, where=reflection)
    shades = np.array([[0.82, 0.5, 0.42], [0.5, 0.5, 0.7], [0.5, 0.6, 0.75], [0.6, 0.6, 0.6]])
    layer(canvas, rng, field, picture * shades[labels], labels, 3, 90, 19, 8)
    layer(canvas, rng, field, picture * 1.12 + 14, labels, 3, 80, 17, 14)
    return finish(canvas, 0.5)


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
        (0.735, 0.155, 0.062), (0.50, 0.065, 0.026), (0.545, 0.255, 0.030), (0.925, 0.070, 0.030),
        (0.905, 0.285, 0.028), (0.075, 0.085, 0.034), (0.345, 0.165, 0.024), (0.20, 0.305, 0.030),
        (0.395, 0.355, 0.022), (0.045, 0.40, 0.020),
    ]  # fmt: skip
    spin = np.zeros_like(x)
    sky = y + 0.045 * np.sin(turn * (1.2 * x + 0.5 * y)) + 0.02 * np.sin(turn * (2.7 * x - 2 * y))
    for across, down, reach, strength in [
        (0.22, 0.19, 0.075, -0.20), (0.43, 0.25, 0.05, 0.11), (0.63, 0.345, 0.055, -0.12),
    ]:  # fmt: skip
        bump = np.exp(-(((x - across) / 1.4) ** 2 + (y - down) ** 2) / reach**2)
        sky += strength * bump
        spin += 16 * np.sign(strength) * bump  # circles become spirals
    halo = np.zeros_like(x)
    core = np.zeros_like(x)
    for across, down, radius in lights:
        distance = np.hypot(x - across, y - down)
        sky += 0.55 * np.exp(-((distance / (1.5 * radius)) ** 2))
        ring = 0.5 + 0.5 * np.cos(distance / radius * 7.5)
        halo = np.maximum(halo, np.exp(-((distance / (1.25 * radius)) ** 2)) * (0.6 + 0.4 * ring))
        core = np.maximum(core, np.exp(-((distance / (0.45 * radius)) ** 4)))
    shore = 0.515 + 0.006 * np.sin(turn * 2.3 * x)
    hill = 0.465 - 0.055 * np.sin(turn * (0.75 * x + 0.62)) - 0.016 * np.sin(turn * 2.1 * x + 1)
    bank = 0.80 - 0.14 * np.exp(-(((x - 0.02) / 0.28) ** 2)) - 0.03 * np.sin(turn * 1.3 * x)
    labels = np.select([y < hill, y < shore, y < bank], [0, 1, 2], 3)
    grass = np.stack([0.55 * np.sin(turn * (1.5 * x + y)) + 0.35, -np.ones_like(y)], axis=-1)
    fields = [
        turned(along(sky), spin),
        along(y - hill + 0.02 * np.sin(turn * (2 * x + 3 * y))),
        along(y + 0.006 * np.sin(turn * (5 * x + 2 * y)) + 0.01 * np.sin(turn * (1.7 * x - 4 * y))),
        unit(grass),
    ]
    field = np.choose(labels[..., None], fields)
    shimmer = np.zeros_like(x)
    depth = np.maximum(y - shore, 0)
    for across, _, radius in lights:
        column = (x - across + 0.006 * np.sin(y * 90)) / (0.10 * radius + 0.008 + 0.07 * depth)
        shimmer = np.maximum(shimmer, np.exp(-(column**2)) * min(1.0, radius / 0.035))
    shimmer *= 0.62 + 0.38 * np.sin(y * 260 + 5 * np.sin(x * 30))
    lamps = np.zeros_like(x)
    for across in np.arange(0.04, 1.0, 0.071) + rng.uniform(-0.02, 0.02, 14):
        lamps = np.maximum(lamps, np.exp(-((np.hypot(x - across, y - 0.505) / 0.007) ** 2)))
        streak = np.exp(-(((x - across) / 0.006) ** 2) - (depth / 0.05) ** 2) * (y > shore)
        shimmer = np.maximum(shimmer, 0.9 * streak)
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
    ranges = [(14, 22, 58), (26, 44, 84), (62, 66, 112), (18, 28, 68), (30, 66, 78)]
    lake = [(18, 40, 92), (34, 74, 134), (24, 54, 112), (72, 122, 156), (14, 30, 74), (40, 92, 128)]
    reeds = [(16, 34, 40), (44, 74, 52), (94, 104, 58), (24, 50, 60), (140, 126, 62), (30, 44, 66)]
    amber = np.array([246.0, 198, 82])
    mountains = palette((y - hill + wander) * 11, ranges, True)
    ripples = palette((y + wander + 0.01 * np.sin(turn * 3 * x)) * 14, lake, True)
    picture = np.choose(
        labels[..., None],
        [
            heaven,
            mountains + (amber - mountains) * lamps[..., None],
            ripples + (amber - ripples) * np.clip(shimmer * 1.25, 0, 1)[..., None],
            palette((x * 2 + y + 2 * wander) * 9, reeds, True),
        ],
    )
    shining = np.maximum(core, np.maximum(halo, np.where(labels == 2, shimmer, lamps)))
    canvas = new_canvas(height, width, (14, 22, 58))
    layer(canvas, rng, field, picture, labels, 13, 48, 10, 8)
    layer(canvas, rng, field, picture, labels, 8, 36, 8, 15, where=1.1 - 0.4 * shining)
    layer(canvas, rng, field, picture, labels, 6, 30, 8, 20, 16)
    layer(canvas, rng, field, picture * (0.5, 0.6, 0.85), labels, 3, 28, 17, 8, 8, 0.9 - shining)
    layer(canvas, rng, field, picture * 1.12 + 14, labels, 4, 26, 13, 14, 14)
    return finish(canvas, 0.85)


def wave(size: int = 768) -> Pixels:
    """Curling Prussian blue waves with fingers of foam, like a woodblock print on cream paper.

    Args:
        size: long side in pixels.

    Returns:
        (H, W, 3) uint8, red first.
    """
    rng = np.random.default_rng(1831)
    height, width = round(size * 0.7), size
    x, y = plane(height, width)
    turn = 2 * np.pi
    horizon = 0.27 + 0.012 * np.sin(turn * 1.6 * x)
    sky = y + 0.022 * np.sin(turn * (1.1 * x + 0.2)) + 0.010 * np.sin(turn * (2.6 * x + 2 * y))
    sea = y + 0.012 * np.sin(turn * (2.4 * x + y)) + 0.008 * np.sin(turn * (5.1 * x - 3 * y))
    wander = 0.01 * smooth_noise(rng, height, width, 90)
    paper = [(238, 226, 194), (228, 212, 176), (240, 230, 202), (206, 204, 186), (236, 220, 184),
             (184, 192, 184), (242, 232, 206)]  # fmt: skip
    air = palette((sky + wander) * 5, paper, True)
    dusk = np.clip((y - 0.13) / 0.16, 0, 1)[..., None]
    air = air + (np.array([150, 168, 172]) - air) * 0.75 * dusk
    sun = np.hypot(x - 0.79, y - 0.125)
    air = np.where((sun < 0.062)[..., None], np.array([206, 88, 62]), air)
    water = [(24, 48, 92), (44, 88, 132), (20, 38, 76), (120, 158, 172), (34, 70, 116),
             (222, 214, 186), (26, 56, 102), (72, 118, 152)]  # fmt: skip
    picture = np.where((y < horizon)[..., None], air, palette((sea + wander) * 13, water, True))
    labels = (y >= horizon) * 2 + (sun < 0.062) * 1
    field = np.where((y < horizon)[..., None], along(sky), along(sea))
    canvas = new_canvas(height, width, (214, 202, 170))
    layer(canvas, rng, field, picture, labels, 10, 120, 8, 3, 4)
    layer(canvas, rng, field, picture, labels, 4, 90, 9, 6, 5)
    starts = scatter(rng, height, width, 4)
    starts = starts[rng.random(len(starts)) < 0.6]
    lines = trace(starts, field, 110.0, 15, labels)
    rim = np.linspace(0, turn, 60)
    rim = (np.stack([np.cos(rim), np.sin(rim)], axis=-1) * 0.0625 + (0.79, 0.125)) * size
    pen(canvas, rim[None], np.full((1, 60), 2.4), np.array([[132.0, 52, 48]]))
    gap = np.where(at(labels, starts) == 2, 6.5, 11.0)
    grain = [resampled(line, 15) for line in spaced(lines, height, width, gap)]
    thin = np.sin(np.linspace(0, np.pi, 15)) * rng.uniform(0.6, 1.3, (len(grain), 1))
    shade = at(picture, np.array([line[7] for line in grain])) * (0.78, 0.82, 0.88)
    pen(canvas, np.array(grain), thin, shade)
    rows = [(0.285, 0.05, 11), (0.325, 0.075, 8), (0.385, 0.11, 6), (0.47, 0.14, 5)]
    crests = []
    for base, scale, number in rows:
        for place in (np.arange(number) + rng.uniform(-0.2, 0.5)) / (number - 1):
            tall = scale * rng.uniform(0.75, 1.25)
            crests.append((place + rng.uniform(-0.03, 0.03), base, tall, 1 if place < 0.62 else -1))
    crests += [(0.42, 0.535, 0.15, 1), (0.60, 0.56, 0.14, -1), (0.48, 0.61, 0.15, 1)]
    crests += [(0.265, 0.60, 0.47, 1), (0.62, 0.635, 0.13, 1), (0.80, 0.62, 0.25, -1)]
    crests += [(1.02, 0.66, 0.26, -1)]
    crests += [(-0.02, 0.70, 0.27, 1), (0.56, 0.71, 0.17, 1), (0.36, 0.77, 0.20, 1)]
    crests += [(0.72, 0.77, 0.17, -1), (0.94, 0.79, 0.17, -1), (0.14, 0.79, 0.14, 1)]
    for across, base, tall, facing in crests:
        _breaker(canvas, rng, np.array([across, base]) * size, tall * size, facing)
    return finish(canvas, 0.12)


_INDIGO = np.array([18.0, 32, 62])
_FOAM = np.array([240.0, 232, 206])


def _breaker(
    canvas: Pixels, rng: np.random.Generator, foot: Floats, tall: float, facing: int
) -> None:
    """One wave, ``tall`` pixels high, that rises from ``foot`` and curls right (1) or left (-1)."""
    points = 90
    outer = smooth_curve(
        [(1.75, -0.16), (1.25, 0.06), (0.85, 0.36), (0.52, 0.70), (0.2, 0.94), (-0.1, 1.0),
         (-0.36, 0.91), (-0.53, 0.71), (-0.49, 0.54)], points)  # fmt: skip
    inner = smooth_curve(
        [(-1.75, -0.16), (-1.0, -0.03), (-0.50, 0.10), (-0.17, 0.30), (-0.05, 0.52), (-0.11, 0.70),
         (-0.25, 0.77), (-0.39, 0.69), (-0.49, 0.54)], points)  # fmt: skip
    scale = tall * np.array([-facing, -1.0])
    outer, inner = outer * scale + foot, inner * scale + foot
    stripes = int(np.clip(tall / 9, 7, 26))
    shares = np.cumsum(rng.uniform(0.5, 1.5, stripes + 1))
    shares = (shares - shares[0]) / (shares[-1] - shares[0])
    tones = [(22, 44, 88), (38, 82, 128), (18, 36, 74), (112, 152, 172), (30, 64, 112),
             (226, 218, 190), (24, 50, 96), (78, 122, 156)]  # fmt: skip
    paths, colours = [], []
    for stripe in range(stripes):
        low, high = shares[stripe], shares[stripe + 1]
        edges = [inner + (outer - inner) * share for share in (low, high)]
        tone = np.array(tones[stripe % len(tones)]) + rng.normal(0, 5, 3)
        fill(canvas, np.concatenate([edges[0], edges[1][::-1]]), np.clip(tone, 0, 255))
        for share in np.arange(low, high, 2.6 / tall):  # the knife's marks along the wave
            curve = inner + (outer - inner) * share
            start = int(rng.integers(0, points - 24))
            length = int(rng.integers(14, 24))
            paths.append(resampled(curve[start : start + length], 13))
            colours.append(tone + rng.normal(-3, 17) + rng.normal(0, 4, 3))
    brush(canvas, rng, np.array(paths), np.clip(colours, 0, 255), 3, 7, 1.0, 0.6)
    ink = max(1.1, min(2.6, tall / 60))
    swell = 0.55 + 0.45 * np.sin(np.linspace(0, np.pi, points)) ** 2
    contours = np.array([inner + (outer - inner) * share for share in shares[1:-1]])
    pen(canvas, contours, 0.55 * ink * np.tile(swell, (len(contours), 1)),
        np.tile(_INDIGO, (len(contours), 1)))  # fmt: skip
    pen(canvas, np.array([inner, outer]), ink * np.array([swell, swell]), np.array([_INDIGO] * 2))
    _foam(canvas, rng, inner, outer, tall, facing, ink)


def _foam(
    canvas: Pixels,
    rng: np.random.Generator,
    inner: Floats,
    outer: Floats,
    tall: float,
    facing: int,
    ink: float,
) -> None:
    """The cap of foam on a wave's crest, its curling fingers and the spray ahead of it."""
    points = len(outer)
    first = int(points * 0.48)
    share = np.linspace(0, 1, 240)
    lobes = 0.09 * np.abs(np.sin(share * tall / 9)) + 0.10 + 0.18 * share
    lobes = lobes * np.minimum(1, share * 5)
    cap = resampled(outer[first:], 240)
    hem = cap + (resampled(inner[first:], 240) - cap) * lobes[:, None]
    fill(canvas, np.concatenate([cap, hem[::-1]]), _FOAM)
    pen(canvas, hem[None], np.full((1, len(hem)), 0.7 * ink), _INDIGO[None])
    size = np.clip(tall * 0.085, 5, 26)
    fingers = int(np.clip(tall / 4.2, 9, 70))
    roots = []
    for number in range(fingers):
        along_crest = 0.5 + 0.5 * (number + rng.uniform(-0.3, 0.3)) / fingers
        index = int(np.clip(along_crest * (points - 1), 1, points - 2))
        roots.append((outer[index], outer[index + 1] - outer[index - 1], 1.0))
        if number > fingers * 0.55:
            index = int(points * (0.80 + 0.18 * rng.random()))
            roots.append((inner[index], inner[index + 1] - inner[index - 1], -1.0))
    for root, tangent, side in roots:
        forward = np.arctan2(tangent[1], tangent[0])
        heading = forward - facing * side * rng.uniform(0.5, 1.25)
        bend = facing * rng.uniform(1.2, 2.4) * (1 if side > 0 else -1)
        length = size * rng.uniform(1.1, 2.1)
        _finger(canvas, rng, root, heading, bend, length, size * rng.uniform(0.4, 0.6), ink, 2)
    drops = int(np.clip(tall * 0.35, 4, 110))
    for _ in range(drops):
        index = int(rng.integers(int(points * 0.5), points))
        away = tall * np.array([facing * rng.exponential(0.16), rng.normal(-0.03, 0.12)])
        centre = outer[index] + away
        radius = rng.uniform(0.5, 1.0) * np.clip(tall / 90, 0.9, 2.6)
        circle = np.linspace(0, 2 * np.pi, 12, endpoint=False)
        ring = np.stack([np.cos(circle), np.sin(circle)], axis=-1)
        fill(canvas, centre + ring * (radius + 0.35 * ink), _INDIGO)
        fill(canvas, centre + ring * radius, _FOAM)


def _finger(
    canvas: Pixels,
    rng: np.random.Generator,
    root: Floats,
    heading: float,
    bend: float,
    length: float,
    thick: float,
    ink: float,
    branches: int,
) -> None:
    """A finger of foam that bends by ``bend`` radians and splits into smaller ones."""
    share = np.linspace(0, 1, 10)
    angle = heading + bend * share**1.5
    steps = np.stack([np.cos(angle), np.sin(angle)], axis=-1) * length / 9
    path = root + np.cumsum(steps, axis=0) - steps[0]
    girth = thick * (1 - 0.85 * share**1.6) * np.sqrt(np.clip(0.1 + 5 * share, 0, 1))
    pen(canvas, path[None], (girth + 1.3 * ink)[None], _INDIGO[None])
    for _ in range(branches):
        index = int(rng.integers(3, 8))
        turned_by = float(angle[index] + rng.choice([-1.0, 1.0]) * rng.uniform(0.5, 1.0))
        if length > 7:
            _finger(canvas, rng, path[index], turned_by, bend * 0.9, length * 0.55,
                    thick * 0.6, ink * 0.8, branches - 1)  # fmt: skip
    pen(canvas, path[None], girth[None], _FOAM[None] + rng.normal(0, 4))
    vein = path + np.array([0.12, 0.18]) * thick
    pen(canvas, vein[None, 2:8], np.full((1, 6), 0.3 * ink), np.array([[96.0, 136, 160]]))


def mosaic(size: int = 768) -> Pixels:
    """Two fish in a swirling sea, laid in coloured stones that follow the flow.

    Args:
        size: long side in pixels.

    Returns:
        (H, W, 3) uint8, red first.
    """
    rng = np.random.default_rng(530)
    height, width = round(size * 0.78), size
    x, y = plane(height, width)
    turn = 2 * np.pi
    bottom = height / size
    sea = y + 0.035 * np.sin(turn * (1.5 * x + 0.7 * y)) + 0.014 * np.sin(turn * (3.4 * x - 2 * y))
    for across, down, reach, strength in [
        (0.16, 0.19, 0.075, -0.20), (0.80, 0.24, 0.070, 0.17), (0.22, 0.57, 0.07, 0.17),
        (0.86, 0.60, 0.075, -0.20), (0.50, 0.11, 0.05, 0.12),
    ]:  # fmt: skip
        sea += strength * np.exp(-((x - across) ** 2 + (y - down) ** 2) / reach**2)
    blues = [(20, 74, 112), (44, 128, 140), (96, 176, 168), (214, 222, 196), (58, 146, 160),
             (24, 92, 124), (16, 48, 88), (38, 104, 92), (132, 176, 120),
             (28, 66, 104)]  # fmt: skip
    picture = palette(sea * 4.3, blues, True)
    region = np.zeros((height, width), np.int64)
    field = along(sea)
    fishes = [(0.40, 0.285, 0.245, -0.16, 0.5, 1.0), (0.60, 0.525, 0.215, 0.12, -0.5, -1.0)]
    reds = [
        [(250, 232, 190), (240, 176, 70), (222, 104, 46), (168, 48, 36), (92, 28, 36)],
        [(246, 236, 200), (236, 200, 96), (198, 150, 50), (150, 66, 60), (70, 34, 60)],
    ]
    for number, (across, down, long, tilt, bow, ahead) in enumerate(fishes, 1):
        cosine, sine = np.cos(tilt), np.sin(tilt)
        a = ((x - across) * cosine + (y - down) * sine) / long * ahead
        b = (-(x - across) * sine + (y - down) * cosine) / long + bow * 0.35 * (a**2 - 0.3)
        inside = np.clip(1 - ((a - 0.12) / 0.9) ** 2, 0, 1)
        body = 0.36 * inside**0.8
        tail = np.where((a < -0.55) & (a > -1.12), 0.05 + 0.72 * (-0.55 - a), 0.0)
        above = (np.abs(a) < 0.35) & (b < 0)
        fin = np.where(above, body + 0.13 * np.sin(turn * (a + 0.35) / 1.4), 0)
        reach = np.maximum(np.maximum(body, tail), fin)
        depth = np.abs(b) / np.maximum(reach, 1e-6)
        near = np.abs(b) < reach + 0.085
        near &= (a > -1.2) & (a < 1.1) & (reach > 0)
        fish = np.abs(b) < reach
        tone = np.clip(0.5 - 0.75 * b / np.maximum(body, 0.12), 0, 1)
        scales = 0.14 * np.sin(a * 34) * np.sign(np.sin(b * 46))
        skin = palette(np.clip(tone + scales, 0, 1), reds[number - 1])
        ribs = palette((a * 5 + np.abs(b) * 3), reds[number - 1][1:], True)
        skin = np.where(((np.abs(b) > body) | (a < -0.6))[..., None], ribs, skin)
        gill = np.abs(np.hypot(a - 0.92, b) - 0.42) < 0.035
        skin = np.where((gill | (depth > 0.86))[..., None], np.array([44, 26, 40]), skin)
        eye = np.hypot(a - 0.72, b + 0.07)
        skin = np.where((eye < 0.095)[..., None], np.array([250, 244, 224]), skin)
        skin = np.where((eye < 0.05)[..., None], np.array([20, 18, 28]), skin)
        picture = np.where((near & ~fish)[..., None], np.array([226, 226, 200]), picture)
        picture = np.where(fish[..., None], skin, picture)
        region = np.where(near & ~fish, 10 * number, region)
        region = np.where(fish, 10 * number + 1 + (depth > 0.86) + 2 * (eye < 0.095), region)
        flow = along(b / np.maximum(reach, 0.12))
        swim = np.stack([np.full_like(x, cosine), np.full_like(x, sine)], axis=-1)
        field = np.where((near & (a > -0.6))[..., None], flow, field)
        field = np.where((near & (a <= -0.6))[..., None], swim, field)
    for across, down, radius in [(0.085, bottom - 0.085, 0.15), (0.915, 0.085, 0.13)]:
        distance = np.hypot(x - across, y - down)
        shell = distance < radius
        fan = np.arctan2(y - down, x - across)
        rays = [(226, 120, 72), (246, 222, 180), (190, 70, 56), (240, 176, 110)]
        colour = palette(0.25 * np.floor(fan / turn * 24) + distance / 0.26, rays, True)
        colour = np.where((distance > radius - 0.016)[..., None], np.array([70, 30, 40]), colour)
        picture = np.where(shell[..., None], colour, picture)
        region = np.where(shell, 40 + (np.floor(fan / turn * 24) % 2), region)
        field = np.where(shell[..., None], along(distance), field)
    margin = np.minimum(np.minimum(x, 1 - x), np.minimum(y, bottom - y))
    lengthwise = np.where(np.minimum(x, 1 - x) < np.minimum(y, bottom - y), y, x)
    rope = margin - 0.032 - 0.013 * np.sin(turn * lengthwise * 14)
    frame = np.where((rope > 0)[..., None], np.array([232, 214, 168]), np.array([166, 62, 44]))
    frame = np.where((np.abs(rope) < 0.007)[..., None], np.array([34, 30, 48]), frame)
    frame = np.where((margin < 0.013)[..., None], np.array([206, 154, 60]), frame)
    frame = np.where((margin > 0.051)[..., None], np.array([38, 34, 52]), frame)
    picture = np.where((margin < 0.064)[..., None], frame, picture)
    region = np.where(margin < 0.064, 50 + (margin < 0.013) + 2 * (margin > 0.051), region)
    upright = np.where((lengthwise == x)[..., None], np.array([1.0, 0.0]), np.array([0.0, 1.0]))
    field = np.where((margin < 0.064)[..., None], upright, field)
    return _lay_stones(rng, picture, field, region.astype(np.int64), 9.0)


def _lay_stones(
    rng: np.random.Generator, picture: Floats, field: Floats, region: Labels, spacing: float
) -> Pixels:
    """Fill a picture with stones turned along a field (after Hausner 2001).

    The stones are the cells of a Voronoi diagram under the maximum metric of each stone's own axes,
    evened out by Lloyd's iterations, and none reaches into a neighbouring region.

    Args:
        rng: source of every choice.
        picture: colours, (H, W, 3) in [0, 255].
        field: directions of the rows of stones, (H, W, 2).
        region: areas with an edge that stones keep to, (H, W).
        spacing: mean side of a stone in pixels.

    Returns:
        (H, W, 3) uint8, red first.
    """
    height, width = region.shape
    points = scatter(rng, height, width, spacing)
    for _ in range(9):
        stones = _cells(points, field, region, spacing, 1)
        flat = stones.ravel()
        area = np.bincount(flat, minlength=len(points))
        columns = np.bincount(flat, np.tile(np.arange(width), height), len(points))
        rows = np.bincount(flat, np.repeat(np.arange(height), width), len(points))
        centre = np.stack([columns, rows], axis=-1) / np.maximum(area, 1)[:, None] + 0.5
        points = np.where(area[:, None] > 0, centre, points)
    stones = _cells(points, field, region, spacing, SUPERSAMPLING)
    colours = at(picture, points) + rng.normal(0, 12, (len(points), 1))
    colours = np.clip(colours + rng.normal(0, 9, (len(points), 3)), 6, 250)
    canvas = new_canvas(height, width, (0, 0, 0))
    canvas[..., :3] = colours[stones]
    small = stones[SUPERSAMPLING // 2 :: SUPERSAMPLING, SUPERSAMPLING // 2 :: SUPERSAMPLING]
    chips = turned(field, 45 * smooth_noise(rng, height, width, 25))
    layer(canvas, rng, chips, colours[small], small, 3, 7, 4.5, 7, 7)
    edge = np.zeros(stones.shape, bool)
    edge[:, 1:] |= stones[:, 1:] != stones[:, :-1]
    edge[1:] |= stones[1:] != stones[:-1]
    away = cv2.distanceTransform((~edge).astype(np.uint8), cv2.DIST_L2, 5)
    ragged = cv2.resize(smooth_noise(rng, height, width, 3), away.shape[::-1])
    away = away + 0.5 * ragged
    shown = np.clip((away - 1.2) / 1.2, 0, 1)[..., None]
    grout = 44 + 12 * np.repeat(ragged[..., None], 3, axis=-1) * (1.0, 0.95, 0.9)
    mixed = canvas[..., :3] * shown + grout * (1.0, 0.92, 0.84) * (1 - shown)
    canvas[..., :3] = np.clip(np.round(mixed), 0, 255)
    tilt_x, tilt_y = rng.normal(0, 1.0, (2, len(points)))
    place_y, place_x = np.mgrid[0 : stones.shape[0], 0 : stones.shape[1]] / SUPERSAMPLING
    slant = (place_x - points[stones, 0]) * tilt_x[stones]
    slant += (place_y - points[stones, 1]) * tilt_y[stones]
    dome = 130 * np.clip((away - 1) / 4.5, 0, 1) ** 0.7 + 60 + 4 * slant
    canvas[..., 3] = np.clip(dome, 0, 255)
    return finish(canvas, 1.3)


def _cells(points: Floats, field: Floats, region: Labels, spacing: float, scale: int) -> Labels:
    """Index of the nearest stone for every pixel at ``scale`` times the resolution."""
    region = np.repeat(np.repeat(region, scale, axis=0), scale, axis=1)
    height, width = region.shape
    nearest = np.full(region.shape, np.inf)
    stones = np.zeros(region.shape, np.int64)
    reach = int(spacing * scale * 1.7)
    directions, homes = at(field, points), at(region, points * scale)
    for index, (column, row) in enumerate((points * scale).tolist()):
        left, right = max(0, int(column) - reach), min(width, int(column) + reach + 1)
        top, bottom = max(0, int(row) - reach), min(height, int(row) + reach + 1)
        window = (slice(top, bottom), slice(left, right))
        across = np.arange(left, right) + 0.5 - column
        down = (np.arange(top, bottom) + 0.5 - row)[:, None]
        cosine, sine = directions[index]
        distance = np.maximum(
            np.abs(across * cosine + down * sine) * 0.88, np.abs(down * cosine - across * sine)
        )
        distance = distance + 1e3 * (region[window] != homes[index])
        closer = distance < nearest[window]
        nearest[window][closer] = distance[closer]
        stones[window][closer] = index
    return stones


def ink(size: int = 768) -> Pixels:
    """A lighthouse on a stormy coast, hatched and cross-hatched in ink on warm paper.

    Args:
        size: long side in pixels.

    Returns:
        (H, W, 3) uint8, red first.
    """
    rng = np.random.default_rng(1513)
    height, width = round(size * 0.8), size
    x, y = plane(height, width)
    turn = 2 * np.pi
    noise = [smooth_noise(rng, height, width, cell) for cell in (110, 45, 20)]
    rough = 0.6 * noise[0] + 0.3 * noise[1] + 0.1 * noise[2]
    lamp = (0.735, 0.205)
    beam = np.arctan2(y - lamp[1], x - lamp[0])
    puffs = [
        (0.10, 0.30, 0.10), (0.20, 0.24, 0.105), (0.30, 0.30, 0.09), (0.02, 0.22, 0.10),
        (0.40, 0.335, 0.07), (0.13, 0.15, 0.075), (0.47, 0.10, 0.06), (0.54, 0.075, 0.07),
        (0.62, 0.11, 0.05), (0.95, 0.27, 0.10), (0.88, 0.34, 0.08), (1.02, 0.17, 0.09),
        (0.28, 0.06, 0.055), (0.35, 0.045, 0.06), (0.90, 0.06, 0.06), (0.83, 0.045, 0.05),
    ]  # fmt: skip
    cloud = np.full_like(x, np.inf)
    arcs = np.zeros_like(x)
    cloud_tone = np.zeros_like(x)
    for across, down, radius in puffs:
        distance = np.hypot(x - across, (y - down) * 1.15) / radius * (1 + 0.10 * rough)
        lit = 0.62 + 0.42 * ((across - x) * 0.5 + (down - y) * 1.0) / radius - 0.25 * distance**4
        nearer = distance < cloud
        shells = np.hypot(x - across + 0.4 * radius, y - down + 0.5 * radius) / radius
        arcs = np.where(nearer, shells, arcs)
        cloud_tone = np.where(nearer, lit + 0.08 * noise[2] + 0.07, cloud_tone)
        cloud = np.minimum(cloud, distance)
    horizon = 0.46
    cliff = 0.40 - 0.05 * np.clip((x - 0.60) / 0.2, 0, 1) + 0.010 * rough
    cliff = np.where(x > 0.60, cliff, 0.40 + (0.60 - x) * 2.6 + 0.03 * rough)
    rocks = 0.735 - 0.11 * np.exp(-(((x - 0.02) / 0.16) ** 2)) - 0.03 * rough
    rocks += 0.05 * np.abs(np.sin(turn * 2.2 * x)) - 0.02
    half = 0.030 + 0.014 * np.clip((y - 0.24) / 0.15, 0, 1)
    tower = (np.abs(x - lamp[0]) < half) & (y > 0.235) & (y < 0.37)
    gallery = (np.abs(x - lamp[0]) < 0.040) & (y > 0.228) & (y < 0.242)
    lantern = (np.abs(x - lamp[0]) < 0.021) & (y > 0.185) & (y <= 0.228)
    roof = (np.abs(x - lamp[0]) < 0.9 * (y - 0.150)) & (y > 0.150) & (y <= 0.185)
    labels = np.select(
        [roof | gallery, lantern, tower, y > rocks, y > cliff, y > horizon, cloud < 1],
        [7, 6, 5, 4, 3, 2, 1],
        0,
    )
    swell = y + 0.018 * np.sin(turn * (2.2 * x + 2.0 * y) + 2 * noise[0]) * (y - 0.40) * 6
    swell += 0.010 * np.sin(turn * (5.0 * x - 3 * y) + 2 * noise[1]) * (y - 0.40) * 6
    crest = np.sin(np.sqrt(np.maximum(swell - 0.45, 0)) * 52)
    facet = np.sin(turn * (4.2 * x + 1.4 * y) + 2.5 * rough)
    facet += 0.6 * np.sin(turn * 9 * (x - 0.5 * y))
    in_beam = np.exp(-(((np.abs(beam) - np.pi + 0.10) / 0.16) ** 2))
    in_beam = np.maximum(in_beam, np.exp(-(((beam + 0.35) / 0.15) ** 2)))
    glow = np.exp(-((np.hypot(x - lamp[0], y - lamp[1]) / 0.09) ** 2))
    tones = [
        0.36 + 0.14 * rough + 0.25 * y + 0.5 * in_beam + 0.5 * glow,
        cloud_tone + 0.2 * in_beam,
        0.46 + 0.36 * crest + 0.1 * rough,
        0.44 + 0.28 * facet + 0.10 * rough,
        0.22 + 0.24 * np.sin(turn * (3.1 * x - 2.2 * y) + 6 * rough),
        0.80 - 22.0 * np.maximum(x - lamp[0] + 0.012, 0) - 0.5 * (np.sin(y * 150) > 0.35),
        np.full_like(x, 0.95),
        np.full_like(x, 0.12),
    ]
    tone = np.choose(labels, tones)
    streaks = y + 0.014 * np.sin(turn * (1.3 * x + y)) + 0.02 * noise[0]
    fields = [
        along(streaks),
        along(arcs),
        along(swell),
        along(x + 0.35 * y + 0.012 * noise[0] + 0.004 * noise[1]),
        along(x - 0.8 * y + 0.02 * noise[0] + 0.006 * noise[1]),
        along(y - 9 * (x - lamp[0]) ** 2),
        along(x),
        along(y),
    ]
    field = np.choose(labels[..., None], fields)
    canvas = new_canvas(height, width, (238, 224, 192))
    paper = np.array([238.0, 224, 192]) + 7 * noise[1][..., None]
    layer(canvas, rng, turned(along(y), 60 * noise[1]), paper, labels * 0, 9, 40, 9, 3, 2)
    for angle, darkness, gap in [(0, 0.9, 2.8), (58, 0.5, 3.1), (-48, 0.28, 3.1), (14, 0.12, 2.8)]:
        _hatch(canvas, rng, turned(field, angle), labels, tone, darkness, gap)
    _contours(canvas, rng, labels)
    for _ in range(11):
        place = np.array([rng.uniform(0.30, 0.60), rng.uniform(0.19, 0.42)]) * size
        span, lean = rng.uniform(5, 12), rng.uniform(-0.3, 0.3)
        wing = np.linspace(-1, 1, 15)
        lift = -np.abs(np.sin(wing * np.pi * 0.8)) * 0.45 + lean * wing
        gull = place + np.stack([wing, lift], axis=-1) * span
        pen(canvas, gull[None], 2.0 - 1.7 * np.abs(wing[None]), np.array([[26.0, 20, 20]]))
    return finish(canvas, 0.0)


def _hatch(
    canvas: Pixels,
    rng: np.random.Generator,
    field: Floats,
    labels: Labels,
    tone: Floats,
    darkness: float,
    gap: float,
) -> None:
    """One set of evenly spaced lines wherever the tone is darker than ``darkness``.

    The lines swell with the darkness below them.
    """
    height, width = labels.shape
    areas = labels * 2 + (tone < darkness)
    starts = scatter(rng, height, width, gap * 0.55)
    starts = starts[at(tone, starts) < darkness]
    paths = trace(starts, field, rng.uniform(26, 80, len(starts)), 17, areas)
    paths = paths + rng.normal(0, 0.10, (len(paths), 1, 2))
    kept = spaced(paths, height, width, np.full(len(paths), gap))
    lines = np.array([resampled(line, 13) for line in kept])
    shortfall = np.clip((darkness - at(tone, lines)) / 0.5, 0, 1)
    ends = np.minimum(np.linspace(0, 1, 13), np.linspace(1, 0, 13)) * 2
    widths = (0.42 + 1.15 * shortfall) * (0.25 + 0.75 * np.minimum(ends * 2.2, 1))
    widths = widths * rng.uniform(0.85, 1.15, (len(lines), 1))
    colours = np.array([30.0, 24, 24]) + rng.normal(0, 8, (len(lines), 1))
    pen(canvas, lines, widths, np.clip(colours, 0, 255))


def _contours(canvas: Pixels, rng: np.random.Generator, labels: Labels) -> None:
    """Outline every area with a line that swells at random."""
    for area in range(1, int(labels.max()) + 1):
        mask = cv2.GaussianBlur((labels == area).astype(np.float32), (0, 0), 1.2) > 0.5
        found, _ = cv2.findContours(mask.astype(np.uint8), cv2.RETR_LIST, cv2.CHAIN_APPROX_NONE)
        for contour in found:
            if len(contour) < 30:
                continue
            path = resampled(contour[:, 0].astype(np.float64) + 0.5, len(contour) // 3)
            swell = 1.3 + 0.5 * np.sin(np.cumsum(rng.normal(0.15, 0.25, len(path))))
            rim = np.minimum(path, labels.shape[::-1] - path).min(1)
            swell = np.where(rim > 2, swell, 0.0)  # the picture's own edge is no outline
            pen(canvas, path[None], swell[None], np.array([[28.0, 22, 22]]))


PICTURES: dict[str, Callable[[int], Pixels]] = {
    "ink.jpg": ink,
    "mosaic.jpg": mosaic,
    "night.jpg": night,
    "scream.jpg": scream,
    "wave.jpg": wave,
}


def encode(picture: Pixels) -> bytes:
    """The picture as a JPEG file below `LARGEST_FILE` bytes, at the best quality that fits."""
    for quality in range(95, 10, -1):
        data = cv2.imencode(".jpg", picture[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, quality])[
            1
        ].tobytes()
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
