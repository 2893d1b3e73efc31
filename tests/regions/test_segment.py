"""Segmentation at the picture's own size, with a segmenter that looks at colours."""

import math
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from pipeline.networks.segmenters import Classes, LoadedSegmenter
from pipeline.networks.weights import Source
from pipeline.pictures.strips import strips
from pipeline.regions.names import CLASSES, SCENE_CLASSES, VOC_CLASSES
from pipeline.regions.segment import Refinement, segment

CAT, DOG = VOC_CLASSES.index("cat"), VOC_CLASSES.index("dog")


class ByColour(nn.Module):
    """Red is a cat, green a dog, all else background; a quarter of the picture's size."""

    def forward(self, picture: Tensor) -> Tensor:
        self.seen = picture.shape
        small = nn.functional.avg_pool2d(picture, 4, ceil_mode=True)
        scores = torch.zeros(len(picture), 21, *small.shape[2:])
        scores[:, 0] = 10
        scores[:, CAT] = 20 * small[:, 0]
        scores[:, DOG] = 20 * small[:, 1]
        return scores


@pytest.fixture
def picture() -> Tensor:
    picture = torch.zeros(1, 3, 61, 83)
    picture[:, 0, 10:40, 10:50] = 1
    picture[:, 1, 50:53, 70:73] = 1  # 9 pixels, 0.2%
    return picture


@pytest.mark.parametrize("refinement", [None, Refinement(16, 1e-4)])
def test_finds_the_regions_at_full_size(picture: Tensor, refinement: Refinement | None) -> None:
    found = segment(picture, ByColour(), refinement=refinement, min_share=0.01)
    assert list(found.shares) == ["background", "cat"]
    assert found.labels.shape == (61, 83)
    assert found.labels[25, 30] == CAT
    assert found.labels[5, 5] == 0
    total = torch.cat([*found.probabilities.values()], dim=1).sum(1)
    torch.testing.assert_close(total, torch.ones_like(total))
    assert found.shares["cat"] == pytest.approx(30 * 40 / (61 * 83), rel=0.15)


def test_a_class_that_has_lost_all_to_a_look_alike_is_not_there(picture: Tensor) -> None:
    picture = picture.clone()
    # A cat's forehead that looks like a dog's.
    picture[:, 0, 12:18, 20:30] = 0
    picture[:, 1, 12:18, 20:30] = 1
    for refinement in (None, Refinement(4, 1e-4)):
        found = segment(picture, ByColour(), [83], refinement=refinement)
        assert [*found.probabilities] == ["background", "cat"]
        total = torch.cat([*found.probabilities.values()], dim=1).sum(1)
        torch.testing.assert_close(total, torch.ones_like(total))


def test_refinement_brings_the_edge_to_the_picture(picture: Tensor) -> None:
    wanted = torch.zeros(61, 83, dtype=torch.bool)
    wanted[10:40, 10:50] = True
    errors = [
        int(((segment(picture, ByColour(), [83], refinement=r).labels == CAT) != wanted).sum())
        for r in (None, Refinement(32, 1e-4))
    ]
    assert errors[0] > 50
    assert errors[1] < 0.2 * errors[0]


def test_small_classes_go_to_the_next_probable_one(picture: Tensor) -> None:
    assert "dog" in segment(picture, ByColour(), min_share=0, min_part=0).shares
    assert "dog" not in segment(picture, ByColour(), min_share=0.01).shares


def test_the_network_sees_at_most_size(picture: Tensor) -> None:
    segmenter = ByColour()
    found = segment(picture, segmenter, sizes=[40])
    assert segmenter.seen == (2, 3, 29, 40)
    assert found.labels.shape == (61, 83)
    segment(picture, segmenter, sizes=[83, 400])
    assert segmenter.seen == (2, 3, 61, 83)


def test_mirroring_averages_both_views(picture: Tensor) -> None:
    class LeftIsCat(nn.Module):
        def forward(self, picture: Tensor) -> Tensor:
            scores = torch.zeros(len(picture), 21, 8, 10)
            scores[:, CAT, :, :5] = 50
            scores[:, 0, :, 5:] = 50
            return scores

    probability = segment(picture, LeftIsCat(), min_share=0).probabilities["cat"]
    assert probability.mean().item() == pytest.approx(0.5, abs=1e-3)
    assert probability.std() < 1e-3


