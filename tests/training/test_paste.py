"""Crops of photographs, and what is pasted on them."""

import cv2
import numpy as np

from pipeline.training import paste
from pipeline.training.paste import PERSON, Layers
from pipeline.training.pictures import UNCERTAIN, Example

CAR, CAT = 7, 8
SKY, TREE = 1, 3


def example(name: str, seed: int, number: int = CAT) -> Example:
    """A white shape, unlike its mirror image, labelled on black; the black is sky."""
    rng = np.random.default_rng(seed)
    height, width = (int(side) for side in rng.integers(60, 90, 2))
    labels = np.zeros((height, width), np.uint8)
    labels[height // 4 :, width // 5 : width // 2] = number
    labels[height // 4 : height // 2, width // 2 : width - 10] = number
    scenes = np.where(labels > 0, 0, SKY).astype(np.uint8)
    picture = np.repeat(255 * (labels[..., None] > 0).astype(np.uint8), 3, axis=2)
    return Example(name, picture, labels, scenes)


def crop_of(size: int) -> Layers:
    labels = np.full((size, size), CAR, np.uint8)
    labels[:10] = UNCERTAIN
    return Layers(np.zeros((size, size, 3), np.uint8), labels, np.full_like(labels, TREE))


def test_picture_and_labels_go_through_the_same_view() -> None:
    rng = np.random.default_rng(0)
    for seed in range(20):
        drawn = example("cat", seed)
        view = paste.random_view(drawn, 64, rng)
        seen = paste.warp(drawn, 64, view)
        crop, labels = seen.picture, seen.labels
        assert crop.shape == (64, 64, 3)
        assert labels.shape == (64, 64)
        assert set(np.unique(labels)) <= {0, CAT, UNCERTAIN}
        inside = labels != UNCERTAIN
        assert np.array_equal(seen.scenes == SKY, labels == 0)
        assert np.array_equal(seen.scenes != UNCERTAIN, inside)
        # Bilinear and nearest sampling differ along the shape's edge only.
        agreed = (crop[..., 0] > 127) == (labels == CAT)
        assert agreed[inside].mean() > 0.95
        edge = cv2.dilate(
            cv2.Canny(np.where(labels == CAT, 255, 0).astype(np.uint8), 9, 9), np.ones((3, 3))
        )
        safe = (edge == 0) & (cv2.erode(inside.astype(np.uint8), np.ones((5, 5))) > 0)
        assert agreed[safe].all()


def test_views_turn_scale_and_mirror() -> None:
    drawn = example("cat", 0)
    rng = np.random.default_rng(1)
    views = np.stack([paste.random_view(drawn, 48, rng)[:, :2] for _ in range(300)])
    determinants = np.linalg.det(views)
    assert 0.4 < (determinants < 0).mean() < 0.6
    # The short side fills 60% to 200% of the crop; stretching adds to that a little.
    filled = np.linalg.norm(views[..., 1], axis=1) * min(drawn.labels.shape) / 48
    assert 0.6 <= filled.min() < 0.7
    assert 1.8 < filled.max() <= 2.0
    turned = np.abs(views[:, 0, 1] / views[:, 1, 1])
    assert 0.3 < (turned > 1e-9).mean() < 0.7
    assert turned.max() < 0.7


def test_outside_of_the_photograph_is_uncertain() -> None:
    drawn = example("cat", 3)
    height, width = drawn.labels.shape
    shifted = np.array([[1.0, 0, 10], [0, 1, 4]])
    seen = paste.warp(drawn, 100, shifted)
    labels = seen.labels
    known = np.full((100, 100), False)
    known[4 : 4 + height, 10 : 10 + width] = True
    assert np.array_equal(labels != UNCERTAIN, known)
    assert np.array_equal(labels[4 : 4 + height, 10 : 10 + width], drawn.labels)


def test_pasted_objects_are_labelled_where_they_are_seen() -> None:
    under, count = crop_of(64), 0
    for seed in range(20):
        rng = np.random.default_rng(seed)
        pasted = paste.paste_objects(under, example("person_0", seed, PERSON), rng)
        people = pasted.labels == PERSON
        assert np.array_equal(pasted.labels[~people], under.labels[~people])
        assert (pasted.scenes == np.where(people, 0, TREE)).all()
        inner = cv2.erode(people.astype(np.uint8), np.ones((5, 5)), borderValue=(0,)) > 0
        outer = cv2.dilate(people.astype(np.uint8), np.ones((9, 9))) > 0
        assert pasted.picture[inner].min(initial=255) > 100
        assert pasted.picture[~outer].max(initial=0) == 0
        count += people.any()
    assert count > 10
    assert under.picture.max() == 0
    assert (under.labels[10:] == CAR).all()


def background_in_front(pasted: Layers, under: Layers) -> np.ndarray:
    """Where something was laid over a black crop: it is background there, all else is as it was."""
    thing: np.ndarray = pasted.labels == 0
    assert np.array_equal(pasted.labels[~thing], under.labels[~thing])
    assert (pasted.scenes == np.where(thing, 0, TREE)).all()
    outer = cv2.dilate(thing.astype(np.uint8), np.ones((9, 9))) > 0
    assert pasted.picture[~outer].max(initial=0) == 0
    return thing


def test_flags_are_background_and_hang_in_front_of_what_was_there() -> None:
    under, count = crop_of(64), 0
    for seed in range(20):
        pasted = paste.paste_flag(under, np.random.default_rng(seed))
        flag = background_in_front(pasted, under)
        # Several colours, not a plain field.
        if flag.mean() > 0.1:
            count += 1
            assert pasted.picture[flag].std(axis=0).max() > 5
    assert count > 8


def test_smooth_things_are_background_and_shaded() -> None:
    under, seen = crop_of(64), 0
    for seed in range(12):
        pasted = paste.paste_smooth_thing(under, np.random.default_rng(seed))
        thing = background_in_front(pasted, under)
        if thing.mean() > 0.05:
            seen += 1
            # Light falls on it from one side.
            assert pasted.picture[thing].std(axis=0).max() > 3
            # An ellipse has no holes and no corners: its hull is itself.
            (outline,), _ = cv2.findContours(
                thing.astype(np.uint8), cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE
            )
            hull = cv2.fillConvexPoly(np.zeros((64, 64), np.uint8), cv2.convexHull(outline), (1,))
            assert hull.sum() <= 1.03 * thing.sum()
    assert seen > 5


def test_things_keep_their_labels_and_hide_what_is_behind_them() -> None:
    under, count = crop_of(64), 0
    for seed in range(20):
        thing = example("cat", seed)
        pasted = paste.paste_thing(under, thing, np.random.default_rng(seed))
        changed = pasted.labels != under.labels
        assert {*np.unique(pasted.labels[changed])} <= {0, CAT}
        assert {*np.unique(pasted.scenes)} <= {0, TREE}
        count += changed.any()
    assert count > 10


def test_photographs_without_people() -> None:
    cat = example("cat", 0)
    assert paste.without_people(cat)
    assert not paste.without_people(example("person", 0, PERSON))
    doubtful = np.full_like(cat.labels, UNCERTAIN)
    assert not paste.without_people(Example("cat", cat.picture, doubtful, cat.scenes))
