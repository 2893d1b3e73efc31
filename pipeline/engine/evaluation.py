"""Evaluation: the losses of a picture and their gradient, at once or in exact tiles.

In tiles a picture is read twice. First without gradients: the Gram sums of all tiles add up to
those of the picture, and the style loss has a gradient with respect to them. Then with gradients,
that one as the upstream gradient of every tile. What is computed is the gradient of the whole
picture's loss, not of the tiles' own, so neither seams nor shifts of style can arise, and only one
tile's features are held in memory.
"""

import functools
from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from pipeline.engine import losses
from pipeline.engine.features import deepest_of, parts
from pipeline.engine.layer_sums import Reading
from pipeline.engine.objective import Objective, Sums, Target, content_terms, style_terms
from pipeline.engine.tiled import Cut, Level, Share, Wanted, read_layers
from pipeline.engine.tiles import WHOLE, Tiling
from pipeline.networks.pyramid import PyramidEncoder
from pipeline.pictures.boxes import Box
from pipeline.pictures.color import LUMA, luminance
from pipeline.runtime.distributed import ALONE, Team

#: Weight of the mean squared excess of pixels over [0, 1], in units of the loss at the start.
RANGE_WEIGHT = 5.0
#: Rows of a picture whose variation is taken at once.
_BAND = 256


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
        self._content, self._mask, self._targets = content, mask, targets
        self._tiling, self._team = tiling, team
        sizes = encoder.sizes(*content.shape[2:])
        # Each region of each picture, with the picture's number.
        regions = [(number, target) for number, found in enumerate(targets) for target in found]
        grams = dict.fromkeys(name for _, target in regions for name in target.areas)
        gram_masks = {
            name: [
                self._in_batch(target.gram_masks[name], number, sizes[name])
                for number, target in regions
                if name in target.areas
            ]
            for name in grams
        }
        content_masks: dict[str, list[Tensor | None]] = {}
        if objective.content_weight > 0:
            content_masks = {
                name: [
                    self._in_batch(target.content_masks[name], number, sizes[name])
                    for number, target in regions
                ]
                for name in regions[0][1].content_factors
            }
        self._wanted = Wanted(encoder.encoder, gram_masks, content_masks, kept)
        by_level = encoder.by_level({**gram_masks, **content_masks})
        self._names = {level: names for level, names in by_level.items() if names}
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
        encoder = self._encoder.encoder
        found = {}
        for level, names in self._names.items():
            (part,) = parts(
                encoder, height >> level, width >> level, deepest_of(encoder, names), None
            )
            found[level] = self._wanted.readings(part, names, self._wanted.kept_of(names))
        return found

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
            read_layers(encoder, features, self._readings[level], names, sums)
        terms = self._pixel_terms(shown) + self._feature_terms(sums)
        (gradient,) = torch.autograd.grad(terms.sum(), painted)
        return self._total(painted, terms.detach(), gradient)

    def _feature_terms(self, sums: Sums) -> Tensor:
        """(B, 3), what content, style and variation have of terms that features tell."""
        zero = self._mask.new_zeros(())
        style = style_terms(self._objective, self._weights, self._targets, sums.grams, zero)
        content = content_terms(self._objective, self._targets, sums.contents, zero)
        return torch.stack([content, style, torch.zeros_like(style)], dim=1)

    def _content_loss(self, contents: Mapping[str, Sequence[Tensor]]) -> Tensor:
        """A scalar: what some of the content sums have of the only picture's content term."""
        zero = self._mask.new_zeros(())
        return content_terms(self._objective, self._targets, contents, zero)[0]

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
        share = Share(self._tiling, self._team, self._content_loss)
        levels = [
            Level(self._wanted, names, cuts[level], sizes[level], contents.get(level), share)
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
        again = [name for name in self._wanted.content_masks if name not in self._wanted.kept]
        wanted = [level for level, names in self._encoder.by_level(again).items() if names]
        pictures = self._encoder.pyramid(self._content, max(wanted, default=0) + 1)
        return {level: pictures[level] for level in wanted}


def _pictures(batch: Tensor) -> list[Tensor]:
    """(B, C, H, W) to (1, C, H, W) each."""
    return [batch[number : number + 1] for number in range(len(batch))]


def _bands(picture: Tensor) -> list[Box]:
    """Bands of `_BAND` rows, each with the first row of the next one."""
    height, width = picture.shape[2:]
    return [Box(top, 0, min(height, top + _BAND + 1), width) for top in range(0, height, _BAND)]


def _cut(picture: Tensor, box: Box) -> Tensor:
    return box.cut(picture)
