"""The average of a network's weights over its training, which is what is kept of it."""

import torch
from torch import nn


@torch.no_grad()
def follow(average: nn.Module, network: nn.Module, keep: float) -> None:
    """Bring the average on by a step; what is counted, not averaged, is copied.

    Args:
        average: changed, of the network's class.
        network: after the step.
        keep: share of the average that stays, in [0, 1].
    """
    for mean, value in zip(
        average.state_dict().values(), network.state_dict().values(), strict=True
    ):
        if mean.is_floating_point():
            mean.lerp_(value, 1 - keep)
        else:
            mean.copy_(value)
