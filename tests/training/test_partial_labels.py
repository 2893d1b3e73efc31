"""What uncertain pixels cannot be."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from pipeline.errors import UserError
from pipeline.regions.names import SCENE_CLASSES
from pipeline.training import partial_labels
from pipeline.training.pictures import UNCERTAIN
from pipeline.training.segmenter import loss_function
from tests.training.test_paste import example

SKY, WATER, MOUNTAIN = (1 + SCENE_CLASSES.index(name) for name in ("sky", "water", "mountain"))
OBJECTS = 21


def test_only_uncertain_pixels_of_photographs_named_so_are_changed() -> None:
    desert, ocean = (example(name, 0) for name in ("sun_desert_1", "sun_ocean_1"))
    desert.scenes[:] = SKY
    desert.scenes[:2] = UNCERTAIN
    ruled = partial_labels.rule_out(
        [desert, ocean], {"sun_desert": ["water"], "sun": ["mountain", "water"]}
    )
    without = UNCERTAIN - (1 << (WATER - 1)) - (1 << (MOUNTAIN - 1))
    assert (ruled[0].scenes[:2] == without).all()
    assert (ruled[0].scenes[2:] == SKY).all()
    assert (desert.scenes[:2] == UNCERTAIN).all()
    only = partial_labels.rule_out([desert, ocean], {"sun_ocean": ["mountain"]})
    assert np.array_equal(only[0].scenes, desert.scenes)
    with pytest.raises(UserError, match="no scene class 'lake'; there are sky, building"):
        partial_labels.rule_out([desert], {"sun": ["lake"]})


def test_loss_is_that_of_the_candidates_together() -> None:
    torch.manual_seed(0)
    scores = torch.randn(2, 8, 3, 4)
    labels = torch.full((2, 3, 4), UNCERTAIN)
    assert float(partial_labels.loss(scores, labels)) == 0
    labels[0, 1, 2] = UNCERTAIN - (1 << (WATER - 1))
    labels[1, 0, 0] = SKY
    probability = scores.softmax(1)
    wanted = -torch.log(1 - probability[0, WATER, 1, 2])
    torch.testing.assert_close(partial_labels.loss(scores, labels), wanted)


def test_training_takes_ruled_out_classes_down_and_no_other_uncertain_pixel() -> None:
    torch.manual_seed(0)
    scores = torch.randn(1, OBJECTS + 8, 4, 4, requires_grad=True)
    objects = torch.full((1, 8, 8), UNCERTAIN)
    scenes = torch.full((1, 8, 8), UNCERTAIN)
    assert float(loss_function(scores, objects, scenes, 0.1).detach()) == 0
    scenes[:, :4] = UNCERTAIN - (1 << (WATER - 1))
    loss_function(scores, objects, scenes, 0.1).backward()
    assert scores.grad is not None
    gradient = scores.grad[0, OBJECTS:]
    assert (gradient[WATER, :2] > 0).all()
    assert (gradient[[0, SKY, MOUNTAIN], :2] < 0).all()
    assert (gradient[:, 2:] == 0).all()
    assert (scores.grad[0, :OBJECTS] == 0).all()


def test_known_pixels_keep_their_cross_entropy() -> None:
    torch.manual_seed(0)
    scores = torch.randn(1, OBJECTS + 8, 4, 4)
    objects = torch.full((1, 8, 8), UNCERTAIN)
    scenes = torch.full((1, 8, 8), UNCERTAIN)
    scenes[:, :, :4] = WATER
    found = loss_function(scores, objects, scenes, 0.05)
    part = scores[:, OBJECTS:, :, :2]
    wanted = F.cross_entropy(part, torch.full((1, 4, 2), WATER), label_smoothing=0.05)
    torch.testing.assert_close(found, wanted)
