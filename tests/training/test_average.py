"""The average follows the weights, and takes over what is counted."""

import pytest
import torch

from pipeline.training.average import follow


def test_average_follows_the_weights() -> None:
    network, average = (torch.nn.BatchNorm1d(1) for _ in range(2))
    with torch.no_grad():
        network.weight.fill_(3)
        network.state_dict()["running_mean"] += 10
        network.state_dict()["num_batches_tracked"] += 7
    follow(average, network, keep=0.75)
    assert average.weight.tolist() == pytest.approx([0.75 * 1 + 0.25 * 3])
    assert average.state_dict()["running_mean"].tolist() == pytest.approx([2.5])
    assert average.num_batches_tracked == 7
