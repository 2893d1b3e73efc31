"""Several regions against one."""

import dataclasses
import math

import pytest
import torch

from pipeline.benchmark import locality
from pipeline.benchmark.bench import Bench


def test_discs_are_apart_and_have_the_area_of_one() -> None:
    masks = locality.discs(200, torch.device("cpu"))
    together = torch.stack([*masks.values()]).sum(0)
    assert together.max() == 1
    alone = locality.disc(200, 0.5, 0.5, locality.RADIUS * math.sqrt(3), torch.device("cpu"))
    assert float(alone.mean()) == pytest.approx(float(together.mean()), rel=0.02)
    assert float(together.mean()) == pytest.approx(3 * math.pi * locality.RADIUS**2, rel=0.02)


def test_three_classes_are_compared_with_one(bench: Bench) -> None:
    for found in locality.composite(dataclasses.replace(bench, size=64)):
        [three], [other] = found.samples.values()
        [figure] = found.figures
        assert figure.ratio == three / other
        assert (figure.target is None) == ("textbook" in figure.label)
