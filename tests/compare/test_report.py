"""The command and the story: from folders of runs to a page, a sheet and a table."""

import csv
from pathlib import Path

import pytest

from pipeline.compare.__main__ import main
from pipeline.compare.report import report
from pipeline.errors import UserError
from tests.compare.conftest import MakeRun, fail


def rows(folder: Path) -> list[dict[str, str]]:
    with (folder / "results.csv").open(newline="") as file:
        return list(csv.DictReader(file))


def test_runs_of_several_sweeps_go_to_the_output_folder(
    make_run: MakeRun, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    make_run(tmp_path / "a" / "0", {"method": {"name": "stitch"}})
    (make_run(tmp_path / "a" / "1") / "result.png").write_bytes(b"broken")
    make_run(tmp_path / "b" / "0", {"method": {"name": "composite"}})
    fail(tmp_path / "b" / "1", "no person", {"method": {"name": "composite"}})
    main([str(tmp_path / "a"), str(tmp_path / "b"), "--output", str(tmp_path / "out")])
    files = {"contact_sheet.png", "report.html", "results.csv"}
    assert {file.name for file in (tmp_path / "out").iterdir()} == files
    found = rows(tmp_path / "out")
    assert [row["run"] for row in found] == ["a/0", "a/1", "b/0", "b/1"]
    assert [row["status"] for row in found] == ["finished", "failed", "finished", "failed"]
    assert [row["method.name"] for row in found] == ["stitch", "stitch", "composite", "composite"]
    assert "result.png" in found[1]["message"]
    assert found[3]["message"] == "no person"
    assert float(found[0]["style_distance.person"]) < 0.2
    printed = capsys.readouterr().out
    assert "composite" in printed
    assert str(tmp_path / "out" / "report.html") in printed
    page = (tmp_path / "out" / "report.html").read_text()
    assert "Failed: no person" in page


def test_the_first_folder_is_the_default_and_one_run_is_enough(
    make_run: MakeRun, tmp_path: Path
) -> None:
    folder = make_run(tmp_path / "only")
    main([str(folder)])
    assert [row["run"] for row in rows(folder)] == ["only"]
    # A second time, with the files of the first in the folder.
    assert len(report([folder], folder).runs) == 1


@pytest.mark.parametrize("name", ["results.csv", "contact_sheet.png", "report.html"])
def test_files_of_somebody_elses_are_not_written_over(
    name: str, make_run: MakeRun, tmp_path: Path
) -> None:
    folder = make_run(tmp_path / "only")
    (folder / name).write_text("run and status")
    with pytest.raises(UserError, match=f"{name} is there already and is no report's"):
        report([folder], folder)
    assert (folder / name).read_text() == "run and status"


def test_wrong_folders_end_in_one_line_and_status_2(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for folder in (tmp_path / "nowhere", tmp_path):
        with pytest.raises(SystemExit) as ended:
            main([str(folder)])
        assert ended.value.code == 2
        (line,) = capsys.readouterr().err.splitlines()
        assert line.startswith("error: ")
