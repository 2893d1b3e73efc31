"""Features of a picture at several sizes: an encoder on a Gaussian pyramid."""

from collections.abc import Callable, Collection
from typing import NamedTuple

import torch
from torch import Tensor, nn

from pipeline.networks.encoder import Encoder, Window

# Levels with a shorter side than this, in pixels, do not exist.
_SMALLEST_LEVEL = 16
# The binomial filter of Burt and Adelson 1983, at half size.
_HALVING = Window(kernel=4, stride=2, padding=1)


class Layer(NamedTuple):
    """A layer of an encoder that is read on one level of a pyramid.

    Attributes:
        name: of the encoder's layer, such as ``relu3_1``.
        level: 0 for the picture itself, 1 for half its size, and so on.
    """

    name: str
    level: int = 0

    @classmethod
    def parse(cls, text: str) -> "Layer":
        """The layer that `str` calls so.

        Raises:
            ValueError: what comes after the slash is no power of two.
        """
        name, slash, divisor = text.partition("/")
        level = int(divisor).bit_length() - 1 if slash and divisor.isdecimal() else 0
        found = cls(name, level)
        if str(found) != text:
            raise ValueError(f"{text} is no layer; write relu3_1, relu3_1/2, relu3_1/4, ...")
        return found

    def __str__(self) -> str:
        """``relu3_1`` at full size, ``relu3_1/2`` and ``relu3_1/4`` below."""
        return self.name if self.level == 0 else f"{self.name}/{2**self.level}"


class PyramidEncoder(nn.Module):
    """Reads an encoder's layers on a Gaussian pyramid of the picture.

    A shallow encoder sees a few pixels around each unit; on the picture at half and quarter size
    the same layers see long strokes and large shapes. With ``levels=1`` this is the encoder itself.

    Args:
        encoder: the network.
        levels: number of sizes, at least 1.
    """

    def __init__(self, encoder: Encoder, levels: int = 1) -> None:
        super().__init__()
        self.encoder = encoder
        self.levels = levels

    def layers(self, name: str) -> list[Layer]:
        """One encoder layer on all levels, from full size down."""
        return [Layer(name, level) for level in range(self.levels)]

    def forward(self, picture: Tensor, layers: Collection[Layer]) -> dict[Layer, Tensor]:
        """Features of some layers; as `Encoder.forward`.

        Levels at which the picture is smaller than 16 pixels on a side are left out.
        """
        found: dict[Layer, Tensor] = {}
        wanted = self.by_level(layers)
        for level, shown in enumerate(self.pyramid(picture, max(wanted, default=0) + 1)):
            if level in wanted:
                features = self.encoder(shown, wanted[level])
                found |= {Layer(name, level): tensor for name, tensor in features.items()}
        return {layer: found[layer] for layer in layers if layer in found}

    def pyramid(self, picture: Tensor, levels: int | None = None) -> list[Tensor]:
        """The picture at all sizes that it is large enough for, (B, 3, H, W) first.

        Args:
            picture: (B, 3, H, W).
            levels: the number of sizes at most; None: all.
        """
        pictures = [picture]
        for _ in range(1, self.levels if levels is None else levels):
            smaller = _halved(_halved(pictures[-1], 2), 3)
            if min(smaller.shape[2:]) < _SMALLEST_LEVEL:
                break
            pictures.append(smaller)
        return pictures

    def halved_by_bands(
        self, cut: Callable[[int, int], Tensor], height: int, width: int, rows: int
    ) -> Tensor | None:
        """The second picture of `pyramid`, of a first one that is never held as a whole.

        Args:
            cut: gives the picture's rows from one to another, (1, 3, h, width).
            height, width: of the picture.
            rows: how many are cut at once, about; even.

        Returns:
            (1, 3, height // 2, width // 2); None if that is too small for a level.
        """
        if min(height, width) // 2 < _SMALLEST_LEVEL:
            return None
        bands = []
        for top in range(0, height - 1, rows):
            # With the rows that the filter sees around the band.
            first, last = max(0, top - 2), min(height, top + rows + 2)
            small = _halved(_halved(cut(first, last), 2), 3)
            skipped = (top - first) // 2
            bands.append(small[..., skipped : skipped + rows // 2, :])
        return torch.cat(bands, 2)

    def add_finer_gradient(self, total: Tensor, gradient: Tensor) -> None:
        """Add the gradient with respect to a picture, from the one with respect to its half.

        The transpose of one step of `pyramid`, for pictures too large to be kept by autograd.

        Args:
            total: (1, 3, H, W), changed.
            gradient: (1, 3, H // 2, W // 2).
        """
        columns = gradient.new_zeros(*gradient.shape[:3], total.shape[3])
        _add_doubled(columns, gradient / 8, 3)
        _add_doubled(total, columns.div_(8), 2)

    def by_level(self, layers: Collection[Layer]) -> dict[int, list[str]]:
        """Level to the names of the layers that are wanted there, of the levels that have some."""
        found = {
            level: [layer.name for layer in layers if layer.level == level]
            for level in range(self.levels)
        }
        return {level: names for level, names in found.items() if names}

    def sizes(self, height: int, width: int) -> dict[Layer, tuple[int, int]]:
        """Rows and columns of the layers on all levels; as `Encoder.sizes`."""
        found: dict[Layer, tuple[int, int]] = {}
        for level in range(self.levels):
            if level > 0:
                height, width = (side // 2 for side in (height, width))
                if min(height, width) < _SMALLEST_LEVEL:
                    break
            for name, size in self.encoder.sizes(height, width).items():
                found[Layer(name, level)] = size
        return found

    def windows(self, layer: Layer) -> list[Window]:
        """The windows between the picture and a layer (`Encoder.windows`)."""
        return [_HALVING] * layer.level + self.encoder.windows(layer.name)


def _halved(picture: Tensor, axis: int) -> Tensor:
    """Half the length of an axis: the filter (1, 3, 3, 1) / 8 at every other pixel.

    The border is replicated. Slices, not a convolution: libraries want 16 channels for its 3.
    """
    pixels = picture.movedim(axis, 0)
    count = pixels.shape[0] // 2
    even, odd = pixels[: 2 * count : 2], pixels[1::2]
    before = torch.cat([pixels[:1], odd[:-1]])
    behind = torch.cat([even[1:], pixels[-1:]])
    return (even + odd).mul_(3).add_(before).add_(behind).div_(8).movedim(0, axis)


def _add_doubled(result: Tensor, gradient: Tensor, axis: int) -> None:
    """Add the transpose of `_halved`, of a gradient that has been divided by 8."""
    total, given = result.movedim(axis, 0), gradient.movedim(axis, 0)
    end = 2 * len(given)
    total[0:end:2].add_(given, alpha=3)
    total[1:end:2].add_(given, alpha=3)
    total[0].add_(given[0])
    total[1 : end - 2 : 2].add_(given[1:])
    total[2:end:2].add_(given[:-1])
    total[len(total) - 1].add_(given[-1])
