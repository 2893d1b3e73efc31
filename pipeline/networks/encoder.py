"""Encoders: plain convolutional stacks whose layers are read out by name."""

from collections.abc import Callable, Collection
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn

from pipeline.networks.convolution import convolve_rectified

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)

PoolingKind = Literal["max", "average"]
PaddingKind = Literal["zeros", "replicate", "reflect"]

#: Is shown a layer's name and features, and returns the features for the next layer.
Reader = Callable[[str, Tensor], Tensor]


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

    Departure from Gatys et al. 2016: inside the network the picture is padded with pixels of its
    own. Zero padding leaves a dark frame around the result, ``replicate`` one of other brushwork;
    ``reflect`` leaves none.

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
        padding: PaddingKind = "reflect",
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
            For each layer (B, N, H_l, W_l); nothing deeper than these is computed. Layers
            whose windows are larger than what is left of the picture are left out.

        Raises:
            KeyError: for a layer the encoder does not have.
        """
        found: dict[str, Tensor] = {}

        def keep(layer: str, features: Tensor) -> Tensor:
            found[layer] = features
            return features

        self.read(self.normalise(picture), layers, keep)
        return found

    def normalise(self, picture: Tensor) -> Tensor:
        """What the first convolution sees of (B, 3, H, W) in [0, 1], in the weights' precision."""
        weight = next(self.features.parameters(), picture)
        shown = ((picture - self.mean) / self.std).to(weight.dtype)
        if weight.is_contiguous():
            return shown
        return shown.contiguous(memory_format=torch.channels_last)

    def read(
        self,
        features: Tensor,
        layers: Collection[str],
        reader: Reader,
        start: int = 0,
        stop: int | None = None,
    ) -> Tensor:
        """Show the named layers to a reader, one after the other.

        Args:
            features: (B, N, H, W), what the layer at position ``start`` takes; for the first one
                the picture, normalised.
            layers: names of the layers to show. Nothing deeper is computed.
            reader: is called with each of them.
            start, stop: positions (`index`) of the first layer to compute and of the first one
                not to; None: all.

        Returns:
            The features of the last layer computed.
        """
        wanted = {self.index[layer]: layer for layer in layers}
        stop = max(wanted, default=-1) + 1 if stop is None else stop
        position = start
        while position < stop:
            module = self.features[position]
            if _too_small(module, min(features.shape[2:])):
                break
            if position not in wanted and position + 1 < stop and self._frozen_pair(position):
                position += 1
                assert isinstance(module, nn.Conv2d)
                features = convolve_rectified(features, module)
            else:
                features = module(features)
            if position in wanted:
                features = reader(wanted[position], features)
            position += 1
        return features

    def _frozen_pair(self, position: int) -> bool:
        """Whether here is a convolution of fixed weights and, next, a ReLU."""
        module = self.features[position]
        return (
            isinstance(module, nn.Conv2d)
            and not module.weight.requires_grad
            and isinstance(self.features[position + 1], nn.ReLU)
        )

    def sizes(self, height: int, width: int) -> dict[str, tuple[int, int]]:
        """Rows and columns of each layer's features, of the layers that a picture is enough for."""
        found: dict[str, tuple[int, int]] = {}
        for layer, module in zip(self.index, self.features, strict=True):
            if _too_small(module, min(height, width)):
                break
            if isinstance(module, nn.Conv2d | nn.MaxPool2d | nn.AvgPool2d):
                kernel, stride, padding = _geometry(module)
                height, width = (
                    (side + 2 * padding - kernel) // stride + 1 for side in (height, width)
                )
            found[layer] = height, width
        return found

    def channels(self, layer: str) -> int:
        """How many channels a layer has."""
        for module in reversed(self.features[: self.index[layer] + 1]):
            if isinstance(module, nn.Conv2d):
                return module.out_channels
        return len(self.mean.flatten())

    def windows(self, layer: str) -> list[Window]:
        """The windows of the convolutions and poolings up to and including ``layer``, in order.

        Together they are the layer's receptive field. The strided ones alone change height and
        width; a mask that is averaged over them has exactly those of the layer's features.
        """
        found = []
        for module in self.features[: self.index[layer] + 1]:
            if isinstance(module, nn.Conv2d | nn.MaxPool2d | nn.AvgPool2d):
                found.append(Window(*_geometry(module)))
        return found


def _geometry(module: nn.Conv2d | nn.MaxPool2d | nn.AvgPool2d) -> tuple[int, int, int]:
    """Kernel, stride and padding."""
    return _single(module.kernel_size), _single(module.stride), _single(module.padding)


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
