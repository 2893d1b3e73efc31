"""Whole runs on real photographs with the bundled networks, as a user starts them."""

import csv
import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
from PIL import Image
from skimage import data

from pipeline.configuration import CONF

Pixels = npt.NDArray[np.uint8]


def pipeline(*words: str, folder: Path) -> subprocess.CompletedProcess[str]:
    done = subprocess.run(
        [sys.executable, "-m", "pipeline", *words],
        cwd=folder,
        # No cache: the bundled networks run, whatever the machine has downloaded before.
        env={
            **os.environ,
            "PYTHONPATH": str(CONF.parent),
            "TORCH_HOME": str(folder / "no-cache"),
            "CUDA_VISIBLE_DEVICES": "",
        },
        capture_output=True,
        text=True,
        timeout=900,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done


def picture(path: Path) -> Pixels:
    return np.asarray(Image.open(path))


def assert_localized(folder: Path, *regions: str) -> None:
    """Every region has changed, and not one bit outside of them."""
    content, result = picture(folder / "content.png"), picture(folder / "result.png")
    masks = [picture(folder / "masks" / f"{region}.png") for region in regions]
    assert content.shape == result.shape
    outside = np.max(masks, axis=0) == 0
    assert np.array_equal(result[outside], content[outside])
    for mask in masks:
        assert np.abs(result.astype(int) - content)[mask == 255].mean() > 12


def test_the_first_command_repaints_the_person(tmp_path: Path) -> None:
    done = pipeline("+styles.person=scream.jpg", folder=tmp_path)
    (folder,) = (tmp_path / "outputs").glob("*-*-*/*-*-*")
    assert str(folder / "result.png") in done.stdout
    assert_localized(folder, "person")
    assert {entry.name for entry in folder.iterdir()} == {
        ".hydra",
        "content.png",
        "labels.png",
        "losses.csv",
        "losses.png",
        "masks",
        "overview.png",
        "pipeline.log",
        "regions.png",
        "result.png",
        "style_canvas.png",
        "styles",
        "summary.json",
    }
    # The picture at full size is scikit-image's, untouched.
    assert np.array_equal(picture(folder / "content.png"), data.astronaut())
    summary = json.loads((folder / "summary.json").read_text())
    person = next(entry for entry in summary["regions"] if entry["name"] == "person")
    assert person["style"] == "scream.jpg"
    assert 0.25 < person["share"] < 0.6
    assert person["style_distance_after"] < 0.7 * person["style_distance_before"]
    assert summary["networks"]["encoder"]["source"] == "bundled"
    assert len(summary["networks"]["segmenter"]["sha256"]) == 64
    assert set(summary["seconds"]) == {"read", "segment", "mask", "stylize", "blend", "write"}
    assert summary["overrides"] == ["+styles.person=scream.jpg"]
    with (folder / "losses.csv").open() as file:
        assert len(list(csv.DictReader(file))) == summary["iterations"] == 200


@pytest.mark.slow
def test_the_sweep_of_the_readme(tmp_path: Path) -> None:
    pipeline("-m", "method=stitch,composite", "+styles.person=scream.jpg", folder=tmp_path)
    (folder,) = (tmp_path / "outputs" / "multirun").glob("*-*-*/*-*-*")
    for number in "01":
        assert_localized(folder / number, "person")


@pytest.fixture(scope="module")
def sweep(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("sweep")
    pipeline(
        "-m",
        "method=stitch,composite",
        "+styles.person=scream.jpg",
        "+styles.rest=night.jpg",
        "preset=draft",
        folder=folder,
    )
    (found,) = (folder / "outputs" / "multirun").glob("*-*-*/*-*-*")
    assert not (folder / "multirun").exists()
    return found


@pytest.mark.parametrize("number", [0, 1])
def test_a_sweep_compares_the_methods(sweep: Path, number: int) -> None:
    folder = sweep / str(number)
    summary = json.loads((folder / "summary.json").read_text())
    assert summary["method"] == ["stitch", "composite"][number]
    assert_localized(folder, "person", "rest")
    styles = {entry["name"]: entry.get("style") for entry in summary["regions"]}
    assert styles["person"] == "scream.jpg"
    assert styles["rest"] == "night.jpg"


def test_the_methods_differ(sweep: Path) -> None:
    stitch, composite = (picture(sweep / n / "result.png").astype(int) for n in "01")
    assert np.abs(stitch - composite).mean() > 3


@pytest.mark.parametrize(
    ("content", "region"),
    [("astronaut", "person"), ("chelsea", "cat"), ("stereo_motorcycle", "motorbike")],
)
def test_without_styles_it_shows_the_regions(content: str, region: str, tmp_path: Path) -> None:
    done = pipeline(f"content={content}", "hydra.run.dir=out", folder=tmp_path)
    out = tmp_path / "out"
    with Image.open(out / "labels.png") as labels:
        assert labels.mode == "P"
    assert picture(out / "labels.png").shape == picture(out / "regions.png").shape[:2]
    summary = json.loads((out / "summary.json").read_text())
    largest = [entry["name"] for entry in summary["regions"] if entry["name"] != "background"]
    assert largest[0] == region
    assert {f"{entry['name']}.png" for entry in summary["regions"]} == {
        file.name for file in (out / "masks").iterdir()
    }
    assert f"+styles.{region}=scream.jpg" in done.stdout
    assert not (out / "result.png").exists()


def test_any_picture_and_three_regions(tmp_path: Path) -> None:
    Image.fromarray(data.chelsea()).convert("L").save(tmp_path / "my cat.png")
    pipeline(
        "content='my cat.png'",
        "+styles.cat=wave",
        "+styles.background=scream.jpg",
        "size=200",
        "optimizer.iterations=20",
        "hydra.run.dir=out",
        folder=tmp_path,
    )
    assert picture(tmp_path / "out" / "result.png").shape[1] == 200
    assert_localized(tmp_path / "out", "cat", "background")
