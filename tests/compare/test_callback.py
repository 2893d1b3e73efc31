"""A sweep ends with its comparison, also where runs have failed."""

import csv
import json
import os
import subprocess
import sys
from pathlib import Path

from pipeline.config.compose import CONF


def sweep(*words: str, folder: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "pipeline", "-m", "hydra.sweep.dir=sweep", *words],
        cwd=folder,
        env={
            **os.environ,
            "PYTHONPATH": str(CONF.parent),
            "TORCH_HOME": str(folder / "no-cache"),
            "CUDA_VISIBLE_DEVICES": "",
        },
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
    )


def test_a_sweep_writes_its_comparison(tmp_path: Path) -> None:
    done = sweep(
        "method=stitch,composite",
        "+styles.person=scream.jpg,snk.jpg",
        "size=288",
        "optimizer.iterations=3",
        "optimizer.scales=1",
        folder=tmp_path,
    )
    assert done.returncode == 2
    assert "error: run 1, run 3: style 'snk.jpg' not found" in done.stderr
    with (tmp_path / "sweep" / "results.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["status"] for row in rows] == ["finished", "failed"] * 2
    assert [row["styles.person"] for row in rows] == ["scream.jpg", "snk.jpg"] * 2
    assert rows[0]["outside_difference"] == "0.0"
    # Painted with the encoder that measures, and not enlarged, so the figures are the run's own.
    summary = json.loads((tmp_path / "sweep" / "0" / "summary.json").read_text())
    (person,) = [entry for entry in summary["regions"] if "style" in entry]
    assert abs(float(rows[0]["style_distance.person"]) - person["style_distance_after"]) < 0.01
    assert "snk.jpg" in rows[1]["message"]
    assert (tmp_path / "sweep" / "contact_sheet.png").exists()
    assert "report.html" in done.stdout


def test_it_can_be_left_out(tmp_path: Path) -> None:
    done = sweep("content=nowhere.jpg", "hydra/callbacks=none", folder=tmp_path)
    assert done.returncode == 2
    assert not (tmp_path / "sweep" / "report.html").exists()
    failed = json.loads((tmp_path / "sweep" / "0" / "failed.json").read_text())
    assert failed["message"].startswith("content 'nowhere.jpg' not found")
