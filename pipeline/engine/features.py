"""Features: pictures encoded in parts, and sums over their units.

Shapes: N channels, H W height and width.
"""

import dataclasses
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from pipeline.engine import layer_sums
from pipeline.engine.layer_sums import Key, LayerQuery
from pipeline.engine.neighbours import Candidates, Samples, evenly
from pipeline.engine.tiles import Tile, grid, halo, total_stride
from pipeline.networks.encoder import Encoder
from pipeline.networks.pyramid import Layer, PyramidEncoder
from pipeline.pictures.boxes import Box


@dataclass(frozen=True)
class Part:
    """A tile of one level of the pyramid.

    Attributes:
        encoder: whose layers are read.
        tile: of the level's picture.
        sizes: layer to its rows and columns in the level's whole picture.
    """

    encoder: Encoder
    tile: Tile
    sizes: Mapping[str, tuple[int, int]]

    def mask(self, mask: Tensor | None, layer: str) -> Tensor | None:
        """A layer's mask, on the units that are seen; 0 where other tiles answer.

        Args:
            mask: (1, 1, H_l, W_l) of the whole layer; None: 1 everywhere.
            layer: name of one of the encoder's.
        """
        if self.tile.is_whole:
            return mask
        whole, here = self.boxes(layer)
        seen = self.encoder.sizes(self.tile.seen.height, self.tile.seen.width)[layer]
        found = self.encoder.mean.new_zeros(1, 1, *seen)
        here.cut(found)[:] = 1 if mask is None else whole.cut(mask)
        return found

    def candidates(self, styles: Sequence[Candidates], layer: str) -> Sequence[Candidates]:
        """Styles' candidates, their choices of the units that are seen; ``layer`` as above.

        Of a tile they are copies: 0 where other tiles answer.
        """
        if self.tile.is_whole:
            return styles
        whole, here = self.boxes(layer)
        seen = self.encoder.sizes(self.tile.seen.height, self.tile.seen.width)[layer]
        found = []
        for style in styles:
            chosen = style.chosen.new_zeros(1, 1, *seen)
            here.cut(chosen)[:] = whole.cut(style.chosen)
            found.append(dataclasses.replace(style, chosen=chosen))
        return found

    def boxes(self, layer: str) -> tuple[Box, Box]:
        """The units that the tile answers for, in the whole layer and in what is seen of it."""
        stride = total_stride(self.encoder.windows(layer))
        units = self.tile.units(stride, *self.sizes[layer])
        return units, self.tile.local(units, stride)

    def put(self, features: Tensor, layer: str, whole: Tensor | None) -> Tensor:
        """Put the units that the tile answers for into the whole layer.

        Args:
            features: (1, N, h, w), of what is seen.
            layer: name of one of the encoder's.
            whole: (1, N, H_l, W_l), changed; None: a new one.
        """
        if self.tile.is_whole:
            return features
        if whole is None:
            whole = torch.empty(
                (1, features.shape[1], *self.sizes[layer]),
                dtype=features.dtype,
                device=features.device,
                memory_format=torch.channels_last,
            )
        there, here = self.boxes(layer)
        there.cut(whole)[:] = here.cut(features)
        return whole

    def units(self, mask: Tensor | None, layer: str) -> layer_sums.Units:
        """The units of a region that the tile answers for; ``mask`` as above."""
        weight = next(self.encoder.parameters(), self.encoder.mean)
        return layer_sums.units(self.mask(mask, layer), weight.dtype)


def parts(
    encoder: Encoder, height: int, width: int, deepest: str, side: int | None, around: int = 0
) -> list[Part]:
    """The tiles of a level's picture for layers up to the deepest.

    Args:
        encoder: whose layers.
        height, width: of the level's picture.
        deepest: name of the layer.
        side: as `Tiling.side`.
        around: units of each layer on either side of those that a tile answers for that are
            wanted, too.
    """
    windows = encoder.windows(deepest)
    stride = total_stride(windows)
    tiles = grid(height, width, side, stride, halo(windows) + around * stride)
    return [Part(encoder, tile, encoder.sizes(height, width)) for tile in tiles]


