"""Runs of the command, watched and stopped from outside."""

import time
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from pipeline.studio.refining import Run
from tests.studio.conftest import WORDS

PAINT = (*WORDS, "+styles.person=ink.jpg", "size=128")


def wait_for(condition: object, seconds: float = 90) -> None:
    assert callable(condition)
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.05)


def test_a_run_leaves_what_the_command_leaves(tmp_path: Path) -> None:
    run = Run(PAINT, tmp_path / "out", tmp_path)
    assert run.result is None
    wait_for(lambda: run.wait(1))
    assert run.result == tmp_path / "out" / "result.png"
    assert not run.stopped
    files = {path.name for path in (tmp_path / "out").iterdir()}
    assert {"summary.json", "regions.png", "masks", ".hydra", "pipeline.log"} <= files
    assert ".pipeline" not in files


def test_it_is_watched_and_stopped_with_what_is_there(tmp_path: Path) -> None:
    run = Run((*PAINT, "optimizer.iterations=100000"), tmp_path / "out", tmp_path)
    try:
        wait_for(lambda: run.look().picture is not None)
        seen = run.look()
        assert 0 <= seen.done < 1
        assert seen.seconds_left is not None
        run.stop()
        wait_for(lambda: run.wait(1))
        assert run.stopped
        assert run.result is not None
        with Image.open(run.result) as result, Image.open(tmp_path / "out/content.png") as content:
            assert not np.array_equal(np.asarray(result), np.asarray(content))
    finally:
        run.end()


def test_a_run_that_is_ended_leaves_no_result(tmp_path: Path) -> None:
    run = Run((*PAINT, "optimizer.iterations=100000"), tmp_path / "out", tmp_path)
    wait_for(lambda: run.look().picture is not None)
    run.end()
    assert run.wait(0)
    assert run.result is None
    assert not [*tmp_path.rglob("*.partial")]


@pytest.mark.parametrize(
    ("words", "problem"),
    [
        (("+styles.person=nobody.jpg",), "'nobody.jpg' not found"),
        (("+styles.cat=ink.jpg",), "no cat in this photograph"),
        (("size=abc",), "size=abc"),
    ],
)
def test_why_there_is_no_result(words: tuple[str, ...], problem: str, tmp_path: Path) -> None:
    run = Run((*WORDS, *words), tmp_path / "out", tmp_path)
    wait_for(lambda: run.wait(1))
    assert run.result is None
    assert problem in run.problem
    assert not run.problem.startswith("error")


def test_a_run_that_the_system_ends_is_explained(tmp_path: Path) -> None:
    run = Run((*PAINT, "optimizer.iterations=100000"), tmp_path / "out", tmp_path)
    wait_for(lambda: run.look().picture is not None)
    run._process.kill()
    wait_for(lambda: run.wait(1))
    assert "memory" in run.problem
