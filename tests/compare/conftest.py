"""Folders as runs leave them, made by hand: small, fast, and with known content."""

import csv
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from PIL import Image

SIZE = (64, 48)  # width, height

MakeRun = Callable[..., Path]


def save(path: Path, colour: tuple[int, int, int], noise: int = 0) -> None:
    """A picture of one colour, or of noise around it; the same for the same arguments."""
    path.parent.mkdir(parents=True, exist_ok=True)
    generator = np.random.default_rng([*colour, noise])
    grain = generator.integers(0, noise + 1, (SIZE[1], SIZE[0], 3))
    Image.fromarray(np.clip(np.array(colour) + grain, 0, 255).astype(np.uint8)).save(path)


def save_mask(path: Path, columns: slice) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    mask = np.zeros((SIZE[1], SIZE[0]), dtype=np.uint8)
    mask[:, columns] = 255
    Image.fromarray(mask).save(path)


@pytest.fixture(scope="session")
def make_run() -> MakeRun:
    """Make a finished run: ``person`` on the left, ``cat`` in the middle, the rest unstyled."""

    def make(
        folder: Path,
        settings: dict[str, Any] | None = None,
        noise: int = 60,
        losses: tuple[float, ...] = (10.0, 3.0, 1.0),
        overrides: tuple[str, ...] = ("method=stitch", "+styles.person=my style.jpg"),
    ) -> Path:
        write_configuration(folder, settings or {"method": {"name": "stitch"}}, overrides)
        save(folder / "content.png", (90, 90, 90), 60)
        save(folder / "regions.png", (120, 60, 60), 60)
        save(folder / "result.png", (60, 90, 150), noise)
        content = np.asarray(Image.open(folder / "content.png"))
        result = np.array(Image.open(folder / "result.png"))
        result[:, 48:] = content[:, 48:]
        Image.fromarray(result).save(folder / "result.png")
        save_mask(folder / "masks" / "person.png", slice(0, 24))
        save_mask(folder / "masks" / "cat.png", slice(24, 48))
        save(folder / "styles" / "person.png", (60, 90, 150), 60)
        save(folder / "styles" / "cat.png", (20, 160, 40), 40)
        with (folder / "losses.csv").open("w", newline="") as file:
            writer = csv.writer(file)
            writer.writerow(["stage", "scale", "iteration", "total", "content", "style", "tv"])
            writer.writerows(["all", 1, n, total, 0, 0, 0] for n, total in enumerate(losses))
        summary = {
            "overrides": list(overrides),
            "regions": [
                {"name": "background", "share": 0.25},
                {"name": "person", "share": 0.375, "style": "my style.jpg"},
                {"name": "cat", "share": 0.375, "style": "wave.jpg"},
            ],
            "iterations": len(losses),
            "seconds": {"read": 0.5, "stylize": 2.0},
            "peak_memory_mib": 800,
        }
        (folder / "summary.json").write_text(json.dumps(summary))
        return folder

    return make


def write_configuration(folder: Path, settings: dict[str, Any], overrides: Any) -> None:
    (folder / ".hydra").mkdir(parents=True, exist_ok=True)
    (folder / ".hydra" / "config.yaml").write_text(yaml.safe_dump(settings))
    (folder / ".hydra" / "overrides.yaml").write_text(yaml.safe_dump(list(overrides)))


def fail(folder: Path, message: str, settings: dict[str, Any]) -> Path:
    """Make a run that a sweep has given up."""
    write_configuration(folder, settings, ["method=stitch"])
    (folder / "failed.json").write_text(json.dumps({"message": message}))
    return folder
