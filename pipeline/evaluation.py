"""Evaluation: the losses of a picture and their gradient, at once or in exact tiles.

In tiles a picture is read twice. First without gradients: the Gram sums of all tiles add up to
those of the picture, and the style loss has a gradient with respect to them. Then with gradients,
that one as the upstream gradient of every tile. What is computed is the gradient of the whole
picture's loss, not of the tiles' own, so neither seams nor shifts of style can arise, and only one
tile's features are held in memory.
"""

import functools
from collections.abc import Callable, Mapping, Sequence

import torch
from torch import Tensor

from pipeline import losses, readings
from pipeline.color import LUMA, luminance
from pipeline.features import Part, add_to, deepest_of, parts
from pipeline.networks.encoder import Encoder
from pipeline.networks.pyramid import PyramidEncoder
from pipeline.objective import Objective, Sums, Target, content_terms, style_terms
from pipeline.processes import ALONE, Team
from pipeline.readings import Reading
from pipeline.regions import Box
from pipeline.tiles import WHOLE, Tiling

#: Weight of the mean squared excess of pixels over [0, 1], in units of the loss at the start.
RANGE_WEIGHT = 5.0
#: Rows of a picture whose variation is taken at once.
_BAND = 256


#: Cuts a box out of a picture.
Cut = Callable[[Box], Tensor]


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
        add_to(sums.grams, names[layer], grams)
        add_to(sums.contents, names[layer], contents)
        return hidden

    return encoder.read(features, [*taken], reader, start, stop)


