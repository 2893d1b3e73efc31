"""The command and the story: from folders of runs to a page, a sheet and a table."""

import csv
import json
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any
from zlib import crc32

import pytest

from pipeline.compare import columns
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


def test_of_many_runs_a_page_shows_some_and_the_table_has_all(
    make_run: MakeRun,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(columns, "MOST_SHOWN", 2)
    for number in range(3):
        make_run(tmp_path / "a" / str(number))
    fail(tmp_path / "a" / "3", "no person", {})
    report([tmp_path / "a"], tmp_path / "out")
    assert [row["run"] for row in rows(tmp_path / "out")] == ["0", "1", "2", "3"]
    page = (tmp_path / "out" / "report.html").read_text()
    assert "<title>4 runs compared</title>" in page
    assert "2 of them are shown, those that failed before others; results.csv has all." in page
    assert "Failed: no person" in page
    assert "and 2 more, in results.csv" in capsys.readouterr().out


def test_of_thousands_only_the_pictures_shown_are_measured(
    make_run: MakeRun,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(columns, "MOST_SHOWN", 1)
    monkeypatch.setattr(columns, "MOST_MEASURED", 2)
    for number in range(2):
        make_run(tmp_path / "a" / str(number))

    def measured() -> list[bool]:
        found = rows(tmp_path / "a")
        assert all(row["seconds"] == "2.5" for row in found)
        return [bool(row["seam"]) for row in found]

    main([str(tmp_path / "a")])
    assert measured() == [True, True]
    assert "--all" not in capsys.readouterr().out
    make_run(tmp_path / "a" / "2")
    main([str(tmp_path / "a")])
    assert measured() == [True, False, False]
    assert "python -m pipeline.compare --all" in capsys.readouterr().out
    main([str(tmp_path / "a"), "--all"])
    assert measured() == [True, True, True]


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


def bomb(width: int, height: int) -> bytes:
    """The header of a PNG of that many pixels, and none of them."""
    header = b"IHDR" + struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + struct.pack(">I", 13) + header + struct.pack(">I", crc32(header))


def changed(**values: Any) -> Callable[[Path], None]:
    """Change entries of a summary."""

    def change(folder: Path) -> None:
        summary = json.loads((folder / "summary.json").read_text())
        (folder / "summary.json").write_text(json.dumps(summary | values))

    return change


def folder_of(name: str) -> Callable[[Path], None]:
    """A folder where a file should be."""

    def change(folder: Path) -> None:
        (folder / name).unlink()
        (folder / name).mkdir()

    return change


BAD: dict[str, Callable[[Path], object]] = {
    "list": lambda f: (f / "summary.json").write_text("[]"),
    "null": lambda f: (f / "summary.json").write_text("null"),
    "cut": lambda f: (f / "summary.json").write_text('{"regions": ['),
    "latin": lambda f: (f / "summary.json").write_bytes(b'{"a": "\xff"}'),
    "regions": changed(regions=3),
    "seconds": changed(seconds={"read": "long"}),
    "seconds 2": changed(seconds=[1]),
    "iterations": changed(iterations="many"),
    "memory": changed(peak_memory_mib=[1]),
    "losses": lambda f: (f / "losses.csv").write_text("a,b\n1,2\n"),
    "numbers": lambda f: (f / "losses.csv").write_text("stage,scale,total\na,1,x\n"),
    "bomb": lambda f: (f / "result.png").write_bytes(bomb(60_000, 60_000)),
    "content": folder_of("content.png"),
    "mask": lambda f: (f / "masks" / "cat.png").write_bytes(b"x"),
    "style": lambda f: (f / "styles" / "cat.png").write_bytes(bomb(60_000, 60_000)),
    "yaml": lambda f: (f / ".hydra" / "config.yaml").write_text("a: [1, 2\nb: }{"),
    "config list": lambda f: (f / ".hydra" / "config.yaml").write_text("- 1"),
    "overrides": lambda f: (f / ".hydra" / "overrides.yaml").write_text("a: 1"),
    "failure": lambda f: (f / "failed.json").write_text("[]"),
}
#: What is read, or shown, all the same.
ODD: dict[str, Callable[[Path], object]] = {
    "entries": changed(regions=["person"]),
    "surrogates": changed(overrides=["content=b\udcff.jpg"]),
    "not a number": lambda f: (f / "losses.csv").write_text("stage,scale,total\na,1,nan\n"),
    "foreign style": lambda f: (f / "styles" / "other.png").write_bytes(bomb(60_000, 60_000)),
    "no region picture": lambda f: (f / "regions.png").write_bytes(b"x"),
    "\udcfe [/red]": lambda f: None,
}


def test_bad_folders_end_no_comparison(make_run: MakeRun, tmp_path: Path) -> None:
    runs = tmp_path / "runs"
    make_run(runs / "good")
    for name, spoil in (BAD | ODD).items():
        spoil(make_run(runs / name))
    report([runs], tmp_path / "out")
    found = {row["run"]: row for row in rows(tmp_path / "out")}
    failed = {name for name, row in found.items() if row["status"] == "failed"}
    # Overrides that are no list are left out; all else is said.
    assert failed == {*BAD} - {"overrides"}
    assert all(found[name]["message"] for name in failed)
    assert {"good", "\\udcfe [/red]"} <= found.keys() - failed
    assert "\\udcfe [/red]" in (tmp_path / "out" / "report.html").read_text(encoding="utf-8")
