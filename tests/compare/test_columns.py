"""Columns: which there are, where they point, and how values read."""

from pathlib import Path

import pytest

from pipeline.compare.columns import Column, Comparison, compare, excerpt
from pipeline.compare.runs import Run


def run(name: str, **settings: str | int | float) -> Run:
    return Run(name, Path(name), "finished", settings=settings)


def two() -> Comparison:
    runs = [run("0", size=1), run("1", size=2)]
    return compare(
        runs,
        [
            {"seam": 2.0, "style_distance.person.1": 0.5, "other_styles.cat": float("nan")},
            {"seam": 1.5, "style_distance.person.1": 0.5, "seconds.read": 3.0, "seconds": 4.0},
        ],
    )


def test_settings_come_first_then_measures_in_their_order() -> None:
    found = two()
    assert [column.key for column in found.columns] == [
        "size",
        "style_distance.person.1",
        "seam",
        "seconds",
        "seconds.read",
    ]
    assert next(column.title for column in found.measures) == "style person.1"
    assert found.caption(1) == ["size=2"]
    assert "other_styles.cat" not in found.rows[0]


def test_what_failed_is_shown_before_others(monkeypatch: pytest.MonkeyPatch) -> None:
    runs = [run("0"), run("1"), Run("2", Path("2"), "failed"), run("3")]
    assert excerpt(runs, [{}] * 4).left_out == 0
    monkeypatch.setattr("pipeline.compare.columns.MOST_SHOWN", 2)
    shown = excerpt(runs, [{}] * 4)
    assert [one.name for one in shown.runs] == ["0", "2"]
    assert shown.left_out == 2


def test_every_measure_has_an_arrow_and_a_definition() -> None:
    keys = ("style_distance.a", "other_styles.a", "outside_difference", "content_similarity")
    keys += ("perceptual_distance", "seam", "seconds", "seconds.read", "iterations")
    keys += ("peak_memory_mib",)
    measures = compare([run("0")], [dict.fromkeys(keys, 1.0)]).measures
    assert {column.key for column in measures} == set(keys)
    assert all(column.about for column in measures)
    upward = {column.key for column in measures if column.arrow == "↑"}
    assert upward == {"other_styles.a", "content_similarity"}
    assert {column.arrow for column in measures if column.key not in upward} == {"↓"}


def test_the_best_is_marked_where_there_is_one() -> None:
    found = two()
    best = {column.key: found.best(column) for column in found.columns}
    assert best["seam"] == {1}
    assert best["style_distance.person.1"] == set()
    assert best["seconds"] == set()
    assert best["size"] == set()


def test_values_for_people() -> None:
    measure, setting = Column("m", "m", "", "lower"), Column("s", "s")
    shown = {1234.5: "1234", 0.45678: "0.457", 12.0: "12.0", 0.0: "0.00", 7: "7"}
    for value, text in shown.items():
        assert measure.show({"m": value}) == text
    assert setting.show({"s": 10.0}) == "10"
    assert setting.show({"s": 1e-7}) == "1e-07"
    assert measure.show({}) == "-"
