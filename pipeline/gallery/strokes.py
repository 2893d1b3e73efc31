"""Strokes: the brush, the pen and the fields they follow.

Positions are (x, y) in pixels of the finished picture. A canvas is drawn at `SUPERSAMPLING` times
that resolution and holds red, green, blue and, in its fourth channel, the height of the paint.
"""

from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.floating[Any]]
Pixels = npt.NDArray[np.uint8]
Labels = npt.NDArray[np.integer[Any]]

#: Canvas pixels along one pixel of the finished picture.
SUPERSAMPLING = 2
#: Fractional bits of the coordinates handed to OpenCV.
_SHIFT = 4


def new_canvas(height: int, width: int, colour: tuple[int, int, int]) -> Pixels:
    """A canvas of one colour, (H * SUPERSAMPLING, W * SUPERSAMPLING, 4) uint8."""
    shape = (height * SUPERSAMPLING, width * SUPERSAMPLING, 4)
    return np.full(shape, (*colour, 0), np.uint8)


def plane(height: int, width: int) -> tuple[Floats, Floats]:
    """The x and y coordinate of every pixel in units of the long side, two (H, W) arrays."""
    y, x = np.mgrid[0:height, 0:width].astype(np.float64)
    return x / max(height, width), y / max(height, width)


def smooth_noise(rng: np.random.Generator, height: int, width: int, cell: float) -> Floats:
    """Noise in about [-1, 1] that varies over ``cell`` pixels, (H, W)."""
    rows, columns = int(height / cell) + 3, int(width / cell) + 3
    coarse = rng.uniform(-1, 1, (rows, columns))
    return np.asarray(cv2.resize(coarse, (width, height), interpolation=cv2.INTER_CUBIC))


def palette(values: Floats, stops: list[tuple[int, int, int]], cyclic: bool = False) -> Floats:
    """Colours (..., 3) for values in [0, 1] (cyclic: any value), mixed between ``stops``."""
    colours = np.array([*stops, stops[0]] if cyclic else stops, np.float64)
    if cyclic:
        values = values % 1.0
    places = np.linspace(0, 1, len(colours))
    return np.stack([np.interp(values, places, colours[:, c]) for c in range(3)], axis=-1)


def along(stream: Floats) -> Floats:
    """Directions along the level lines of a stream function.

    Args:
        stream: (H, W).

    Returns:
        Unit vectors (x, y), (H, W, 2).
    """
    by_row, by_column = np.gradient(stream)
    return unit(np.stack([by_row, -by_column], axis=-1))


def unit(vectors: Floats) -> Floats:
    """Vectors (..., 2) scaled to length 1."""
    lengths = np.linalg.norm(vectors, axis=-1, keepdims=True)
    return np.asarray(vectors / np.maximum(lengths, 1e-12))


def turned(field: Floats, degrees: Floats | float) -> Floats:
    """A field of directions (H, W, 2) turned by one angle, or by one a pixel (H, W)."""
    cosine, sine = np.cos(np.radians(degrees)), np.sin(np.radians(degrees))
    x, y = field[..., 0], field[..., 1]
    return np.stack([x * cosine - y * sine, x * sine + y * cosine], axis=-1)


def smooth_curve(knots: list[tuple[float, float]], points: int) -> Floats:
    """A Catmull-Rom spline through knots, (points, 2)."""
    inner = np.array(knots, np.float64)
    knot = np.concatenate([2 * inner[:1] - inner[1:2], inner, 2 * inner[-1:] - inner[-2:-1]])
    place = np.linspace(0, len(inner) - 1, points)
    first = np.minimum(place.astype(np.int64), len(inner) - 2)
    t = (place - first)[:, None]
    a, b, c, d = (knot[first + offset] for offset in range(4))
    return np.asarray(
        b
        + t * (c - a) / 2
        + t**2 * (2 * a - 5 * b + 4 * c - d) / 2
        + t**3 * (3 * b - a - 3 * c + d) / 2
    )


def resampled(path: Floats, points: int) -> Floats:
    """A path (T, 2) with another number of points, (points, 2)."""
    place, old = np.linspace(0, 1, points), np.linspace(0, 1, len(path))
    return np.stack([np.interp(place, old, path[:, axis]) for axis in range(2)], axis=-1)