def deepest_of(encoder: Encoder, layers: Collection[str]) -> str:
    """The last of the layers."""
    return max(layers, key=encoder.index.__getitem__)


@torch.no_grad()
def tile_features(
    encoder: PyramidEncoder,
    picture: Tensor,
    layers: Collection[Layer],
    side: int | None,
    around: int = 0,
) -> Iterator[tuple[Part, dict[Layer, Tensor]]]:
    """Encode a picture tile by tile, without gradients.

    Args:
        encoder: whose layers.
        picture: (B, 3, H, W) in [0, 1]; in tiles, B is 1.
        layers: those that the picture is too small for are left out.
        side, around: as `parts`.

    Yields:
        Each tile of each level, and by layer the features of what the tile sees, (B, N, h, w).
    """
    wanted = encoder.by_level(layers)
    for level, shown in enumerate(encoder.pyramid(picture, max(wanted, default=0) + 1)):
        here = encoder.encoder.sizes(*shown.shape[2:])
        names = [name for name in wanted.get(level, ()) if name in here]
        if not names:
            continue
        deepest = deepest_of(encoder.encoder, names)
        height, width = shown.shape[2:]
        for part in parts(encoder.encoder, height, width, deepest, side, around):
            found = encoder.encoder(part.tile.seen.cut(shown), names)
            yield part, {Layer(name, level): found[name] for name in names}


def gram_sums(
    encoder: PyramidEncoder,
    picture: Tensor,
    masks: Mapping[Layer, Mapping[Key, Tensor | None]],
    side: int | None = None,
    moments: bool = False,
) -> dict[Layer, dict[Key, Tensor]]:
    """Gram sums of a picture's layers (`layer_sums.read`).

    Args:
        encoder, picture, side: as `tile_features`.
        masks: layer to where they are taken, (1, 1, H_l, W_l) each; None: everywhere.
        moments: as `LayerQuery.moments`.

    Returns:
        Layer to one (N, N) a mask; with moments (N + 1, N).
    """
    sums: dict[Layer, dict[Key, Tensor]] = {}
    for part, found in tile_features(encoder, picture, [*masks], side):
        for layer, features in found.items():
            units = {key: part.units(mask, layer.name) for key, mask in masks[layer].items()}
            taken = LayerQuery(units, moments=moments)
            add_to(sums, layer, layer_sums.read(features, taken)[1])
    return sums


