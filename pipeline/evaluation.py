"""Evaluation: the losses of a picture and their gradient, at once or in exact tiles.

In tiles a picture is read twice. First without gradients: the Gram sums of all tiles add up to
those of the picture, and the style loss has a gradient with respect to them. Then with gradients,
that one as the upstream gradient of every tile. What is computed is the gradient of the whole
picture's loss, not of the tiles' own, so neither seams nor shifts of style can arise, and only one
tile's features are held in memory.
"""

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from pipeline import losses, readings
from pipeline.color import LUMA, luminance
from pipeline.networks.encoder import Encoder
from pipeline.networks.pyramid import PyramidEncoder
from pipeline.objective import Objective, Sums, Target, content_term, style_term
from pipeline.processes import ALONE, Team
from pipeline.readings import Reading
from pipeline.regions import Box
from pipeline.tiles import WHOLE, Tile, Tiling, grid, halo, total_stride

#: Weight of the mean squared excess of pixels over [0, 1], in units of the loss at the start.
RANGE_WEIGHT = 5.0
#: Rows of a picture whose variation is taken at once.
_BAND = 256


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
            layer: of the encoder.
        """
        if self.tile.is_whole:
            return mask
        whole, here = self.boxes(layer)
        seen = self.encoder.sizes(self.tile.seen.height, self.tile.seen.width)[layer]
        found = self.encoder.mean.new_zeros(1, 1, *seen)
        here.cut(found)[:] = 1 if mask is None else whole.cut(mask)
        return found

    def boxes(self, layer: str) -> tuple[Box, Box]:
        """The units that the tile answers for, in the whole layer and in what is seen of it."""
        stride = total_stride(self.encoder.windows(layer))
        units = self.tile.units(stride, *self.sizes[layer])
        return units, self.tile.local(units, stride)

    def units(self, mask: Tensor | None, layer: str) -> readings.Units:
        """The units of a region that the tile answers for; ``mask`` as above."""
        weight = next(self.encoder.parameters(), self.encoder.mean)
        return readings.units(self.mask(mask, layer), weight.dtype)


def parts(encoder: Encoder, height: int, width: int, deepest: str, side: int | None) -> list[Part]:
    """The tiles of a level's picture for layers up to the deepest; ``side`` as `Tiling.side`."""
    windows = encoder.windows(deepest)
    tiles = grid(height, width, side, total_stride(windows), halo(windows))
    return [Part(encoder, tile, encoder.sizes(height, width)) for tile in tiles]


def _deepest(encoder: Encoder, layers: Collection[str]) -> str:
    return max(layers, key=encoder.index.__getitem__)


@torch.no_grad()
def tile_features(
    encoder: PyramidEncoder, picture: Tensor, names: Collection[str], side: int | None
) -> Iterator[tuple[Part, dict[str, tuple[str, Tensor]]]]:
    """Encode a picture tile by tile, without gradients.

    Args:
        encoder: whose layers.
        picture: (1, 3, H, W) in [0, 1].
        names: of the layers, with levels; those that the picture is too small for are left out.
        side: as `Tiling.side`.

    Yields:
        Each tile, and by the layer's name without its level: the name with it, and the features of
        what the tile sees, (1, N, h, w).
    """
    wanted = encoder.by_level(names)
    last = max((level for level, layers in wanted.items() if layers), default=0)
    for level, shown in enumerate(encoder.pyramid(picture, last + 1)):
        here = encoder.encoder.sizes(*shown.shape[2:])
        layers = {layer: name for layer, name in wanted[level].items() if layer in here}
        if not layers:
            continue
        deepest = _deepest(encoder.encoder, layers)
        height, width = shown.shape[2:]
        for part in parts(encoder.encoder, height, width, deepest, side):
            found = encoder.encoder(part.tile.seen.cut(shown), [*layers])
            yield part, {layer: (name, found[layer]) for layer, name in layers.items()}


def gram_sums(
    encoder: PyramidEncoder,
    picture: Tensor,
    masks: Mapping[str, Sequence[Tensor | None]],
    side: int | None = None,
) -> dict[str, list[Tensor]]:
    """Gram sums of a picture's layers (`readings.read`).

    Args:
        encoder, picture, side: as `tile_features`.
        masks: layer to where they are taken, (1, 1, H_l, W_l) each; None: everywhere.

    Returns:
        Layer to one (N, N) a mask.
    """
    sums: dict[str, list[Tensor]] = {}
    for part, found in tile_features(encoder, picture, [*masks], side):
        for layer, (name, features) in found.items():
            reading = Reading([part.units(mask, layer) for mask in masks[name]])
            _add(sums, name, readings.read(features, reading)[1])
    return sums


