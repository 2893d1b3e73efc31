"""The comparison as a page: one HTML file with everything inside, from ``report.html.j2``."""

import base64
import io
import math
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from PIL import Image

from pipeline.compare.columns import Comparison
from pipeline.compare.runs import Point, Run
from pipeline.errors import UserError
from pipeline.paths import shown
from pipeline.pictures.read import open_picture

_THUMBNAIL = 480  # long side, in pixels
_SMALL = 96
_MOST_POINTS = 1000
#: How many colours `report.css` has; further runs have them again, dashed.
_COLOURS = 8


@dataclass(frozen=True)
class Picture:
    """A picture as the page carries it: data URIs of two sizes, and its size in pixels."""

    label: str
    thumbnail: str
    full: str
    width: int
    height: int


@dataclass(frozen=True)
class Content:
    """A photograph, its regions, and the names of the runs that painted it."""

    picture: int
    regions: int | None
    runs: list[str]


@dataclass(frozen=True)
class Card:
    """What the page shows of one run; pictures are numbers in `_Album.pictures`."""

    run: Run
    settings: list[tuple[str, str]]
    picture: int | None
    styles: list[tuple[str, str]]


@dataclass(frozen=True)
class Plot:
    """Curves on shared axes: path data and tick positions, in percent of width and height."""

    paths: list[tuple[int, str, str]]
    across: list[tuple[float, str]]
    up: list[tuple[float, str]]


@dataclass
class _Album:
    """The pictures of a page, each once."""

    pictures: list[Picture] = field(default_factory=list)
    _numbers: dict[Path, int] = field(default_factory=dict)

    def add(self, path: Path, label: str) -> int | None:
        """The number of a picture file; None where it cannot be read."""
        if path not in self._numbers:
            try:
                picture = open_picture(path)
                thumbnail = _data_uri(picture, _THUMBNAIL, quality=82)
                full = _data_uri(picture, max(picture.size), quality=92)
            except (UserError, OSError):  # the latter: no JPEG is so large
                return None
            self._numbers[path] = len(self.pictures)
            self.pictures.append(Picture(label, thumbnail, full, *picture.size))
        return self._numbers[path]


def save_page(comparison: Comparison, path: Path) -> None:
    """Write the page; it needs nothing but itself, and no network."""
    album = _Album()
    contents = _contents(comparison, album)
    cards = [_card(run, number, comparison, album) for number, run in enumerate(comparison.runs)]
    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    page = environment.get_template("report.html.j2").render(
        comparison=comparison,
        best={column.key: comparison.best(column) for column in comparison.columns},
        cards=cards,
        contents=contents,
        pictures=album.pictures,
        plot=plot_curves(comparison.runs),
        quality=plot_quality(comparison.runs, comparison.rows),
        colours=_COLOURS,
        differing=_differing(comparison),
        data=_data(comparison, cards, album),
    )
    path.write_text(page, encoding="utf-8", errors="backslashreplace")


def plot_curves(runs: Sequence[Run]) -> Plot | None:
    """Total losses on shared axes, the loss's logarithmic; None where no run has a loss.

    A curve is broken where a run goes on to another region or size, whose losses do not compare.
    Curves of more than a thousand points are thinned out.
    """
    curves = {
        number: run.curve
        for number, run in enumerate(runs)
        if any(_plottable(point) for point in run.curve)
    }
    if not curves:
        return None
    totals = [point.total for curve in curves.values() for point in curve if _plottable(point)]
    low, high = math.log10(min(totals)), math.log10(max(totals))
    if high - low < 0.1:
        low, high = low - 0.05, high + 0.05
    longest = max(max(len(curve) for curve in curves.values()) - 1, 1)

    def height(total: float) -> float:
        return round(100 * (high - math.log10(total)) / (high - low), 2)

    paths = []
    for number, curve in curves.items():
        words, stretch = [], None
        step = math.ceil(len(curve) / _MOST_POINTS)
        for position in range(0, len(curve), step):
            point = curve[position]
            if _plottable(point):
                pen = "L" if point.stretch == stretch else "M"
                words.append(f"{pen}{round(100 * position / longest, 3)} {height(point.total)}")
                stretch = point.stretch
        paths.append((number, runs[number].name, " ".join(words)))
    return Plot(
        paths,
        [(100 * tick / longest, str(tick)) for tick in _round_ticks(longest)],
        [(height(tick), f"{tick:g}") for tick in _decade_ticks(low, high)],
    )


def plot_quality(runs: Sequence[Run], rows: Sequence[Mapping[str, Any]]) -> Plot | None:
    """Distance to the style, of all regions on average, by seconds; both axes logarithmic.

    Args:
        runs: each a dot, where it has both figures.
        rows: of the comparison, one a run.

    Returns:
        None where fewer than two runs have both.
    """
    dots: dict[int, tuple[float, float]] = {}
    for number, row in enumerate(rows):
        distances = [value for key, value in row.items() if key.split(".")[0] == "style_distance"]
        seconds = row.get("seconds")
        numbers = [value for value in (seconds, *distances) if isinstance(value, int | float)]
        usable = all(math.isfinite(value) and value > 0 for value in numbers)
        if distances and usable and len(numbers) == 1 + len(distances):
            dots[number] = numbers[0], sum(numbers[1:]) / len(distances)
    if len(dots) < 2:
        return None
    (left, right), (low, high) = (
        _logarithmic([dot[axis] for dot in dots.values()]) for axis in (0, 1)
    )

    def across(seconds: float) -> float:
        return round(100 * (math.log10(seconds) - left) / (right - left), 2)

    def up(distance: float) -> float:
        return round(100 * (high - math.log10(distance)) / (high - low), 2)

    return Plot(
        [
            (number, runs[number].name, f"M{across(seconds)} {up(distance)}h0")
            for number, (seconds, distance) in dots.items()
        ],
        [(across(tick), f"{tick:g}") for tick in _decade_ticks(left, right)],
        [(up(tick), f"{tick:g}") for tick in _decade_ticks(low, high)],
    )


