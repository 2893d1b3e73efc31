"""A second look at small objects, by a network that sees more of what is larger."""

from collections.abc import Sequence

import pytest
import torch
from torch import Tensor, nn

from pipeline.networks.segmenters import Classes
from pipeline.regions.closer import cuts, look_closer
from pipeline.regions.names import VOC_CLASSES
from pipeline.regions.segment import segment

CAT, DOG, PERSON = (VOC_CLASSES.index(name) for name in ("cat", "dog", "person"))

UNDER = ("background",)


def objects(height: int, width: int, **found: tuple[slice, slice, float]) -> Tensor:
    """Probabilities (1, 21, H, W): background, but for rectangles of a class."""
    probabilities = torch.zeros(1, len(VOC_CLASSES), height, width)
    probabilities[:, 0] = 1
    for name, (rows, columns, share) in found.items():
        probabilities[:, VOC_CLASSES.index(name), rows, columns] = share
        probabilities[:, 0, rows, columns] = 1 - share
    return probabilities


def test_cuts_have_surroundings_and_end_with_the_picture() -> None:
    found = objects(
        100, 200, cat=(slice(40, 50), slice(90, 110), 0.9), dog=(slice(0, 8), slice(0, 8), 0.6)
    )
    cat, dog = cuts(found, VOC_CLASSES, UNDER, 5)
    assert cat.inside.sum() == 200
    assert bool(cat.inside[15:25, 10:30].all())
    assert (cat.rows, cat.columns, cat.number) == (slice(25, 65), slice(80, 120), CAT)
    assert (dog.rows, dog.columns, dog.number) == (slice(0, 12), slice(0, 12), DOG)
    assert [cut.number for cut in cuts(found, VOC_CLASSES, UNDER, 1)] == [CAT]
    assert cuts(found, VOC_CLASSES, UNDER, 0) == []


def test_large_objects_specks_and_improbable_ones_are_not_looked_at_again() -> None:
    assert (
        cuts(objects(100, 200, cat=(slice(20, 80), slice(60, 130), 1.0)), VOC_CLASSES, UNDER, 5)
        == []
    )
    assert (
        cuts(objects(100, 200, cat=(slice(20, 26), slice(60, 66), 1.0)), VOC_CLASSES, UNDER, 5)
        == []
    )
    beside = objects(
        100, 200, cat=(slice(20, 80), slice(60, 130), 1.0), dog=(slice(0, 9), slice(0, 9), 0.9)
    )
    assert [cut.number for cut in cuts(beside, VOC_CLASSES, UNDER, 5)] == [DOG]
    # Beside a large figure of its own class it is more often a flag.
    beside[:, [CAT, DOG], :9, :9] = beside[:, [DOG, CAT], :9, :9]
    assert cuts(beside, VOC_CLASSES, UNDER, 5) == []
    # What lies in the background is no object: a sheep before a hill.
    sheep = objects(100, 200, sheep=(slice(40, 50), slice(90, 110), 0.9))
    sheep[:, CAT] += sheep[:, 0]
    sheep[:, 0] = 0
    assert cuts(sheep, VOC_CLASSES, UNDER, 5) == []
    assert len(cuts(sheep, VOC_CLASSES, (*UNDER, "cat"), 5)) == 1
    where = slice(20, 40), slice(60, 80)
    assert cuts(objects(100, 200, cat=(*where, 0.45)), VOC_CLASSES, UNDER, 5) == []
    assert len(cuts(objects(100, 200, person=(*where, 0.45)), VOC_CLASSES, UNDER, 5)) == 1
    assert cuts(objects(100, 200, person=(*where, 0.35)), VOC_CLASSES, UNDER, 5) == []


