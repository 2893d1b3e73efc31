"""What a run leaves: lossless pictures, palettes, tables; nothing half-written."""

import csv
import json
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor

from pipeline.engine.progress import LossRow
from pipeline.results import overlay, write
from pipeline.results.folder import all_or_nothing
from pipeline.results.result import Result


def save(result: Result, folder: Path) -> None:
    with all_or_nothing(folder) as files:
        write.save_result(result, files)
        files.show(result.summary)


def test_the_palette_is_vocs() -> None:
    palette = write.voc_palette()
    assert palette.shape == (256, 3)
    # From the VOC development kit: background, aeroplane, bicycle, person, tvmonitor, uncertain.
    for number, colour in {
        0: (0, 0, 0),
        1: (128, 0, 0),
        2: (0, 128, 0),
        15: (192, 128, 128),
        20: (0, 64, 128),
        255: (224, 224, 192),
    }.items():
        assert tuple(palette[number]) == colour


def test_pictures_masks_and_labels_are_read_back_as_they_were(tmp_path: Path) -> None:
    levels = torch.randint(0, 256, (1, 3, 9, 13), generator=torch.Generator().manual_seed(0))
    write.save_picture(levels / 255, tmp_path / "picture.png")
    # The chunk that says so; 0 is for perceptual rendering.
    assert b"\0\0\0\1sRGB\0" in (tmp_path / "picture.png").read_bytes()
    back = np.asarray(Image.open(tmp_path / "picture.png"))
    assert np.array_equal(back, levels[0].permute(1, 2, 0).numpy())

    write.save_mask(levels[:, :1] / 255, tmp_path / "mask.png")
    assert np.array_equal(np.asarray(Image.open(tmp_path / "mask.png")), levels[0, 0].numpy())

    labels = levels[0, 0] % 21
    write.save_labels(labels, tmp_path / "labels.png")
    opened = Image.open(tmp_path / "labels.png")
    assert opened.mode == "P"
    assert np.array_equal(np.asarray(opened), labels.numpy())


def test_the_overlay_tints_what_is_not_background() -> None:
    content = torch.full((1, 3, 120, 160), 0.5)
    person = torch.zeros(1, 1, 120, 160)
    person[..., 80:] = 1
    masks = {"background": 1 - person, "person": person}
    shown = np.asarray(overlay.draw_overlay(content, masks)).astype(int)
    assert shown.shape == (120, 160, 3)
    assert tuple(shown[5, 5]) == (128, 128, 128)
    assert tuple(shown[5, 155]) == (160, 128, 128)
    assert tuple(shown[5, 80]) == (255, 255, 255)
    assert (shown == 0).any()  # the plates of the names


def test_the_overview_puts_pictures_side_by_side(tmp_path: Path) -> None:
    panels = [Image.new("RGB", (6, 4), colour) for colour in ("black", "white")]
    write.save_overview(panels, tmp_path / "both.png")
    both = np.asarray(Image.open(tmp_path / "both.png"))
    assert both.shape == (4, 12, 3)
    assert both[:, :6].max() == 0
    assert both[:, 6:].min() == 255


def test_regions_of_any_name_stay_in_the_folder_and_are_shown_as_given(tmp_path: Path) -> None:
    content, mask = torch.full((1, 3, 24, 32), 0.5), torch.ones(1, 1, 24, 32)
    names = ["../../up", "a/b", "sky", "sky-2", "Sky"]
    style = {name: [content] for name in names} | {"sky": [content, content]}
    regions = [{"name": name, "share": 1.0, "style": "s"} for name in names]
    masks = dict.fromkeys(names, mask)
    result = Result(content, None, None, {}, masks, style, summary={"regions": regions})
    save(result, tmp_path / "below" / "run")
    run = tmp_path / "below" / "run"
    assert all(run in path.parents for path in tmp_path.rglob("*.png"))
    found = {path.stem for path in (tmp_path / "below" / "run" / "masks").iterdir()}
    assert len({name.casefold() for name in found}) == len(names)
    summary = json.loads((tmp_path / "below" / "run" / "summary.json").read_text())
    assert [entry["name"] for entry in summary["regions"]] == names
    assert {entry.get("file", entry["name"]) for entry in summary["regions"]} == found
    styles = {path.stem for path in (tmp_path / "below" / "run" / "styles").iterdir()}
    assert styles == found | {"sky-2"}


def test_losses_are_a_table_and_a_plot(tmp_path: Path) -> None:
    curve = [
        LossRow("person", scale, i, 3.0 / (i + 1), 1, 2, 0) for scale in (2, 1) for i in (0, 1)
    ]
    write.save_losses(curve, tmp_path / "losses.csv", tmp_path / "losses.png")
    with (tmp_path / "losses.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [row["scale"] for row in rows] == ["2", "2", "1", "1"]
    assert float(rows[1]["total"]) == pytest.approx(1.5)
    assert min(np.asarray(Image.open(tmp_path / "losses.png")).shape[:2]) > 300


def test_of_a_result_that_cannot_be_written_whole_nothing_is_left(
    tmp_path: Path, content: Tensor, disc: Tensor, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(write, "save_overview", full)
    made = Result(content, 1 - content, None, {}, {"disc": disc}, summary={"regions": []})
    (tmp_path / "pipeline.log").touch()
    with pytest.raises(OSError, match="No space left"), all_or_nothing(tmp_path) as files:
        write.save_result(made, files)
    assert [path.name for path in tmp_path.rglob("*")] == ["pipeline.log"]


def test_large_pictures_are_shown_smaller(
    tmp_path: Path, content: Tensor, disc: Tensor, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(overlay, "LARGEST_SHOWN", 40)
    summary = {"regions": []}
    made = Result(content, 1 - content, None, {}, {"disc": disc}, summary=summary)
    save(made, tmp_path)
    sizes = {"result": (83, 61), "masks/disc": (83, 61), "regions": (40, 29), "overview": (120, 29)}
    for name, size in sizes.items():
        with Image.open(tmp_path / f"{name}.png") as picture:
            assert picture.size == size


def test_what_cannot_be_written_is_an_error(tmp_path: Path, content: Tensor, disc: Tensor) -> None:
    (tmp_path / "masks").touch()
    with pytest.raises(OSError, match="masks"):
        save(Result(content, None, None, {"disc": disc}, {}), tmp_path)
