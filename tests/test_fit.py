"""The photograph at the size at which what is to be painted of it has room."""

from typing import Any

import pytest
import torch
from torch import Tensor

from pipeline.errors import UserError
from pipeline.fit import Room, fitted
from pipeline.inputs import Inputs
from pipeline.pictures.read import Photograph
from pipeline.regions.label_map import LabelMap
from pipeline.regions.segment import Segmentation
from pipeline.request import RegionChoice, Shape

HEIGHT, WIDTH = 900, 1200
ROOM = Room(512**2, 16, together=True, whole=False)
#: A quarter of each side.
CORNER = RegionChoice(Shape("box", (0.0, 0.0, 0.25, 0.25)))
OPPOSITE = RegionChoice(Shape("box", (0.75, 0.75, 1.0, 1.0)))


@pytest.fixture
def content() -> Tensor:
    return torch.rand(1, 3, HEIGHT, WIDTH, generator=torch.Generator().manual_seed(0))


def inputs(content: Tensor, **more: Any) -> Inputs:
    found = {"styles": {}, "reference": None, "label_map": None, "masks": {}, "init": None}
    return Inputs(Photograph(content, (WIDTH, HEIGHT)), **{**found, **more})


def size(content: Tensor, *names: str, room: Room | None = ROOM, **more: Any) -> int:
    """The long side that the photograph is asked for at."""
    choices = more.pop("choices", {"a": CORNER, "b": OPPOSITE})
    segmentation = more.pop("segmentation", None)
    asked = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Inputs, "shrunk", lambda _, longest: asked.append(longest))
        fitted(inputs(content, **more), segmentation, names, choices, content, room)
    (longest,) = asked
    return int(longest)


def test_without_a_room_the_size_stays(content: Tensor) -> None:
    found = fitted(inputs(content), None, ["all"], {}, content, None)
    assert found.photograph.picture is content


def test_small_regions_leave_the_photograph_its_size(content: Tensor) -> None:
    assert size(content, "a") == WIDTH
    # Nothing to paint needs no room.
    assert size(content) == WIDTH


def test_regions_far_apart_need_the_box_around_both_or_each_its_own(content: Tensor) -> None:
    apart = Room(512**2, 16, together=False, whole=False)
    assert size(content, "a", "b", room=apart) == WIDTH
    # All of the picture: 591 x 443.
    assert size(content, "a", "b") == 591
    assert size(content, "a", room=Room(512**2, 16, together=False, whole=True)) == 591


def test_what_a_region_grows_by_is_painted_too(content: Tensor) -> None:
    larger = {"a": RegionChoice(CORNER.source, grow=300.0)}
    # At 640 pixels: 160 + 316 columns and 120 + 316 rows, in sixteens.
    assert size(content, "a", choices=larger) > 640
    assert size(content, "a", choices=larger) < WIDTH
    smaller = {"a": RegionChoice(Shape("box", (0, 0, 1, 1)), grow=-100.0)}
    assert size(content, "a", choices=smaller) > 591


def test_masks_label_maps_and_classes_count_alike(content: Tensor) -> None:
    half = torch.zeros(1, 1, HEIGHT, WIDTH)
    half[..., : WIDTH // 2] = 1
    expected = size(content, "a", choices={"a": RegionChoice(Shape("box", (0, 0, 0.5, 1)))})
    assert 591 < expected < WIDTH
    choices = {"own": RegionChoice("own.png")}
    labels = LabelMap((half[0, 0, ::3, ::3] == 0).numpy().astype("uint8"), [("left",), ("right",)])
    classes = Segmentation({"background": 1 - half, "cat": half})
    for name, more in (
        ("own", {"masks": {"own": half}, "choices": choices}),
        ("left", {"label_map": labels, "choices": {}}),
        ("cat", {"segmentation": classes, "choices": {}}),
    ):
        assert size(content, name, **more) == pytest.approx(expected, abs=8)


def test_a_region_of_a_few_pixels_is_found(content: Tensor) -> None:
    dot = RegionChoice(Shape("circle", (600, 400, 0.9)))
    assert size(content, "dot", choices={"dot": dot}) == WIDTH


def test_a_region_that_is_not_there_is_said_as_ever(content: Tensor) -> None:
    none = Segmentation({"background": torch.ones(1, 1, 90, 120)})
    with pytest.raises(UserError, match="no cat in this photograph; it shows: background"):
        fitted(inputs(content), none, ["cat"], {}, content, ROOM)


def test_the_photograph_and_its_masks_are_shrunk_together(content: Tensor) -> None:
    read = inputs(content, masks={"own": torch.ones(1, 1, HEIGHT, WIDTH)})
    choices = {"own": RegionChoice("own.png")}
    tight = Room(300_000, 0, together=True, whole=False)
    found = fitted(read, None, ["own"], choices, content, tight)
    assert found.masks["own"].shape[2:] == found.photograph.picture.shape[2:]