def test_specks_and_holes_go_to_the_next_probable_class() -> None:
    class WithSpeckAndHole(nn.Module):
        def forward(self, picture: Tensor) -> Tensor:
            scores = torch.zeros(len(picture), 21, 40, 60)
            scores[:, 0] = 2
            scores[:, CAT, 5:35, 5:30] = 4
            scores[:, CAT, 20, 15] = 0  # a hole
            scores[:, CAT, 3, 50] = 4  # a speck
            return scores

    picture = torch.rand(1, 3, 40, 60)
    clean = segment(picture, WithSpeckAndHole(), mirror=False, min_part=0.01).labels
    assert clean[20, 15] == CAT
    assert clean[3, 50] == 0
    raw = segment(picture, WithSpeckAndHole(), mirror=False, min_part=0).labels
    assert raw[20, 15] == 0
    assert raw[3, 50] == CAT


def test_a_small_part_beside_its_object_is_no_speck() -> None:
    class HandBeyondASleeve(nn.Module):
        def forward(self, picture: Tensor) -> Tensor:
            scores = torch.zeros(len(picture), 21, 60, 100)
            scores[:, 0] = 2
            scores[:, CAT, 20:50, 10:40] = 4
            scores[:, CAT, 22:24, 44:46] = 4
            scores[:, CAT, 22:24, 80:82] = 4
            return scores

    seen = torch.zeros(1, 3, 60, 100)
    found = segment(seen, HandBeyondASleeve(), [100], mirror=False, min_part=0.002)
    assert (found.labels[22:24, 44:46] == CAT).all()
    assert (found.labels[22:24, 80:82] == 0).all()
    assert (found.labels[22:24, 41:43] == 0).all()


def test_a_cat_with_the_forehead_of_a_dog_is_a_cat() -> None:
    class TwoAnimals(nn.Module):
        def forward(self, picture: Tensor) -> Tensor:
            scores = torch.zeros(len(picture), 21, 40, 60)
            scores[:, 0] = 3
            scores[:, CAT, 5:35, 5:25] = 6
            scores[:, DOG, 5:10, 5:25] = 8  # the cat's forehead
            scores[:, DOG, 5:35, 40:55] = 6  # a dog of its own
            return scores

    labels = segment(torch.rand(1, 3, 40, 60), TwoAnimals(), mirror=False).labels
    assert labels[7, 15] == CAT
    assert labels[20, 15] == CAT
    assert labels[20, 47] == DOG


def test_two_animals_that_touch_stay_two() -> None:
    class Touching(nn.Module):
        def forward(self, picture: Tensor) -> Tensor:
            scores = torch.zeros(len(picture), 21, 40, 60)
            scores[:, CAT, :, :35] = 6
            scores[:, DOG, :, 35:] = 6
            return scores

    labels = segment(torch.rand(1, 3, 40, 60), Touching(), mirror=False).labels
    assert (labels[20, 10], labels[20, 50]) == (CAT, DOG)


def test_a_class_decided_by_colour_still_shares_its_pixels(picture: Tensor) -> None:
    by_colour = Refinement(16, 1e-4, ("cat",))
    found = segment(picture, ByColour(), refinement=by_colour, min_share=0.01)
    plain = segment(picture, ByColour(), refinement=Refinement(16, 1e-4), min_share=0.01)
    truth = picture[:, :1] > 0.5
    total = torch.cat([*found.probabilities.values()], dim=1).sum(1)
    torch.testing.assert_close(total, torch.ones_like(total))
    wrong = [((s.probabilities["cat"] > 0.5) != truth).sum() for s in (found, plain)]
    assert wrong[0] <= wrong[1]


def test_small_pictures_are_enlarged_to_the_smallest_size_and_no_further() -> None:
    seen = []

    class Watching(ByColour):
        def forward(self, picture: Tensor) -> Tensor:
            seen.append(max(picture.shape[2:]))
            return super().forward(picture)

    small = torch.rand(1, 3, 60, 90, generator=torch.Generator().manual_seed(0))
    segment(small, Watching(), sizes=(120, 160, 200), mirror=False)
    assert seen == [120]
    seen.clear()
    segment(small.repeat(1, 1, 2, 2), Watching(), sizes=(120, 160, 200), mirror=False)
    assert seen == [120, 160, 180]


