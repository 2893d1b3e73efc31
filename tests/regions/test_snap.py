"""Things at points and in boxes: discs, halves and a class of a segmenter."""

import numpy as np
import pytest
import torch
from torch import Tensor

from pipeline.errors import UserError
from pipeline.regions.segment import Segmentation
from pipeline.regions.snap import snap, snapped_masks
from pipeline.request import RegionChoice, Seeds, Shape

SIZE = (90, 130)


def disc_at(row: int, column: int, radius: int = 20) -> Tensor:
    rows, columns = np.mgrid[: SIZE[0], : SIZE[1]]
    inside = (rows - row) ** 2 + (columns - column) ** 2 < radius**2
    return torch.from_numpy(inside)[None, None]


LEFT, RIGHT = disc_at(45, 32), disc_at(45, 98)


@pytest.fixture
def picture() -> Tensor:
    """(1, 3, 90, 130): two discs, red and yellow, on noisy blue."""
    generator = torch.Generator().manual_seed(0)
    found = torch.tensor([0.1, 0.2, 0.6]).view(1, 3, 1, 1).expand(1, 3, *SIZE).clone()
    for disc, colour in ((LEFT, (0.9, 0.2, 0.1)), (RIGHT, (0.9, 0.8, 0.1))):
        found = torch.where(disc, torch.tensor(colour).view(1, 3, 1, 1), found)
    return (found + 0.02 * torch.randn(found.shape, generator=generator)).clamp(0, 1)


@pytest.fixture
def segmentation() -> Segmentation:
    """Two cats: the left disc, of which it is sure, and the right one; the rest is background."""
    cat = torch.where(LEFT, 0.9, torch.where(RIGHT, 0.55, 0.05))
    return Segmentation({"background": 1 - cat, "cat": cat})


def iou(mask: Tensor, truth: Tensor) -> float:
    large = torch.nn.functional.interpolate(mask, SIZE, mode="bilinear") >= 0.5
    return float((large & truth).sum() / (large | truth).sum())


def test_a_point_finds_the_disc_by_its_colours(picture: Tensor) -> None:
    found = snap(picture, Seeds(((0.25, 0.5),)), None, (130, 90))
    assert iou(found, LEFT) > 0.9
    assert found.min() >= 0
    assert found.max() <= 1


def test_points_in_pixels_of_the_file(picture: Tensor) -> None:
    found = snap(picture, Seeds(((980, 450),)), None, (1300, 900))
    assert iou(found, RIGHT) > 0.9


def test_two_points_find_both_discs(picture: Tensor) -> None:
    found = snap(picture, Seeds(((0.25, 0.5), (0.75, 0.5))), None, (130, 90))
    assert iou(found, LEFT | RIGHT) > 0.85


def test_a_point_that_is_not_on_it_excludes(picture: Tensor) -> None:
    everything = Seeds(((0.05, 0.05),), ((0.25, 0.5), (0.75, 0.5)))
    found = snap(picture, everything, None, (130, 90))
    assert iou(found, ~(LEFT | RIGHT)) > 0.9


def test_a_box_finds_what_is_in_it(picture: Tensor) -> None:
    box = Shape("box", (0.05, 0.1, 0.5, 0.95))
    assert iou(snap(picture, Seeds(around=box), None, (130, 90)), LEFT) > 0.9


def test_a_point_on_a_class_takes_its_connected_part(
    picture: Tensor, segmentation: Segmentation
) -> None:
    # Nothing of a flat picture tells the discs but the segmenter.
    flat = torch.full_like(picture, 0.5)
    found = snap(flat, Seeds(((0.25, 0.5),)), segmentation, (130, 90))
    assert iou(found, LEFT) == 1
    assert found.max() == pytest.approx(0.9)


def test_a_box_around_a_class_takes_it(picture: Tensor, segmentation: Segmentation) -> None:
    flat = torch.full_like(picture, 0.5)
    box = Shape("box", (0.08, 0.26, 0.41, 0.74))
    assert iou(snap(flat, Seeds(around=box), segmentation, (130, 90)), LEFT) == 1


