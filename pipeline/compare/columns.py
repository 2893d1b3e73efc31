"""Columns: the settings and measures that the table, the page and the files show."""

import dataclasses
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from pipeline.compare.runs import Run, Value, differing_settings

Better = Literal["lower", "higher"]

_ARROWS: dict[Better | None, str] = {"lower": "↓", "higher": "↑", None: ""}


#: Runs that a page, picture or terminal shows at most; a table in a file has all of them.
MOST_SHOWN = 200

#: Of more runs, only the pictures of those shown are measured: a picture takes up to seconds.
MOST_MEASURED = 1000


@dataclass(frozen=True)
class Column:
    """One column.

    Attributes:
        key: in ``results.csv``; a measure of each region is ``measure.REGION``.
        title: for people.
        about: what it is, in one sentence; empty for a setting.
        better: which values are better; None where that has no meaning.
        minor: whether the terminal's table leaves it out.
    """

    key: str
    title: str
    about: str = ""
    better: Better | None = None
    minor: bool = False

    @property
    def arrow(self) -> str:
        """Points to the better values; empty for a setting."""
        return _ARROWS[self.better]

    def show(self, row: Mapping[str, Value]) -> str:
        """A row's value for people: a measure to three digits; a dash where there is none."""
        value = row.get(self.key)
        if value is None:
            return "-"
        if self.better is None or not isinstance(value, float):
            return str(value).removesuffix(".0")
        return f"{value:.0f}" if abs(value) >= 100 else f"{value:#.3g}"


@dataclass(frozen=True)
class Comparison:
    """Runs side by side.

    Attributes:
        runs: in order.
        settings: those that differ between the runs.
        measures: those that at least one run has.
        rows: a run's values by column key; without what it lacks.
        left_out: how many further runs there are.
    """

    runs: Sequence[Run]
    settings: Sequence[Column]
    measures: Sequence[Column]
    rows: Sequence[Mapping[str, Value]]
    left_out: int = 0

    @property
    def columns(self) -> list[Column]:
        """Settings, then measures."""
        return [*self.settings, *self.measures]

    def caption(self, number: int) -> list[str]:
        """A run's differing settings as ``key=value``."""
        row = self.rows[number]
        return [f"{c.title}={c.show(row)}" for c in self.settings if c.key in row]

    def best(self, column: Column) -> set[int]:
        """Numbers of the runs with the best value; none where all have the same.

        Nor where nobody asks: of a minor column.
        """
        if column.better is None or column.minor:
            return set()
        values = {
            number: value
            for number, row in enumerate(self.rows)
            if isinstance(value := row.get(column.key), int | float)
        }
        if len(set(values.values())) < 2:
            return set()
        extreme = (min if column.better == "lower" else max)(values.values())
        return {number for number, value in values.items() if value == extreme}


#: In order; ``{}`` in a title stands for the region or the stage.
_MEASURES = (
    Column(
        "style_distance",
        "style {}",
        "Distance of the region's Gram matrices from its own style's; 0 is the style itself.",
        "lower",
    ),
    Column(
        "other_styles",
        "others {}",
        "Distance of the region's Gram matrices from the other regions' styles.",
        "higher",
    ),
    Column(
        "outside_difference",
        "outside",
        "Mean CIE Lab difference to the content outside the styled regions; 0 is untouched.",
        "lower",
    ),
    Column(
        "content_similarity",
        "SSIM",
        "Structural similarity to the content inside the styled regions; 1 is the content.",
        "higher",
    ),
    Column(
        "perceptual_distance",
        "perceptual",
        "Distance of the styled regions' features from the content's; 0 is the content.",
        "lower",
    ),
    Column(
        "seam",
        "seam",
        "Gradient across the regions' borders against that inside them; a rim counts twice.",
        "lower",
    ),
    Column("seconds", "seconds", "Duration of the whole run.", "lower"),
    Column("iterations", "iterations", "Evaluations of the loss, all regions and sizes.", "lower"),
    Column(
        "peak_memory_mib",
        "peak MiB",
        "Peak memory: the device's on CUDA, else the process's since its start.",
        "lower",
    ),
    Column("seconds.", "{} s", "Seconds spent in this stage.", "lower", minor=True),
)


def compare(runs: Sequence[Run], measured: Sequence[Mapping[str, float]]) -> Comparison:
    """Put runs and their measures side by side.

    Args:
        runs: in order.
        measured: of each run, measures by key; values that are not numbers are left out.
    """
    rows: list[dict[str, Value]] = []
    differing = differing_settings(runs)
    for run, measures in zip(runs, measured, strict=True):
        row = {key: run.settings[key] for key in differing if key in run.settings}
        rows.append(row | {key: v for key, v in measures.items() if math.isfinite(v)})
    settings = [Column(key, key.removesuffix(".name")) for key in differing]
    keys = dict.fromkeys(key for row in rows for key in row if key not in differing)
    return Comparison(runs, settings, list(_measure_columns(keys)), rows)


def chosen(runs: Sequence[Run]) -> list[int]:
    """The numbers of the runs that a page or picture can show, in order.

    Those that failed come before others where not all are shown.
    """
    failed_first = sorted(range(len(runs)), key=lambda number: runs[number].status != "failed")
    return sorted(failed_first[:MOST_SHOWN])


def excerpt(runs: Sequence[Run], measured: Sequence[Mapping[str, float]]) -> Comparison:
    """The comparison of the runs that are `chosen`.

    Args:
        runs, measured: as `compare`.
    """
    numbers = chosen(runs)
    shown = compare([runs[n] for n in numbers], [measured[n] for n in numbers])
    return dataclasses.replace(shown, left_out=len(runs) - len(numbers))


def _measure_columns(keys: Iterable[str]) -> Iterable[Column]:
    keys = list(keys)
    for column in _MEASURES:
        stem = column.key.removesuffix(".")
        for key in keys:
            family, _, name = key.partition(".")
            if family == stem and bool(name) == ("{}" in column.title):
                yield Column(
                    key, column.title.format(name), column.about, column.better, column.minor
                )
