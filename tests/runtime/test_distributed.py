"""Several processes paint the picture that one paints."""

import csv
import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from pipeline.errors import UserError
from pipeline.runtime import distributed
from pipeline.runtime.distributed import ALONE, Team

ROOT = Path(__file__).parents[1]
SETTINGS = (
    # As long as the region: with a smaller style rounding errors grow faster from step to step.
    "+styles.person={image: scream.jpg, scale: 1.43}",
    "size=128",
    "tile=80",  # larger than the coarse scale
    "precision=float32",
    "optimizer.iterations=10",
    "optimizer.scales=2",
)
TORCHRUN = ("torch.distributed.run", "--standalone", "--nproc-per-node=2", "-m", "pipeline")


def start(folder: Path, *words: str) -> subprocess.CompletedProcess[str]:
    environment = os.environ | {"OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)}
    return subprocess.run(
        [sys.executable, "-m", *words],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )


def test_two_processes_paint_what_one_paints(tmp_path: Path) -> None:
    for name, command in (("two", TORCHRUN), ("one", ("pipeline",))):
        done = start(tmp_path, *command, *SETTINGS, "loss.style=gram", f"hydra.run.dir={name}")
        assert done.returncode == 0, done.stderr
        assert done.stdout.count("result.png") == 1
    two, one = (
        np.asarray(Image.open(tmp_path / name / "result.png")).astype(int)
        for name in ("two", "one")
    )
    # Sums in another order round otherwise, and descents part from that; a search for neighbours
    # would take another one here and there.
    assert np.abs(two - one).mean() < 0.05
    tables = [(tmp_path / name / "losses.csv").read_text() for name in ("two", "one")]
    two_rows, one_rows = ([*csv.DictReader(table.splitlines())] for table in tables)
    assert [row["scale"] for row in two_rows] == ["2"] * 6 + ["1"] * 4
    for there, here in zip(two_rows, one_rows, strict=True):
        for term in ("total", "content", "style"):
            assert float(there[term]) == pytest.approx(float(here[term]), rel=1e-2, abs=1e-6)
    content = np.asarray(Image.open(tmp_path / "one" / "content.png")).astype(int)
    assert np.abs(one - content).max() > 50
    # Only the first process leaves anything.
    assert sorted(path.name for path in tmp_path.iterdir()) == ["one", "two"]
    assert json.loads((tmp_path / "two" / "summary.json").read_text())["iterations"] == 10


def test_each_item_has_one_process() -> None:
    items = [*range(7)]
    shares = [Team(rank, 3).share(items) for rank in range(3)]
    assert sorted(item for share in shares for item in share) == items
    assert ALONE.share(items) == items


@pytest.mark.parametrize("missing", ["RANK", "MASTER_ADDR"])
def test_a_schedulers_variables_are_no_team(missing: str, monkeypatch: pytest.MonkeyPatch) -> None:
    given = {"RANK": "1", "LOCAL_RANK": "1", "WORLD_SIZE": "2", "MASTER_ADDR": "localhost"}
    for name, value in given.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    assert (distributed.rank(), distributed.size()) == (1, 2)
    assert distributed.own_device(torch.device("cuda")) == torch.device("cuda", 1)
    assert distributed.own_device(torch.device("cpu")) == torch.device("cpu")
    monkeypatch.delenv(missing)
    assert (distributed.rank(), distributed.size()) == (0, 1)
    assert distributed.own_device(torch.device("cuda")) == torch.device("cuda")
    assert distributed.join(torch.device("cpu")) == ALONE


def test_a_process_without_a_device_of_its_own_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    given = {"RANK": "2", "LOCAL_RANK": "2", "WORLD_SIZE": "3", "MASTER_ADDR": "localhost"}
    for name, value in given.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    with pytest.raises(UserError, match=r"process 2 .* there are 2; use torchrun .*=2 or"):
        distributed.own_device(torch.device("cuda"))
    # Which one it is has been said.
    one = torch.device("cuda", 1)
    assert distributed.own_device(one) == one
