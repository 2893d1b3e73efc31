"""Water that mirrors what is above it."""

import cv2
import numpy as np
import pytest

from pipeline.regions.names import SCENE_CLASSES
from pipeline.training.paste import PERSON, Layers
from pipeline.training.pictures import UNCERTAIN
from pipeline.training.reflection import reflect
from pipeline.training.samples import Samples
from tests.training.test_paste import example

SKY, BUILDING, WATER = (1 + SCENE_CLASSES.index(n) for n in ("sky", "building", "water"))


def city(size: int = 96, sky: int = SKY) -> Layers:
    """A red tower on the left before a white sky; a person at its foot; black ground."""
    picture = np.full((size, size, 3), 255, np.uint8)
    labels = np.zeros((size, size), np.uint8)
    scenes = np.full((size, size), sky, np.uint8)
    picture[size // 8 :, : size // 2] = (200, 0, 0)
    scenes[size // 8 :, : size // 2] = BUILDING
    labels[-size // 8 :] = PERSON
    return Layers(picture, labels, scenes)


@pytest.mark.parametrize("seed", range(12))
def test_water_lies_below_what_it_mirrors_and_is_labelled(seed: int) -> None:
    under = city()
    seen = reflect(under, np.random.default_rng(seed))
    water = seen.scenes == WATER
    assert 0.1 < water.mean() < 0.65
    # From the shore down, all of it.
    assert (np.diff(water.astype(int), axis=0) >= 0).all()
    assert (seen.labels[water] == 0).all()
    assert np.array_equal(seen.labels[~water], under.labels[~water])
    assert np.array_equal(seen.scenes[~water], under.scenes[~water])
    # Paint softens the shore by a pixel or two.
    dry = cv2.dilate(water.astype(np.uint8), np.ones((9, 9))) == 0
    assert np.array_equal(seen.picture[dry], under.picture[dry])
    # Under the tower it is redder than under the sky, for it mirrors them.
    left, right = (np.array(side) for side in np.array_split(np.arange(96), [48]))
    shallow = water & (np.cumsum(water, axis=0) < 12) & (np.cumsum(water, axis=0) > 4)
    green = [seen.picture[..., 1][:, part][shallow[:, part]].mean() for part in (left, right)]
    assert green[0] + 25 < green[1]
    assert under.scenes.max() < WATER


@pytest.mark.parametrize("sky", [BUILDING, UNCERTAIN])
def test_nothing_is_mirrored_without_sky(sky: int) -> None:
    under = city(sky=sky)
    assert all(reflect(under, np.random.default_rng(seed)) is under for seed in range(5))


def test_samples_show_water_on_the_share_asked_for() -> None:
    examples = [example(f"cat_{seed}", seed) for seed in range(3)]
    shares = []
    for share in (0.0, 0.5):
        scenes = Samples(examples, 0.0, 0, share).batch(80, 48)[2]
        shares.append(float((scenes == WATER).any(2).any(1).float().mean()))
    assert shares[0] == 0
    assert 0.25 < shares[1] < 0.6
