"""Convolutions of networks that are not trained: gradients reach the input alone."""

from collections.abc import Iterator
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.autograd.function import once_differentiable
from torch.nn.grad import conv2d_input


def convolve_rectified(features: Tensor, convolution: nn.Conv2d) -> Tensor:
    """Padding, convolution and ReLU in one step, for frozen weights.

    The same values and gradients as the three modules one after the other. Of all that arises on
    the way only the result is kept for the gradient; the modules would keep the padded input, too,
    which for VGG's wide first layers is half of the memory, and take several passes more over it.

    Args:
        features: (B, N, H, W).
        convolution: with weights that need no gradient, square kernel, stride and padding, one
            group, no dilation.

    Returns:
        (B, N', H', W'), at least 0.
    """
    result: Tensor = _ConvolveRectified.apply(features, convolution)
    return result


def rectify(values: Tensor, ceiling: float | None = None) -> Tensor:
    """ReLU in place; with a ceiling of 6 it is ReLU6.

    Where no gradient is wanted, on a CPU, numbers in bfloat16 are bounded as the whole numbers of
    the same bits, which are in the same order from 0 on, and below 0 for those below: a quarter of
    the time. A NaN may become 0.

    Args:
        values: changed.
        ceiling: None: none.

    Returns:
        ``values``.
    """
    if values.requires_grad or values.dtype != torch.bfloat16 or values.device.type != "cpu":
        return values.clamp_(0, ceiling)
    highest = None
    if ceiling is not None:
        highest = int(torch.tensor(ceiling, dtype=torch.bfloat16).view(torch.int16))
    values.view(torch.int16).clamp_(0, highest)
    return values


class Rectifier(nn.Module):
    """`rectify` as a module."""

    def __init__(self, ceiling: float | None = None) -> None:
        super().__init__()
        self._ceiling = ceiling

    def forward(self, values: Tensor) -> Tensor:
        """The values, changed."""
        return rectify(values, self._ceiling)


class _ConvolveRectified(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, features: Tensor, convolution: nn.Conv2d) -> Tensor:
        padding, mode = int(convolution.padding[0]), convolution.padding_mode
        inside = 0 if mode == "zeros" else padding
        padded = _padded(features, inside, mode) if inside else features
        result = rectify(
            F.conv2d(
                padded,
                convolution.weight,
                convolution.bias,
                convolution.stride,
                padding - inside,
            )
        )
        ctx.save_for_backward(result)
        ctx.convolution, ctx.shape, ctx.inside = convolution, padded.shape, inside
        return result

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None]:
        (result,) = ctx.saved_tensors
        convolution, inside = ctx.convolution, ctx.inside
        gradient = torch.ops.aten.threshold_backward(gradient, result, 0)
        gradient = conv2d_input(  # type: ignore[no-untyped-call]
            ctx.shape,
            convolution.weight,
            gradient,
            convolution.stride,
            int(convolution.padding[0]) - inside,
        )
        return _unpad(gradient, inside, convolution.padding_mode), None


def _padded(features: Tensor, padding: int, mode: str) -> Tensor:
    last = features.is_contiguous(memory_format=torch.channels_last)
    if features.device.type == "cuda" and last:
        # Torch's own returns channels first there, which the convolution would turn around.
        return pad_channels_last(features, padding, mode)
    return F.pad(features, [padding] * 4, mode=mode)


def pad_channels_last(features: Tensor, padding: int, mode: str) -> Tensor:
    """Pad with pixels of the picture itself; the result has its channels last in memory.

    Args:
        features: (B, N, H, W), with its channels last in memory.
        padding: on each side; for ``reflect`` less than H and W.
        mode: ``reflect`` or ``replicate``.

    Returns:
        (B, N, H + 2 padding, W + 2 padding).
    """
    batch, channels, *sides = features.shape
    padded = torch.empty(
        (batch, channels, *(side + 2 * padding for side in sides)),
        dtype=features.dtype,
        device=features.device,
        memory_format=torch.channels_last,
    )
    padded[..., padding:-padding, padding:-padding] = features
    # Rows last, with their corners: they lie in memory as a whole.
    for axis in (3, 2):
        for k, source in _borders(padded.shape[axis], padding, mode):
            padded.select(axis, k).copy_(padded.select(axis, source))
    return padded


def _borders(side: int, padding: int, mode: str) -> Iterator[tuple[int, int]]:
    """Each row of the padding with the row that it shows, both counted with the padding."""
    last = side - 1
    for k in range(padding):
        source = 2 * padding - k if mode == "reflect" else padding
        yield k, source
        yield last - k, last - source


def _unpad(gradient: Tensor, padding: int, mode: str) -> Tensor:
    """The gradient of padding: what reached the border goes to the pixels that it copied.

    Changes ``gradient``; a view of it is returned.
    """
    if padding == 0:
        return gradient
    for axis in (2, 3):
        for k, source in _borders(gradient.shape[axis], padding, mode):
            gradient.select(axis, source).add_(gradient.select(axis, k))
    return gradient[..., padding:-padding, padding:-padding]
