"""Encoders: plain convolutional stacks whose layers are read out by name."""

from collections.abc import Collection
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)

PoolingKind = Literal["max", "average"]
PaddingKind = Literal["zeros", "replicate", "reflect"]


@dataclass(frozen=True)
class Window:
    """How one layer samples its input: kernel, stride and padding, in units."""

    kernel: int
    stride: int
    padding: int


class Encoder(nn.Module):
    """A VGG-like stack of convolutions, ReLUs and poolings whose layers have names.

    Layers are named as in Gatys et al. 2016: ``conv<block>_<index>``, ``relu<block>_<index>`` and
    ``pool<block>``, blocks being what lies between two poolings.

    Departure from Gatys et al. 2016: the picture is padded by replication inside the network
    (``padding="replicate"``); zero padding leaves a dark frame around the result.

    Args:
        features: the layers in order; copied references, made side-effect free (no in-place ReLU).
        mean: per-channel mean subtracted from the picture, RGB in [0, 1].
        std: per-channel divisor, RGB in [0, 1].
        pooling: ``max`` as trained, or ``average`` as Gatys et al. 2016 prefer.
        padding: padding of every convolution.
    """

    mean: Tensor
    std: Tensor

    def __init__(
        self,
        features: nn.Sequential,
        mean: tuple[float, float, float] = IMAGENET_MEAN,
        std: tuple[float, float, float] = IMAGENET_STD,
        pooling: PoolingKind = "max",
        padding: PaddingKind = "replicate",
    ) -> None:
        super().__init__()
        self.features = nn.Sequential()
        self.index: dict[str, int] = {}
        block, conv = 1, 0
        for position, module in enumerate(features):
            if isinstance(module, nn.Conv2d):
                conv += 1
                module.padding_mode = padding
                # Conv2d precomputes this from the padding it was built with.
                size = _single(module.padding)
                module._reversed_padding_repeated_twice = [size] * 4
                name = f"conv{block}_{conv}"
            elif isinstance(module, nn.ReLU):
                # In place it would overwrite the convolution's output under that layer's name.
                module = nn.ReLU(inplace=False)
                name = f"relu{block}_{conv}"
            elif isinstance(module, nn.MaxPool2d):
                if pooling == "average":
                    module = nn.AvgPool2d(module.kernel_size, module.stride, module.padding)
                name = f"pool{block}"
                block, conv = block + 1, 0
            else:
                raise TypeError(f"an encoder has no use for a {type(module).__name__}")
            self.features.append(module)
            self.index[name] = position
        self.register_buffer("mean", torch.tensor(mean).view(1, 3, 1, 1), persistent=False)
        self.register_buffer("std", torch.tensor(std).view(1, 3, 1, 1), persistent=False)

    def forward(self, picture: Tensor, layers: Collection[str]) -> dict[str, Tensor]:
        """Features of the named layers.

        Args:
            picture: (B, 3, H, W), RGB in [0, 1].
            layers: names of the layers to return.

        Returns:
            For each layer (B, N, H_l, W_l); nothing behind the deepest one is computed. Layers
            whose windows are larger than what is left of the picture are left out.

        Raises:
            KeyError: for a layer the encoder does not have.
        """
        wanted = {self.index[layer]: layer for layer in layers}
        found: dict[str, Tensor] = {}
        hidden = (picture - self.mean) / self.std
        for position, module in enumerate(self.features[: max(wanted) + 1]):
            if _too_small(module, min(hidden.shape[2:])):
                break
            hidden = module(hidden)
            if position in wanted:
                found[wanted[position]] = hidden
        return found

    def windows(self, layer: str) -> list[Window]:
        """The windows of the convolutions and poolings up to and including ``layer``, in order.

        Together they are the layer's receptive field. The strided ones alone change height and
        width; a mask that is averaged over them has exactly those of the layer's features.
        """
        found = []
        for module in self.features[: self.index[layer] + 1]:
            if isinstance(module, nn.Conv2d | nn.MaxPool2d | nn.AvgPool2d):
                sizes = (module.kernel_size, module.stride, module.padding)
                found.append(Window(*(_single(size) for size in sizes)))
        return found


def _too_small(module: nn.Module, side: int) -> bool:
    if not isinstance(module, nn.Conv2d | nn.MaxPool2d | nn.AvgPool2d):
        return False
    padding = _single(module.padding)
    mirrored = isinstance(module, nn.Conv2d) and module.padding_mode == "reflect"
    return side + 2 * padding < _single(module.kernel_size) or (mirrored and side <= padding)


def _single(size: int | tuple[int, ...] | str) -> int:
    if isinstance(size, tuple):
        size = size[0]
    return int(size)