class Evaluation:
    """The losses of painted pictures, and their gradient.

    The losses see a picture as it will be shown: painted inside the mask, content outside. In a
    batch each picture has losses of its own, as if it were alone.

    Args:
        encoder: whose features are compared.
        objective: the losses.
        weights: layer to w_l.
        content: (B, 3, H, W) in [0, 1]; in tiles, B is 1.
        mask: (B, 1, H, W) in [0, 1], where the picture may change.
        targets: of each picture's regions; at least one.
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
        targets: Sequence[Sequence[Target]],
        kept: Mapping[str, Tensor],
        tiling: Tiling = WHOLE,
        team: Team = ALONE,
    ) -> None:
        self._encoder, self._objective, self._weights = encoder, objective, weights
        self._content, self._mask, self._targets, self._kept = content, mask, targets, kept
        self._tiling, self._team = tiling, team
        sizes = encoder.sizes(*content.shape[2:])
        # Each region of each picture, with the picture's number.
        regions = [(number, target) for number, found in enumerate(targets) for target in found]
        grams = dict.fromkeys(name for _, target in regions for name in target.areas)
        self._gram_masks = {
            name: [
                self._in_batch(target.gram_masks[name], number, sizes[name])
                for number, target in regions
                if name in target.areas
            ]
            for name in grams
        }
        self._content_masks: dict[str, list[Tensor | None]] = {}
        if objective.content_weight > 0:
            self._content_masks = {
                name: [
                    self._in_batch(target.content_masks[name], number, sizes[name])
                    for number, target in regions
                ]
                for name in regions[0][1].content_factors
            }
        wanted = encoder.by_level({**self._gram_masks, **self._content_masks})
        self._names = {level: names for level, names in wanted.items() if names}
        self._unit: Tensor | None = None
        self._layouts: list[list[losses.Layout]] = []
        if objective.layout_weight > 0:
            self._layouts = [
                [losses.Layout(luma, target.mask) for target in found]
                for luma, found in zip(_pictures(luminance(content)), targets, strict=True)
            ]
        self._readings = {} if self._in_tiles else self._whole_readings()

    @property
    def _in_tiles(self) -> bool:
        return self._tiling.side is not None or self._team.size > 1

    def _in_batch(self, mask: Tensor | None, number: int, size: tuple[int, int]) -> Tensor | None:
        """A mask of one picture's layer, on those of all: 0 on the others."""
        count = len(self._content)
        if count == 1:
            return mask
        found = self._mask.new_zeros(count, 1, *size)
        found[number] = 1 if mask is None else mask[0]
        return found

    def _whole_readings(self) -> dict[int, dict[str, Reading]]:
        height, width = self._content.shape[2:]
        found = {}
        for level, names in self._names.items():
            deepest = deepest_of(self._encoder.encoder, names)
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
            painted: (B, 3, H, W); outside [0, 1] it costs.

        Returns:
            (B, 4), each picture's total loss and its content, style and variation terms, weighted;
            and the totals' gradient, as ``painted``.
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
        terms = self._pixel_terms(shown) + self._feature_terms(sums)
        (gradient,) = torch.autograd.grad(terms.sum(), painted)
        return self._total(painted, terms.detach(), gradient)

    def _feature_terms(self, sums: Sums) -> Tensor:
        """(B, 3), what content, style and variation have of terms that features tell."""
        zero = self._mask.new_zeros(())
        style = style_terms(self._objective, self._weights, self._targets, sums.grams, zero)
        content = content_terms(self._objective, self._targets, sums.contents, zero)
        return torch.stack([content, style, torch.zeros_like(style)], dim=1)

    def _pixel_terms(self, shown: Tensor) -> Tensor:
        """(B, 3), what content, style and variation have of terms that need no features."""
        goal, none = self._objective, shown.new_zeros(len(shown))
        layout = self._layout(luminance(shown)) if self._layouts else none
        variation = losses.total_variation(shown, self._mask)
        return torch.stack([goal.layout_weight * layout, none, goal.tv_weight * variation], dim=1)

    def _layout(self, luma: Tensor) -> Tensor:
        """(B,), of (B, 1, H, W)."""
        return torch.stack(
            [
                torch.stack([wanted.loss(picture) for wanted in found]).sum()
                for found, picture in zip(self._layouts, _pictures(luma), strict=True)
            ]
        )

    def _total(self, painted: Tensor, terms: Tensor, gradient: Tensor) -> tuple[Tensor, Tensor]:
        """Add the penalty for values out of range; its weight is set by the first evaluation."""
        if self._unit is None:
            self._unit = terms.sum(1)
        with torch.no_grad():
            pixels = painted[0].numel()
            strength = RANGE_WEIGHT * self._unit / pixels
            penalty = torch.zeros_like(strength)
            rows = _BAND if self._in_tiles else painted.shape[2]
            bands = zip(torch.split(painted, rows, 2), torch.split(gradient, rows, 2), strict=True)
            for shown, share in bands:
                # A clamp would have no gradient outside [0, 1] and leave stuck, speckled pixels.
                outside = shown.clamp(0, 1).sub_(shown)
                squares = [values @ values for values in outside.flatten(1)]
                penalty.addcmul_(strength, torch.stack(squares))
                share.addcmul_(outside, strength.view(-1, 1, 1, 1), value=-2)
            return torch.cat([(terms.sum(1) + penalty)[:, None], terms], dim=1), gradient

    def _evaluate_in_tiles(self, painted: Tensor) -> tuple[Tensor, Tensor]:
        # Whole pictures are large here: as few as can be are held, and none kept by autograd.
        height, width = painted.shape[2:]
        smaller = self._smaller_levels(painted) if max(self._names, default=0) > 0 else []
        sizes = [(height, width), *(tuple(shown.shape[2:]) for shown in smaller)]
        cuts: list[Cut] = [functools.partial(self._part_shown, painted)]
        cuts += [functools.partial(_cut, picture) for picture in smaller]
        contents = self._content_pictures()
        levels = [
            _Level(self, names, cuts[level], sizes[level], contents.get(level))
            for level, names in self._names.items()
        ]
        for level in levels:
            level.read_tiles()
        self._team.add_up([gram for level in levels for gram in level.grams()])
        sums = Sums()
        with torch.enable_grad():
            for level in levels:
                level.read_whole(sums)
            terms = self._feature_terms(sums)
            if terms.requires_grad:
                terms.sum().backward()  # type: ignore[no-untyped-call]
            found = dict(zip(self._names, [level.gradient() for level in levels], strict=True))
        del levels
        self._team.add_up([tensor for pair in found.values() for tensor in pair])
        terms = terms.detach()
        terms[0, 0] += sum(share for _, share in found.values())
        gradients = {number: gradient for number, (gradient, _) in found.items()}
        del found
        gradient = self._finest(gradients, sizes)
        terms += self._pixel_terms_by_bands(painted, gradient)
        return self._total(painted, terms, gradient.mul_(self._mask))

    def _part_shown(self, painted: Tensor, box: Box) -> Tensor:
        """What is shown inside a box: painted inside the mask, else content."""
        content = box.cut(self._content)
        return (box.cut(painted) - content).mul_(box.cut(self._mask)).add_(content)

    def _smaller_levels(self, painted: Tensor) -> list[Tensor]:
        """What is shown on all levels but the first, as far as there are any."""
        height, width = painted.shape[2:]

        def rows(first: int, last: int) -> Tensor:
            return self._part_shown(painted, Box(first, 0, last, width))

        second = self._encoder.halved_by_bands(rows, height, width, _BAND)
        return [] if second is None else self._encoder.pyramid(second, max(self._names))

    def _finest(self, gradients: dict[int, Tensor], sizes: Sequence[tuple[int, ...]]) -> Tensor:
        """The gradient with respect to the full size, of those with respect to the levels."""
        for level in range(len(sizes) - 1, 0, -1):
            coarse = gradients.pop(level, None)
            if coarse is None:
                continue
            if level - 1 not in gradients:
                gradients[level - 1] = self._mask.new_zeros(1, 3, *sizes[level - 1])
            self._encoder.add_finer_gradient(gradients[level - 1], coarse)
        return gradients[0] if gradients else self._mask.new_zeros(1, 3, *sizes[0])

    def _pixel_terms_by_bands(self, painted: Tensor, gradient: Tensor) -> Tensor:
        """As `_pixel_terms`, of one picture by bands of rows; adds the gradient to ``gradient``.

        Args:
            painted: (1, 3, H, W).
            gradient: (1, 3, H, W), with respect to what is shown.
        """
        goal, none = self._objective, painted.new_zeros(1)
        layout, variation = none, none
        if self._layouts:
            luma = torch.empty_like(self._mask)
            for box in _bands(painted):
                box.cut(luma)[:] = luminance(self._part_shown(painted, box))
            luma.requires_grad_()
            with torch.enable_grad():
                layout = self._layout(luma)
                (found,) = torch.autograd.grad(goal.layout_weight * layout.sum(), luma)
            for channel, weight in enumerate(LUMA):
                gradient[:, channel : channel + 1].add_(found, alpha=weight)
        weights = losses.variation_weights(self._mask)
        for box in _bands(painted):
            part = self._part_shown(painted, box).requires_grad_()
            with torch.enable_grad():
                sums = losses.variation_sums(part, box.cut(self._mask), _BAND)
                share = (sums / weights).sum(0)
                (found,) = torch.autograd.grad(goal.tv_weight * share.sum(), part)
            box.cut(gradient).add_(found)
            variation = variation + share.detach()
        layout = goal.layout_weight * layout.detach()
        return torch.stack([layout, none, goal.tv_weight * variation], dim=1)

    def _content_pictures(self) -> dict[int, Tensor]:
        """The content on each level where features of it are computed again for every tile."""
        again = [name for name in self._content_masks if name not in self._kept]
        wanted = [level for level, names in self._encoder.by_level(again).items() if names]
        pictures = self._encoder.pyramid(self._content, max(wanted, default=0) + 1)
        return {level: pictures[level] for level in wanted}