def scatter(rng: np.random.Generator, height: int, width: int, spacing: float) -> Floats:
    """Starting points on a jittered grid in random order, (S, 2)."""
    columns, rows = np.meshgrid(np.arange(0, width, spacing), np.arange(0, height, spacing))
    points = np.stack([columns, rows], axis=-1).reshape(-1, 2)
    points = points + rng.uniform(0, spacing, points.shape)
    return rng.permutation(points, axis=0)


def at(values: npt.NDArray[Any], points: Floats) -> npt.NDArray[Any]:
    """Values of a map (H, W, ...) at points (..., 2), the nearest pixel inside the picture."""
    columns = np.clip(points[..., 0].astype(np.int64), 0, values.shape[1] - 1)
    rows = np.clip(points[..., 1].astype(np.int64), 0, values.shape[0] - 1)
    return np.asarray(values[rows, columns])


def trace(
    starts: Floats,
    field: Floats,
    lengths: Floats | float,
    points: int = 11,
    labels: Labels | None = None,
) -> Floats:
    """Follow a field from every start, half the length forwards and half backwards.

    A path that would leave its label or the picture's surroundings stops there: its last point is
    repeated.

    Args:
        starts: (S, 2).
        field: directions, (H, W, 2); a direction and its opposite mean the same.
        lengths: length of each path in pixels, (S,) or one number.
        points: points a path, odd.
        labels: (H, W), or nothing where paths may go anywhere.

    Returns:
        Paths (S, points, 2), in order from one end to the other.
    """
    half = points // 2
    step = np.full(len(starts), lengths)[:, None] / (points - 1)
    home = None if labels is None else at(labels, starts)
    sides = []
    for sign in (-1.0, 1.0):
        place, heading, alive = starts, sign * at(field, starts), np.ones(len(starts), bool)
        side = []
        for _ in range(half):
            middle = at(field, place + heading * step / 2)
            middle = middle * np.where(np.sum(middle * heading, -1) < 0, -1.0, 1.0)[:, None]
            ahead = place + middle * step
            if labels is not None:
                alive = alive & (at(labels, ahead) == home)
            place = np.where(alive[:, None], ahead, place)
            heading = middle
            side.append(place)
        sides.append(side)
    return np.stack([*sides[0][::-1], starts, *sides[1]], axis=1)


def normals(paths: Floats) -> Floats:
    """Unit vectors across each path at each of its points, (S, T, 2)."""
    tangents = unit(np.gradient(paths, axis=1))
    return np.stack([-tangents[..., 1], tangents[..., 0]], axis=-1)


