"""The preview: as often as asked for, with what is done and how long the rest takes."""

import json
from pathlib import Path

import pytest
import torch
from PIL import Image

from pipeline.engine.progress import LossRow
from pipeline.results.preview import LARGEST, PICTURE, PROGRESS, Preview, work_done


class Clock:
    """Time that passes when it is told to."""

    def __init__(self) -> None:
        self.seconds = 100.0

    def __call__(self) -> float:
        return self.seconds


def row(stage: str = "guided", scale: int = 1) -> LossRow:
    return LossRow(stage, scale, 0, 1.0, 0.5, 0.5, 0.0)


def test_it_is_due_as_often_as_asked_for(tmp_path: Path) -> None:
    clock = Clock()
    preview = Preview(tmp_path, 2.0, clock)
    picture, mask = torch.full((1, 3, 20, 30), 0.5), torch.ones(1, 1, 20, 30)
    assert not preview.is_due()
    clock.seconds += 2
    assert preview.is_due()
    preview.show(picture, mask)
    assert not preview.is_due()
    clock.seconds += 1.9
    assert not preview.is_due()
    clock.seconds += 0.2
    assert preview.is_due()
    assert not Preview(tmp_path, 0.0, clock).is_due()


def test_regions_painted_one_after_the_other_are_seen_together(tmp_path: Path) -> None:
    preview, left = Preview(tmp_path, 1.0), torch.zeros(1, 1, 16, 32)
    left[..., :16] = 1
    preview.show(torch.zeros(1, 3, 16, 32), left)
    preview.show(torch.ones(1, 3, 16, 32), 1 - left)
    with Image.open(tmp_path / PICTURE) as shown:
        assert shown.size == (32, 16)
        assert shown.getpixel((4, 8)) == (0, 0, 0)
        assert shown.getpixel((28, 8)) == (255, 255, 255)
    assert {path.name for path in (tmp_path / PICTURE).parent.iterdir()} == {
        "preview.jpg",
        "progress.json",
    }


def test_a_large_picture_is_shown_smaller(tmp_path: Path) -> None:
    Preview(tmp_path, 1.0).show(torch.zeros(1, 3, 16, 2 * LARGEST), torch.ones(1, 1, 1, 1))
    with Image.open(tmp_path / PICTURE) as shown:
        assert shown.size == (LARGEST, 8)


def test_what_is_done_and_how_long_the_rest_takes(tmp_path: Path) -> None:
    clock = Clock()
    preview = Preview(tmp_path, 1.0, clock)
    assert preview.done == 0
    preview.expect(descents=2, iterations=4)
    # Stages may take turns, as regions do that are painted as one batch.
    for stage in ("cat", "sky", "cat", "sky"):
        preview.advance(row(stage))
    clock.seconds += 10
    preview.show(torch.zeros(1, 3, 16, 16), torch.ones(1, 1, 16, 16))
    assert json.loads((tmp_path / PROGRESS).read_text()) == {
        "iterations": 4,
        "done": 0.5,
        "seconds_left": 10.0,
    }
    for stage in ("cat", "sky", "cat", "sky"):
        preview.advance(row(stage))
    assert preview.done == 1


def test_a_second_round_of_the_same_stage_counts(tmp_path: Path) -> None:
    preview = Preview(tmp_path, 1.0)
    preview.expect(descents=2, iterations=2)
    for _ in range(3):
        preview.advance(row())
    assert preview.done == pytest.approx(0.75)


def test_fine_scales_are_most_of_the_work() -> None:
    assert work_done(0.0, 4) == 0
    assert work_done(1.0, 4) == pytest.approx(1)
    assert work_done(0.3, 1) == pytest.approx(0.3)
    # 1.6 iterations at a quarter of the cost, then one at the whole.
    assert work_done(1.6 / 2.6, 2) == pytest.approx(1.6 / (1.6 + 4))
    assert work_done(0.5, 4) == pytest.approx(0.1, abs=0.01)


def test_a_disk_that_cannot_be_written_to_costs_the_picture_alone(tmp_path: Path) -> None:
    in_the_way = tmp_path / "file"
    in_the_way.write_text("no folder")
    Preview(in_the_way, 1.0).show(torch.zeros(1, 3, 16, 16), torch.ones(1, 1, 16, 16))
    assert in_the_way.read_text() == "no folder"