class _Level:
    """One level's picture: its first layers in tiles, those behind `Tiling.stop` whole.

    Args:
        evaluation: whose losses.
        names: the encoder's layers that are read, each with its name on this level.
        cut: a part of the level's picture.
        size: rows and columns of it.
        content: (1, 3, h, w), the same of the content; None: its features are kept, or not wanted.
    """

    def __init__(
        self,
        evaluation: Evaluation,
        names: Mapping[str, str],
        cut: Cut,
        size: tuple[int, ...],
        content: Tensor | None,
    ) -> None:
        self._evaluation, self._cut, self._content = evaluation, cut, content
        self._height, self._width = size
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
        self._parts = parts(encoder, self._height, self._width, self._border, side)
        # Zeros, so that a process without a tile of this level has sums, too.
        masks = evaluation._gram_masks
        self._sums = Sums(
            {
                name: [encoder.mean.new_zeros([encoder.channels(layer)] * 2) for _ in masks[name]]
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
            features = self._read(self._cut(part.tile.seen), taken, self._sums)
            if self._behind:
                self._boundary = part.put(features, self._border, self._boundary)
        for gram in self.grams():
            gram.requires_grad_()

    def _read(self, picture: Tensor, taken: Mapping[str, Reading], sums: Sums) -> Tensor:
        features = self._encoder.normalise(picture)
        return _read(self._encoder, features, taken, self._first, sums, 0, self._stop)

    def read_whole(self, sums: Sums) -> None:
        """Read the layers behind, with gradients; add everything to ``sums``."""
        sums.grams.update(self._sums.grams)
        if self._boundary is None:
            return
        self._boundary.requires_grad_()
        (part,) = parts(self._encoder, self._height, self._width, self._border, None)
        taken = {
            layer: self._evaluation._reading(part, layer, name, self._evaluation._kept.get(name))
            for layer, name in self._behind.items()
        }
        _read(self._encoder, self._boundary, taken, self._behind, sums, self._stop, None)

    def gradient(self) -> tuple[Tensor, Tensor]:
        """The gradient with respect to the picture, and the first layers' content loss."""
        evaluation = self._evaluation
        total = self._encoder.mean.new_zeros(1, 3, self._height, self._width)
        zero = content = total.new_zeros(())
        for part in evaluation._team.share(self._parts):
            box = part.tile.seen
            shown = self._cut(box).detach().requires_grad_()
            sums = Sums()
            features = self._read(shown, self._again(part), sums)
            (share,) = content_terms(
                evaluation._objective, evaluation._targets, sums.contents, zero
            )
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


def _pictures(batch: Tensor) -> list[Tensor]:
    """(B, C, H, W) to (1, C, H, W) each."""
    return [batch[number : number + 1] for number in range(len(batch))]


def _bands(picture: Tensor) -> list[Box]:
    """Bands of `_BAND` rows, each with the first row of the next one."""
    height, width = picture.shape[2:]
    return [Box(top, 0, min(height, top + _BAND + 1), width) for top in range(0, height, _BAND)]


def _cut(picture: Tensor, box: Box) -> Tensor:
    return box.cut(picture)


def _gradient_of(tensor: Tensor) -> Tensor:
    return torch.zeros_like(tensor) if tensor.grad is None else tensor.grad
