"""Levels: a picture of the pyramid, its first layers tile by tile and those behind whole.

A level is read twice, as `evaluation` says: first for the Gram sums, without gradients;
then, tile by tile again, for the gradient, once the losses have one with respect to the sums.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from pipeline.engine import layer_sums
from pipeline.engine.features import Part, add_to, parts
from pipeline.engine.layer_sums import Reading
from pipeline.engine.objective import Sums
from pipeline.engine.tiles import Tiling
from pipeline.networks.encoder import Encoder
from pipeline.pictures.boxes import Box
from pipeline.runtime.distributed import Team

#: Cuts a box out of a picture.
Cut = Callable[[Box], Tensor]


@dataclass(frozen=True)
class Wanted:
    """What the losses want of the layers; these are named with their levels.

    Attributes:
        encoder: of every level.
        gram_masks: layer to where its Gram sums are taken, (B, 1, H_l, W_l) each; None: everywhere.
        content_masks: layer to where its content sums are taken, in the same way.
        kept: layer to the content's features, (B, N, H_l, W_l), where these are held in memory.
    """

    encoder: Encoder
    gram_masks: Mapping[str, Sequence[Tensor | None]]
    content_masks: Mapping[str, Sequence[Tensor | None]]
    kept: Mapping[str, Tensor]

    def kept_of(self, names: Mapping[str, str]) -> dict[str, Tensor]:
        """The content's features that are held, by the layers' names without level.

        Args:
            names: those names to those with it.
        """
        return {layer: self.kept[name] for layer, name in names.items() if name in self.kept}

    def readings(
        self,
        part: Part,
        names: Mapping[str, str],
        contents: Mapping[str, Tensor],
        values: bool = True,
    ) -> dict[str, Reading]:
        """What is taken from each layer of a part.

        Args:
            part: of a level.
            names: of the layers, without level to with it.
            contents: layer to the content's features there; without them no content sums.
            values: as `Reading.values`.
        """
        return {
            layer: Reading(
                [part.units(mask, layer) for mask in self.gram_masks.get(name, [])],
                contents.get(layer),
                [part.mask(mask, layer) for mask in self.content_masks.get(name, [])]
                if layer in contents
                else [],
                values,
            )
            for layer, name in names.items()
        }


@dataclass(frozen=True)
class Share:
    """How tiles are cut and shared out.

    Attributes:
        tiling: how pictures are cut.
        team: processes that share the tiles out.
        content_loss: content sums, layer to those of all regions, to a scalar.
    """

    tiling: Tiling
    team: Team
    content_loss: Callable[[Mapping[str, Sequence[Tensor]]], Tensor]


def read_layers(
    encoder: Encoder,
    features: Tensor,
    taken: Mapping[str, Reading],
    names: Mapping[str, str],
    sums: Sums,
    start: int = 0,
    stop: int | None = None,
) -> Tensor:
    """Read layers, of which ``start`` takes the features, and add their sums.

    Args:
        encoder, features, start, stop: as `Encoder.read`.
        taken: layer to what is taken there.
        names: layer to its name with the level, under which its sums are added.
        sums: changed.
    """

    def reader(layer: str, hidden: Tensor) -> Tensor:
        hidden, grams, contents = layer_sums.read(hidden, taken[layer])
        add_to(sums.grams, names[layer], grams)
        add_to(sums.contents, names[layer], contents)
        return hidden

    return encoder.read(features, [*taken], reader, start, stop)


class Level:
    """One level's picture: its first layers in tiles, those behind `Tiling.stop` whole.

    Args:
        wanted: what is read.
        names: the encoder's layers that are read, each with its name on this level.
        cut: a part of the level's picture.
        size: rows and columns of it.
        content: (1, 3, h, w), the same of the content; None: its features are kept, or not wanted.
        share: how the tiles are cut and shared out.
    """

    def __init__(
        self,
        wanted: Wanted,
        names: Mapping[str, str],
        cut: Cut,
        size: tuple[int, ...],
        content: Tensor | None,
        share: Share,
    ) -> None:
        self._wanted, self._cut, self._content, self._share = wanted, cut, content, share
        self._height, self._width = size
        self._encoder = encoder = wanted.encoder
        stop, position = share.tiling.stop, encoder.index
        if share.team.size > 1:
            stop = None  # Nobody has a whole layer.
        last = max(position[layer] for layer in names) + 1
        # Whether there are layers behind.
        self._stop = last if stop is None else min(stop, last)
        self._first = {layer: n for layer, n in names.items() if position[layer] < self._stop}
        self._behind = {layer: n for layer, n in names.items() if position[layer] >= self._stop}
        self._border = next(layer for layer, p in position.items() if p == self._stop - 1)
        self._parts = parts(encoder, self._height, self._width, self._border, share.tiling.side)
        # Zeros, so that a process without a tile of this level has sums, too.
        masks = wanted.gram_masks
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
        for part in self._share.team.share(self._parts):
            taken = self._wanted.readings(part, self._first, {})
            features = self._read(self._cut(part.tile.seen), taken, self._sums)
            if self._behind:
                self._boundary = part.put(features, self._border, self._boundary)
        for gram in self.grams():
            gram.requires_grad_()

    def _read(self, picture: Tensor, taken: Mapping[str, Reading], sums: Sums) -> Tensor:
        features = self._encoder.normalise(picture)
        return read_layers(self._encoder, features, taken, self._first, sums, 0, self._stop)

    def read_whole(self, sums: Sums) -> None:
        """Read the layers behind, with gradients; add everything to ``sums``."""
        sums.grams.update(self._sums.grams)
        if self._boundary is None:
            return
        self._boundary.requires_grad_()
        (part,) = parts(self._encoder, self._height, self._width, self._border, None)
        taken = self._wanted.readings(part, self._behind, self._wanted.kept_of(self._behind))
        read_layers(self._encoder, self._boundary, taken, self._behind, sums, self._stop, None)

    def gradient(self) -> tuple[Tensor, Tensor]:
        """The gradient with respect to the picture, and the first layers' content loss."""
        total = self._encoder.mean.new_zeros(1, 3, self._height, self._width)
        content = total.new_zeros(())
        for part in self._share.team.share(self._parts):
            box = part.tile.seen
            shown = self._cut(box).detach().requires_grad_()
            sums = Sums()
            features = self._read(shown, self._again(part), sums)
            share = self._share.content_loss(sums.contents)
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
        masks = self._wanted.content_masks
        wanted = [layer for layer, name in self._first.items() if name in masks]
        contents: Mapping[str, Tensor] = {}
        if wanted and self._content is not None:
            with torch.no_grad():
                contents = self._encoder(part.tile.seen.cut(self._content), wanted)
        return self._wanted.readings(part, self._first, contents, values=False)


def _gradient_of(tensor: Tensor) -> Tensor:
    return torch.zeros_like(tensor) if tensor.grad is None else tensor.grad
