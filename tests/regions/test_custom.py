"""Own regions: what needs the segmenter, and what a source may be."""

import math

import numpy as np
import pytest
import torch
from skimage.draw import polygon2mask

from pipeline.errors import UserError
from pipeline.pictures.strips import strips
from pipeline.regions import custom
from pipeline.regions.custom import shape_mask
from pipeline.regions.label_map import LabelMap
from pipeline.request import RegionChoice, Seeds, Shape

LABELS = LabelMap(
    np.repeat([[0, 0, 1]], 4, axis=0), [("label_0", "background"), ("label_9", "sky", "person")]
)
CONTENT = torch.zeros(1, 3, 40, 60)


@pytest.mark.parametrize(
    ("names", "choices", "labels", "needed"),
    [
        (["person"], {}, None, True),
        (["person.2"], {}, None, True),
        (["background"], {}, None, True),
        (["all"], {}, None, False),
        (["rest", "logo"], {"logo": RegionChoice(Shape("box", (0, 0, 1, 1)))}, None, False),
        (["hero"], {"hero": RegionChoice("person.1", grow=3)}, None, True),
        (["person"], {"person": RegionChoice("mask.png")}, None, False),
        (["person"], {"person": RegionChoice(None, grow=3)}, None, True),
        (["person", "sky"], {}, LABELS, False),
        (["cat", "sky"], {}, LABELS, True),
        (["cup"], {"cup": RegionChoice(Seeds(((0.5, 0.5),)))}, None, True),
    ],
)
def test_the_segmenter_runs_only_where_it_is_needed(
    names: list[str], choices: dict[str, RegionChoice], labels: LabelMap | None, needed: bool
) -> None:
    assert custom.needs_classes(names, labels, choices) == needed


def test_labels_have_all_their_names_and_show_one() -> None:
    masks = custom.label_masks(LABELS, CONTENT)
    assert torch.equal(masks["sky"], masks["label_9"])
    assert masks["sky"].shape == (1, 1, 40, 60)
    assert custom.aliases(LABELS) == {"background", "sky", "person"}
    assert custom.label_masks(None, CONTENT) == {}


def test_sources_of_every_kind() -> None:
    two = torch.zeros(1, 1, 40, 60)
    two[..., 5:30, 5:30] = 1
    two[..., 5:15, 40:50] = 1
    available = {"cat": two}
    drawn = torch.rand(1, 1, 40, 60)
    choices = {
        "file": RegionChoice("half.png"),
        "shape": RegionChoice(Shape("box", (60, 0, 120, 80))),
        "other": RegionChoice("cat"),
        "second": RegionChoice("cat.2"),
        "changed": RegionChoice(None, grow=3),
    }
    masks = custom.own_masks(choices, available, {"file": drawn}, CONTENT, (120, 80))
    assert set(masks) == {"file", "shape", "other", "second"}
    assert masks["shape"][..., :29].max() < 0.02
    assert masks["shape"][..., 31:].min() > 0.98
    assert masks["other"] is available["cat"]
    assert torch.equal(masks["file"], drawn)
    assert masks["second"].sum() == 100


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("horse", "there is no horse in this photograph"),
        ("cat.9", "no cat.9; there is one object"),
    ],
)
def test_sources_that_are_not_there(source: str, message: str) -> None:
    available = {"cat": torch.ones(1, 1, 40, 60)}
    with pytest.raises(UserError, match=message):
        custom.own_masks({"r": RegionChoice(source)}, available, {}, CONTENT, (60, 40))


def test_a_box_covers_its_pixels() -> None:
    mask = shape_mask(Shape("box", (10, 5, 30, 25)), 60, 80, (80, 60))
    expected = torch.zeros(60, 80)
    expected[5:25, 10:30] = 1
    torch.testing.assert_close(mask[0, 0], expected, atol=0.02, rtol=0)


def test_a_pixel_may_be_half_covered() -> None:
    mask = shape_mask(Shape("box", (10, 5, 30.5, 25)), 60, 80, (80, 60))
    assert mask[0, 0, 10, 30].item() == pytest.approx(0.5, abs=0.07)


def test_pixels_are_those_of_the_original() -> None:
    small = shape_mask(Shape("box", (20, 10, 60, 50)), 60, 80, (160, 120))
    same = shape_mask(Shape("box", (10, 5, 30, 25)), 60, 80, (80, 60))
    torch.testing.assert_close(small, same, atol=0.02, rtol=0)


def test_fractions_are_of_the_sides() -> None:
    mask = shape_mask(Shape("box", (0.25, 0.5, 0.75, 1)), 60, 80, (4000, 3000))
    assert mask.sum().item() == pytest.approx(40 * 30, rel=0.01)
    assert mask[0, 0, 30:, 20:60].min() > 0.9


@pytest.mark.parametrize(
    "shape", [Shape("circle", (40, 30, 20)), Shape("circle", (0.5, 0.5, 1 / 3))]
)
def test_a_circle_has_its_area(shape: Shape) -> None:
    mask = shape_mask(shape, 60, 80, (80, 60))
    assert mask.sum().item() == pytest.approx(math.pi * 20**2, rel=0.01)
    assert mask[0, 0, 30, 40] == 1
    assert mask[0, 0, 30, 61:].max() == 0


def test_a_polygon_may_leave_the_picture() -> None:
    mask = shape_mask(Shape("polygon", (0, 0, 200, 0, 0, 60)), 60, 80, (80, 60))
    # The triangle's hypotenuse is at row 60 (1 - x / 200): 60 to 36 over the columns 0 to 80.
    assert mask.sum().item() == pytest.approx(80 * (60 + 36) / 2, rel=0.01)


@pytest.mark.parametrize("pixels", [2**20, 70 * 9])
def test_a_polygon_covers_what_scikit_image_says(
    pixels: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(strips, "__defaults__", (pixels,))
    corners = (3.3, 4.1, 90.7, 11.3, 20.9, 47.7, -8.3, 60.1, 33.1, 2.7)
    mask = shape_mask(Shape("polygon", corners), 50, 70, (70, 50))
    fine = np.array(corners).reshape(-1, 2) * 4 - 0.5
    expected = polygon2mask((200, 280), fine[:, ::-1]).reshape(50, 4, 70, 4).mean((1, 3))
    assert np.abs(mask[0, 0].numpy() - expected).max() < 0.01
