"""Inputs: every file is opened first, and one error says all that is wrong."""

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from pipeline.errors import UserError
from pipeline.inputs import read_inputs
from pipeline.request import RegionChoice, Request, Shape, StyleChoice, parse_regions


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    array = np.zeros((80, 120), dtype=np.uint8)
    array[:, 60:] = 255
    Image.fromarray(array).save(tmp_path / "half.png")
    Image.fromarray(np.full((40, 60, 3), 90, np.uint8)).save(tmp_path / "photo.png")
    labels = np.zeros((40, 60), np.uint8)
    labels[:20] = 3
    Image.fromarray(labels).save(tmp_path / "labels.png")
    return tmp_path


def test_all_files_are_read(folder: Path) -> None:
    crop = Shape("box", (0.0, 0.0, 0.5, 1.0))
    request = Request(
        "photo.png",
        {"sky": [StyleChoice("wave"), StyleChoice("half.png", crop=crop)], "logo": []},
        reference="coffee",
        label_map="labels.png",
        regions={
            "sky": RegionChoice("half.png"),
            "held": RegionChoice("picture 1 in memory"),
            "logo": RegionChoice(Shape("box", (0.0, 0.0, 0.5, 0.5))),
            "low": RegionChoice("label_3"),
            "me": RegionChoice("person.1"),
        },
        init="half.png",
    )
    in_memory = {"picture 1 in memory": Image.new("L", (9, 7), 255)}
    found = read_inputs(request, 30, folder, in_memory)
    assert found.photograph.picture.shape == (1, 3, 20, 30)
    assert found.photograph.original == (60, 40)
    # Styles are sized when their regions are known.
    assert [style.picture.shape[3] for style in found.styles["sky"]] == [768, 60]
    assert found.reference is not None
    assert found.init is not None
    assert found.init.shape == (1, 3, 80, 120)
    assert found.label_map is not None
    assert found.label_map.index.shape == (40, 60)
    # Shapes, labels and classes are no files.
    assert set(found.masks) == {"sky", "held"}
    assert found.masks["sky"].shape == (1, 1, 20, 30)
    torch.testing.assert_close(found.masks["held"], torch.ones(1, 1, 20, 30))
    # Photograph and masks are shrunk together.
    smaller = found.shrunk(24)
    assert smaller.photograph.picture.shape == (1, 3, 16, 24)
    assert {mask.shape for mask in smaller.masks.values()} == {(1, 1, 16, 24)}
    assert smaller.masks["sky"][0, 0, 8, [2, 20]].tolist() == [0, 1]


def test_one_error_says_all_that_is_wrong(folder: Path) -> None:
    (folder / "text.png").write_text("text")
    request = Request(
        "photo.png",
        {"person": [StyleChoice("snk.jpg"), StyleChoice("wve.jpg")], "persn": []},
        reference="nowhere.png",
        regions={"sky": RegionChoice("text.png")},
        init="nosuch.png",
        weights={"encoder.weights": "none.pth"},
    )
    with pytest.raises(UserError) as caught:
        read_inputs(request, 64, folder)
    message = str(caught.value)
    for part in (
        "no region 'persn'; did you mean person?",
        "style 'snk.jpg' not found",
        "style 'wve.jpg' not found",
        "reference 'nowhere.png' not found",
        "text.png is not a picture",
        "init 'nosuch.png' not found",
        "none.pth not found",
        "encoder.weights=FILE",
    ):
        assert part in message
    assert "\n" not in message


def test_the_photograph_that_is_missing_is_named_with_the_rest(folder: Path) -> None:
    request = Request("foto.png", {"person": [StyleChoice("snk.jpg")]})
    with pytest.raises(UserError, match=r"content 'foto.png' not found.*; style 'snk.jpg' not"):
        read_inputs(request, None, folder)


def test_a_region_of_a_style_is_a_regions_name(folder: Path) -> None:
    request = Request("photo.png", {"person": [StyleChoice("ink.jpg", region="hat")]})
    with pytest.raises(UserError, match="no region 'hat'"):
        read_inputs(request, 64, folder)


