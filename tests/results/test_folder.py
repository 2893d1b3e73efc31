"""Folder: a run touches its own files only, and shows all of them or none."""

import json
from pathlib import Path

import pytest

from pipeline.errors import UserError
from pipeline.results import failures
from pipeline.results.folder import (
    Files,
    all_or_nothing,
    check_folder,
    check_outputs,
    clear,
    own_files,
    unused_folder,
)


def names(folder: Path) -> set[str]:
    return {path.relative_to(folder).as_posix() for path in folder.rglob("*")}


def write(folder: Path, *files: str, text: str = "new") -> None:
    """A whole result."""
    with all_or_nothing(folder) as result:
        for name in files:
            result.add(name).write_text(text)
        result.show({"version": "1"})


def test_a_folder_that_cannot_be_written_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(UserError, match=r"cannot write to .*hydra.run.dir"):
        check_folder(tmp_path / "file" / "below")


def test_no_two_runs_are_given_the_same_folder(tmp_path: Path) -> None:
    found = [unused_folder(str(tmp_path / "day" / "12-00-00")) for _ in range(3)]
    assert [Path(name).name for name in found] == ["12-00-00", "12-00-00-2", "12-00-00-3"]
    assert all(Path(name).is_dir() for name in found)


def test_a_result_is_shown_all_at_once_and_lists_its_files(tmp_path: Path) -> None:
    with all_or_nothing(tmp_path) as files:
        files.add("result.png").write_text("a")
        files.add("masks/cat.png").write_text("b")
        assert not (tmp_path / "result.png").exists()
        files.show({"version": "1"}, ["events"])
    assert names(tmp_path) == {"result.png", "masks", "masks/cat.png", "summary.json"}
    summary = json.loads((tmp_path / "summary.json").read_text())
    assert summary == {
        "version": "1",
        "files": ["events", "masks/cat.png", "result.png"],
        "folders": ["masks"],
    }


def test_a_run_takes_away_what_the_earlier_one_lists_and_nothing_else(tmp_path: Path) -> None:
    write(tmp_path, "result.png", "masks/cat.png", "styles/cat.png", text="old")
    failures.record(tmp_path, failures.Failure("not enough memory"))
    for name in ("masks/other.png", "style_canvas2.png", "snapshots.png", ".x.png.partial"):
        (tmp_path / name).write_text("precious")
    write(tmp_path, "result.png", "masks/dog.png")
    assert (tmp_path / "result.png").read_text() == "new"
    assert names(tmp_path) == {
        ".x.png.partial",
        "masks",
        "masks/dog.png",
        "masks/other.png",
        "result.png",
        "snapshots.png",
        "style_canvas2.png",
        "summary.json",
    }


@pytest.mark.parametrize("name", ["masks/sky.png", "result.png"])
def test_a_file_that_no_run_lists_is_not_written_over(name: str, tmp_path: Path) -> None:
    (tmp_path / name).parent.mkdir(exist_ok=True)
    (tmp_path / name).write_text("precious")
    before = names(tmp_path)
    with pytest.raises(UserError, match=r"is there already .*hydra.run.dir"):
        write(tmp_path, "content.png", "masks/person.png", name)
    assert names(tmp_path) == before
    assert (tmp_path / name).read_text() == "precious"


@pytest.mark.parametrize(
    "listed", [["../a.png"], ["/etc/hosts"], [3], "a.png", None, [""], ["sub/../../a.png"]]
)
def test_a_list_of_another_kind_names_nothing(listed: object, tmp_path: Path) -> None:
    (tmp_path / "run").mkdir()
    (tmp_path / "a.png").touch()
    (tmp_path / "run" / "summary.json").write_text(json.dumps({"files": listed}))
    assert own_files(tmp_path / "run") <= {"summary.json"}
    clear(tmp_path / "run")
    assert (tmp_path / "a.png").exists()


@pytest.mark.parametrize("text", ["[]", "{", "3", '{"result": 1}', '"files"'])
def test_a_summary_of_somebody_elses_stays(text: str, tmp_path: Path) -> None:
    (tmp_path / "summary.json").write_text(text)
    clear(tmp_path)
    assert (tmp_path / "summary.json").read_text() == text


def test_an_error_leaves_the_earlier_result(tmp_path: Path) -> None:
    write(tmp_path, "result.png", text="old")
    (tmp_path / "text").touch()
    with pytest.raises(FileExistsError):
        write(tmp_path, "result.png", "masks/cat.png", "text/below.png")
    (tmp_path / "text").unlink()
    assert names(tmp_path) == {"result.png", "summary.json"}
    assert (tmp_path / "result.png").read_text() == "old"


def test_an_error_while_files_are_shown_leaves_nothing_of_the_result(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(self: Path, target: Path) -> Path:
        if target.name == "b.png":
            raise OSError("full")
        return replace(self, target)

    replace = Path.replace
    monkeypatch.setattr(Path, "replace", full)
    with pytest.raises(OSError, match="full"):
        write(tmp_path, "a.png", "b.png", "c.png")
    assert not names(tmp_path)


def test_who_was_stopped_while_files_were_shown_is_followed_by_a_whole_result(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(tmp_path, "result.png", "masks/cat.png", text="old")
    files = Files(tmp_path)
    files.add("result.png").write_text("half")
    files.add("masks/dog.png").write_text("half")

    def stopped(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("pipeline.results.folder._remove", stopped)
    with pytest.raises(KeyboardInterrupt):
        files.show({})
    monkeypatch.undo()
    # There is no summary that would make it a finished result.
    assert not (tmp_path / "summary.json").exists()
    write(tmp_path, "result.png", "masks/fox.png")
    assert names(tmp_path) == {"result.png", "masks", "masks/fox.png", "summary.json"}


@pytest.mark.parametrize(
    "name",
    [
        "content.png",
        "masks/sky.png",
        "styles/a.png",
        "style_canvas-2.png",
        "summary.json",
        "sub/../result.png",
    ],
)
def test_an_input_that_is_an_output_is_refused(name: str, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"^content=x is a file that this run would write"):
        check_outputs({"content=x": tmp_path / name}, tmp_path)
    (tmp_path / "link").symlink_to(tmp_path, target_is_directory=True)
    with pytest.raises(UserError, match="would write"):
        check_outputs({"content=x": tmp_path / name}, tmp_path / "link")


@pytest.mark.parametrize(
    "name", ["photo.png", "sub/masks/sky.png", "masks/sky.jpg", "../result.png"]
)
def test_other_files_in_the_folder_are_fine(name: str, tmp_path: Path) -> None:
    check_outputs({"content=x": tmp_path / "run" / name}, tmp_path / "run")


def test_a_file_of_a_name_that_every_run_writes_is_refused_at_once(tmp_path: Path) -> None:
    write(tmp_path, "result.png")
    check_outputs({}, tmp_path)
    (tmp_path / "content.png").touch()
    with pytest.raises(UserError, match=r"content.png is there already"):
        check_outputs({}, tmp_path)
