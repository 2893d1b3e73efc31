"""Convolutions of networks that are not trained: gradients reach the input alone."""

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


class _ConvolveRectified(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, features: Tensor, convolution: nn.Conv2d) -> Tensor:
        padding, mode = int(convolution.padding[0]), convolution.padding_mode
        inside = 0 if mode == "zeros" else padding
        padded = F.pad(features, [inside] * 4, mode=mode) if inside else features
        result = F.conv2d(
            padded,
            convolution.weight,
            convolution.bias,
            convolution.stride,
            padding - inside,
        ).relu_()
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


def _unpad(gradient: Tensor, padding: int, mode: str) -> Tensor:
    """The gradient of padding: what reached the border goes to the pixels that it copied.

    Changes ``gradient``; a view of it is returned.
    """
    if padding == 0:
        return gradient
    for axis in (2, 3):
        last = gradient.shape[axis] - 1
        for k in range(padding):
            # Padded row k shows row 2p - k (reflect) or p (replicate), counted with the padding.
            source = 2 * padding - k if mode == "reflect" else padding
            gradient.select(axis, source).add_(gradient.select(axis, k))
            gradient.select(axis, last - source).add_(gradient.select(axis, last - k))
    return gradient[..., padding:-padding, padding:-padding]
