"""The package runs from a wheel, wherever it lies, with no home, no network and nothing to write.

Python's own isolated mode, and an environment with little in it, take the place of a bare machine.
"""

import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from pipeline.config.compose import CONF

ROOT = Path(__file__).parents[1]
WORDS = (
    "content=chelsea",
    "+regions.a=box(0, 0, 1, 0.5)",
    "+styles.a=ink.jpg",
    "+styles.cat=wave.jpg",
    "size=64",
    "optimizer.iterations=1",
    "optimizer.scales=1",
)


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What the wheel holds, in a read-only folder with a blank and letters of other alphabets."""
    wheel = pytest.importorskip("hatchling.builders.wheel", reason="hatchling is not installed")
    folder = tmp_path_factory.mktemp("wheel")
    (built,) = wheel.WheelBuilder(str(ROOT)).build(directory=str(folder), versions=["standard"])
    site = folder / "räum 1, 日本"
    with zipfile.ZipFile(built) as archive:
        archive.extractall(site)
    for path in (*site.rglob("*"), site):
        path.chmod(0o555 if path.is_dir() else 0o444)
    return site


def run(site: Path, *words: str, folder: Path) -> subprocess.CompletedProcess[str]:
    kept = {key: os.environ[key] for key in ("PATH", "SYSTEMROOT") if key in os.environ}
    return subprocess.run(
        [sys.executable, "-m", "pipeline", *words],
        cwd=folder,
        # Nobody answers at port 9; a home folder that is not there, and cannot be made.
        env={
            **kept,
            "PYTHONPATH": str(site),
            "PYTHONDONTWRITEBYTECODE": "1",
            "HOME": "/proc/nobody",
            "https_proxy": "http://127.0.0.1:9",
            "OMP_NUM_THREADS": "1",
        },
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
    )


def test_a_wheel_runs_anywhere(installed: Path, tmp_path: Path) -> None:
    before = sorted(path for path in installed.rglob("*"))
    elsewhere = tmp_path / "é è"
    elsewhere.mkdir()
    done = run(installed, *WORDS, "hydra.run.dir=out", folder=elsewhere)
    assert done.returncode == 0, done.stderr
    assert [line for line in done.stderr.splitlines() if not line.startswith("networks:")] == []
    assert {"result.png", "summary.json"} <= {path.name for path in (elsewhere / "out").iterdir()}
    assert (elsewhere / "out" / "result.png").stat().st_size > 1000
    # Whose package it was, and that nothing was written there.
    assert sorted(installed.rglob("*")) == before
    assert [*elsewhere.iterdir()] == [elsewhere / "out"]


def test_a_wheel_holds_all_that_the_checkout_has(installed: Path) -> None:
    def held(folder: Path) -> set[str]:
        files = (path for path in folder.rglob("*") if path.is_file())
        return {path.relative_to(folder).as_posix() for path in files if path.suffix != ".pyc"}

    assert {f"conf/{name}" for name in held(CONF)} <= held(installed / "pipeline")
    assert held(ROOT / "pipeline") <= held(installed / "pipeline")
