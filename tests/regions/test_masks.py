"""Regions: names, soft masks that meet without a gap, and boxes around them."""

import pytest
import torch
from torch import Tensor

from pipeline.errors import UserError
from pipeline.pictures.boxes import Box, alike, surroundings
from pipeline.regions.masks import class_masks, grow, object_masks, region_masks
from pipeline.regions.names import check_names
from pipeline.regions.segment import Segmentation
from pipeline.request import RegionChoice


@pytest.fixture
def segmentation() -> Segmentation:
    """A row of pixels from surely background to surely cat, then dog."""
    cat = torch.tensor([0.0, 0.1, 0.5, 0.9, 1.0, 0.34, 0.0]).view(1, 1, 1, 7)
    dog = torch.tensor([0.0, 0.0, 0.0, 0.0, 0.0, 0.33, 1.0]).view(1, 1, 1, 7)
    return Segmentation({"background": 1 - cat - dog, "cat": cat, "dog": dog})


def masks_of(segmentation: Segmentation, names: list[str]) -> dict[str, Tensor]:
    picture = torch.zeros(1, 3, 1, 7)
    return region_masks(names, class_masks(segmentation, picture), picture)


def test_masks_are_sharpened_and_meet(segmentation: Segmentation) -> None:
    masks = masks_of(segmentation, ["cat", "dog", "background"])
    assert masks["cat"][0, 0, 0].tolist() == pytest.approx([0, 0, 0.5, 1, 1, 1, 0])
    total = masks["cat"] + masks["dog"] + masks["background"]
    torch.testing.assert_close(total, torch.ones(1, 1, 1, 7))


def test_rest_is_all_that_no_other_style_names(segmentation: Segmentation) -> None:
    masks = masks_of(segmentation, ["rest", "cat"])
    torch.testing.assert_close(masks["rest"], 1 - masks["cat"])
    assert list(masks) == ["rest", "cat"]


@pytest.mark.parametrize(
    ("wrong", "near"), [("persn", "person"), ("motorcycle", "motorbike"), ("couch", "sofa")]
)
def test_unknown_names_suggest_the_nearest(wrong: str, near: str) -> None:
    with pytest.raises(UserError, match=f"did you mean {near}"):
        check_names([wrong])


def test_absent_regions_say_what_is_there(segmentation: Segmentation) -> None:
    with pytest.raises(UserError, match=r"no horse in this photograph.*background.*cat.*dog"):
        masks_of(segmentation, ["horse"])


def test_surroundings() -> None:
    mask = torch.zeros(1, 1, 100, 80)
    mask[..., 40:60, 5:30] = 0.1
    box = surroundings(mask, 8)
    assert (box.top, box.bottom, box.left, box.right) == (32, 68, 0, 38)
    assert (box.height, box.width) == (36, 38)
    part = box.cut(mask)
    assert torch.equal(box.put(part + 1, mask)[..., 32:68, :38], mask[..., 32:68, :38] + 1)
    assert mask.max() < 1  # put copies


@pytest.mark.parametrize(("row", "column"), [(0, 0), (99, 79), (50, 40)])
def test_a_single_pixel_gets_the_smallest_box(row: int, column: int) -> None:
    mask = torch.zeros(1, 1, 100, 80)
    mask[..., row, column] = 1
    box = surroundings(mask, 0, smallest=32)
    assert (box.height, box.width) == (32, 32)
    assert box.cut(mask).sum() == 1
    narrow = surroundings(mask[..., :20], 4) if column < 20 else None
    assert narrow is None or narrow.width == 20


def test_sides_are_multiples_where_the_picture_has_room() -> None:
    mask = torch.zeros(1, 1, 100, 80)
    mask[..., 40:60, 60:78] = 1
    box = surroundings(mask, 8, multiple=16)
    assert (box.height, box.width) == (48, 32)
    assert box.top <= 32
    assert box.bottom >= 68
    assert box.right == 80
    mask[..., 1:99, :] = 1
    whole = surroundings(mask, 8, multiple=16)
    assert (whole.height, whole.width) == (100, 80)


def test_boxes_of_like_size_get_one_size_and_stay_in_the_picture() -> None:
    frame = Box(0, 0, 300, 400)
    boxes = {
        "small": Box(0, 0, 64, 64),
        "corner": Box(250, 350, 300, 400),
        "large": Box(20, 20, 280, 380),
        "wide": Box(240, 0, 300, 64),
    }
    found = alike(boxes, frame)
    assert [*found] == [*boxes]
    assert {(found[n].height, found[n].width) for n in ("small", "corner", "wide")} == {(64, 64)}
    assert found["large"] == boxes["large"]
    for region, box in found.items():
        own = boxes[region]
        assert frame.top <= box.top <= own.top
        assert own.bottom <= box.bottom <= frame.bottom
        assert frame.left <= box.left <= own.left
        assert own.right <= box.right <= frame.right


