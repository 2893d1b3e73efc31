"""Figures of known predictions, by hand."""

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from pipeline.networks.segmenters import Classes, LoadedSegmenter
from pipeline.networks.weights import Source
from pipeline.regions.names import SCENE_CLASSES, VOC_CLASSES
from pipeline.regions.segment import Refinement
from pipeline.training.evaluate_segmenter import Figures, Seen, as_network, as_pipeline
from pipeline.training.evaluate_segmenter import evaluate as evaluate_seen
from pipeline.training.pictures import Example

PERSON, CAT = VOC_CLASSES.index("person"), VOC_CLASSES.index("cat")
SKY = 1


class Drawn(nn.Module):
    """Says the object that red spells and the scene that green does, for certain, at full size."""

    def forward(self, picture: Tensor) -> Tensor:
        red, green = (picture[:, :2] * 255).round().long().unbind(1)
        both = [nn.functional.one_hot(red, 21), nn.functional.one_hot(green, 8)]
        return 20.0 * torch.cat(both, dim=-1).permute(0, 3, 1, 2).float()


class Left(nn.Module):
    """A person in the left half, certain; in the right one less certainly none."""

    def forward(self, picture: Tensor) -> Tensor:
        scores = torch.zeros(1, 21 + 8, *picture.shape[2:])
        half = picture.shape[3] // 2
        scores[:, PERSON, :, :half] = 20.0
        scores[:, 0, :, half:] = 1.0
        return scores


def example(
    name: str,
    predicted: np.ndarray,
    labels: np.ndarray,
    predicted_scenes: np.ndarray | None = None,
    scenes: np.ndarray | None = None,
) -> Example:
    none = np.zeros_like(labels)
    drawn = predicted, none if predicted_scenes is None else predicted_scenes, none
    picture = np.stack(drawn, axis=-1).astype(np.uint8)
    return Example(name, picture, labels, none if scenes is None else scenes)


def evaluate(network: nn.Module, examples: list[Example], mirror: bool = False) -> Figures:
    return evaluate_seen(as_network(network, mirror), examples)


def test_person_is_the_mean_over_photographs_with_exact_masks() -> None:
    labels = np.zeros((4, 10), np.uint8)
    labels[:, :4] = PERSON  # 16 pixels
    half = np.zeros((4, 10), np.uint8)
    half[:, :2] = PERSON
    wide = np.zeros((4, 10), np.uint8)
    wide[:, :5] = PERSON
    empty = np.zeros((4, 10), np.uint8)
    examples = [
        example("person_a", half, labels),  # 8 of 16
        example("person_b", wide, labels),  # 16 of 20
        example("person_c", empty, empty),  # nobody there: not counted
        example("cat_d", empty, labels),  # not an exact mask: not counted
    ]
    assert evaluate(Drawn(), examples).person == pytest.approx((8 / 16 + 16 / 20) / 2)


def test_uncertain_pixels_do_not_count() -> None:
    labels = np.zeros((4, 10), np.uint8)
    labels[:, :4] = PERSON
    labels[:, 4:] = 255
    wide = np.full((4, 10), PERSON, np.uint8)
    assert evaluate(Drawn(), [example("person_a", wide, labels)]).person == 1.0


def test_classes_need_ten_photographs_with_two_percent() -> None:
    cat = np.zeros((5, 20), np.uint8)
    cat[0, :2] = CAT  # 2 of 100
    missed = np.zeros((5, 20), np.uint8)
    speck = np.zeros((5, 20), np.uint8)
    speck[0, 0] = CAT  # 1 of 100
    nine = [example("cat", cat, cat)] * 9
    assert set(evaluate(Drawn(), [*nine, example("cat", missed, speck)]).classes) == {"background"}
    found = evaluate(Drawn(), [*nine, example("cat", missed, cat)])
    assert found.classes["cat"] == pytest.approx(18 / 20)
    assert found.classes["background"] == pytest.approx(980 / 982)
    assert found.mean == pytest.approx((18 / 20 + 980 / 982) / 2)
    assert np.isnan(found.person)


def test_mirror_averages_with_the_mirrored_photograph() -> None:
    person = np.full((4, 10), PERSON, np.uint8)
    examples = [example("person_a", person, person)]
    assert evaluate(Left(), examples).person == 0.5
    assert evaluate(Left(), examples, mirror=True).person == 1.0


def test_scenes_count_where_they_are_exact_and_nothing_lies_over_them() -> None:
    scenes = np.zeros((4, 10), np.uint8)
    scenes[:, :6] = SKY
    scenes[:2, 8:] = 255
    found = np.zeros((4, 10), np.uint8)
    found[:, :8] = SKY  # 24 of 32
    found[:2, 8:] = SKY  # nobody knows
    none = np.zeros((4, 10), np.uint8)
    cat = np.zeros((4, 10), np.uint8)
    cat[:, 6:8] = CAT
    seen = evaluate(Drawn(), [example("msrc_a", none, none, found, scenes)])
    assert seen.scenes == {"sky": pytest.approx(24 / 32)}
    # An object found there is not sky.
    assert evaluate(Drawn(), [example("facade_a", cat, cat, found, scenes)]).scenes == {"sky": 1.0}
    assert evaluate(Drawn(), [example("sun_a", none, none, found, scenes)]).scenes == {}


def test_as_a_run_finds_them() -> None:
    classes = Classes(scenes=("background", *SCENE_CLASSES))
    loaded = LoadedSegmenter(Drawn(), (40,), Source("x", "bundled", Path("x"), ""), classes)
    seen: Seen = as_pipeline(loaded, Refinement(1, 1e-4))
    none, cat, sky = (np.zeros((24, 40), np.uint8) for _ in range(3))
    cat[8:, :12] = CAT
    sky[:, 20:] = SKY
    drawn = example("msrc_a", cat, cat, sky, sky)
    objects, scenes = seen(torch.from_numpy(drawn.picture).permute(2, 0, 1)[None] / 255)
    assert (objects == cat).mean() > 0.95
    assert (scenes == sky).mean() > 0.95
    assert evaluate_seen(seen, [drawn]).scenes["sky"] > 0.9
    assert none.shape == objects.shape


def test_figures_read_as_one_line() -> None:
    figures = Figures(0.7512, {"cat": 0.5, "dog": 0.25})
    assert str(figures) == "person IoU 0.751, mean IoU 0.375 (cat 0.50, dog 0.25)"
    with_scenes = Figures(0.7512, {"cat": 0.5}, {"sky": 0.9})
    assert str(with_scenes).endswith("(cat 0.50); scenes: sky 0.90")
