"""Boxes: the parts of a picture that its regions need."""

import pytest
import torch

from pipeline.pictures.boxes import Box, alike, surroundings


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
