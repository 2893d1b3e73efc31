"""Trainings that are killed go on to the same weights."""

import os
import random
import subprocess
import sys
import time
from pathlib import Path

import cv2
import pytest
from safetensors import safe_open

from pipeline.config.compose import CONF
from tests.training.test_feedforward import PHOTOS
from tests.training.test_instant import PAINTINGS

STEPS = 40


def begin(folder: Path, name: str, resume: bool = False) -> subprocess.Popen[str]:
    """A small training in a process of its own, whose state is kept at every step."""
    words = [
        "style=style.png",
        "photos=[photos]",
        f"output={name}/out.safetensors",
        f"checkpoint={name}/state.pth",
        f"steps={STEPS}",
        f"resume={str(resume).lower()}",
        *("batch=2", "crop=48", "width=4", "device=cpu", f"hydra.run.dir={name}/log"),
    ]
    return subprocess.Popen(
        [sys.executable, "-m", "pipeline.training.feedforward", *words],
        cwd=folder,
        env={**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(CONF.parent)},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )


def contents(path: Path) -> tuple[dict[str, bytes], dict[str, str]]:
    """A network's weights and what is said of it; a file has the latter in any order."""
    with safe_open(path, "pt") as file:
        weights = {name: file.get_tensor(name).numpy().tobytes() for name in file.keys()}  # noqa: SIM118
        return weights, file.metadata()


def finish(process: subprocess.Popen[str]) -> None:
    _, said = process.communicate(timeout=600)
    assert process.returncode == 0, said


def kill_and_go_on(kills: int, folder: Path) -> None:
    (folder / "photos").mkdir()
    for number, picture in enumerate(PHOTOS):
        cv2.imwrite(str(folder / "photos" / f"{number}.png"), picture)
    cv2.imwrite(str(folder / "style.png"), PAINTINGS[0])
    finish(begin(folder, "whole"))
    expected = contents(folder / "whole" / "out.safetensors")
    state, output = folder / "killed" / "state.pth", folder / "killed" / "out.safetensors"
    generator = random.Random(0)
    done = 0
    while done < kills:
        process = begin(folder, "killed", resume=state.is_file())
        # From where it goes on, so that some kills fall into a file that is written.
        changed = state.stat().st_mtime_ns if state.is_file() else 0
        while process.poll() is None and not (
            state.is_file() and state.stat().st_mtime_ns != changed
        ):
            time.sleep(0.01)
        time.sleep(generator.uniform(0, 0.5))
        was_on = process.poll() is None
        process.kill()
        process.communicate()
        if was_on:
            done += 1
            assert state.is_file()
        else:  # it has finished: anew
            assert contents(output) == expected
            for path in (state, output):
                path.unlink()
    finish(begin(folder, "killed", resume=state.is_file()))
    assert contents(output) == expected
    assert not [*(folder / "killed").glob("*.partial")]


def test_killed_at_any_moment_a_training_goes_on_to_the_same(tmp_path: Path) -> None:
    kill_and_go_on(2, tmp_path)


@pytest.mark.slow
def test_killed_at_50_moments_a_training_goes_on_to_the_same(tmp_path: Path) -> None:
    kill_and_go_on(50, tmp_path)
