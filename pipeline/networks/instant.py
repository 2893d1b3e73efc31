"""The instant painter: any style pictures, region by region, in one pass.

A region's features are carried to its style's by the optimal transport map between Gaussians
(Mroueh 2019, Wasserstein Style Transfer) at five depths of an encoder; a decoder with skip
connections paints the picture from them (Li et al. 2017, Universal Style Transfer, has a decoder
for each depth, whitening and colouring, and no regions). Nothing is trained for a style.

Shapes: B batch, N channels, H W height and width of a layer, d channels of a projection.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from pipeline.networks.encoder import Encoder
from pipeline.networks.pyramid import Layer, PyramidEncoder
from pipeline.pictures.transport import transport_map

#: Which features are carried, each with its divisor of the picture's sides and its projection's
#: channels, from coarse to fine. The deeper ones are read on the picture at half its size: strokes
#: are twice as long, and cost a quarter.
DEPTHS = (
    (Layer("relu4_1", 1), 16, 96),
    (Layer("relu3_1", 1), 8, 64),
    (Layer("relu2_1", 1), 4, 48),
    (Layer("relu1_1", 1), 2, 32),
    (Layer("relu1_1", 0), 1, 16),
)
#: The picture's sides are multiples of this while it is painted.
MULTIPLE = 16
#: Channels of the decoder behind each depth.
_WIDTHS = (96, 64, 48, 32, 24)
#: Share of its mean variance that is added to a covariance: directions that are all but flat would
#: be blown up to the style's.
_SHRINKAGE = 0.01
#: How many times as large a direction of features becomes at most, for the same reason.
_LARGEST_GAIN = 4.0
#: How far the decoder may leave [0, 1]; without a bound it strays in training.
_BEYOND = 0.25


@dataclass(frozen=True)
class Moments:
    """First and second moments of a region's features, as sums over its units.

    Attributes:
        weight: the sum of the units' weights, a scalar.
        first: (d,), the weighted sum of the features.
        second: (d, d), the weighted sum of their products.
    """

    weight: Tensor
    first: Tensor
    second: Tensor

    @staticmethod
    def of(features: Tensor, mask: Tensor | None) -> "Moments":
        """Of a layer.

        Args:
            features: (1, d, H, W).
            mask: (1, 1, H, W), non-negative weights; None: all alike.
        """
        rows = features[0].flatten(1).float()  # (d, M)
        weights = rows.new_ones(1, rows.shape[1]) if mask is None else mask[0].flatten(1).float()
        weighed = rows * weights
        return Moments(weights.sum(), weighed.sum(1), weighed @ rows.T)

    def __add__(self, other: "Moments") -> "Moments":
        """Of both together, as of two tiles."""
        return Moments(
            self.weight + other.weight, self.first + other.first, self.second + other.second
        )

    @property
    def mean(self) -> Tensor:
        """(d,)."""
        return self.first / self.weight.clamp_min(1e-6)

    @property
    def covariance(self) -> Tensor:
        """(d, d), shrunk towards a multiple of the identity (Ledoit and Wolf 2004's form)."""
        mean = self.mean
        plain = self.second / self.weight.clamp_min(1e-6) - torch.outer(mean, mean)
        size = plain.diagonal().mean().clamp_min(1e-6)
        return plain + _SHRINKAGE * size * torch.eye(len(mean), device=mean.device)


@dataclass(frozen=True)
class Map:
    """An affine map of features, ``x -> A x + b``.

    Attributes:
        slope: (d, d), A.
        offset: (d,), b.
    """

    slope: Tensor
    offset: Tensor

    def __call__(self, features: Tensor) -> Tensor:
        """Of (B, d, H, W)."""
        weight = self.slope[:, :, None, None].to(features.dtype)
        return F.conv2d(features, weight, self.offset.to(features.dtype))


def transport(content: Moments, style: Moments, strength: float = 1.0) -> Map:
    """The optimal transport map between Gaussians (`transport_map`), for a part of the way.

    Args:
        content, style: of the region and of its style.
        strength: the part of the way, 0 for none of it, 1 for all (McCann's interpolation).
    """
    whole = transport_map(content.covariance, style.covariance, 0.0, _LARGEST_GAIN)
    slope = strength * whole + (1 - strength) * torch.eye(len(whole)).to(whole)
    there = torch.lerp(content.mean, style.mean, strength)
    return Map(slope, there - slope @ content.mean)


class InstantPainter(nn.Module):
    """Projections of an encoder's features, and the decoder that paints from them.

    The encoder itself is not part of it: it is the bundled compact one.
    """

    def __init__(self) -> None:
        super().__init__()
        encoder_channels = {"relu1_1": 64, "relu2_1": 128, "relu3_1": 256, "relu4_1": 512}
        self.projections = nn.ModuleDict(
            {
                _key(layer): nn.Conv2d(encoder_channels[layer.name], channels, 1, bias=False)
                for layer, _, channels in DEPTHS
            }
        )
        self.blocks = nn.ModuleList()
        before = 0
        for (_, _, channels), width in zip(DEPTHS, _WIDTHS, strict=True):
            self.blocks.append(_Block(before + channels, width))
            before = width
        self.last = _convolution(before, 3)

    def projected(self, encoder: PyramidEncoder, picture: Tensor) -> dict[Layer, Tensor]:
        """The features that are carried.

        Args:
            encoder: the compact one.
            picture: (B, 3, H, W) in [0, 1], H and W multiples of `MULTIPLE`.

        Returns:
            For each of `DEPTHS` (B, d, H / divisor, W / divisor).
        """
        half = encoder.pyramid(picture, 2)[1]
        names = {layer.name for layer, _, _ in DEPTHS if layer.level == 1}
        found = {
            Layer(name, 1): features for name, features in encoder.encoder(half, names).items()
        }
        (finest,) = (layer.name for layer, _, _ in DEPTHS if layer.level == 0)
        found[Layer(finest)] = encoder.encoder(picture, [finest])[finest]
        return {
            layer: self.projections[_key(layer)](found[layer].float()) for layer, _, _ in DEPTHS
        }

    def forward(self, features: Mapping[Layer, Tensor]) -> Tensor:
        """The picture, (B, 3, H, W), at most `_BEYOND` out of [0, 1].

        Args:
            features: as `projected`.
        """
        shown: Tensor | None = None
        for (layer, _, _), block in zip(DEPTHS, self.blocks, strict=True):
            here = features[layer]
            if shown is not None:
                larger = F.interpolate(shown, here.shape[2:], mode="nearest")
                here = torch.cat([larger, here], dim=1)
            shown = block(here)
        reach = 0.5 + _BEYOND
        picture: Tensor = self.last(shown)
        return 0.5 + reach * torch.tanh(picture / reach)


def depth_masks(mask: Tensor) -> dict[Layer, Tensor]:
    """A region's mask at each depth, averages over its units.

    Args:
        mask: (1, 1, H, W), H and W multiples of `MULTIPLE`.

    Returns:
        (1, 1, H / divisor, W / divisor) each.
    """
    return {layer: F.avg_pool2d(mask, divisor) for layer, divisor, _ in DEPTHS}


def carried(
    features: Mapping[Layer, Tensor],
    regions: Sequence[tuple[Mapping[Layer, Tensor], Mapping[Layer, Map]]],
) -> dict[Layer, Tensor]:
    """Features with each region's carried to its style's, mixed by the masks.

    Args:
        features: (1, d, H_l, W_l) a depth.
        regions: of each its masks and its maps; where masks add up to less than 1 features stay.
    """
    found = {}
    for layer, own in features.items():
        mixed = own
        for masks, maps in regions:
            mixed = mixed + masks[layer].to(own) * (maps[layer](own) - own)
        found[layer] = mixed
    return found


def padded(picture: Tensor) -> Tensor:
    """(B, C, H, W) reflected at the right and the bottom to multiples of `MULTIPLE`."""
    height, width = picture.shape[2:]
    below, right = -height % MULTIPLE, -width % MULTIPLE
    if below == 0 and right == 0:
        return picture
    mode = "reflect" if below < height and right < width else "replicate"
    return F.pad(picture, (0, right, 0, below), mode=mode)


def _key(layer: Layer) -> str:
    return str(layer).replace("/", "_half_") if layer.level else layer.name


def _convolution(inputs: int, outputs: int) -> nn.Conv2d:
    return nn.Conv2d(inputs, outputs, 3, padding=1, padding_mode="reflect")


class _Block(nn.Module):
    """Two convolutions, the second beside what it is given."""

    def __init__(self, inputs: int, width: int) -> None:
        super().__init__()
        self.first, self.second = _convolution(inputs, width), _convolution(width, width)

    def forward(self, features: Tensor) -> Tensor:
        """(B, width, H, W) of (B, inputs, H, W)."""
        found: Tensor = F.leaky_relu(self.first(features), 0.1)
        return found + F.leaky_relu(self.second(found), 0.1)


def encoder_of(encoder: Encoder) -> PyramidEncoder:
    """An encoder as the painter reads it: at two sizes."""
    return PyramidEncoder(encoder, 2)
