"""Regions: names, soft masks that meet without a gap, and boxes around them."""

import pytest
import torch

from pipeline import regions
from pipeline.errors import UserError
from pipeline.segment import Segmentation


@pytest.fixture
def segmentation() -> Segmentation:
    """A row of pixels from surely background to surely cat, then dog."""
    cat = torch.tensor([0.0, 0.1, 0.5, 0.9, 1.0, 0.34, 0.0]).view(1, 1, 1, 7)
    dog = torch.tensor([0.0, 0.0, 0.0, 0.0, 0.0, 0.33, 1.0]).view(1, 1, 1, 7)
    return Segmentation({"background": 1 - cat - dog, "cat": cat, "dog": dog})


def test_masks_are_sharpened_and_meet(segmentation: Segmentation) -> None:
    masks = regions.region_masks(segmentation, ["cat", "dog", "background"])
    assert masks["cat"][0, 0, 0].tolist() == pytest.approx([0, 0, 0.5, 1, 1, 1, 0])
    total = masks["cat"] + masks["dog"] + masks["background"]
    torch.testing.assert_close(total, torch.ones(1, 1, 1, 7))


def test_rest_is_all_that_no_other_style_names(segmentation: Segmentation) -> None:
    masks = regions.region_masks(segmentation, ["rest", "cat"])
    torch.testing.assert_close(masks["rest"], 1 - masks["cat"])
    assert list(masks) == ["rest", "cat"]


@pytest.mark.parametrize(
    ("wrong", "near"), [("persn", "person"), ("motorcycle", "motorbike"), ("couch", "sofa")]
)
def test_unknown_names_suggest_the_nearest(wrong: str, near: str) -> None:
    with pytest.raises(UserError, match=f"did you mean {near}"):
        regions.check_names([wrong])


def test_absent_regions_say_what_is_there(segmentation: Segmentation) -> None:
    with pytest.raises(UserError, match=r"no horse in this photograph.*background.*cat.*dog"):
        regions.region_masks(segmentation, ["horse"])


def test_surroundings() -> None:
    mask = torch.zeros(1, 1, 100, 80)
    mask[..., 40:60, 5:30] = 0.1
    box = regions.surroundings(mask, 8)
    assert (box.top, box.bottom, box.left, box.right) == (32, 68, 0, 38)
    assert (box.height, box.width) == (36, 38)
    part = box.cut(mask)
    assert torch.equal(box.put(part + 1, mask)[..., 32:68, :38], mask[..., 32:68, :38] + 1)
    assert mask.max() < 1  # put copies


@pytest.mark.parametrize(("row", "column"), [(0, 0), (99, 79), (50, 40)])
def test_a_single_pixel_gets_the_smallest_box(row: int, column: int) -> None:
    mask = torch.zeros(1, 1, 100, 80)
    mask[..., row, column] = 1
    box = regions.surroundings(mask, 0, smallest=32)
    assert (box.height, box.width) == (32, 32)
    assert box.cut(mask).sum() == 1
    narrow = regions.surroundings(mask[..., :20], 4) if column < 20 else None
    assert narrow is None or narrow.width == 20