def test_styles_keep_the_pixels_that_a_larger_scale_shows(folder: Path) -> None:
    Image.fromarray(np.zeros((90, 3000, 3), np.uint8)).save(folder / "wide.png")
    choices = [StyleChoice("wide.png", scale=scale) for scale in (0.5, 1, 2, 4)]
    found = read_inputs(Request("photo.png", {"person": choices}), 64, folder)
    widths = [style.picture.shape[3] for style in found.styles["person"]]
    assert widths == [1024, 1024, 2048, 3000]


def test_a_mask_of_a_style_picture_is_cut_as_the_picture_is(folder: Path) -> None:
    colours = np.zeros((90, 120, 3), np.uint8)
    colours[:, 60:] = 255
    Image.fromarray(colours).save(folder / "two.png")
    inside = np.zeros((30, 40), np.uint8)
    inside[:, 20:] = 255
    Image.fromarray(inside).save(folder / "inside.png")
    right = Shape("box", (0.25, 0.0, 1.0, 1.0))
    pixels = Shape("box", (0.0, 0.0, 90.0, 90.0))
    choices = [
        StyleChoice("two.png", mask="inside.png", crop=crop) for crop in (None, right, pixels)
    ]
    found = read_inputs(Request("photo.png", {"all": choices}), 64, folder)
    for style, white in zip(found.styles["all"], (60, 60, 30), strict=True):
        assert style.mask is not None
        assert style.mask.shape[2:] == style.picture.shape[2:]
        # Only white is inside; what lies far from it is gone.
        assert style.mask[0, 0, 45].sum() == pytest.approx(white, abs=2)
        torch.testing.assert_close(style.mask, style.picture[:, :1], atol=0.5, rtol=0)
        assert style.picture.shape[3] < white + 20


def test_a_mask_of_a_style_picture_shows_something(folder: Path) -> None:
    Image.new("L", (40, 30)).save(folder / "black.png")
    choices = [StyleChoice("wave", mask="black.png"), StyleChoice("wave", mask="nowhere.png")]
    with pytest.raises(UserError, match=r"nothing of wave is white.*'nowhere.png' not found"):
        read_inputs(Request("photo.png", {"all": choices}), 64, folder)


def test_two_label_maps_are_read_together(folder: Path) -> None:
    Image.new("RGB", (50, 40), (250, 4, 0)).save(folder / "reference.png")
    Image.new("RGB", (50, 40), (255, 0, 0)).save(folder / "here.png")
    request = Request(
        "photo.png", label_map="here.png", reference="wave", reference_labels="reference.png"
    )
    found = read_inputs(request, 64, folder)
    assert found.reference_labels is not None
    assert found.reference_labels.names == [("red", "rgb_ff0000")]
    assert read_inputs(Request("photo.png"), 64, folder).reference_labels is None


def test_masks_can_be_added(folder: Path) -> None:
    found = read_inputs(Request("photo.png"), 64, folder)
    thing = torch.rand(1, 1, 40, 60)
    more = found.with_masks({"thing": thing})
    assert more.masks["thing"] is thing
    assert "thing" not in found.masks
    assert more.shrunk(30).masks["thing"].shape == (1, 1, 20, 30)


def test_masks_and_label_maps_that_hold_no_numbers_are_refused(tmp_path: Path) -> None:
    values = np.zeros((24, 30), np.float32)
    values[0, 0] = np.nan
    Image.fromarray(values).save(tmp_path / "nan.tif")
    Image.new("RGB", (40, 32)).save(tmp_path / "p.png")
    for regions, what in (({"a": "nan.tif"}, "mask"), ("nan.tif", "label map")):
        label_map, own = parse_regions(regions)
        request = Request("p.png", label_map=label_map, regions=own)
        with pytest.raises(UserError, match=rf"nan.tif cannot be used as a {what}: .*; save it"):
            read_inputs(request, None, tmp_path)