def brush(
    canvas: Pixels,
    rng: np.random.Generator,
    paths: Floats,
    colours: Floats,
    width: float,
    streak: float = 14.0,
    taper: float = 0.5,
    body: float = 1.0,
) -> None:
    """Paint strokes with a brush whose bristles each leave a trail of their own shade.

    Args:
        canvas: drawn on in place.
        paths: (S, T, 2).
        colours: of each stroke, (S, 3) in [0, 255].
        width: of the brush in pixels.
        streak: standard deviation of a bristle's shade.
        taper: how far the bristles close up at both ends, from 0 (blunt) to 1 (pointed).
        body: thickness of the paint in [0, 1].
    """
    count, length = len(paths), int(paths.shape[1])
    bristles = max(3, round(width / 0.95))
    offsets = np.linspace(-0.5, 0.5, bristles)
    distance = np.minimum(np.linspace(0, 1, length), np.linspace(1, 0, length)) * 2
    opening = 1 - taper * (1 - np.minimum(distance / 0.5, 1.0)) ** 1.5
    widths = width * rng.uniform(0.75, 1.15, (count, 1))
    sides = offsets[None, :] + rng.normal(0, 0.25 / bristles, (count, bristles))
    across = sides[:, :, None] * widths[..., None] * opening  # (S, bristles, T)
    trails = paths[:, None] + normals(paths)[:, None] * across[..., None]
    shades = rng.normal(0, streak, (count, bristles, 1))
    tints = rng.normal(0, streak * 0.35, (count, bristles, 3))
    rim = 9.0 * np.sign(offsets) * (np.abs(offsets) > 0.38)  # one edge catches the light
    inks = np.clip(colours[:, None] + shades + tints - rim[:, None], 0, 255)
    heights = np.clip(rng.normal(0.62, 0.2, (count, bristles)) + 0.5 * np.abs(offsets), 0, 1)
    paint = np.concatenate([inks, heights[..., None] * 255 * body], axis=-1).tolist()
    first = rng.integers(0, max(1, length // 5), (count, bristles)).tolist()
    last = (length - rng.integers(0, max(1, length // 4), (count, bristles))).tolist()
    pixels = _fixed(trails)
    thickness = max(1, round(width / bristles * SUPERSAMPLING + 0.3))
    for stroke in range(count):
        for bristle in rng.permutation(bristles).tolist():
            trail = pixels[stroke, bristle, first[stroke][bristle] : last[stroke][bristle]]
            cv2.polylines(
                canvas, [trail], False, paint[stroke][bristle], thickness, cv2.LINE_AA, _SHIFT
            )


def pen(canvas: Pixels, paths: Floats, widths: Floats, colours: Floats) -> None:
    """Draw lines that swell and thin.

    Args:
        canvas: drawn on in place.
        paths: (S, T, 2).
        widths: pixels at each point, (S, T).
        colours: of each line, (S, 3) in [0, 255].
    """
    half = normals(paths) * widths[..., None] / 2
    outlines = _fixed(np.concatenate([paths + half, (paths - half)[:, ::-1]], axis=1))
    for outline, colour in zip(outlines, colours.tolist(), strict=True):
        cv2.fillPoly(canvas, [outline], (*colour, 0), cv2.LINE_AA, _SHIFT)


def fill(canvas: Pixels, outline: Floats, colour: Floats) -> None:
    """Fill an outline (N, 2) with one colour (3,) in [0, 255]."""
    ink = (*colour.tolist(), 0)
    cv2.fillPoly(canvas, [_fixed(outline)], ink, cv2.LINE_AA, _SHIFT)


def spaced(paths: Floats, height: int, width: int, gap: Floats, shortest: int = 5) -> list[Floats]:
    """Of many candidate paths keep what leaves a gap to the paths kept before.

    (After Jobard and Lefer 1997, with candidates traced beforehand.)

    Args:
        paths: candidates in order of preference, (S, T, 2).
        height: of the picture.
        width: of the picture.
        gap: distance between neighbouring lines in pixels, (S,).
        shortest: least number of points to keep.

    Returns:
        The kept parts, each (T_kept, 2).
    """
    taken = np.zeros((height * 2, width * 2), np.uint8)
    cells = np.round(paths * 2).astype(np.int32)
    inside = np.all((cells >= 0) & (cells < (width * 2, height * 2)), axis=-1)
    rows = np.clip(cells[..., 1], 0, height * 2 - 1)
    columns = np.clip(cells[..., 0], 0, width * 2 - 1)
    kept = []
    for index in range(len(paths)):
        free = inside[index] & (taken[rows[index], columns[index]] == 0)
        middle = len(free) // 2
        if not free[middle]:
            continue
        blocked = np.flatnonzero(~free)
        start = int(blocked[blocked < middle].max(initial=-1)) + 1
        stop = int(blocked[blocked > middle].min(initial=len(free)))
        if stop - start < shortest:
            continue
        kept.append(paths[index, start:stop])
        thickness = max(1, round(float(gap[index]) * 4) - 1)
        cv2.polylines(taken, [cells[index, start:stop]], False, 1, thickness)
    return kept


def finish(canvas: Pixels, relief: float) -> Pixels:
    """Light the paint from the upper left and bring the canvas to its final size.

    Args:
        canvas: as `new_canvas` makes it.
        relief: strength of the light on the paint's ridges; 0 is flat.

    Returns:
        (H, W, 3) uint8, red first.
    """
    height = cv2.GaussianBlur(canvas[..., 3], (0, 0), 0.9).astype(np.float32)
    slope = cv2.Sobel(height, cv2.CV_32F, 1, 0) + cv2.Sobel(height, cv2.CV_32F, 0, 1)
    light = np.clip(1 + relief * slope / 1000, 0.72, 1.3)
    lit = np.clip(canvas[..., :3] * light[..., None], 0, 255)
    size = (canvas.shape[1] // SUPERSAMPLING, canvas.shape[0] // SUPERSAMPLING)
    small = cv2.resize(lit, size, interpolation=cv2.INTER_AREA)
    return np.asarray(np.round(small), np.uint8)


def _fixed(points: Floats) -> npt.NDArray[np.int32]:
    return np.round(points * (SUPERSAMPLING << _SHIFT)).astype(np.int32)