def test_a_class_of_which_the_segmenter_is_not_sure_does_not_decide(picture: Tensor) -> None:
    # The segmenter takes a strip for a cat; it is less sure than it has to be.
    strip = torch.full((1, 1, *SIZE), 0.05)
    strip[..., 40:50, 80:120] = 0.55
    guess = Segmentation({"background": 1 - strip, "cat": strip})
    found = snap(picture, Seeds(((0.75, 0.5),)), guess, (130, 90))
    assert iou(found, RIGHT) > 0.9


def test_a_part_can_be_taken_out_of_a_class(picture: Tensor) -> None:
    both = torch.where(LEFT | RIGHT, 0.9, 0.05)
    both[..., 40:50, 40:90] = 0.9  # they hang together
    joined = Segmentation({"background": 1 - both, "cat": both})
    seeds = Seeds(((0.25, 0.5),), ((0.75, 0.5),))
    found = snap(picture, seeds, joined, (130, 90))
    assert iou(found, LEFT) > 0.8
    assert iou(found, LEFT) > iou(both, LEFT) + 0.2


def test_masks_have_the_pictures_size_and_outline(picture: Tensor) -> None:
    large = torch.nn.functional.interpolate(picture, (1080, 1560), mode="bilinear")
    choices = {"disc": RegionChoice(Seeds(((0.25, 0.5),))), "cat": RegionChoice(None, grow=2)}
    truth = torch.nn.functional.interpolate(LEFT.float(), (1080, 1560), mode="bilinear") >= 0.5
    for matte in (True, False):
        found = snapped_masks(choices, None, large, (130, 90), matte)
        assert set(found) == {"disc"}
        assert found["disc"].shape == (1, 1, 1080, 1560)
        wrong = ((found["disc"] >= 0.5) != truth).sum() / truth.sum()
        assert wrong < 0.06


def test_the_same_again(picture: Tensor) -> None:
    seeds = Seeds(((0.25, 0.5),))
    found = [snap(picture, seeds, None, (130, 90)) for _ in range(2)]
    assert torch.equal(found[0], found[1])


@pytest.mark.parametrize(
    ("seeds", "message"),
    [
        (Seeds(((140, 20),)), "140,20 lies outside of the photograph of 130 x 90 pixels"),
        (Seeds(((10, 20),), ((10, 95),)), "10,95 lies outside"),
        (Seeds(around=Shape("box", (0, 0, 1, 1))), "around a part of the photograph"),
        (Seeds(around=Shape("box", (140, 0, 150, 50))), "around a part of the photograph"),
    ],
)
def test_mistakes(picture: Tensor, seeds: Seeds, message: str) -> None:
    with pytest.raises(UserError, match=message) as error:
        snap(picture, seeds, None, (130, 90), "regions.thing")
    assert str(error.value).startswith("regions.thing: ")


def test_where_nothing_is_left_is_an_error(picture: Tensor) -> None:
    box = Shape("box", (0.05, 0.1, 0.5, 0.95))
    seeds = Seeds(((0.9, 0.9),), around=box)
    with pytest.raises(UserError, match="nothing was found there"):
        snap(picture, seeds, None, (130, 90))


def test_a_model_finds_what_is_on_no_class(picture: Tensor, segmentation: Segmentation) -> None:
    asked = []

    def find(seen: Tensor, points: object, excluded: object) -> Tensor:
        asked.append((seen is picture, points, excluded))
        return RIGHT.float()

    seeds = Seeds(((0.25, 0.5), (0.75, 0.5)), ((0.5, 0.1),))
    found = snap(picture, seeds, segmentation, (130, 90), find=find)
    # The left disc is a cat without a doubt; the right one may be.
    assert asked == [(True, [(0.75, 0.5)], [(0.5, 0.1)])]
    assert iou(found, LEFT | RIGHT) > 0.9
    masks = snapped_masks({"r": RegionChoice(seeds)}, segmentation, picture, (130, 90), True, find)
    assert iou(masks["r"], LEFT | RIGHT) > 0.9
