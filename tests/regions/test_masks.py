"""Regions: names, soft masks that meet without a gap, and boxes around them."""

import pytest
import torch
from torch import Tensor

from pipeline.errors import UserError
from pipeline.regions.masks import class_masks, grow, object_masks, region_masks
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


def test_absent_regions_say_what_is_there(segmentation: Segmentation) -> None:
    with pytest.raises(UserError, match=r"no horse in this photograph.*background.*cat.*dog"):
        masks_of(segmentation, ["horse"])


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


@pytest.mark.parametrize("names", [("cat", "cat.2"), ("cat.2", "cat")])
def test_objects_lie_over_their_class(names: tuple[str, ...]) -> None:
    both = torch.zeros(1, 1, 20, 30)
    both[..., 2:10, 2:20] = 1
    both[..., 14:18, 20:26] = 1
    content = torch.zeros(1, 3, 20, 30)
    masks = region_masks(names, {"cat": both}, content)
    assert [*masks] == [*names]
    first, second = object_masks(both)
    torch.testing.assert_close(masks["cat"], first)
    torch.testing.assert_close(masks["cat.2"], second)


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


UNIONS = {"background": ("background", "sky")}


@pytest.fixture
def landscape() -> Segmentation:
    """A row: a person, sky, sky, sky and wall, wall."""
    person = torch.tensor([1.0, 0.0, 0.0, 0.0, 0.0]).view(1, 1, 1, 5)
    sky = torch.tensor([0.0, 1.0, 1.0, 0.5, 0.0]).view(1, 1, 1, 5)
    parts = {"background": 1 - person - sky, "person": person, "sky": sky}
    return Segmentation(parts, unions=UNIONS)


def test_scenes_lie_in_the_background(landscape: Segmentation) -> None:
    masks = class_masks(landscape, torch.zeros(1, 3, 1, 5))
    assert masks["sky"].flatten().tolist() == [0, 1, 1, 0.5, 0]
    assert masks["background"].flatten().tolist() == [0, 1, 1, 1, 1]
    assert masks["person"].flatten().tolist() == [1, 0, 0, 0, 0]


@pytest.mark.parametrize("names", [["sky", "background"], ["background", "sky"]])
def test_scenes_lie_over_the_background_in_any_order(
    landscape: Segmentation, names: list[str]
) -> None:
    picture = torch.zeros(1, 3, 1, 5)
    found = region_masks(names, class_masks(landscape, picture), picture, unions=UNIONS)
    assert list(found) == names
    assert found["sky"].flatten().tolist() == [0, 1, 1, 0.5, 0]
    assert found["background"].flatten().tolist() == [0, 0, 0, 0.5, 1]


def test_own_regions_and_scenes_keep_their_order() -> None:
    available = {"background": square(0, 0, 40), "sky": square(0, 0, 20), "logo": square(10, 0, 20)}
    over = region_masks(["sky", "background", "logo"], available, PICTURE, unions=UNIONS)
    assert over["logo"].sum() == 400
    assert over["sky"].sum() == 200
    # The background is named after the logo, and lies under the sky alone.
    with pytest.raises(UserError, match="named after logo cover all of it"):
        region_masks(["logo", "sky", "background"], available, PICTURE, unions=UNIONS)


def test_parts_lie_over_what_stands_for_them_in_any_order() -> None:
    left, box, all_of_it = torch.zeros(3, 1, 1, 4, 6).unbind()
    left[..., :3], box[..., 2:4], all_of_it[:] = 1, 1, 1
    available = {"house": left, "building": all_of_it, "background": all_of_it, "box": box}
    unions = {"building": ("building", "house"), "background": ("background", "building", "house")}
    content = torch.zeros(1, 3, 4, 6)
    for names in (["house", "building"], ["building", "house"]):
        masks = region_masks(names, available, content, unions=unions)
        assert [*masks] == names
        assert torch.equal(masks["house"], left)
        assert torch.equal(masks["building"], 1 - left)
    masks = region_masks(["house.1", "background"], available, content, unions=unions)
    assert torch.equal(masks["house.1"], left)
    masks = region_masks(["house", "background", "box"], available, content, unions=unions)
    assert torch.equal(masks["box"], box)
    assert torch.equal(masks["house"], left * (1 - box))
    # Half a pixel of the house is half a pixel of the building, not two halves.
    house, hat = torch.zeros(1, 1, 4, 6), torch.zeros(1, 1, 4, 6)
    house[..., :3] = torch.tensor([1, 1, 0.5])
    hat[..., 2:4] = torch.tensor([0.5, 1])
    building = house.clone()
    building[..., 4:] = 1
    found = {"house": house, "building": building, "hat": hat}
    masks = region_masks(["hat", "building", "house"], found, content, unions=unions)
    assert torch.equal(masks["house"], house)
    assert torch.equal(masks["building"], building - house)
    assert torch.equal(masks["hat"], hat)