def whole_features(
    encoder: PyramidEncoder, picture: Tensor, names: Collection[str], side: int | None = None
) -> dict[str, Tensor]:
    """Features of the named layers, (1, N, H_l, W_l) each; arguments as `tile_features`."""
    whole: dict[str, Tensor] = {}
    for part, found in tile_features(encoder, picture, names, side):
        for layer, (name, features) in found.items():
            if part.tile.is_whole:
                whole[name] = features
                continue
            if name not in whole:
                shape = 1, features.shape[1], *part.sizes[layer]
                whole[name] = torch.empty_like(features[:1, :1, :1, :1]).new_empty(shape)
            there, here = part.boxes(layer)
            there.cut(whole[name])[:] = here.cut(features)
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
    masks: Mapping[str, Sequence[Tensor | None]],
    side: int | None = None,
) -> dict[str, list[ContentSums]]:
    """Layer to the sums for each mask; arguments as `gram_sums`."""
    sums: dict[str, list[ContentSums]] = {}
    for part, found in tile_features(encoder, picture, [*masks], side):
        for layer, (name, features) in found.items():
            here = [ContentSums.of(features, part.mask(mask, layer)) for mask in masks[name]]
            if name in sums:
                here = [before + now for before, now in zip(sums[name], here, strict=True)]
            sums[name] = here
    return sums


def _read(
    encoder: Encoder,
    features: Tensor,
    taken: Mapping[str, Reading],
    names: Mapping[str, str],
    sums: Sums,
    start: int = 0,
    stop: int | None = None,
) -> Tensor:
    """Read layers, of which ``start`` takes the features, and add their sums."""

    def reader(layer: str, hidden: Tensor) -> Tensor:
        hidden, grams, contents = readings.read(hidden, taken[layer])
        _add(sums.grams, names[layer], grams)
        _add(sums.contents, names[layer], contents)
        return hidden

    return encoder.read(features, [*taken], reader, start, stop)


def _add(sums: dict[str, list[Tensor]], name: str, found: Sequence[Tensor]) -> None:
    if name in sums:
        found = [before + now for before, now in zip(sums[name], found, strict=True)]
    if found:
        sums[name] = [*found]