def _logarithmic(values: Sequence[float]) -> tuple[float, float]:
    """Ends of an axis, logarithms to base 10, with a little room beyond the values."""
    low, high = math.log10(min(values)), math.log10(max(values))
    room = max(0.03, 0.06 * (high - low))
    return low - room, high + room


def _plottable(point: Point) -> bool:
    return math.isfinite(point.total) and point.total > 0


def _round_ticks(last: int) -> list[int]:
    steps = [factor * 10**power for power in range(9) for factor in (1, 2, 5)]
    return list(range(0, last + 1, next(step for step in steps if last / step <= 5)))


def _decade_ticks(low: float, high: float) -> list[float]:
    decades = range(math.floor(low), math.ceil(high) + 1)
    for factors in ((1,), (1, 3), (1, 2, 5), (1, 1.5, 2, 3, 4, 5, 6, 7, 8, 9)):
        ticks = [factor * 10.0**decade for decade in decades for factor in factors]
        inside = [tick for tick in ticks if low <= math.log10(tick) <= high]
        if len(inside) >= 3:
            break
    return inside


def _contents(comparison: Comparison, album: _Album) -> list[Content]:
    """Each different pair of content and regions once."""
    runs_of: dict[tuple[bytes, ...], list[Run]] = {}
    for run in comparison.runs:
        files = [run.folder / "content.png", run.folder / "regions.png"]
        if run.status != "failed" and files[0].is_file():
            pair = tuple(file.read_bytes() if file.is_file() else b"" for file in files)
            runs_of.setdefault(pair, []).append(run)
    found = []
    for runs in runs_of.values():
        names = [run.name for run in runs]
        which = "" if len(runs_of) == 1 else f" of {_listed(names)}"
        picture = album.add(runs[0].folder / "content.png", f"content{which}")
        regions = album.add(runs[0].folder / "regions.png", f"regions{which}")
        if picture is not None:
            found.append(Content(picture, regions, names))
    return found


def _card(run: Run, number: int, comparison: Comparison, album: _Album) -> Card:
    row = comparison.rows[number]
    settings = [(c.title, c.show(row)) for c in comparison.settings if c.key in row]
    if run.status == "failed":
        return Card(run, settings, None, [])
    caption = ", ".join(comparison.caption(number))
    label = f"run {run.name}" + (f": {caption}" if caption else "")
    name = "result.png" if run.status == "finished" else "regions.png"
    styles = []
    for file in sorted((run.folder / "styles").glob("*.png")):
        with suppress(UserError):  # a broken one costs the others nothing
            styles.append((shown(file.stem), _data_uri(open_picture(file), _SMALL, quality=80)))
    return Card(run, settings, album.add(run.folder / name, label), styles)


def _differing(comparison: Comparison) -> list[tuple[str, list[str]]]:
    """Each differing setting with its values."""
    return [
        (
            column.title,
            list(dict.fromkeys(column.show(row) for row in comparison.rows if column.key in row)),
        )
        for column in comparison.settings
    ]


def _data(comparison: Comparison, cards: Sequence[Card], album: _Album) -> dict[str, Any]:
    """What the page's script works on."""
    first = [
        {"key": "run", "title": "run", "better": None},
        {"key": "status", "title": "status", "better": None},
    ]
    return {
        "columns": first
        + [{"key": c.key, "title": c.title, "better": c.better} for c in comparison.columns],
        "rows": [
            {key: value for key, value in row.items() if _presentable(value)}
            | {"run": run.name, "status": run.status}
            for run, row in zip(comparison.runs, comparison.rows, strict=True)
        ],
        "pictures": [
            {"label": p.label, "source": p.full, "width": p.width, "height": p.height}
            for p in album.pictures
        ],
        "results": [card.picture for card in cards],
    }


def _presentable(value: object) -> bool:
    # JSON has neither infinity nor NaN.
    return not isinstance(value, float) or math.isfinite(value)


def _listed(names: Sequence[str]) -> str:
    shown = ", ".join(names[:6])
    return f"run{'s' if len(names) > 1 else ''} {shown}{', …' if len(names) > 6 else ''}"


def _data_uri(picture: Image.Image, side: int, quality: int) -> str:
    """A JPEG of at most ``side`` pixels on the long side, as a data URI."""
    small = picture.copy()
    small.thumbnail((side, side), Image.Resampling.LANCZOS)
    buffer = io.BytesIO()
    small.save(buffer, "JPEG", quality=quality, subsampling=0 if quality > 90 else 2, optimize=True)
    return "data:image/jpeg;base64," + base64.b64encode(buffer.getvalue()).decode()
