"""The peak of a run in a process of its own."""

import pytest
import torch

from pipeline.benchmark import memory
from pipeline.benchmark.bench import Bench
from pipeline.errors import UserError


def test_peaks_are_of_the_run_alone(bench: Bench) -> None:
    # More than all features of the child's picture: a child must not be charged its parent's peak.
    ballast = torch.ones(100, 2**20)
    found = memory.in_a_child(bench, 128, 1, None)
    assert ballast.sum() > 0
    # The outputs of conv1_1 to relu5_1 have some 24 MB.
    assert 10 < found["bytes"] / 2**20 < 200
    assert found["bytes"] == found["peak"] - found["before"]


def test_a_child_that_fails_says_why(bench: Bench) -> None:
    with pytest.raises(UserError, match="no setting 'nonsense'"):
        memory.in_a_child(bench, 64, 1, ["nonsense=1"])
