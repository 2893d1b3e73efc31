"""The page as text: nothing from outside, nothing unescaped, curves where they belong."""

import json
import re
from pathlib import Path

from pipeline.compare.columns import compare
from pipeline.compare.page import plot_curves, plot_quality, save_page
from pipeline.compare.runs import Point, Run, find_runs
from tests.compare.conftest import MakeRun, fail

NASTY = "</script><script>alert(1)</script><img src=x onerror=alert(2)>\"'&"


def curve(*totals: float, stretch: str = "all") -> list[Point]:
    return [Point(stretch, total) for total in totals]


def run(name: str, points: list[Point]) -> Run:
    return Run(name, Path(name), "finished", curve=points)


def test_curves_share_their_axes() -> None:
    plot = plot_curves([run("0", curve(100, 10, 1)), run("1", []), run("2", curve(10, 1))])
    assert plot is not None
    # Three decades' ends and middle over the height, the longest run over the width.
    assert plot.paths == [
        (0, "0", "M0.0 0.0 L50.0 50.0 L100.0 100.0"),
        (2, "2", "M0.0 50.0 L50.0 100.0"),
    ]
    assert plot.up == [(100.0, "1"), (50.0, "10"), (0.0, "100")]
    assert plot.across == [(0.0, "0"), (50.0, "1"), (100.0, "2")]


def test_a_curve_is_broken_between_regions_and_at_what_cannot_be_drawn() -> None:
    points = [*curve(4, float("nan"), 2), *curve(8, stretch="cat"), *curve(0, stretch="cat")]
    plot = plot_curves([run("0", points)])
    assert plot is not None
    assert re.sub(r"[\d. ]", "", plot.paths[0][2]) == "MLM"
    assert plot_curves([run("0", curve(0, float("inf")))]) is None


def test_a_flat_or_single_loss_has_axes() -> None:
    for points in (curve(5), curve(5, 5, 5)):
        plot = plot_curves([run("0", points)])
        assert plot is not None
        assert "50.0" in plot.paths[0][2]


def test_a_long_curve_is_thinned_out() -> None:
    plot = plot_curves([run("0", curve(*range(1, 10_001)))])
    assert plot is not None
    assert len(plot.paths[0][2].split(" L")) == 1000


def test_everything_is_escaped_and_inside(make_run: MakeRun, tmp_path: Path) -> None:
    make_run(tmp_path / "0", {"method": {"name": NASTY}}, overrides=(f"content={NASTY}",))
    fail(tmp_path / "1", NASTY, {"method": {"name": "stitch"}})
    runs = find_runs([tmp_path])
    measured = [{f"style_distance.{NASTY}": 1.0}, {"seam": float("inf")}]
    save_page(compare(runs, measured), tmp_path / "report.html")
    page = (tmp_path / "report.html").read_text()
    assert page.count("<script") == 2
    assert "<img src=x" not in page
    assert not re.search(r"(?:src|href|url)\s*[=(]\s*[\"']?(?:https?:|//|file:)", page)
    (text,) = re.findall(r'<script type="application/json" id="data">(.*?)</script>', page)
    data = json.loads(text)
    assert data["rows"][0]["method.name"] == NASTY
    assert data["rows"][1] == {"method.name": "stitch", "run": "1", "status": "failed"}
    # Content, regions and result, each once at full size.
    assert [picture["width"] for picture in data["pictures"]] == [64] * 3


def test_only_differing_settings_are_shown(make_run: MakeRun, tmp_path: Path) -> None:
    for number, name in enumerate(("stitch", "composite")):
        make_run(tmp_path / str(number), {"feather": 2.25, "method": {"name": name}})
    save_page(compare(find_runs([tmp_path]), [{}, {}]), tmp_path / "report.html")
    page = (tmp_path / "report.html").read_text()
    assert "<dt>method</dt><dd>composite</dd>" in page
    assert "feather" not in page


def test_quality_by_seconds() -> None:
    runs = [run(str(number), []) for number in range(4)]
    rows: list[dict[str, object]] = [
        {"seconds": 1.0, "style_distance.a": 0.1, "style_distance.b": 0.3, "seconds.paint": 9.0},
        {"seconds": 100.0, "style_distance.a": 0.02},
        # Without one of the figures, or with none that a logarithm takes, there is no dot.
        {"seconds": 3.0},
        {"seconds": 0.0, "style_distance.a": 0.1},
    ]
    plot = plot_quality(runs, rows)
    assert plot is not None
    # A tenth and more of either axis is room: six parts of 112 on each side.
    assert plot.paths == [(0, "0", "M5.36 5.36h0"), (1, "1", "M94.64 94.64h0")]
    assert [label for _, label in plot.across] == ["1", "10", "100"]
    assert plot_quality(runs[:1], rows[:1]) is None