class Evaluation:
    """The losses of a painted picture, and their gradient.

    The losses see the picture as it will be shown: painted inside the mask, content outside.

    Args:
        encoder: whose features are compared.
        objective: the losses.
        weights: layer to w_l.
        content: (1, 3, H, W) in [0, 1].
        mask: (1, 1, H, W) in [0, 1], where the picture may change.
        targets: of the regions; at least one.
        kept: layer to the content's features, where these are held in memory; in tiles others are
            computed again, tile by tile.
        tiling: how the picture is cut.
        team: processes that share the tiles out.
    """

    def __init__(
        self,
        encoder: PyramidEncoder,
        objective: Objective,
        weights: Mapping[str, float],
        content: Tensor,
        mask: Tensor,
        targets: Sequence[Target],
        kept: Mapping[str, Tensor],
        tiling: Tiling = WHOLE,
        team: Team = ALONE,
    ) -> None:
        self._encoder, self._objective, self._weights = encoder, objective, weights
        self._content, self._mask, self._targets, self._kept = content, mask, targets, kept
        self._tiling, self._team = tiling, team
        grams = dict.fromkeys(name for target in targets for name in target.areas)
        self._gram_masks = {
            name: [target.gram_masks[name] for target in targets if name in target.areas]
            for name in grams
        }
        self._content_masks: dict[str, list[Tensor | None]] = {}
        if objective.content_weight > 0:
            self._content_masks = {
                name: [target.content_masks[name] for target in targets]
                for name in targets[0].content_factors
            }
        wanted = encoder.by_level({**self._gram_masks, **self._content_masks})
        self._names = {level: names for level, names in wanted.items() if names}
        self._unit: Tensor | None = None
        self._readings = {} if self._in_tiles else self._whole_readings()

    @property
    def _in_tiles(self) -> bool:
        return self._tiling.side is not None or self._team.size > 1

    def _whole_readings(self) -> dict[int, dict[str, Reading]]:
        height, width = self._content.shape[2:]
        found = {}
        for level, names in self._names.items():
            deepest = _deepest(self._encoder.encoder, names)
            size = height >> level, width >> level
            (part,) = parts(self._encoder.encoder, *size, deepest, None)
            found[level] = {
                layer: self._reading(part, layer, name, self._kept.get(name))
                for layer, name in names.items()
            }
        return found

    def _reading(
        self, part: Part, layer: str, name: str, content: Tensor | None, values: bool = True
    ) -> Reading:
        masks = self._content_masks.get(name, []) if content is not None else []
        return Reading(
            [part.units(mask, layer) for mask in self._gram_masks.get(name, [])],
            content,
            [part.mask(mask, layer) for mask in masks],
            values,
        )

    def __call__(self, painted: Tensor) -> tuple[Tensor, Tensor]:
        """Evaluate.

        Args:
            painted: (1, 3, H, W); outside [0, 1] it costs.

        Returns:
            (4,), the total loss and its content, style and variation terms, weighted; and the
            total's gradient, as ``painted``.
        """
        if self._in_tiles:
            with torch.no_grad():
                return self._evaluate_in_tiles(painted)
        with torch.enable_grad():
            return self._evaluate_whole(painted.detach().requires_grad_())

    def _evaluate_whole(self, painted: Tensor) -> tuple[Tensor, Tensor]:
        shown = self._content + self._mask * (painted - self._content)
        sums = Sums()
        pictures = self._encoder.pyramid(shown, max(self._names, default=0) + 1)
        for level, names in self._names.items():
            encoder = self._encoder.encoder
            features = encoder.normalise(pictures[level])
            _read(encoder, features, self._readings[level], names, sums)
        style = style_term(self._objective, self._weights, self._targets, sums.grams)
        content = content_term(self._objective, self._targets, sums.contents)
        terms = self._pixel_terms(shown)
        terms = terms + torch.stack([content, style, content.new_zeros(())]).to(terms)
        (gradient,) = torch.autograd.grad(terms.sum(), painted)
        return self._total(painted, terms.detach(), gradient)

    def _pixel_terms(self, shown: Tensor) -> Tensor:
        """(3,), what content, style and variation have of terms that need no features."""
        goal = self._objective
        layout = shown.new_zeros(())
        if goal.layout_weight > 0:
            for target in self._targets:
                layout = layout + losses.layout_loss(shown, self._content, target.mask)
        variation = losses.total_variation(shown, self._mask)
        return torch.stack(
            [goal.layout_weight * layout, shown.new_zeros(()), goal.tv_weight * variation]
        )

    def _total(self, painted: Tensor, terms: Tensor, gradient: Tensor) -> tuple[Tensor, Tensor]:
        """Add the penalty for values out of range; its weight is set by the first evaluation."""
        if self._unit is None:
            self._unit = terms.sum()
        with torch.no_grad():
            # A clamp would have no gradient outside [0, 1] and leave stuck, speckled pixels.
            outside = painted.clamp(0, 1).sub_(painted).flatten()
            strength = RANGE_WEIGHT * self._unit / len(outside)
            penalty = strength * (outside @ outside)
            gradient.view(-1).addcmul_(outside, strength, value=-2)
            return torch.cat([(terms.sum() + penalty)[None], terms]), gradient

    def _evaluate_in_tiles(self, painted: Tensor) -> tuple[Tensor, Tensor]:
        # Whole pictures are large here: as few as can be, and none kept by autograd.
        shown = painted - self._content
        shown = shown.mul_(self._mask).add_(self._content)
        pictures = self._encoder.pyramid(shown, max(self._names, default=0) + 1)
        levels = [
            _Level(self, names, pictures[level], content)
            for (level, names), content in zip(
                self._names.items(), self._content_pictures(), strict=True
            )
        ]
        for level in levels:
            level.read_tiles()
        self._team.add_up([gram for level in levels for gram in level.grams()])
        sums = Sums()
        with torch.enable_grad():
            for level in levels:
                level.read_whole(sums)
            style = style_term(self._objective, self._weights, self._targets, sums.grams)
            content = content_term(self._objective, self._targets, sums.contents)
            if (style + content).requires_grad:
                (style + content).backward()  # type: ignore[no-untyped-call]
            found = dict(zip(self._names, [level.gradient() for level in levels], strict=True))
        del levels
        self._team.add_up([tensor for pair in found.values() for tensor in pair])
        content = content.detach() + torch.stack([share for _, share in found.values()]).sum()
        gradients = {number: gradient for number, (gradient, _) in found.items()}
        gradient = self._down_the_pyramid(pictures, gradients)
        del pictures, gradients, found
        terms = self._pixel_terms_by_bands(shown, gradient)
        features = torch.stack([content, style.detach(), torch.zeros_like(content)])
        return self._total(painted, terms + features.to(terms), gradient.mul_(self._mask))

    def _down_the_pyramid(
        self, pictures: Sequence[Tensor], gradients: Mapping[int, Tensor]
    ) -> Tensor:
        """The gradient with respect to the full size, of those with respect to the levels."""
        total: Tensor | None = None
        for number in range(len(pictures) - 1, -1, -1):
            own = gradients.get(number)
            if total is not None:
                finer = pictures[number].detach().requires_grad_()
                with torch.enable_grad():
                    (coarser,) = self._encoder.pyramid(finer, 2)[1:]
                (total,) = torch.autograd.grad(coarser, finer, total)
                own = total if own is None else own.add_(total)
            total = own
        assert total is not None
        return total

    def _pixel_terms_by_bands(self, shown: Tensor, gradient: Tensor) -> Tensor:
        """As `_pixel_terms`, a band of rows at a time; adds the gradient to ``gradient``."""
        goal, zero = self._objective, shown.new_zeros(())
        layout, variation = zero, zero
        if goal.layout_weight > 0:
            luma = luminance(shown).requires_grad_()
            with torch.enable_grad():
                for target in self._targets:
                    wanted = luminance(self._content)
                    layout = layout + losses.layout_of_luma(luma, wanted, target.mask)
                (found,) = torch.autograd.grad(goal.layout_weight * layout, luma)
            for channel, weight in enumerate(LUMA):
                gradient[:, channel : channel + 1].add_(found, alpha=weight)
        weights = losses.variation_weights(self._mask)
        for top in range(0, shown.shape[2], _BAND):
            band = slice(top, top + _BAND + 1)
            part = shown[..., band, :].detach().requires_grad_()
            with torch.enable_grad():
                sums = losses.variation_sums(part, self._mask[..., band, :], _BAND)
                share = (torch.stack(sums) / weights).sum()
                (found,) = torch.autograd.grad(goal.tv_weight * share, part)
            gradient[..., band, :].add_(found)
            variation = variation + share.detach()
        return torch.stack([goal.layout_weight * layout.detach(), zero, goal.tv_weight * variation])

    def _content_pictures(self) -> list[Tensor | None]:
        """The content on each level, if features of it are computed again for every tile."""
        if set(self._content_masks) <= set(self._kept):
            return [None] * len(self._names)
        pictures = self._encoder.pyramid(self._content, max(self._names, default=0) + 1)
        return [pictures[level] for level in self._names]


