"""One step for padding, convolution and ReLU: the modules' values and gradients."""

import pytest
import torch
from torch import nn

from pipeline.networks.convolution import convolve_rectified


@pytest.mark.parametrize("mode", ["zeros", "reflect", "replicate"])
@pytest.mark.parametrize(
    ("kernel", "stride", "padding"), [(3, 1, 1), (5, 1, 2), (11, 4, 2), (3, 2, 0), (1, 1, 0)]
)
def test_equals_the_modules(mode: str, kernel: int, stride: int, padding: int) -> None:
    torch.manual_seed(0)
    convolution = nn.Conv2d(3, 4, kernel, stride, padding, padding_mode=mode).double()
    convolution.requires_grad_(False)
    features = torch.randn(1, 3, 17, 14, dtype=torch.float64, requires_grad=True)
    found, expected = convolve_rectified(features, convolution), convolution(features).relu()
    torch.testing.assert_close(found, expected)
    upstream = torch.randn_like(found)
    gradients = [torch.autograd.grad(y, features, upstream)[0] for y in (found, expected)]
    torch.testing.assert_close(*gradients)


def test_keeps_nothing_but_the_result() -> None:
    convolution = nn.Conv2d(3, 4, 3, padding=1, padding_mode="reflect").requires_grad_(False)
    kept: list[int] = []

    def pack(tensor: torch.Tensor) -> torch.Tensor:
        kept.append(tensor.numel())
        return tensor

    features = torch.randn(1, 3, 20, 30, requires_grad=True)
    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        result = convolve_rectified(features, convolution)
    assert kept == [result.numel()]
