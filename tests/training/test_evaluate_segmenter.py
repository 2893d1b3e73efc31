"""Figures of known predictions, by hand."""

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from pipeline.regions.names import VOC_CLASSES
from pipeline.training.evaluate_segmenter import Figures, evaluate
from pipeline.training.segmenter import Example

PERSON, CAT = VOC_CLASSES.index("person"), VOC_CLASSES.index("cat")


class Drawn(nn.Module):
    """Says of each pixel the class that its red channel spells, for certain, at full size."""

    def forward(self, picture: Tensor) -> Tensor:
        numbers = (picture[:, 0] * 255).round().long()
        scores: Tensor = 20.0 * nn.functional.one_hot(numbers, 21).permute(0, 3, 1, 2).float()
        return scores


class Left(nn.Module):
    """A person in the left half, certain; in the right one less certainly none."""

    def forward(self, picture: Tensor) -> Tensor:
        scores = torch.zeros(1, 21, *picture.shape[2:])
        half = picture.shape[3] // 2
        scores[:, PERSON, :, :half] = 20.0
        scores[:, 0, :, half:] = 1.0
        return scores


def example(name: str, predicted: np.ndarray, labels: np.ndarray) -> Example:
    return Example(name, np.repeat(predicted[..., None], 3, 2).astype(np.uint8), labels)


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


def test_figures_read_as_one_line() -> None:
    figures = Figures(0.7512, {"cat": 0.5, "dog": 0.25})
    assert str(figures) == "person IoU 0.751, mean IoU 0.375 (cat 0.50, dog 0.25)"
