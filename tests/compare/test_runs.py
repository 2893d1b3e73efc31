"""Runs: what is found in folders, which settings differ, and the command that makes a run again."""

import json
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from pipeline.compare.runs import Point, differing_settings, find_runs, flatten, read_run
from pipeline.config.compose import CONF
from pipeline.errors import UserError
from tests.compare.conftest import MakeRun, fail, write_configuration


def test_a_finished_run(make_run: MakeRun, tmp_path: Path) -> None:
    run = read_run(make_run(tmp_path / "0"), "0")
    assert run.status == "finished"
    assert run.message == ""
    assert run.settings == {"method.name": "stitch"}
    assert run.styled == ["person", "cat"]
    assert run.curve == [Point("all, 1", 10.0), Point("all, 1", 3.0), Point("all, 1", 1.0)]


def test_the_command_survives_a_shell(make_run: MakeRun, tmp_path: Path) -> None:
    overrides = ("content='it\\'s (1).png'", "+styles.person=a b;$HOME.jpg")
    run = read_run(make_run(tmp_path / "0", overrides=overrides), "0")
    assert shlex.split(run.command) == ["python", "-m", "pipeline", *overrides]
    shown = subprocess.check_output(["sh", "-c", f"printf '%s\\n' {run.command}"], text=True)
    assert shown.splitlines()[3:] == list(overrides)


def test_a_run_without_hydras_files_has_its_overrides_from_the_summary(
    make_run: MakeRun, tmp_path: Path
) -> None:
    folder = make_run(tmp_path / "0")
    for file in (folder / ".hydra").iterdir():
        file.unlink()
    (folder / ".hydra").rmdir()
    run = read_run(folder, "0")
    assert run.status == "finished"
    assert run.overrides == ["method=stitch", "+styles.person=my style.jpg"]


def test_failed_unfinished_and_broken_runs_say_why(make_run: MakeRun, tmp_path: Path) -> None:
    failed = read_run(fail(tmp_path / "0", "no person", {"size": 5}), "0")
    assert (failed.status, failed.message, failed.settings) == ("failed", "no person", {"size": 5})
    (make_run(tmp_path / "1") / "summary.json").unlink()
    assert read_run(tmp_path / "1", "1").message.startswith("it did not finish")
    (make_run(tmp_path / "2") / "summary.json").write_text("{")
    assert read_run(tmp_path / "2", "2").message.startswith("cannot be read: ")
    (make_run(tmp_path / "3") / ".hydra" / "config.yaml").write_text("a: [")
    assert read_run(tmp_path / "3", "3").status == "failed"
    # A folder in which a later run has failed holds that run, not the pictures of the earlier.
    again = read_run(fail(make_run(tmp_path / "4"), "no cat", {}), "4")
    assert (again.status, again.message) == ("failed", "no cat")


def test_a_run_without_styles_has_only_shown_the_regions(make_run: MakeRun, tmp_path: Path) -> None:
    folder = make_run(tmp_path / "0")
    (folder / "summary.json").write_text(json.dumps({"regions": [{"name": "cat", "share": 1}]}))
    assert read_run(folder, "0").status == "regions"


def test_runs_are_found_in_natural_order_each_once(make_run: MakeRun, tmp_path: Path) -> None:
    for name in ("a/10", "a/2", "b/0"):
        make_run(tmp_path / name)
    found = find_runs([tmp_path / "a", tmp_path / "b", tmp_path / "a" / "2"])
    assert [run.name for run in found] == ["a/2", "a/10", "b/0"]
    assert [run.name for run in find_runs([tmp_path / "a"])] == ["2", "10"]
    assert [run.name for run in find_runs([tmp_path / "b" / "0"])] == ["0"]


def test_folders_without_runs_are_named(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="nowhere is not a folder"):
        find_runs([tmp_path / "nowhere"])
    with pytest.raises(UserError, match="no run in "):
        find_runs([tmp_path])


def test_differing_settings_in_the_configurations_order(make_run: MakeRun, tmp_path: Path) -> None:
    make_run(tmp_path / "0", {"size": 9, "method": {"name": "stitch"}, "styles": {"person.1": "a"}})
    make_run(tmp_path / "1", {"size": 9, "method": {"name": "composite"}, "styles": {}})
    runs = find_runs([tmp_path])
    assert differing_settings(runs) == ["method.name", "styles.person.1"]
    assert differing_settings(runs[:1]) == []
    # A folder that has lost its configuration does not make every setting a differing one.
    fail(tmp_path / "2", "lost", {})
    assert differing_settings(find_runs([tmp_path])) == ["method.name", "styles.person.1"]


def test_flatten() -> None:
    tree = {"a": {"b": 1.5, "c": None}, "d": True, "e": ["x", "y"], "f": "ü"}
    flat = {"a.b": 1.5, "a.c": "null", "d": "true", "e": '["x", "y"]', "f": "ü"}
    assert flatten(tree) == flat


def test_a_wrong_folder_is_answered_without_torch() -> None:
    code = "import sys, pipeline.compare.__main__; sys.exit('torch' in sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True, cwd=CONF.parent)


def test_a_run_of_many_pictures_is_one_run_a_picture(tmp_path: Path, make_run: MakeRun) -> None:
    write_configuration(tmp_path / "0", {"content": "photos"}, [])
    make_run(tmp_path / "0" / "cat")
    fail(tmp_path / "0" / "dog", "broken", {})
    write_configuration(tmp_path / "1", {}, [])
    names = [(run.name, run.status) for run in find_runs([tmp_path])]
    assert names == [("0/cat", "finished"), ("0/dog", "failed"), ("1", "failed")]
    assert [run.name for run in find_runs([tmp_path / "0"])] == ["cat", "dog"]
