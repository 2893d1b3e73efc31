"""The file that a name means."""

from pathlib import Path

import pytest

from pipeline import paths
from pipeline.errors import UserError


def test_a_name_is_relative_absolute_or_in_a_home_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", "/home/x")
    assert paths.located("a/b.png", tmp_path) == tmp_path / "a" / "b.png"
    assert paths.located("/a.png", tmp_path) == Path("/a.png")
    assert paths.located("~/a.png", tmp_path) == Path("/home/x/a.png")
    assert paths.located(Path("~/a.png"), tmp_path) == Path("/home/x/a.png")
    # A file of that very name goes first; of somebody who is not there it is a name.
    assert paths.located("~nosuch/a.png", tmp_path) == tmp_path / "~nosuch" / "a.png"
    (tmp_path / "~").touch()
    assert paths.located("~", tmp_path) == tmp_path / "~"


def test_impossible_names_are_not_there(tmp_path: Path) -> None:
    assert paths.exists(tmp_path)
    for name in ("a", "a\0b", "a" * 5000, "\ud800"):
        assert not paths.exists(tmp_path / name)


def test_where_one_may_not_look_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def forbidden(path: Path) -> bool:
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr(Path, "exists", forbidden)
    with pytest.raises(UserError, match="Permission denied; choose another"):
        paths.exists(tmp_path / "a")


def test_what_no_file_takes_is_shown_as_an_escape() -> None:
    assert paths.shown("föö 😀") == "föö 😀"
    assert paths.shown("b\udcff\ud800.png") == "b\\udcff\\ud800.png"


def test_a_folder_or_a_pattern_names_many(tmp_path: Path) -> None:
    (tmp_path / "photos").mkdir()
    (tmp_path / "[a].jpg").touch()
    assert paths.names_many("photos", tmp_path)
    assert paths.names_many("photos/*.jpg", tmp_path)
    assert not paths.names_many("[a].jpg", tmp_path)
    assert not paths.names_many("astronaut", tmp_path)
    assert not paths.names_many("", tmp_path)
