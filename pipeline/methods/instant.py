"""Instant: one pass of a network for all regions, any styles, no optimisation.

Each region's features are carried to its style's and painted (`networks.instant`), and what is
painted gets the style's contrast at each scale (`pictures.bands`). Large pictures are painted from
coarse to fine: at the coarsest size strokes are longest, and each size gives its picture to the
next. Bold styles begin at coarser sizes than the others. Guided searches the picture that the
losses like best; instant paints what a network has learned that they like.

Large pictures are painted by tiles, to the same picture: first each region's moments are summed
over all tiles, then each tile is painted with the surroundings that its pixels see.
"""

import dataclasses
import time
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from pipeline.engine.engine import Engine
from pipeline.engine.job import factors
from pipeline.engine.objective import Style
from pipeline.engine.progress import Progress
from pipeline.engine.tiles import Tile, grid, halo
from pipeline.methods import Scene, Stylized
from pipeline.networks import instant as networks
from pipeline.networks.instant import DEPTHS, MULTIPLE, LoadedPainter, Moments, Painted
from pipeline.networks.pyramid import Layer
from pipeline.pictures.bands import with_bands_of
from pipeline.pictures.layers import widened
from pipeline.pictures.resize import shrink
from pipeline.runtime import memory
from pipeline.runtime.cache import Store, digest

#: Long side of the coarsest size in pixels, at least; bold styles begin at up to a quarter of it.
COARSEST = 448
# A style picture is not made smaller than this on its short side, in pixels, and never larger on
# its long one: its features are held as a whole, a GiB of them.
_SMALLEST_STYLE, _LARGEST_STYLE = 64, 2048
# Share of the photograph's details that is left out of an enlarged picture at a strength of 1.
_BOLDEST = 0.5
# How many coarser sizes the boldest styles have.
_BOLD_SIZES = 2
# Tiles begin at multiples of the largest squares that are laid out together, in pixels.
_ALIGNED = networks.SQUARE * MULTIPLE
# Features of styles: folders and previews paint in the same ones again and again.
_seen_styles = Store(128 * 2**20)
# How far the decoder sees: two units on either side at each depth, and the last convolution.
_DECODER_HALO = 2 * sum(divisor for _, divisor, _ in DEPTHS) + 2