def test_the_second_look_says_how_much_of_its_own_class_each_pixel_shows() -> None:
    before = objects(100, 200, cat=(slice(40, 50), slice(90, 110), 0.6))
    before[:, DOG, 40:50, 90:110] = 0.2
    before[:, 0, 40:50, 90:110] = 0.2
    # And two scenes, that are none of the objects.
    scenes = torch.rand(1, 2, 100, 200, generator=torch.Generator().manual_seed(0))
    asked: list[tuple[torch.Size, Sequence[int]]] = []

    def see(part: Tensor, sizes: Sequence[int]) -> Tensor:
        asked.append((part.shape, sizes))
        near = torch.zeros(1, len(VOC_CLASSES) + 2, *part.shape[2:])
        near[:, CAT, 10:25] = 1
        near[:, PERSON, :10] = 1
        near[:, 0, 25:] = 1
        near[:, -1] = 1
        return near

    picture = torch.zeros(1, 3, 100, 200)
    together = torch.cat([before, scenes], dim=1)
    kept = together.clone()
    found, numbers = look_closer(picture, together, see, (60, 224), VOC_CLASSES, UNDER, 6)
    assert torch.equal(together, kept)
    assert numbers == {CAT}
    # A cut of 40 pixels is made no larger than 80.
    assert asked == [((1, 3, 40, 40), [60, 80])]
    torch.testing.assert_close(found[:, :21].sum(1), torch.ones(1, 100, 200))
    assert torch.equal(found[:, 21:], scenes)
    # Mostly the second look; no other class than the cat is taken from it, and nothing away.
    assert found[0, CAT, 45, 100] == pytest.approx(0.3 * 0.6 + 0.7)
    assert found[0, CAT, 38, 100] == pytest.approx(0.7)
    assert found[0, CAT, 49, 91] == pytest.approx(0.3 * 0.6 + 0.7)
    assert found[0, DOG, 45, 100] == pytest.approx(0.2 * 0.12 / 0.4)
    assert not found[:, PERSON].any()
    assert bool((found[:, CAT] >= together[:, CAT]).all())
    # It fades towards where the cut ends, and ends there.
    assert 0 < found[0, CAT, 45, 81] < 0.35
    outside = torch.ones(100, 200, dtype=torch.bool)
    outside[25:65, 80:120] = False
    assert torch.equal(found[..., outside], together[..., outside])


def test_a_second_look_that_is_less_sure_adds_nothing() -> None:
    """Of the flag beside a person a second look sees that most of it is none."""
    before = objects(100, 200, person=(slice(40, 50), slice(90, 110), 0.6))

    def see(part: Tensor, sizes: Sequence[int]) -> Tensor:
        return objects(*part.shape[2:], person=(slice(15, 25), slice(10, 21), 1.0))

    picture = torch.zeros(1, 3, 100, 200)
    found, numbers = look_closer(picture, before, see, (224,), VOC_CLASSES, UNDER, 6)
    assert numbers == set()
    assert torch.equal(found, before)


def test_it_does_not_fade_at_the_pictures_own_border() -> None:
    before = objects(100, 200, cat=(slice(0, 20), slice(0, 20), 0.6))

    def see(part: Tensor, sizes: Sequence[int]) -> Tensor:
        return objects(*part.shape[2:], cat=(slice(None), slice(None), 1.0))

    found, _ = look_closer(torch.zeros(1, 3, 100, 200), before, see, (224,), VOC_CLASSES, UNDER, 6)
    assert found[0, CAT, 0, 0] == pytest.approx(0.3 * 0.6 + 0.7)


class Coarse(nn.Module):
    """Red is a cat, but of what is seen at less than 20 pixels a side only the brightest part."""

    def __init__(self) -> None:
        super().__init__()
        self.seen: list[tuple[int, ...]] = []

    def forward(self, picture: Tensor) -> Tensor:
        self.seen.append(tuple(picture.shape[2:]))
        red = picture[:, :1]
        tall = int((red[0, 0] > 0.3).any(1).sum())
        scores = torch.zeros(len(picture), len(VOC_CLASSES), *picture.shape[2:])
        scores[:, :1] = 5
        scores[:, CAT] = torch.where(red > (0.3 if tall >= 20 else 0.8), 10.0, 0.0)[:, 0]
        return scores


def test_a_segmenter_finds_all_of_what_it_had_half_of() -> None:
    picture = torch.zeros(1, 3, 200, 300)
    picture[:, 0, 90:120, 140:160] = 0.5
    picture[:, 0, 90:105, 140:160] = 1.0
    once, twice = Coarse(), Coarse()
    half = segment(picture, once, (80, 100), min_share=0, classes=Classes())
    whole = segment(picture, twice, (80, 100), min_share=0, classes=Classes(), closer=6)
    assert half.shares["cat"] < 350 / 60_000
    assert whole.shares["cat"] == pytest.approx(600 / 60_000, rel=0.25)
    # Two sizes, both sides at once; the second time not at the largest.
    assert [max(sides) for sides in once.seen] == [80, 100]
    assert len(twice.seen) == 2 + 1
    assert 60 < max(twice.seen[2]) <= 80


def test_what_the_first_look_found_stays(monkeypatch: pytest.MonkeyPatch) -> None:
    picture = torch.zeros(1, 3, 200, 300)
    picture[:, 0, 90:120, 140:160] = 1.0
    first = segment(picture, Coarse(), (80, 100), min_share=0, classes=Classes())

    def none(picture: Tensor, probabilities: Tensor, *_: object) -> tuple[Tensor, set[int]]:
        nothing = torch.zeros_like(probabilities)
        nothing[:, 0] = 1
        return nothing, {CAT}

    monkeypatch.setattr("pipeline.regions.segment.look_closer", none)
    both = segment(picture, Coarse(), (80, 100), min_share=0, classes=Classes(), closer=1)
    torch.testing.assert_close(both.probabilities["cat"], first.probabilities["cat"])
