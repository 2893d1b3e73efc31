"""Many pictures: folders of their own, and one that fails stops no other."""

from pathlib import Path

import pytest

from pipeline.command.batch import carry_out, folders, overrides_of_one
from pipeline.results import failures
from pipeline.results.failures import Failure


def test_each_picture_has_a_folder_of_its_own(tmp_path: Path) -> None:
    sources = ["a/cat.jpg", "a/cat.png", "b/Cat.jpg", "b/cat-2.jpg", "b/dog.tar.png"]
    names = [folder.name for folder in folders(sources, tmp_path).values()]
    assert names == ["cat", "cat-2", "Cat-3", "cat-2-2", "dog.tar"]


def test_no_folder_is_in_the_way_of_the_report(tmp_path: Path) -> None:
    (folder,) = folders(["report.html.png"], tmp_path).values()
    assert folder.name == "report.html-2"


@pytest.mark.parametrize("source", ["...jpg", "..jpg", "a/...jpg", "con.png"])
def test_no_name_leads_out_of_the_folder(source: str, tmp_path: Path) -> None:
    (folder,) = folders([source], tmp_path).values()
    assert folder.parent == tmp_path
    assert folder.resolve().parent == tmp_path.resolve()
    assert folder.name not in ("con", "..", ".")


def test_no_folder_is_in_the_way_of_the_runs_own_files() -> None:
    sources = ["pipeline.log.png", ".hydra.png", "a.png"]
    found = folders(sources, Path("out"), ["pipeline.log", ".hydra"])
    assert [folder.name for folder in found.values()] == ["pipeline.log-2", "_hydra", "a"]


def test_a_failing_picture_stops_no_other(tmp_path: Path) -> None:
    done = []

    def work(source: str, folder: Path) -> None:
        if source == "b.png":
            raise ValueError("broken")
        done.append((source, folder.name))

    failed = carry_out(["a.png", "b.png", "c.png"], tmp_path, work, lambda _, e: Failure(str(e)))
    assert done == [("a.png", "a"), ("c.png", "c")]
    assert failed == {"b": Failure("broken")}
    assert failures.read(tmp_path / "b" / "failed.json") == Failure("broken")


def test_one_pictures_overrides_name_it_alone() -> None:
    words = ["+styles.person=content=a.jpg", "content=photos", "++content='*.jpg'", "size=96"]
    assert overrides_of_one(words, "content=photos/a.jpg") == [
        "+styles.person=content=a.jpg",
        "size=96",
        "content=photos/a.jpg",
    ]
