"""Targets: what a picture is compared with, made of styles, masks and the content."""

import functools
import math
from collections.abc import Callable, Collection, Hashable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeVar

import torch
from torch import Tensor

from pipeline.engine import losses
from pipeline.engine.features import ContentSums, content_sums, gram_sums, whole_features
from pipeline.engine.guides import Propagation, drop_vanishing, layer_mask
from pipeline.engine.objective import Guide, Objective, Style, Target
from pipeline.engine.tiles import WHOLE, Tiling
from pipeline.networks.pyramid import PyramidEncoder
from pipeline.runtime.cache import Store, digest

Value = TypeVar("Value")


@dataclass(frozen=True)
class TargetMaker:
    """Makes targets of guides.

    Attributes:
        encoder: whose features are compared.
        objective: the losses.
        weights: layer, with its level, to w_l.
        propagation: how masks come down to the layers for Gram matrices (`masks.layer_mask`).
        store: where targets are kept for other pictures and engines; None keeps none.
        identity: what tells the encoder from the others whose targets are kept there.
        tiling: how pictures are cut.
    """

    encoder: PyramidEncoder
    objective: Objective
    weights: Mapping[str, float]
    propagation: Propagation = "simple"
    store: Store | None = None
    identity: Hashable = None
    tiling: Tiling = WHOLE

    @torch.no_grad()
    def make(
        self, content: Tensor, guides: Sequence[Sequence[Guide]], warn: bool
    ) -> tuple[list[list[Target]], dict[str, Tensor]]:
        """The targets of each picture's guides, and the content's features, if they are to be kept.

        Args:
            content: (B, 3, H, W) in [0, 1]; in tiles, B is 1.
            guides: of each picture, of its size.
            warn: whether to say which regions are too small for which layers.
        """
        available = self.encoder.sizes(*content.shape[2:])
        layers = [name for name in self.objective.content_layers if name in available]
        if self.objective.content_weight == 0:
            layers = []
        kept = self._kept(content, layers)
        masks = [[self.gram_masks(guide, available, warn) for guide in found] for found in guides]
        grams = iter(
            self.grams(
                [
                    (style, [*wanted])
                    for found, masks_found in zip(guides, masks, strict=True)
                    for guide, wanted in zip(found, masks_found, strict=True)
                    for style in guide.styles
                ]
            )
        )
        targets = []
        for number, found in enumerate(guides):
            this = slice(number, number + 1)
            content_masks = [
                {name: self._layer_mask(guide.mask, name, "simple") for name in layers}
                for guide in found
            ]
            factors = self._content_factors(
                content[this], content_masks, {name: own[this] for name, own in kept.items()}
            )
            targets.append(
                [
                    self._target(
                        guide, masks[number][k], content_masks[k], factors[k], available, grams
                    )
                    for k, guide in enumerate(found)
                ]
            )
        return targets, kept

    def _target(
        self,
        guide: Guide,
        gram_masks: Mapping[str, Tensor | None],
        content_masks: Mapping[str, Tensor | None],
        content_factors: Mapping[str, Tensor],
        available: Mapping[str, tuple[int, int]],
        grams: Iterator[Mapping[str, Tensor]],
    ) -> Target:
        styles = [(style.weight, next(grams)) for style in guide.styles]
        used = {name for _, found in styles for name in found}
        return Target(
            mask=guide.mask,
            styles=[(weight, found) for weight, found in styles if found],
            gram_masks=gram_masks,
            areas={
                name: area(mask, available[name])
                for name, mask in gram_masks.items()
                if name in used
            },
            content_masks=content_masks,
            content_factors=content_factors,
        )

    def gram_masks(
        self, guide: Guide, available: Collection[str], warn: bool
    ) -> dict[str, Tensor | None]:
        """Where to take a region's Gram matrices, at the layers that it is large enough for."""
        names = [name for name in self.weights if name in available]
        return self._layer_masks(guide.mask, names, guide.region, warn)

    def grams(self, asked: Sequence[tuple[Style, Sequence[str]]]) -> list[dict[str, Tensor]]:
        """Gram matrices of styles, at those of the layers asked for that they are large enough for.

        A picture that serves several regions, such as stitch's canvas, is encoded once.
        """
        together: dict[int, list[int]] = {}
        for number, (style, _) in enumerate(asked):
            together.setdefault(id(style.picture), []).append(number)
        found: dict[int, dict[str, Tensor]] = {}
        for numbers in together.values():
            group = [asked[number] for number in numbers]
            picture, styles = group[0][0].picture, [style for style, _ in group]
            key = "grams", self.propagation, *(tuple(names) for _, names in group)
            made = self._reused(
                functools.partial(self._grams, group), [picture, *(s.mask for s in styles)], key
            )
            found |= zip(numbers, made, strict=True)
        return [found[number] for number in range(len(asked))]

    def _grams(self, group: Sequence[tuple[Style, Sequence[str]]]) -> list[dict[str, Tensor]]:
        picture = group[0][0].picture
        available = self.encoder.sizes(*picture.shape[2:])
        masks = [
            self._layer_masks(style.mask, [n for n in names if n in available], "of a style", False)
            for style, names in group
        ]
        wanted = {name: [m[name] for m in masks if name in m] for m in masks for name in m}
        sums = gram_sums(self.encoder, picture, wanted, self.tiling.side)
        found = {name: iter(grams) for name, grams in sums.items()}
        return [
            {name: next(found[name]) / area(mask, available[name]) for name, mask in m.items()}
            for m in masks
        ]

    def _content_factors(
        self,
        content: Tensor,
        masks: Sequence[Mapping[str, Tensor | None]],
        kept: Mapping[str, Tensor],
    ) -> list[dict[str, Tensor]]:
        """For each region, what its content sums are multiplied with."""
        layers = [*masks[0]]
        if self.objective.kind == "gatys":
            return [dict.fromkeys(layers, content.new_tensor(0.5)) for _ in masks]
        wanted = {layer: [mask[layer] for mask in masks] for layer in layers}
        sums = {
            layer: [ContentSums.of(kept[layer], mask) for mask in wanted.pop(layer)]
            for layer in layers
            if layer in kept
        }
        if wanted:
            sums |= content_sums(self.encoder, content, wanted, self.tiling.side)
        energies = {
            layer: [losses.content_energy(s.weight, s.first, s.second) for s in found]
            for layer, found in sums.items()
        }
        return [{layer: 1 / energies[layer][k] for layer in layers} for k in range(len(masks))]

    def _kept(self, content: Tensor, layers: Sequence[str]) -> dict[str, Tensor]:
        """The content's features, of layers that are not computed in tiles."""
        if self.tiling.side is not None:
            layers = [name for name in layers if self._is_behind(name)]
        return self._reused(
            lambda: whole_features(self.encoder, content, layers, self.tiling.side),
            [content],
            ("content", *layers),
        )

    def _is_behind(self, name: str) -> bool:
        """Whether a layer is computed whole, behind those in tiles."""
        (layers,) = filter(None, self.encoder.by_level([name]).values())
        position = self.encoder.encoder.index[next(iter(layers))]
        return self.tiling.stop is not None and position >= self.tiling.stop

    def _reused(
        self, make: Callable[[], Value], pictures: Sequence[Tensor | None], key: Hashable
    ) -> Value:
        # Pictures that need tiles are too large to be kept, and long to be hashed.
        if self.store is None or self.tiling.side is not None:
            return make()
        digests = tuple(digest(picture) for picture in pictures)
        return self.store.get((self.identity, digests, key), make)

    def _layer_mask(
        self, mask: Tensor | None, name: str, propagation: Propagation
    ) -> Tensor | None:
        if mask is None:
            return None
        return layer_mask(mask, self.encoder.windows(name), propagation)

    def _layer_masks(
        self, mask: Tensor | None, names: Sequence[str], region: str, warn: bool
    ) -> dict[str, Tensor | None]:
        if mask is None:
            return dict.fromkeys(names)
        masks = {
            name: layer_mask(mask, self.encoder.windows(name), self.propagation) for name in names
        }
        return dict(drop_vanishing(masks, region, warn=warn))


def area(mask: Tensor | None, size: tuple[int, int]) -> float:
    """A mask's units."""
    return float(math.prod(size) if mask is None else mask.sum())