def sample(
    encoder: PyramidEncoder,
    picture: Tensor,
    masks: Mapping[Layer, Mapping[Key, Tensor | None]],
    patch: int = 1,
    side: int | None = None,
) -> dict[Layer, dict[Key, Samples]]:
    """Features of a picture's regions, evenly over them, `neighbours.MOST` at most.

    Args:
        encoder, picture, masks, side: as `gram_sums`; a unit is in the region where the mask is at
            least half of its largest value.
        patch: side in units of what is kept around each, odd.

    Returns:
        Layer to the samples of each mask.
    """
    sizes = encoder.sizes(*picture.shape[2:])
    picked = {
        layer: {key: evenly_over(mask, sizes[layer], picture) for key, mask in found.items()}
        for layer, found in masks.items()
    }
    parts_of: dict[Layer, dict[Key, list[Tensor]]] = {
        layer: {key: [] for key in found} for layer, found in masks.items()
    }
    for part, seen in tile_features(encoder, picture, [*masks], side, patch // 2):
        for layer, features in seen.items():
            whole, here = part.boxes(layer.name)
            for key, map_ in picked[layer].items():
                units = unit_numbers(whole.cut(map_), here, features.shape[3])
                parts_of[layer][key].append(patches_of(features, units, patch))
    return {
        layer: {key: Samples.of(torch.cat(found)) for key, found in by_key.items()}
        for layer, by_key in parts_of.items()
    }


def evenly_over(mask: Tensor | None, size: tuple[int, int], like: Tensor) -> Tensor:
    """(H, W), whether a unit is one of `neighbours.MOST` at most, evenly over a region.

    Args:
        mask: (1, 1, H, W), the region: where it is at least half of its largest value; None: all.
        size: of the layer.
        like: on whose device.
    """
    flat = like.new_ones(size).flatten() if mask is None else mask.flatten()
    inside = (flat >= flat.max() / 2).nonzero()[:, 0]
    found = torch.zeros_like(flat, dtype=torch.bool)
    found[inside[evenly(len(inside)).to(inside.device)]] = True
    return found.view(size)


def unit_numbers(wanted: Tensor, here: Box, width: int) -> Tensor:
    """(n,), the numbers, row by row, of units among those that are seen.

    Args:
        wanted: (..., h, w), not 0 where a unit of a box is wanted.
        here: the box, in what is seen.
        width: of what is seen, in units.
    """
    rows, columns = wanted.flatten(0, -2).nonzero().unbind(1)
    return (rows + here.top) * width + columns + here.left


def patches_of(features: Tensor, units: Tensor, side: int) -> Tensor:
    """(n, side*side, N), the features around units; beyond the edge those on it.

    Args:
        features: (1, N, H, W).
        units: (n,), their numbers, row by row.
        side: of the patches, odd.
    """
    _, channels, height, width = features.shape
    steps = torch.arange(side, device=units.device) - side // 2
    rows = (units[:, None] // width + steps).clamp(0, height - 1)
    columns = (units[:, None] % width + steps).clamp(0, width - 1)
    numbers = rows[:, :, None] * width + columns[:, None, :]
    flat = features[0].flatten(1).T
    return flat.index_select(0, numbers.flatten()).view(len(units), side**2, channels)


def whole_features(
    encoder: PyramidEncoder, picture: Tensor, layers: Collection[Layer], side: int | None = None
) -> dict[Layer, Tensor]:
    """Features of some layers, (B, N, H_l, W_l) each; arguments as `tile_features`."""
    whole: dict[Layer, Tensor] = {}
    for part, found in tile_features(encoder, picture, layers, side):
        for layer, features in found.items():
            whole[layer] = part.put(features, layer.name, whole.get(layer))
    return whole


@dataclass(frozen=True)
class ContentSums:
    """Sums over a content's features, which tell its loss's scale (`losses.content_energy`).

    Attributes:
        weight: ``sum m``.
        first: ``sum m F``, (N,).
        second: ``sum m F^2``.
    """

    weight: Tensor
    first: Tensor
    second: Tensor

    @staticmethod
    def of(features: Tensor, mask: Tensor | None) -> "ContentSums":
        """Of (1, N, H, W), with a mask (1, 1, H, W) or everywhere."""
        exact = features.float() if features.dtype.itemsize < 4 else features
        if mask is None:
            mask = exact.new_ones(1, 1, *features.shape[2:])
        weighed = exact * mask
        return ContentSums(mask.sum(), weighed.sum((0, 2, 3)), (weighed * exact).sum())

    def __add__(self, other: "ContentSums") -> "ContentSums":
        return ContentSums(
            self.weight + other.weight, self.first + other.first, self.second + other.second
        )


def content_sums(
    encoder: PyramidEncoder,
    picture: Tensor,
    masks: Mapping[Layer, Mapping[Key, Tensor | None]],
    side: int | None = None,
) -> dict[Layer, dict[Key, ContentSums]]:
    """Layer to the sums for each mask; arguments as `gram_sums`."""
    sums: dict[Layer, dict[Key, ContentSums]] = {}
    for part, found in tile_features(encoder, picture, [*masks], side):
        for layer, features in found.items():
            here = {
                key: ContentSums.of(features, part.mask(mask, layer.name))
                for key, mask in masks[layer].items()
            }
            before = sums.get(layer)
            sums[layer] = here if before is None else {k: before[k] + here[k] for k in here}
    return sums


def add_to(sums: dict[Layer, dict[Key, Tensor]], layer: Layer, found: Mapping[Key, Tensor]) -> None:
    """Add a layer's sums to those that are there."""
    before = sums.get(layer)
    if before is not None:
        found = {key: before[key] + now for key, now in found.items()}
    if found:
        sums[layer] = dict(found)
