"""The crops that the segmenter is trained on."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from pipeline.training.paste import PERSON
from pipeline.training.pictures import UNCERTAIN, Example
from pipeline.training.samples import Samples, repeat_factors
from tests.training.test_paste import CAR, CAT, SKY, example


@pytest.fixture
def examples() -> list[Example]:
    cats = [example(f"cat_{seed}", seed) for seed in range(4)]
    return [*cats, example("person_0", 9, PERSON)]


def test_samples_are_reproducible_and_in_range(examples: list[Example]) -> None:
    crops, labels, scenes = Samples(examples, 0.3, 1).batch(6, 40)
    assert crops.shape == (6, 3, 40, 40)
    assert labels.shape == scenes.shape == (6, 40, 40)
    assert labels.dtype == scenes.dtype == torch.int64
    assert {*scenes.unique().tolist()} <= {0, SKY, UNCERTAIN}
    assert 0 <= float(crops.min()) < float(crops.max()) <= 1
    again, other = (Samples(examples, 0.3, seed).batch(6, 40) for seed in (1, 2))
    assert torch.equal(crops, again[0])
    assert torch.equal(labels, again[1])
    assert torch.equal(scenes, again[2])
    assert not torch.equal(crops, other[0])


def test_people_are_pasted_on_the_share_asked_for(examples: list[Example]) -> None:
    cats = [e for e in examples if e.name.startswith("cat")]
    samples = Samples(examples, 0.5, 0)
    samples.examples = cats
    samples.probabilities = np.full(4, 0.25)
    _, labels, _ = samples.batch(200, 24)
    # Half of what is pasted are people of exact masks, the rest is anything, people too. Some of
    # them land outside of the crop.
    assert 0.2 < float((labels == PERSON).any(2).any(1).float().mean()) < 0.5
    _, labels, _ = Samples(cats, 0.5, 0).batch(50, 24)
    assert not (labels == PERSON).any()


def test_anything_that_is_labelled_is_pasted(examples: list[Example]) -> None:
    person = example("person_7", 7, PERSON)
    samples = Samples(examples, 1.0, 0)
    assert {e.name for e in samples.objects} == {e.name for e in examples}
    samples.examples, samples.probabilities, samples.things = [person], np.ones(1), []
    samples.objects, samples.object_probabilities = [example("cat_9", 3, CAT)], np.ones(1)
    _, labels, _ = samples.batch(40, 24)
    assert 0.2 < float((labels == CAT).any(2).any(1).float().mean()) < 0.7


def test_exact_masks_are_drawn_more_often() -> None:
    alike = [
        replace(example("x", 0, PERSON), name=name) for name in ("scene_1", "person_1", "cat_1")
    ]
    factors = repeat_factors(alike)
    assert factors / factors[2] == pytest.approx([4, 1.5, 1])


def test_rare_classes_are_drawn_more_often() -> None:
    def labelled(number: int, pixels: int) -> Example:
        labels = np.zeros((10, 20), np.uint8)
        labels.ravel()[:pixels] = number
        nothing = np.full_like(labels, UNCERTAIN)
        return Example("x", np.zeros((10, 20, 3), np.uint8), labels, nothing)

    # One car in 40, 20 cats; a car of 1% of its photograph does not count.
    drawn = [labelled(CAR, 40), *[labelled(CAT, 4)] * 20, labelled(CAR, 2)]
    drawn += [labelled(UNCERTAIN, 50)] * 18
    factors = repeat_factors(drawn, threshold=0.1)
    assert factors[0] == pytest.approx((0.1 / (1 / 40)) ** 0.5)  # 2
    assert factors[1:21].tolist() == [1] * 20  # 0.1 / 0.5 would be under 1
    assert factors[21:].tolist() == [0.5] * 19
    assert repeat_factors(drawn, threshold=2)[0] == 6