class _Level:
    """One level's picture: its first layers in tiles, those behind `Tiling.stop` whole.

    Args:
        evaluation: whose losses.
        names: the encoder's layers that are read, each with its name on this level.
        picture: (1, 3, h, w), detached.
        content: the same of the content; None: its features are kept, or not wanted.
    """

    def __init__(
        self,
        evaluation: Evaluation,
        names: Mapping[str, str],
        picture: Tensor,
        content: Tensor | None,
    ) -> None:
        self._evaluation, self._picture, self._content = evaluation, picture, content
        self._encoder = encoder = evaluation._encoder.encoder
        stop, position = evaluation._tiling.stop, encoder.index
        if evaluation._team.size > 1:
            stop = None  # Nobody has a whole layer.
        last = max(position[layer] for layer in names) + 1
        # Whether there are layers behind.
        self._stop = last if stop is None else min(stop, last)
        self._first = {layer: n for layer, n in names.items() if position[layer] < self._stop}
        self._behind = {layer: n for layer, n in names.items() if position[layer] >= self._stop}
        self._border = next(layer for layer, p in position.items() if p == self._stop - 1)
        side = evaluation._tiling.side
        height, width = picture.shape[2:]
        self._parts = parts(encoder, height, width, self._border, side)
        # Zeros, so that a process without a tile of this level has sums, too.
        masks = evaluation._gram_masks
        self._sums = Sums(
            {
                name: [picture.new_zeros([encoder.channels(layer)] * 2) for _ in masks[name]]
                for layer, name in self._first.items()
                if name in masks
            }
        )
        self._boundary: Tensor | None = None

    def grams(self) -> list[Tensor]:
        """The Gram sums of the first layers."""
        return [gram for grams in self._sums.grams.values() for gram in grams]

    @torch.no_grad()
    def read_tiles(self) -> None:
        """Add up the Gram sums of the first layers."""
        for part in self._evaluation._team.share(self._parts):
            taken = {
                layer: self._evaluation._reading(part, layer, name, None)
                for layer, name in self._first.items()
            }
            shown = part.tile.seen.cut(self._picture)
            features = self._read(shown, taken, self._sums)
            if self._behind:
                self._collect(part, features)
        for gram in self.grams():
            gram.requires_grad_()

    def _read(self, picture: Tensor, taken: Mapping[str, Reading], sums: Sums) -> Tensor:
        features = self._encoder.normalise(picture)
        return _read(self._encoder, features, taken, self._first, sums, 0, self._stop)

    def _collect(self, part: Part, features: Tensor) -> None:
        there, here = part.boxes(self._border)
        if self._boundary is None:
            shape = 1, features.shape[1], *part.sizes[self._border]
            self._boundary = torch.empty(
                shape,
                dtype=features.dtype,
                device=features.device,
                memory_format=torch.channels_last,
            )
        there.cut(self._boundary)[:] = here.cut(features)

    def read_whole(self, sums: Sums) -> None:
        """Read the layers behind, with gradients; add everything to ``sums``."""
        sums.grams.update(self._sums.grams)
        if self._boundary is None:
            return
        self._boundary.requires_grad_()
        height, width = self._picture.shape[2:]
        (part,) = parts(self._encoder, height, width, self._border, None)
        taken = {
            layer: self._evaluation._reading(part, layer, name, self._evaluation._kept.get(name))
            for layer, name in self._behind.items()
        }
        _read(self._encoder, self._boundary, taken, self._behind, sums, self._stop, None)

    def gradient(self) -> tuple[Tensor, Tensor]:
        """The gradient with respect to the picture, and the first layers' content loss."""
        evaluation = self._evaluation
        total = torch.zeros_like(self._picture)
        content = self._picture.new_zeros(())
        for part in evaluation._team.share(self._parts):
            box = part.tile.seen
            shown = box.cut(self._picture).detach().requires_grad_()
            sums = Sums()
            features = self._read(shown, self._again(part), sums)
            share = content_term(evaluation._objective, evaluation._targets, sums.contents)
            # A level without a content layer has no share in that loss.
            ends, upstream = (
                ([share], [torch.ones_like(share)]) if share.requires_grad else ([], [])
            )
            for name, grams in sums.grams.items():
                ends += grams
                upstream += [_gradient_of(gram) for gram in self._sums.grams[name]]
            if self._boundary is not None:
                there, here = part.boxes(self._border)
                back = torch.zeros_like(features)
                here.cut(back)[:] = there.cut(_gradient_of(self._boundary))
                ends.append(features)
                upstream.append(back)
            (found,) = torch.autograd.grad(ends, shown, upstream)
            box.cut(total).add_(found)
            content = content + share.detach()
        return total, content

    def _again(self, part: Part) -> dict[str, Reading]:
        """Readings for the second time: gradients of Gram sums, and content sums."""
        evaluation = self._evaluation
        wanted = [layer for layer, name in self._first.items() if name in evaluation._content_masks]
        contents: Mapping[str, Tensor] = {}
        if wanted and self._content is not None:
            with torch.no_grad():
                contents = self._encoder(part.tile.seen.cut(self._content), wanted)
        return {
            layer: evaluation._reading(part, layer, name, contents.get(layer), values=False)
            for layer, name in self._first.items()
        }


def _gradient_of(tensor: Tensor) -> Tensor:
    return torch.zeros_like(tensor) if tensor.grad is None else tensor.grad
