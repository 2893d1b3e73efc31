"""The table: every run has its row, in the file and on the terminal."""

import csv
import re
from pathlib import Path

import pytest

from pipeline.compare.columns import compare
from pipeline.compare.runs import Run
from pipeline.compare.table import print_results, save_results

RUNS = [
    Run("0", Path("0"), "finished", settings={"size": 64}, overrides=["size=64"]),
    Run("1", Path("1"), "failed", "no person, anywhere", {"size": 32}, ["size=32"]),
]
MEASURED = [{"seam": 1.23456789, "iterations": 20}, {}]


def test_results_have_one_row_a_run(tmp_path: Path) -> None:
    save_results(compare(RUNS, MEASURED), tmp_path / "results.csv")
    with (tmp_path / "results.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert rows[0] == {
        "run": "0",
        "status": "finished",
        "size": "64",
        "seam": "1.23456789",
        "iterations": "20",
        "message": "",
        "command": "python -m pipeline size=64",
    }
    assert (rows[1]["seam"], rows[1]["message"]) == ("", "no person, anywhere")


def test_the_terminal_shows_values_arrows_and_failures(capsys: pytest.CaptureFixture[str]) -> None:
    print_results(compare(RUNS, MEASURED))
    printed = capsys.readouterr().out
    assert printed.splitlines()[0].split() == ["run", "size", "seam", "↓", "iterations", "↓"]
    assert printed.splitlines()[1].split() == ["0", "64", "1.23", "20"]
    assert "run 1 failed: no person, anywhere" in printed


def test_columns_that_do_not_fit_the_terminal_go_on_below(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("COLUMNS", "60")
    monkeypatch.setenv("TERM", "xterm")
    measured = [{f"style_distance.region{n}": 0.123 for n in range(9)}, {}]
    print_results(compare(RUNS, measured))
    printed = capsys.readouterr().out
    assert printed.count("0.123") == 9
    plain = re.sub(r"\x1b\[[\d;]*m", "", printed).split("run 1 failed")[0]
    assert max(len(line) for line in plain.splitlines()) <= 60
    assert sum(line.startswith("0 ") for line in plain.splitlines()) > 1


def test_a_wide_table_keeps_its_numbers(capsys: pytest.CaptureFixture[str]) -> None:
    measured = [{f"style_distance.region{n}": 0.123 for n in range(40)}, {}]
    print_results(compare(RUNS, measured))
    assert capsys.readouterr().out.count("0.123") == 40
