"""One step for padding, convolution and ReLU: the modules' values and gradients."""

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from pipeline.networks.convolution import (
    Rectifier,
    convolve_rectified,
    pad_channels_last,
    rectify,
)


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


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float32])
@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
def test_rectifies_in_place(dtype: torch.dtype, layout: torch.memory_format) -> None:
    generator = torch.Generator().manual_seed(0)
    values = 8 * torch.randn(2, 3, 5, 7, generator=generator)
    values[0, 0, 0, :4] = torch.tensor([0.0, -0.0, 6.0, torch.inf])
    values = values.to(dtype, memory_format=layout)
    for ceiling, expected in ((None, F.relu(values)), (6.0, F.relu6(values))):
        found = values.clone()
        assert rectify(found, ceiling) is found
        assert torch.equal(found, expected)
        again = values.clone().requires_grad_()
        rectifier = Rectifier(ceiling)
        (gradient,) = torch.autograd.grad(rectifier(again * 1).sum(), again)
        inside = (values > 0) & (values < (ceiling or torch.inf))
        assert torch.equal(gradient[inside], torch.ones_like(gradient[inside]))
        assert not gradient[values < 0].any()
        with torch.no_grad():
            assert torch.equal(rectifier(values.clone()), expected)


@pytest.mark.parametrize("mode", ["reflect", "replicate"])
@pytest.mark.parametrize("padding", [1, 2, 5])
@pytest.mark.parametrize("batch", [1, 2])
def test_padding_keeps_the_channels_last(mode: str, padding: int, batch: int) -> None:
    features = torch.randn(batch, 4, 6, 9, generator=torch.Generator().manual_seed(0))
    features = features.contiguous(memory_format=torch.channels_last)
    found = pad_channels_last(features, padding, mode)
    assert torch.equal(found, F.pad(features, [padding] * 4, mode=mode))
    assert found.stride() == found.contiguous(memory_format=torch.channels_last).stride()
    assert found.is_contiguous(memory_format=torch.channels_last)


@pytest.mark.gpu
def test_on_cuda_nothing_is_turned_around() -> None:
    convolution = nn.Conv2d(16, 32, 3, padding=1, padding_mode="reflect").requires_grad_(False)
    features = torch.randn(1, 16, 17, 14, generator=torch.Generator().manual_seed(0))
    expected = convolution(features).relu()
    there = features.cuda().contiguous(memory_format=torch.channels_last).requires_grad_()
    found = convolve_rectified(there, convolution.cuda().to(memory_format=torch.channels_last))
    torch.testing.assert_close(found.cpu(), expected, atol=1e-3, rtol=1e-3)
    assert found.is_contiguous(memory_format=torch.channels_last)