@pytest.mark.parametrize("refinement", [None, Refinement(16, 1e-4)])
def test_a_large_picture_is_segmented_small_and_enlarged_in_strips(
    picture: Tensor, refinement: Refinement | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    large = nn.functional.interpolate(picture, (244, 332), mode="bilinear")
    monkeypatch.setattr("pipeline.regions.segment.WORKING_SIZE", 83)
    found = segment(large, ByColour(), sizes=[83], refinement=refinement, min_share=0.01)
    assert found.probabilities["cat"].shape == (1, 1, 61, 83)
    assert found.labels.shape == (61, 83)
    labels = found.labels_of(large)
    monkeypatch.setattr(strips, "__defaults__", (332 * 50,))
    pieces = list(found.strips(large))
    assert [rows.stop - rows.start for rows, _ in pieces] == [50, 50, 50, 50, 44]
    total = torch.cat([part for _, part in pieces], dim=2).sum(1)
    torch.testing.assert_close(total, torch.ones_like(total))
    assert torch.equal(found.labels_of(large), labels)
    truth = large[0, 0] > 0.5
    assert ((labels == CAT) != truth).float().mean() < (0.03 if refinement is None else 0.01)


def test_strips_of_a_picture_that_is_not_larger_are_what_was_found(picture: Tensor) -> None:
    found = segment(picture, ByColour(), min_share=0.01)
    ((rows, whole),) = found.strips(picture)
    assert (rows.start, rows.stop) == (0, 61)
    assert torch.equal(whole, torch.cat([*found.probabilities.values()], dim=1))
    assert torch.equal(found.labels_of(picture), found.labels)


def test_a_smaller_picture_has_the_means_of_what_was_found(picture: Tensor) -> None:
    # Seen at twice the size at which it is repainted.
    large = torch.zeros(1, 3, 80, 120)
    large[:, 0, 20:60, 20:60] = 1
    found = segment(large, ByColour(), min_share=0.01)
    ((rows, shrunk),) = found.strips(torch.zeros(1, 3, 40, 60))
    assert (rows.start, rows.stop, shrunk.shape) == (0, 40, (1, 2, 40, 60))
    torch.testing.assert_close(shrunk.sum(1), torch.ones(1, 40, 60))
    labels = found.labels_of(torch.zeros(1, 3, 40, 60))
    expected = torch.zeros(40, 60, dtype=torch.uint8)
    expected[10:30, 10:30] = CAT
    assert int((labels != expected).sum()) < 60


SCENES = Classes(scenes=("background", *SCENE_CLASSES))


class WithScenes(ByColour):
    """The same, and blue is sky, above all where it is strong; scores of both heads."""

    def forward(self, picture: Tensor) -> Tensor:
        objects = super().forward(picture)
        scenes = torch.zeros(len(picture), 1 + len(SCENE_CLASSES), *objects.shape[2:])
        scenes[:, 0] = 10
        scenes[:, 1] = 20 * nn.functional.avg_pool2d(picture, 4, ceil_mode=True)[:, 2]
        return torch.cat([objects, scenes], dim=1)


@pytest.fixture
def landscape(picture: Tensor) -> Tensor:
    """Blue above, and a red cat before it."""
    above = picture.clone()
    above[:, 2, :30] = 1
    above[:, :, 10:40, 10:50] = torch.tensor([1.0, 0, 0]).view(1, 3, 1, 1)
    return above


@pytest.mark.parametrize("refinement", [None, Refinement(16, 1e-4)])
def test_scenes_are_found_beside_objects(landscape: Tensor, refinement: Refinement | None) -> None:
    found = segment(landscape, WithScenes(), refinement=refinement, min_share=0.01, classes=SCENES)
    assert list(found.probabilities) == ["background", "cat", "sky"]
    assert found.unions == {"background": ("background", "sky")}
    assert found.labels[25, 30] == CAT
    assert found.labels[3, 70] == CLASSES.index("sky") == 21
    assert found.labels[55, 30] == 0
    total = torch.cat([*found.probabilities.values()], dim=1).sum(1)
    torch.testing.assert_close(total, torch.ones_like(total))


def test_a_scene_does_not_lose_to_an_object_by_sharing_with_another() -> None:
    class Torn(nn.Module):
        """Background at 0.6, of which sky has 0.45 and tree 0.3; a person at 0.4."""

        def forward(self, picture: Tensor) -> Tensor:
            scores = torch.full((len(picture), 21 + 8, 5, 5), -20.0)
            for number, share in {0: 0.6, 15: 0.4, 21: 0.25, 22: 0.45, 24: 0.3}.items():
                scores[:, number] = math.log(share)
            return scores

    found = segment(torch.zeros(1, 3, 20, 20), Torn(), [20], min_part=0, classes=SCENES)
    assert found.labels[9, 9] == CLASSES.index("sky")


def test_a_scene_reaches_up_to_the_object_before_it() -> None:
    class CatBeforeWater(nn.Module):
        """Water everywhere but in a ring around a cat, and to the right."""

        def forward(self, picture: Tensor) -> Tensor:
            scores = torch.zeros(len(picture), 21 + 1 + len(SCENE_CLASSES), 60, 100)
            scores[:, 0] = 9
            scores[:, CAT, 20:40, 20:40] = 18
            water = 22 + SCENE_CLASSES.index("water")
            scores[:, 21] = 9
            scores[:, water, :, :70] = 18
            scores[:, water, 17:43, 17:43] = 0
            return scores

    found = segment(torch.rand(1, 3, 60, 100), CatBeforeWater(), mirror=False, classes=SCENES)
    numbers = found.numbers
    labels = found.labels
    assert labels[30, 30] == numbers["cat"]
    assert (labels[30, 18], labels[18, 30]) == (numbers["water"], numbers["water"])
    assert labels[30, 90] == numbers["background"]


def test_flowers_on_a_dress_are_the_dress() -> None:
    class DressBeforeAWall(nn.Module):
        """A person with a spot deep inside that is taken for background."""

        def forward(self, picture: Tensor) -> Tensor:
            scores = torch.zeros(len(picture), 21, 60, 100)
            scores[:, 0] = 9
            scores[:, 15, 5:55, 20:80] = 18
            scores[:, 15, 27:33, 47:53] = 0
            return scores

    # Grey: there are no edges to follow.
    seen = torch.full((1, 3, 60, 100), 0.5)
    refined, plain = (
        segment(seen, DressBeforeAWall(), mirror=False, min_part=0, refinement=refinement).labels
        for refinement in (Refinement(4, 1e-4), None)
    )
    assert refined[30, 50] == CLASSES.index("person")
    assert refined[2, 50] == plain[30, 50] == 0


def test_objects_are_the_same_with_scenes_from_another_segmenter(landscape: Tensor) -> None:
    other = LoadedSegmenter(WithScenes(), (512,), Source("x", "bundled", Path("x"), ""), SCENES)
    alone = segment(landscape, ByColour(), min_share=0.01)
    both = segment(landscape, ByColour(), min_share=0.01, scenes_by=other)
    assert list(both.probabilities) == ["background", "cat", "sky"]
    torch.testing.assert_close(both.probabilities["cat"], alone.probabilities["cat"])
    together = both.probabilities["background"] + both.probabilities["sky"]
    torch.testing.assert_close(together, alone.probabilities["background"])


def test_other_classes_have_numbers_after_vocs_and_unions(picture: Tensor) -> None:
    classes = Classes(
        ("background", "hat", "cat", "sea", *(f"thing_{number}" for number in range(17))),
        under=frozenset({"sea"}),
        unions={"water": ("sea", "thing_3"), "car": ("thing_4",)},
    )

    class BesideTheSea(nn.Module):
        def forward(self, picture: Tensor) -> Tensor:
            scores = torch.full((len(picture), 21, *picture.shape[2:]), -torch.inf)
            scores[:, 1] = 20 * picture[:, 0]
            scores[:, 2] = 20 * picture[:, 1]
            scores[:, 3] = 10
            return scores

    found = segment(picture, BesideTheSea(), (83,), min_share=0, min_part=0, classes=classes)
    assert found.numbers == {"background": 0, "hat": 28, "cat": 8, "sea": 29} | {
        f"thing_{number}": 30 + number for number in range(17)
    }
    assert found.labels[20, 20] == 28
    assert found.labels[0, 0] == 29
    assert found.shares["hat"] == pytest.approx(30 * 40 / (61 * 83))
    found = segment(picture, BesideTheSea(), (83,), classes=classes)
    assert [*found.probabilities] == ["background", "hat", "sea"]
    assert found.unions == {"background": ("background", "sea"), "water": ("sea",)}
    assert found.hidden == {"water"}
    masks = {
        name: torch.full((1, 1, 2, 3), value)
        for name, value in {"background": 0.25, "hat": 0.25, "sea": 0.5}.items()
    }
    united = found.with_unions(masks)
    assert {name: float(mask[0, 0, 0, 0]) for name, mask in united.items()} == {
        "background": 0.75,
        "water": 0.5,
        "hat": 0.25,
        "sea": 0.5,
    }
    assert [*united] == ["background", "water", "hat", "sea"]