@dataclass(frozen=True)
class Wish:
    """A style and where it goes.

    Attributes:
        style: the picture, its region, and how boldly.
        counted: (1, 1, H, W) in [0, 1], the region whose moments are taken.
        covered: (1, 1, H, W) in [0, 1], where it is painted: a little more.
    """

    style: Style
    counted: Tensor
    covered: Tensor

    def strength(self, coarser: int = 0) -> float:
        """The part of the way to the style's features: all of it from a strength of 1/2 on.

        Args:
            coarser: of what size: 0 for `COARSEST` and larger ones, 1 for half of it, and so on.
                Half of it counts from a strength of 1/2 on, fully at 3/4, a quarter from there on.
        """
        if coarser == 0:
            return min(1.0, 2 * self.style.strength)
        return min(1.0, max(0.0, 2 * (2 * self.style.strength - 1) - (coarser - 1)))

    @property
    def left_out(self) -> float:
        """Share of the photograph's details that does not come back at finer sizes."""
        return _BOLDEST * max(0.0, 2 * self.style.strength - 1)

    def is_like(self, other: "Wish") -> bool:
        """Whether both want the same: the same picture, part of it, and strength."""
        own, others = self.style, other.style
        same_picture = own.picture is others.picture or own.name == others.name != ""
        return same_picture and own.mask is others.mask and own.strength == others.strength

    def with_region_of(self, other: "Wish") -> "Wish":
        """Both, as one."""
        counted = (self.counted + other.counted).clamp(0, 1)
        return Wish(self.style, counted, self.covered + other.covered)

    def at(self, factor: int) -> "Wish":
        """The same at a fraction of its size."""
        picture, mask = self.style.picture, self.style.mask
        fitting = factor
        while fitting > 1 and min(picture.shape[2:]) // fitting < _SMALLEST_STYLE:
            fitting //= 2
        fitting = max(fitting, -(-max(picture.shape[2:]) // _LARGEST_STYLE))
        smaller = dataclasses.replace(
            self.style,
            picture=shrink(picture, fitting),
            mask=None if mask is None else shrink(mask, fitting),
        )
        return Wish(smaller, shrink(self.counted, factor), shrink(self.covered, factor))


def instant(
    scene: Scene,
    engine: Engine,
    progress: Progress,
    *,
    painter: LoadedPainter,
    margin: int,
    tile: int | None = None,
) -> Stylized:
    """Paint all regions in one pass a size; see `methods.Method`.

    Args:
        scene: as `methods.Method`; where an optimisation would start counts for nothing.
        engine, progress: not used: there are no losses.
        painter: the network.
        margin: pixels of surroundings on each side of the regions.
        tile: bound of a tile's sides in pixels; None: what is painted is one tile.
    """
    start, box = time.monotonic(), scene.box(margin)
    content = box.cut(scene.content)
    wishes = wishes_of(scene, [box.cut(region.mask) for region in scene.regions])
    with torch.inference_mode():
        picture = coarse_to_fine(content, wishes, painter, tile)
    placed = box.put(picture, scene.content)
    share = (time.monotonic() - start) / len(scene.regions)
    names = [region.name for region in scene.regions]
    return Stylized(dict.fromkeys(names, placed), [], dict.fromkeys(names, share))


def wishes_of(scene: Scene, masks: Sequence[Tensor]) -> list[Wish]:
    """Each style with where it goes, several of one region with a share of it each.

    Regions of the same style are painted as one: their moments would differ, and show a seam.

    Args:
        scene: whose regions they are.
        masks: of the regions, (1, 1, H, W) each, where they are painted.
    """
    grown = [widened(mask) for mask in masks]
    inside = torch.cat([*masks]).sum(0, keepdim=True)
    around = torch.cat(grown).sum(0, keepdim=True).clamp_min(1)
    found: list[Wish] = []
    for region, mask, more in zip(scene.regions, masks, grown, strict=True):
        # There is paint under all of a soft edge; where regions meet, each has its share.
        covered = torch.where(inside > 0, mask / inside.clamp_min(1e-6), more / around)
        weights = sum(style.weight for style in region.styles)
        for style in region.styles:
            wish = Wish(style, mask, covered * (style.weight / weights))
            same = next((n for n, one in enumerate(found) if one.is_like(wish)), None)
            if same is None:
                found.append(wish)
            else:
                found[same] = found[same].with_region_of(wish)
    return found


def coarse_to_fine(
    content: Tensor, wishes: Sequence[Wish], painter: LoadedPainter, tile: int | None
) -> Tensor:
    """(1, 3, H, W) in [0, 1], painted.

    Args:
        content: (1, 3, H, W) in [0, 1].
        wishes: what is painted where.
        painter: the network.
        tile: bound of a tile's sides in pixels; None: one tile.
    """
    size = content.shape[2:]
    painted: Tensor | None = None
    before = content
    usual = max(1, (max(size) // COARSEST).bit_length())
    for factor in factors(size, usual + _BOLD_SIZES):
        coarser = max(0, factor.bit_length() - usual)
        chosen = [wish for wish in wishes if wish.strength(coarser) > 0]
        if not chosen:
            continue
        here, smaller = shrink(content, factor), [wish.at(factor) for wish in chosen]
        shown = here
        if painted is not None:
            kept = 1 - sum(wish.left_out * wish.covered for wish in smaller)
            shown = networks.enlarged(painted, before, here, kept)
        with memory.keeping_freed():
            painted = one_pass(shown, smaller, painter, tile, coarser).clamp(0, 1)
        before = here
    assert painted is not None
    return painted


def one_pass(
    picture: Tensor,
    wishes: Sequence[Wish],
    painter: LoadedPainter,
    tile: int | None = None,
    coarser: int = 0,
) -> Tensor:
    """(1, 3, H, W), painted at one size; arguments as `coarse_to_fine` and `Wish.strength`."""
    height, width = picture.shape[2:]
    picture = networks.padded(picture)
    counted, covered = (
        [networks.padded(mask) for mask in masks]
        for masks in ([w.counted for w in wishes], [w.covered for w in wishes])
    )
    network, encoder = painter.network, painter.encoder
    around = halo(encoder.windows(DEPTHS[0][0])) + _DECODER_HALO + _ALIGNED
    margin = -(-around // _ALIGNED) * _ALIGNED
    tiles = grid(picture.shape[2], picture.shape[3], tile, _ALIGNED, margin)

    def seen(part: Tile) -> dict[Layer, Tensor]:
        return network.projected(encoder, part.seen.cut(picture))

    # Of one tile the features are kept; of several they are computed twice.
    only = seen(tiles[0]) if len(tiles) == 1 else None
    sums = [region_moments(only or seen(part), part, counted) for part in tiles]
    regions = [
        _painted(wish, [one[number] for one in sums], painter, wish.strength(coarser))
        for number, wish in enumerate(wishes)
    ]
    result = torch.empty_like(picture)
    for part in tiles:
        masks = [networks.depth_masks(part.seen.cut(mask)) for mask in covered]
        shown = network(*networks.mixed(only or seen(part), regions, masks))
        core = part.local(part.core, 1).cut(shown)
        result[..., part.core.top : part.core.bottom, part.core.left : part.core.right] = core
    result = _in_bands(result, wishes, counted, covered, coarser)
    return result[..., :height, :width]


def _in_bands(
    painted: Tensor,
    wishes: Sequence[Wish],
    counted: Sequence[Tensor],
    covered: Sequence[Tensor],
    coarser: int,
) -> Tensor:
    """Each region with its style's contrast at every scale (`pictures.bands`).

    Args:
        painted: (1, 3, H, W), padded.
        wishes: what is painted where.
        counted, covered: of the wishes, padded, too.
        coarser: as `Wish.strength`.
    """
    found = painted.clone()
    for wish, inside, here in zip(wishes, counted, covered, strict=True):
        style, part = networks.padded(wish.style.picture), wish.style.mask
        part = None if part is None else networks.padded(part)
        own = with_bands_of(painted, inside, style, part, wish.strength(coarser))
        found += own.sub_(painted).mul_(here)
    return found


def region_moments(
    features: dict[Layer, Tensor], part: Tile, masks: Sequence[Tensor]
) -> list[dict[Layer, Moments]]:
    """Of each mask the moments of what a tile answers for, a depth."""
    own = {}
    for layer, divisor, _ in DEPTHS:
        units = part.units(divisor, part.frame.bottom // divisor, part.frame.right // divisor)
        own[layer] = part.local(units, divisor).cut(features[layer])
    return [networks.moments(own, networks.depth_masks(part.core.cut(mask))) for mask in masks]


def _painted(
    wish: Wish, sums: Sequence[dict[Layer, Moments]], painter: LoadedPainter, strength: float
) -> Painted:
    """A wish, with the moments that each tile has found in its region."""
    picture, mask = networks.padded(wish.style.picture), wish.style.mask
    shares = {} if mask is None else networks.depth_masks(networks.padded(mask))
    inside = {layer: (share > 0.5).to(share) for layer, share in shares.items()}
    # A region too small to have a unit of its own is no region.
    inside = {layer: units for layer, units in inside.items() if bool(units.any())}
    key = digest(picture), str(picture.device), painter.source, painter.dtype
    features = _seen_styles.get(key, lambda: painter.network.projected(painter.encoder, picture))
    own = {layer: sum((one[layer] for one in sums[1:]), sums[0][layer]) for layer in features}
    maps = networks.transports(own, networks.moments(features, inside), strength)
    return Painted(maps, features, strength, inside)
