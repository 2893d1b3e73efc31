"""The instant painter: any style pictures, region by region, in one pass.

A region's features are carried to its style's by the optimal transport map between Gaussians
(Mroueh 2019, Wasserstein Style Transfer) at five depths of an encoder. Beside them lie features of
the style picture itself: at each place those of the place that resembles it most (Chen and Schmidt
2016, Fast Patch-based Style Transfer, swap those of one layer), deep ones by themselves, shallow
ones in blocks, with the strokes that are in them (as textures in Yang et al. 2020, Texture
Transformer). A decoder paints the picture from both. Nothing is trained for a style.

It paints from coarse to fine: a small picture first, which gives the next larger one its strokes,
and takes from the photograph the details that it could not hold (`enlarged`).

Shapes: B batch, N channels, H W height and width of a layer, d channels of a projection.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from pipeline.networks import encoders, weights
from pipeline.networks.encoder import Encoder
from pipeline.networks.pyramid import Layer, PyramidEncoder
from pipeline.pictures.transport import Between, partly, transport_map

#: Finds places in a style picture, as `places`.
Search = Callable[[Sequence[Tensor], Sequence[Tensor], Tensor | None], Tensor]

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
# And at least so long, so that it can be halved.
_SMALLEST = 32
#: How many depths, from coarse to fine, are compared for themselves; the finer ones follow the last
#: of them, in blocks.
COMPARED = 2
#: Side of the squares of units that follow the one in their middle (`coherent`); tiles begin at
#: multiples of it.
SQUARE = 8
# Of how many kinds units of a style are, of which neighbours take one in turn, and what one gives
# up for that of its sum of four cosines.
_KINDS, _VARIETY = 4, 0.5
# And for its square.
_CONCESSION = 0.6
#: Units of a style picture that are compared, at most.
_MOST_KEYS = 4096
#: Channels of the decoder behind each depth.
_WIDTHS = (96, 64, 48, 32, 24)
#: Share of its mean variance that is added to a covariance: directions that are all but flat would
#: be blown up to the style's.
_SHRINKAGE = 0.01
#: How many times as large a direction of features becomes at most, for the same reason.
LARGEST_GAIN = 4.0
BUNDLED_FILE = weights.BUNDLED / "instant.safetensors"
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


def moments(
    features: Mapping[Layer, Tensor], masks: Mapping[Layer, Tensor] = MappingProxyType({})
) -> dict[Layer, Moments]:
    """Of each depth.

    Args:
        features: (1, d, H_l, W_l) a depth.
        masks: (1, 1, H_l, W_l) a depth, as `Moments.of`; all counts where there is none.
    """
    return {layer: Moments.of(own, masks.get(layer)) for layer, own in features.items()}


def transport(
    content: Moments,
    style: Moments,
    strength: float | Tensor = 1.0,
    between: Between = transport_map,
) -> Map:
    """The optimal transport map between Gaussians (`transport_map`), for a part of the way.

    Args:
        content, style: of the region and of its style.
        strength: the part of the way, 0 for none of it, 1 for all (McCann's interpolation).
        between: finds the map.
    """
    whole = between(content.covariance, style.covariance, 0.0, LARGEST_GAIN)
    slope = partly(whole, strength)
    there = torch.lerp(content.mean, style.mean, strength)
    return Map(slope, there - slope @ content.mean)


def transports(
    content: Mapping[Layer, Moments],
    style: Mapping[Layer, Moments],
    strength: float | Tensor = 1.0,
    between: Between = transport_map,
) -> dict[Layer, Map]:
    """The map of each depth; arguments as `transport`."""
    return {
        layer: transport(own, style[layer], strength, between) for layer, own in content.items()
    }


def compared(features: Mapping[Layer, Tensor], number: int) -> list[Tensor]:
    """What is compared at a depth: it, the coarser ones, and at last the means of finer ones.

    The deep features say what is there, the shallow ones how light it is, and of which colour.

    Args:
        features: (1, d, H_l, W_l) a depth.
        number: of the depth in `DEPTHS`, less than `COMPARED`.

    Returns:
        (1, d, H, W) each, of that depth's size.
    """
    layer, divisor, _ = DEPTHS[number]
    size = features[layer].shape[2:]
    found = [F.interpolate(features[one], size, mode="nearest") for one, _, _ in DEPTHS[:number]]
    found.append(features[layer])
    if number == COMPARED - 1:
        finer = DEPTHS[COMPARED:-1]
        found += [F.avg_pool2d(features[one], divisor // own) for one, own, _ in finer]
    return found


def directions(queries: Sequence[Tensor], keys: Sequence[Tensor]) -> tuple[Tensor, Tensor]:
    """Centred features of unit length, those of all layers one below the other.

    Args:
        queries, keys: as `places`.

    Returns:
        (D, H * W) and (D, H' * W').
    """
    means = [key.mean((2, 3), keepdim=True) for key in keys]
    found = []
    for features in (queries, keys):
        units = [F.normalize(f - mean, dim=1) for f, mean in zip(features, means, strict=True)]
        found.append(torch.cat(units, 1)[0].flatten(1))
    return found[0], found[1]


@torch.no_grad()
def places(
    queries: Sequence[Tensor], keys: Sequence[Tensor], inside: Tensor | None = None
) -> Tensor:
    """Where the style picture resembles each unit most: cosine of centred features, summed.

    Args:
        queries: carried features, (1, d, H, W) each (`compared`).
        keys: the style picture's, (1, d, H', W') each.
        inside: (1, 1, H', W'), non-zero in the style's region; None: all of it.

    Returns:
        (H * W,) numbers of the style picture's units, row by row.
    """
    allowed = torch.arange(keys[-1][0, 0].numel(), device=keys[-1].device)
    if inside is not None and bool(inside.any()):
        allowed = allowed[inside.flatten() > 0]
    allowed = allowed[:: -(-len(allowed) // _MOST_KEYS)]
    rows, columns = directions(queries, keys)
    size = queries[-1].shape[2:]
    found = allowed[nearest(rows, columns[:, allowed], size)]
    usable = torch.zeros(columns.shape[1], dtype=torch.bool, device=found.device)
    usable[allowed] = True
    return coherent(found, rows, columns, size, keys[-1].shape[2:], usable)


def nearest(rows: Tensor, columns: Tensor, size: Sequence[int], most: int | None = 512) -> Tensor:
    """The unit that resembles each unit most, or one of the others that do so all but as much.

    Neighbours that are all alike would all be given the same texture, which shows as a grid: in
    turn they take the best of every fourth unit, where it is worse by `_VARIETY` at most.

    Args:
        rows, columns: (D, H * W) and (D, M'), as `directions`.
        size: H, W.
        most: units that are compared at once; None: all.

    Returns:
        (H * W,) numbers of columns.
    """
    kinds = _KINDS if columns.shape[1] >= _KINDS else 1
    columns = columns[:, : columns.shape[1] // kinds * kinds]
    # Those of a kind side by side: the maxima are found in a tenth of the time.
    columns = columns.view(len(columns), -1, kinds).transpose(1, 2).flatten(1)
    down, across = (torch.arange(length, device=rows.device) % SQUARE for length in size)
    turns = ((3 * down[:, None] + 5 * across) % kinds).flatten()
    parts = [(rows.T, turns)]
    if most is not None:
        parts = [*zip(torch.split(rows.T, most), torch.split(turns, most), strict=True)]
    found = []
    for wanted, turn in parts:
        scores = (wanted @ columns).view(wanted.shape[0], kinds, -1)
        best = scores.amax(2)  # (M, kinds)
        highest, first = best.max(1)
        kind = torch.where(best.gather(1, turn[:, None])[:, 0] > highest - _VARIETY, turn, first)
        row = torch.arange(wanted.shape[0], device=kind.device) * kinds + kind
        own = scores.flatten(0, 1).index_select(0, row)
        # On CPUs faster than argmax.
        found.append(own.max(1).indices * kinds + kind)
    return torch.cat(found)


def coherent(
    where: Tensor,
    rows: Tensor,
    columns: Tensor,
    size: Sequence[int],
    other: Sequence[int],
    usable: Tensor | None = None,
) -> Tensor:
    """Places of which neighbours are neighbours in the style picture, where that costs little.

    By itself each unit of a flat part finds the same place, and its texture repeats as a grid. In
    squares of `SQUARE` units all follow the one in the middle (in the spirit of Ashikhmin 2001,
    Synthesizing Natural Textures), unless they resemble the place that they come to by more than
    `_CONCESSION` less than their own.

    Args:
        where: (H * W,), as `places`.
        rows, columns: (D, H * W) and (D, H' * W'), as `directions`.
        size, other: H, W and H', W'.
        usable: (H' * W',), whether a place may be used; None: all may.
    """
    (height, width), (tall, wide) = size, other
    across = torch.arange(width, device=where.device)
    down = torch.arange(height, device=where.device)
    middle = [
        (numbers // SQUARE * SQUARE + SQUARE // 2).clamp_max(length - 1)
        for numbers, length in ((down, height), (across, width))
    ]
    anchors = (middle[0][:, None] * width + middle[1]).flatten()
    place = where[anchors]
    above = place // wide
    row = above + (down - middle[0])[:, None].expand(height, width).flatten()
    # Not a remainder: ONNX has none by a size that is not known yet.
    column = place - above * wide + (across - middle[1])[None].expand(height, width).flatten()
    # Beyond the style picture's border it goes back.
    row, column = (
        (length - 1 - (length - 1 - numbers.abs()).abs()).clamp_min(0)
        for numbers, length in ((row, tall), (column, wide))
    )
    proposed = row * wide + column
    own, others = (
        (rows * columns.index_select(1, numbers)).sum(0) for numbers in (where, proposed)
    )
    accepted = others > own - _CONCESSION
    if usable is not None:
        accepted = accepted & usable[proposed]
    return torch.where(accepted, proposed, where)


def laid_out(features: Tensor, where: Tensor, height: int, width: int, block: int) -> Tensor:
    """A style picture's features in the order of a content's units.

    Blocks fade into each other over half their side: their edges would show.

    Args:
        features: (1, d, H', W'), ``block`` units a side to each of those that were compared.
        where: (height * width,), as `places`.
        height, width: of the content at the depth that was compared.
        block: 1, or even.

    Returns:
        (1, d, height * block, width * block).
    """
    if block == 1:
        return features.flatten(2)[..., where].view(1, -1, height, width)
    # A block reaches a quarter of its side into the next; blocks of 2 not at all.
    around = block // 4
    side, lap = block + 2 * around, 2 * around
    # Units before channels: what belongs together lies together, and is copied many times as fast.
    wider = F.pad(features, (around,) * 4, mode="replicate")[0].permute(1, 2, 0)
    across, length = features.shape[3] // block, wider.shape[1]
    above = where // across
    corner = block * (above * length + where - above * across)
    step = torch.arange(side, device=where.device)
    units = corner[:, None] + (length * step[:, None] + step).flatten()
    chosen = wider.reshape(-1, wider.shape[2]).index_select(0, units.flatten())
    chosen = chosen.view(height, width, side, side, -1)
    rising = (torch.arange(lap).to(features) + 0.5) / max(1, lap)
    slope = torch.cat([rising, rising.new_ones(block - lap), rising.flip(0)])
    chosen *= torch.outer(slope, slope)[..., None]
    # What reaches beyond a block's own side is added to the next block below and to the right.
    cells = F.pad(chosen[:, :, :block, :block], (0, 0, 0, 0, 0, 0, 0, 1, 0, 1))
    if lap:
        cells[1:, :-1, :lap] += chosen[:, :, block:, :block]
        cells[:-1, 1:, :, :lap] += chosen[:, :, :block, block:]
        cells[1:, 1:, :lap, :lap] += chosen[:, :, block:, block:]
    whole = cells.transpose(1, 2).reshape((height + 1) * block, (width + 1) * block, -1)
    found = whole[around : around + height * block, around : around + width * block]
    # At the border only one block covers a unit, and its slope is not 1 there.
    for axis in (0, 1):
        share = rising[around:].view(-1, *(1,) * (2 - axis))
        found.narrow(axis, 0, around).div_(share)
        found.narrow(axis, found.shape[axis] - around, around).div_(share.flip(0))
    return found.permute(2, 0, 1)[None]


def swapped(
    carried: Mapping[Layer, Tensor],
    style: Mapping[Layer, Tensor],
    inside: Mapping[Layer, Tensor] = MappingProxyType({}),
    search: Search = places,
) -> dict[Layer, Tensor]:
    """The style picture's own features at each depth, where they resemble the carried ones most.

    Args:
        carried: a region's features under its map, (1, d, H_l, W_l) a depth.
        style: the style picture's, (1, d, H'_l, W'_l).
        inside: the style's region, (1, 1, H'_l, W'_l) a depth; all of it where there is none.
        search: finds the places.
    """
    found: dict[Layer, Tensor] = {}
    for number, (layer, divisor, _) in enumerate(DEPTHS):
        if number < COMPARED:
            queries, keys = compared(carried, number), compared(style, number)
            where = search(queries, keys, inside.get(layer))
            last, size = divisor, carried[layer].shape[2:]
        found[layer] = laid_out(style[layer], where, size[0], size[1], last // divisor)
    return found


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
            self.blocks.append(_Block(before + 2 * channels, width))
            before = width
        self.last = _convolution(before, 3)

    def projected(self, encoder: PyramidEncoder, picture: Tensor) -> dict[Layer, Tensor]:
        """The features that are carried.

        Args:
            encoder: the compact one.
            picture: (B, 3, H, W) in [0, 1], H and W multiples of `MULTIPLE`.

        Returns:
            For each of `DEPTHS` (B, d, H / divisor, W / divisor), in float32 whatever the weights.
        """
        half = encoder.pyramid(picture, 2)[1]
        names = {layer.name for layer, _, _ in DEPTHS if layer.level == 1}
        found = {
            Layer(name, 1): features for name, features in encoder.encoder(half, names).items()
        }
        (finest,) = (layer.name for layer, _, _ in DEPTHS if layer.level == 0)
        found[Layer(finest)] = encoder.encoder(picture, [finest])[finest]
        dtype = self.last.weight.dtype
        return {
            layer: self.projections[_key(layer)](found[layer].to(dtype)).float()
            for layer, _, _ in DEPTHS
        }

    def forward(self, features: Mapping[Layer, Tensor], beside: Mapping[Layer, Tensor]) -> Tensor:
        """The picture, (B, 3, H, W), at most `_BEYOND` out of [0, 1].

        Args:
            features: as `projected`, carried.
            beside: the styles' own, of the same shapes; where no style acts the features again.
        """
        shown: Tensor | None = None
        dtype = self.last.weight.dtype
        for (layer, _, _), block in zip(DEPTHS, self.blocks, strict=True):
            here = [features[layer].to(dtype), beside[layer].to(dtype)]
            if shown is not None:
                here.insert(0, F.interpolate(shown, here[0].shape[2:], mode="nearest"))
            shown = block(torch.cat(here, dim=1))
        reach = 0.5 + _BEYOND
        picture: Tensor = self.last(shown).float()
        return 0.5 + reach * torch.tanh(picture / reach)


def depth_masks(mask: Tensor) -> dict[Layer, Tensor]:
    """A region's mask at each depth, averages over its units.

    Args:
        mask: (1, 1, H, W), H and W multiples of `MULTIPLE`.

    Returns:
        (1, 1, H / divisor, W / divisor) each.
    """
    found, finer = {}, 1
    for layer, divisor, _ in reversed(DEPTHS):
        if divisor > finer:
            mask, finer = F.avg_pool2d(mask, divisor // finer), divisor
        found[layer] = mask
    return found


@dataclass(frozen=True)
class Painted:
    """What is painted in a region.

    Attributes:
        maps: of its features, a depth.
        style: the style picture's features, (1, d, H'_l, W'_l) a depth.
        strength: in [0, 1].
        inside: the style's region, (1, 1, H'_l, W'_l) a depth; all of it where there is none.
    """

    maps: Mapping[Layer, Map]
    style: Mapping[Layer, Tensor]
    strength: float | Tensor = 1.0
    inside: Mapping[Layer, Tensor] = field(default_factory=dict)


def mixed(
    features: Mapping[Layer, Tensor],
    regions: Sequence[Painted],
    masks: Sequence[Mapping[Layer, Tensor]],
    search: Search = places,
) -> tuple[dict[Layer, Tensor], dict[Layer, Tensor]]:
    """What the decoder is given: each region's carried features and its style's own, by the masks.

    Args:
        features: (1, d, H_l, W_l) a depth.
        regions: what is painted in each.
        masks: of each (1, 1, H_l, W_l) a depth, in [0, 1]; where they add up to less than 1
            features stay.
        search: as `swapped`.
    """
    carried, beside = dict(features), dict(features)
    for region, shares in zip(regions, masks, strict=True):
        under = {layer: region.maps[layer](own) for layer, own in features.items()}
        own_style = swapped(under, region.style, region.inside, search)
        for layer, own in features.items():
            mask = shares[layer].to(own)
            carried[layer] = torch.addcmul(carried[layer], mask, under[layer] - own)
            there = region.strength * mask
            beside[layer] = torch.addcmul(beside[layer], there, own_style[layer] - own)
    return carried, beside


def enlarged(
    painted: Tensor, before: Tensor, content: Tensor, share: float | Tensor = 1.0
) -> Tensor:
    """A small painted picture at a larger size, with the details of the photograph.

    Args:
        painted: (1, 3, h, w) in [0, 1].
        before: (1, 3, h, w), the photograph at that size.
        content: (1, 3, H, W), at the larger one; what ``before`` lacks of it is added.
        share: of these details, in [0, 1]; or (1, 1, H, W).
    """
    size = content.shape[2:]
    larger, kept = (F.interpolate(small, size, mode="bilinear") for small in (painted, before))
    return (larger + share * (content - kept)).clamp(0, 1)


def padded(picture: Tensor) -> Tensor:
    """(B, C, H, W) reflected at the right and the bottom to multiples of `MULTIPLE`, 32 or more."""
    height, width = picture.shape[2:]
    below, right = (max(_SMALLEST - side, -side % MULTIPLE) for side in (height, width))
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


@dataclass(frozen=True)
class LoadedPainter:
    """A painter ready to use.

    Attributes:
        network: the painter.
        encoder: whose features it carries.
        source: of its weights.
    """

    network: InstantPainter
    encoder: PyramidEncoder
    source: weights.Source

    @property
    def dtype(self) -> torch.dtype:
        """In which both compute their convolutions."""
        return self.network.last.weight.dtype


def load(
    device: torch.device, file: Path | None = None, dtype: torch.dtype = torch.float32
) -> LoadedPainter:
    """Load a painter, and the bundled encoder beside it.

    Args:
        device: where it runs.
        file: weights to use instead of the bundled ones.
        dtype: in which both compute their convolutions; moments, maps, places and pictures are
            float32 in any case.

    Raises:
        UserError: they cannot be read, are damaged, or another network's.
    """
    source = weights.locate("instant", "painter", file, None, BUNDLED_FILE)
    network = InstantPainter()
    fill(network, source.file)
    network.eval().requires_grad_(False).to(device)
    encoder = encoder_of(encoders.load("compact", None, device).module.encoder)
    # The encoder's mean and deviations stay as they are: pictures are float32.
    for part in (network, encoder.encoder.features):
        # Channels last: a fifth less time on CPUs; on CUDA its tensor cores want it.
        part.to(dtype).to(memory_format=torch.channels_last)
    return LoadedPainter(network, encoder, source)


def fill(network: InstantPainter, file: Path) -> None:
    """Fill a painter with weights.

    Raises:
        UserError: they cannot be read, or are another network's.
    """
    weights.fill(network, weights.read_state_dict(file), file, "an instant painter")