def test_boxes_grow_no_more_than_a_size_less_is_worth() -> None:
    boxes = {"a": Box(0, 0, 200, 200), "b": Box(0, 0, 100, 100)}
    frame = Box(0, 0, 500, 500)
    assert alike(boxes, frame, waste=29_999) == boxes
    assert alike(boxes, frame, waste=30_000)["b"].area == 40_000


def square(top: int, left: int, side: int) -> Tensor:
    mask = torch.zeros(1, 1, 40, 60)
    mask[..., top : top + side, left : left + side] = 1
    return mask


PICTURE = torch.zeros(1, 3, 40, 60)


def test_later_names_lie_on_top() -> None:
    available = {"under": square(0, 0, 20), "over": square(10, 10, 20)}
    masks = region_masks(["under", "over"], available, PICTURE)
    assert torch.equal(masks["over"], available["over"])
    assert masks["under"].sum() == 400 - 100
    turned = region_masks(["over", "under"], available, PICTURE)
    assert turned["over"].sum() == 300


def test_all_lies_under_and_rest_is_left() -> None:
    available = {"cat": square(0, 0, 20)}
    masks = region_masks(["all", "cat"], available, PICTURE)
    assert masks["all"].sum() == 40 * 60 - 400
    masks = region_masks(["cat", "rest"], available, PICTURE)
    assert masks["rest"].sum() == 40 * 60 - 400
    assert region_masks(["all"], {}, PICTURE)["all"].min() == 1
    with pytest.raises(UserError, match="nothing for rest"):
        region_masks(["all", "rest"], {}, PICTURE)


def test_what_is_covered_says_so() -> None:
    available = {"small": square(5, 5, 5), "large": square(0, 0, 20)}
    with pytest.raises(UserError, match="name small later"):
        region_masks(["small", "large"], available, PICTURE)
    with pytest.raises(UserError, match="region small holds no pixel"):
        region_masks(["small"], {"small": torch.zeros(1, 1, 40, 60)}, PICTURE)


def test_objects_are_numbered_from_the_largest() -> None:
    both = square(0, 0, 8) + square(20, 30, 15)
    both[..., 12, 0] = 1  # a speck belongs to the nearest object
    first, second = object_masks(both)
    assert first.sum() == 15 * 15
    assert second.sum() == 8 * 8 + 1
    masks = region_masks(["cat.2"], {"cat": both}, PICTURE)
    assert torch.equal(masks["cat.2"], second)
    with pytest.raises(UserError, match=r"no cat.3; there are 2 objects of cat"):
        region_masks(["cat.3"], {"cat": both}, PICTURE)


def test_soft_edges_stay_with_their_object() -> None:
    both = (square(0, 0, 10) + square(20, 30, 15)) * 1.0
    both[..., 10, :10] = 0.3
    objects = object_masks(both)
    assert objects[1][0, 0, 10, :10].min().item() == pytest.approx(0.3)
    torch.testing.assert_close(sum(objects), both)


@pytest.mark.parametrize(("pixels", "side"), [(3, 16), (0, 10), (-2, 6), (0.4, 10)])
def test_growing_moves_every_edge(pixels: float, side: int) -> None:
    grown = grow(square(15, 20, 10), pixels)
    assert grown[0, 0, 20].sum() == side
    assert grown[0, 0, :, 25].sum() == side


def test_shrinking_leaves_the_frame_alone() -> None:
    assert grow(torch.ones(1, 1, 9, 9), -3).min() == 1


def test_inverted_and_grown() -> None:
    choices = {"cat": RegionChoice(invert=True, grow=-1)}
    masks = region_masks(["cat"], {"cat": square(10, 10, 10)}, PICTURE, choices)
    assert masks["cat"][0, 0, 15, 8:22].tolist() == [1.0] + [0.0] * 12 + [1.0]


@pytest.mark.parametrize("name", ["person.1", "sky", "sky.2", "all", "rest"])
def test_names_of_objects_and_own_regions(name: str) -> None:
    check_names([name], ["sky"])


@pytest.mark.parametrize("name", ["person.0", "person.x", "skye", "motorcycle.1"])
def test_wrong_names_of_objects(name: str) -> None:
    with pytest.raises(UserError, match="no region"):
        check_names([name], ["sky"])
