"""Batch norms become part of the convolutions before them, and nothing else changes."""

import torch
from torch import nn

from pipeline.networks.folding import fold_batch_norms


def _trained(network: nn.Module) -> nn.Module:
    """With statistics of noise instead of 0 and 1, and channels that weigh differently."""
    torch.manual_seed(0)
    for part in network.modules():
        if isinstance(part, nn.BatchNorm2d):
            part.running_mean = torch.randn(part.num_features)
            part.running_var = 0.5 + torch.rand(part.num_features)
            nn.init.uniform_(part.weight, 0.5, 2)
            nn.init.uniform_(part.bias)
    return network.eval().requires_grad_(False)


def test_scores_stay() -> None:
    inner = nn.Sequential(nn.Conv2d(6, 4, 1), nn.BatchNorm2d(4))
    network = _trained(
        nn.Sequential(
            nn.Conv2d(3, 6, 3, padding=1, bias=False),
            nn.BatchNorm2d(6),
            nn.ReLU(),
            inner,
            nn.Conv2d(4, 8, 3, groups=4),
            nn.BatchNorm2d(8, eps=0.1),
        )
    )
    picture = torch.randn(2, 3, 9, 11)
    before = network(picture)
    fold_batch_norms(network)
    assert not [part for part in network.modules() if isinstance(part, nn.BatchNorm2d)]
    assert len(inner) == 1
    torch.testing.assert_close(network(picture), before, rtol=1e-4, atol=1e-4)


def test_a_batch_norm_after_something_else_stays() -> None:
    network = _trained(nn.Sequential(nn.Conv2d(3, 4, 1), nn.ReLU(), nn.BatchNorm2d(4)))
    picture = torch.randn(1, 3, 5, 5)
    before = network(picture)
    fold_batch_norms(network)
    assert len([part for part in network.modules() if isinstance(part, nn.BatchNorm2d)]) == 1
    assert torch.equal(network(picture), before)
