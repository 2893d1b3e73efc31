"""A folder of pictures, spread over a launcher's processes."""

import csv
import itertools
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from pipeline.command.batch import share_of
from pipeline.command.spread import spread
from pipeline.config.compose import CONF


def test_parts_are_all_and_nothing_twice() -> None:
    sources = [f"{number}.jpg" for number in range(10)]
    parts = [share_of(sources, share, 3) for share in (1, 2, 3)]
    assert sorted(itertools.chain(*parts)) == sources
    assert {len(part) for part in parts} == {3, 4}
    assert share_of(sources[:2], 3, 3) == []


def test_only_a_folder_and_a_launcher_make_a_sweep(tmp_path: Path) -> None:
    folder = f"content={tmp_path}"
    launcher = "hydra/launcher=joblib"
    for words in (
        [folder],
        [folder, "hydra/launcher=basic"],
        [launcher, "content=astronaut"],
        [launcher],
        ["-m", folder, launcher],
        [folder, launcher, "shares=3", "share=2"],
    ):
        assert spread(words) == words
    assert spread([folder, launcher, "shares=3"]) == [
        *("-m", folder, launcher),
        *("shares=3", "share=1,2,3"),
    ]
    assert spread([folder, launcher, "hydra.launcher.n_jobs=2"])[-1] == "share=1,2"
    assert spread(["content=a/*.jpg", launcher])[-2] == f"shares={os.cpu_count()}"


def test_a_folder_is_painted_by_several_processes_with_one_report(tmp_path: Path) -> None:
    pytest.importorskip("hydra_plugins.hydra_joblib_launcher")
    (tmp_path / "photos").mkdir()
    generator = np.random.default_rng(0)
    for number in range(3):
        pixels = generator.integers(0, 255, (64, 80, 3)).astype(np.uint8)
        Image.fromarray(pixels).save(tmp_path / "photos" / f"p{number}.png")
    words = ["content=photos", "+styles.all=ink.jpg", "method=instant", "size=64", "device=cpu"]
    environment = {**os.environ, "PYTHONPATH": str(CONF.parent), "OMP_NUM_THREADS": "1"}

    def paint(*more: str) -> None:
        done = subprocess.run(
            [sys.executable, "-m", "pipeline", *words, *more],
            cwd=tmp_path,
            env=environment,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr

    paint("hydra.run.dir=one")
    paint("hydra/launcher=joblib", "shares=2", "hydra.sweep.dir=many")
    results = {path.parent.name: path for path in (tmp_path / "many").glob("*/*/result.png")}
    assert sorted(results) == ["p0", "p1", "p2"]
    for name, path in results.items():
        assert path.read_bytes() == (tmp_path / "one" / name / "result.png").read_bytes()
    assert (tmp_path / "many" / "report.html").is_file()
    with (tmp_path / "many" / "results.csv").open(encoding="utf-8", newline="") as file:
        assert sorted(row["run"] for row in csv.DictReader(file)) == ["0/p0", "0/p2", "1/p1"]
