"""Targets: what a picture is compared with, made of styles, masks and the content."""

import functools
import math
from collections.abc import Callable, Collection, Hashable, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeVar

import torch
from torch import Tensor

from pipeline.engine import losses
from pipeline.engine.features import (
    ContentSums,
    content_sums,
    gram_sums,
    sample,
    whole_features,
)
from pipeline.engine.guides import Propagation, drop_vanishing, layer_mask
from pipeline.engine.layer_sums import Key
from pipeline.engine.neighbours import Candidates, Samples
from pipeline.engine.objective import Guide, Objective, Statistics, Style, Target
from pipeline.engine.tiles import WHOLE, Tiling
from pipeline.engine.wasserstein import Gaussian
from pipeline.networks.pyramid import Layer, PyramidEncoder
from pipeline.runtime.cache import Store, digest

Value = TypeVar("Value")
#: A region, and the number of one of its styles.
StyleKey = tuple[Key, int]
#: A style, and the layers at which it is wanted.
StyleQuery = tuple[Style, Sequence[Layer]]


@dataclass(frozen=True)
class TargetMaker:
    """Makes targets of guides.

    Attributes:
        encoder: whose features are compared.
        objective: the losses.
        weights: layer to w_l.
        propagation: how masks come down to the layers for Gram matrices (`masks.layer_mask`).
        store: where targets are kept for other pictures and engines; None keeps none.
        identity: what tells the encoder from the others whose targets are kept there.
        tiling: how pictures are cut.
    """

    encoder: PyramidEncoder
    objective: Objective
    weights: Mapping[Layer, float]
    propagation: Propagation = "simple"
    store: Store | None = None
    identity: Hashable = None
    tiling: Tiling = WHOLE

    @torch.no_grad()
    def make(
        self, content: Tensor, guides: Sequence[Sequence[Guide]], warn: bool
    ) -> tuple[list[list[Target]], dict[Layer, Tensor]]:
        """The targets of each picture's guides, and the content's features, if they are to be kept.

        Args:
            content: (B, 3, H, W) in [0, 1]; in tiles, B is 1.
            guides: of each picture, of its size.
            warn: whether to say which regions are too small for which layers.
        """
        available = self.encoder.sizes(*content.shape[2:])
        layers: list[Layer] = []
        if self.objective.content_weight > 0:
            layers = [Layer(name) for name in self.objective.content_layers]
        layers = [layer for layer in layers if layer in available]
        kept = self._kept(content, layers)
        found = {(b, k): guide for b, own in enumerate(guides) for k, guide in enumerate(own)}
        gram_masks = {key: self.style_masks(guide, available, warn) for key, guide in found.items()}
        styles = {
            (key, number): (style, [*gram_masks[key]])
            for key, guide in found.items()
            for number, style in enumerate(guide.styles)
        }
        statistics = self._statistics(styles)
        candidates = self._candidates(styles, found, available, len(guides))
        content_masks = {
            key: {layer: self._layer_mask(guide.mask, layer, "simple") for layer in layers}
            for key, guide in found.items()
        }
        factors: dict[Key, dict[Layer, Tensor]] = {}
        for b in range(len(guides)):
            this = slice(b, b + 1)
            factors |= self._content_factors(
                content[this],
                {key: masks for key, masks in content_masks.items() if key[0] == b},
                {layer: features[this] for layer, features in kept.items()},
            )

        def target(key: Key, guide: Guide) -> Target:
            styles = [
                (style.pull, statistics[key, number]) for number, style in enumerate(guide.styles)
            ]
            used = {layer for _, wanted in styles for layer in wanted} | {*candidates[key]}
            return Target(
                key=key,
                mask=guide.mask,
                styles=[(weight, wanted) for weight, wanted in styles if wanted],
                gram_masks=gram_masks[key],
                areas={
                    layer: area(mask, available[layer])
                    for layer, mask in gram_masks[key].items()
                    if layer in used
                },
                content_masks=content_masks[key],
                content_factors=factors[key],
                candidates=candidates[key],
            )

        targets = [
            [target((b, k), guide) for k, guide in enumerate(own)] for b, own in enumerate(guides)
        ]
        return targets, kept

    def style_masks(
        self, guide: Guide, available: Collection[Layer], warn: bool
    ) -> dict[Layer, Tensor | None]:
        """Where a region is compared with its styles, at the layers that it is large enough for."""
        wanted = {**self.weights, **self._neighbour_layers}
        layers = [layer for layer in wanted if layer in available]
        return self._layer_masks(guide.mask, layers, guide.region, warn)

    def gram_masks(self, guide: Guide, available: Collection[Layer]) -> dict[Layer, Tensor | None]:
        """Where to take a region's Gram matrices; as `style_masks`."""
        layers = [layer for layer in self.weights if layer in available]
        return self._layer_masks(guide.mask, layers, guide.region, warn=False)

    @property
    def _neighbour_layers(self) -> Mapping[Layer, float]:
        goal = self.objective
        return goal.neighbour_layers if goal.takes_neighbours else {}

    def _statistics(
        self, asked: Mapping[StyleKey, StyleQuery]
    ) -> Mapping[StyleKey, Mapping[Layer, Statistics]]:
        """What the styles' loss compares with, by layer; nothing if it knows neighbours alone."""
        if not self.objective.takes_statistics:
            return {key: {} for key in asked}
        shallow = _only(asked, self.weights)
        if self.objective.takes_moments:
            return self._of_styles(shallow, self._gaussians, "gaussians")
        return self.grams(shallow)

    def _candidates(
        self,
        asked: Mapping[StyleKey, StyleQuery],
        regions: Collection[Key],
        available: Mapping[Layer, tuple[int, int]],
        count: int,
    ) -> dict[Key, dict[Layer, list[Candidates]]]:
        """By region and layer the candidates of its styles, of which none are chosen yet.

        Args:
            asked: as `grams`.
            regions: all, with styles or without.
            available: layer to its size.
            count: of pictures in the batch.
        """
        found: dict[Key, dict[Layer, list[Candidates]]] = {key: {} for key in regions}
        shares = self._neighbour_layers
        if not shares:
            return found
        deeper = _only(asked, shares)
        name = f"samples, patches of {self.objective.neighbour_patch}"
        for (key, number), features in self._of_styles(deeper, self._samples, name).items():
            if not features:
                continue
            style, _ = asked[key, number]
            # A region too small for some layers keeps its strength, as in `style_terms`.
            share = sum(shares.values()) / sum(shares[layer] for layer in features)
            for layer, samples in features.items():
                chosen = torch.zeros(
                    (count, 1, *available[layer]), dtype=torch.int64, device=samples.centre.device
                )
                found[key].setdefault(layer, []).append(
                    Candidates(
                        samples,
                        style.pull * share,
                        chosen,
                        style.content_share(self.objective.neighbour_content),
                    )
                )
        return found

    def grams(self, asked: Mapping[StyleKey, StyleQuery]) -> dict[StyleKey, dict[Layer, Tensor]]:
        """Gram matrices of styles, at those of the layers asked for that they are large enough for.

        A picture that serves several regions, such as stitch's canvas, is encoded once.
        """
        return self._of_styles(asked, self._grams, "grams")

    def _of_styles(
        self,
        asked: Mapping[StyleKey, StyleQuery],
        make: Callable[[Sequence[StyleQuery]], list[dict[Layer, Value]]],
        name: str,
    ) -> dict[StyleKey, dict[Layer, Value]]:
        """What is made of styles, of all that show the same picture at once, and kept by name."""
        together: dict[str | StyleKey, dict[StyleKey, StyleQuery]] = {}
        for key, (style, layers) in asked.items():
            together.setdefault(style.name or key, {})[key] = style, layers
        found: dict[StyleKey, dict[Layer, Value]] = {}
        for group in together.values():
            styles = [style for style, _ in group.values()]
            wanted = tuple(tuple(layers) for _, layers in group.values())
            made = self._reused(
                functools.partial(make, [*group.values()]),
                [styles[0].picture, *(style.mask for style in styles)],
                (name, self.propagation, *wanted),
            )
            # Kept in the order asked for; under which keys depends on who asks.
            found |= zip(group, made, strict=True)
        return found

    def _grams(
        self, group: Sequence[StyleQuery], moments: bool = False
    ) -> list[dict[Layer, Tensor]]:
        (picture, *_) = (style.picture for style, _ in group)
        available = self.encoder.sizes(*picture.shape[2:])
        masks = self._style_masks(group, available)
        sums = gram_sums(self.encoder, picture, _by_layer(masks), self.tiling.side, moments)
        return [
            {layer: sums[layer][0, k] / area(mask, available[layer]) for layer, mask in own.items()}
            for k, own in enumerate(masks)
        ]

    def _gaussians(self, group: Sequence[StyleQuery]) -> list[dict[Layer, Gaussian]]:
        return [
            {layer: Gaussian.of(moments) for layer, moments in found.items()}
            for found in self._grams(group, moments=True)
        ]

    def _samples(self, group: Sequence[StyleQuery]) -> list[dict[Layer, Samples]]:
        (picture, *_) = (style.picture for style, _ in group)
        masks = self._style_masks(group, self.encoder.sizes(*picture.shape[2:]))
        patch = self.objective.neighbour_patch
        found = sample(self.encoder, picture, _by_layer(masks), patch, self.tiling.side)
        return [{layer: found[layer][0, k] for layer in own} for k, own in enumerate(masks)]

    def _style_masks(
        self, group: Sequence[StyleQuery], available: Collection[Layer]
    ) -> list[dict[Layer, Tensor | None]]:
        """Where in its picture each style is taken, at the layers that it is large enough for."""
        return [
            self._layer_masks(
                style.mask, [layer for layer in layers if layer in available], "of a style", False
            )
            for style, layers in group
        ]

    def _content_factors(
        self,
        content: Tensor,
        masks: Mapping[Key, Mapping[Layer, Tensor | None]],
        kept: Mapping[Layer, Tensor],
    ) -> dict[Key, dict[Layer, Tensor]]:
        """For each region of a picture, what its content sums are multiplied with."""
        layers = dict.fromkeys(layer for found in masks.values() for layer in found)
        if self.objective.kind == "gatys":
            half = content.new_tensor(0.5)
            return {key: dict.fromkeys(found, half) for key, found in masks.items()}
        wanted = {layer: {key: found[layer] for key, found in masks.items()} for layer in layers}
        sums = {
            layer: {key: ContentSums.of(kept[layer], mask) for key, mask in wanted[layer].items()}
            for layer in layers
            if layer in kept
        }
        again = {layer: found for layer, found in wanted.items() if layer not in kept}
        if again:
            sums |= content_sums(self.encoder, content, again, self.tiling.side)

        def factor(of: ContentSums) -> Tensor:
            return 1 / losses.content_energy(of.weight, of.first, of.second)

        return {
            key: {layer: factor(sums[layer][key]) for layer in found}
            for key, found in masks.items()
        }

    def _kept(self, content: Tensor, layers: Sequence[Layer]) -> dict[Layer, Tensor]:
        """The content's features, of layers that are not computed in tiles."""
        if self.tiling.side is not None:
            layers = [layer for layer in layers if self._is_whole(layer)]
        return self._reused(
            lambda: whole_features(self.encoder, content, layers, self.tiling.side),
            [content],
            ("content", *layers),
        )

    def _is_whole(self, layer: Layer) -> bool:
        """Whether a layer is computed whole, after those in tiles."""
        position = self.encoder.encoder.index[layer.name]
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
        self, mask: Tensor | None, layer: Layer, propagation: Propagation
    ) -> Tensor | None:
        if mask is None:
            return None
        return layer_mask(mask, self.encoder.windows(layer), propagation)

    def _layer_masks(
        self, mask: Tensor | None, layers: Sequence[Layer], region: str, warn: bool
    ) -> dict[Layer, Tensor | None]:
        if mask is None:
            return dict.fromkeys(layers)
        masks = {
            layer: layer_mask(mask, self.encoder.windows(layer), self.propagation)
            for layer in layers
        }
        return dict(drop_vanishing(masks, region, warn=warn))


def _by_layer(
    masks: Sequence[Mapping[Layer, Tensor | None]],
) -> dict[Layer, dict[Key, Tensor | None]]:
    """The masks of several styles of a picture, under their numbers."""
    return {
        layer: {(0, k): own[layer] for k, own in enumerate(masks) if layer in own}
        for own in masks
        for layer in own
    }


def _only(
    asked: Mapping[StyleKey, StyleQuery], layers: Collection[Layer]
) -> dict[StyleKey, StyleQuery]:
    """The same styles, at some of their layers."""
    return {
        key: (style, [layer for layer in wanted if layer in layers])
        for key, (style, wanted) in asked.items()
    }


def area(mask: Tensor | None, size: tuple[int, int]) -> float:
    """A mask's units."""
    return float(math.prod(size) if mask is None else mask.sum())
