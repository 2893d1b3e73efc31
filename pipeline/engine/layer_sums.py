"""Layer sums: what the losses take from a layer, as sums over its units.

A Gram matrix is a sum over units, and so is a content loss. Sums of parts of a picture add up to
those of the whole; that is what makes tiles exact (`pipeline.engine.evaluation`).

Shapes: B batch, N channels, H W height and width of a layer, M = B*H*W units, K regions.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from pipeline.engine.neighbours import Candidates

#: Share of a layer's units from which on a region is cheaper read whole than gathered.
_MOST = 0.75
# Partial sums of a product in half precision: each is rounded once, their sum not at all.
_PARTS = 16
# Fewer units than this are multiplied faster as float32 than in parts.
_FEW = 512


@dataclass(frozen=True)
class Units:
    """The units of a layer that a region has, and how much of each.

    Attributes:
        index: (n,), their numbers in row-major order; None: all M.
        roots: (n, 1), square roots of their weights; None: all weigh 1.
    """

    index: Tensor | None = None
    roots: Tensor | None = None

    def of(self, rows: Tensor) -> Tensor:
        """Weighed features: (M, N) to (n, N)."""
        chosen = rows if self.index is None else rows.index_select(0, self.index)
        return chosen if self.roots is None else chosen * self.roots

    def add(self, gradient: Tensor, rows: Tensor) -> None:
        """The transpose of `of`: add (n, N) to (M, N) in place."""
        weighed = rows if self.roots is None else rows * self.roots
        if self.index is None:
            gradient.add_(weighed)
        else:
            # No unit is there twice: `index_add_` would take half as long again.
            there = gradient.index_select(0, self.index).add_(weighed)
            gradient.index_copy_(0, self.index, there)


def units(mask: Tensor | None, dtype: torch.dtype) -> Units:
    """The units of a region; reads the mask's values, so it is not for the inner loop.

    Args:
        mask: (B, 1, H, W), non-negative; None: the whole layer.
        dtype: of the features.
    """
    if mask is None:
        return Units()
    flat = mask.flatten()
    # Both numbers at once: the process waits for each answer of a device.
    counts = torch.stack([torch.count_nonzero(flat), torch.count_nonzero(flat == 1)])
    covered, ones = counts.tolist()
    if covered >= _MOST * len(flat):
        return Units(roots=None if ones == len(flat) else flat.sqrt().to(dtype)[:, None])
    index = _first_to_last(flat, covered)
    return Units(index, flat[index].sqrt().to(dtype)[:, None])


#: Tells the regions of a batch of pictures from each other: the number of the picture in it, and
#: the number of the region in the picture.
Key = tuple[int, int]


def _first_to_last(flat: Tensor, count: int) -> Tensor:
    """(count,), where a mask is not 0, of which the number is known."""
    if flat.device.type == "cpu":
        return flat.nonzero()[:, 0]
    # `nonzero` would ask the device for the number once more.
    return (flat != 0).byte().argsort(descending=True, stable=True)[:count].clone()


@dataclass(frozen=True)
class LayerQuery:
    """What is taken from one layer.

    Attributes:
        grams: the units of each region's Gram sum.
        content: (B, N, H, W), features that a content loss compares with; None: no such loss.
        masks: of the regions' content sums, (B, 1, H, W) each; None: the whole layer.
        values: whether Gram and neighbour sums are computed; False if only their gradients are
            wanted.
        moments: whether each Gram sum has the features' own sum, ``sum_k m_k F_ik``, below it as
            a last row.
        neighbours: the units of each region's neighbour sum, and its styles' candidates.
    """

    grams: Mapping[Key, Units] = field(default_factory=dict)
    content: Tensor | None = None
    masks: Mapping[Key, Tensor | None] = field(default_factory=dict)
    values: bool = True
    moments: bool = False
    neighbours: Mapping[Key, tuple[Units, Sequence[Candidates]]] = field(default_factory=dict)


def read(
    features: Tensor, query: LayerQuery
) -> tuple[Tensor, dict[Key, Tensor], dict[Key, Tensor], dict[Key, Tensor]]:
    """Take the sums from a layer.

    Args:
        features: (B, N, H, W); a region may lie in any of the pictures.
        query: what to take.

    Returns:
        The features, for the next layers; with them the sums' gradients find their way back in a
        single pass over the layer. For each of ``query.grams`` the Gram sum
        ``sum_k m_k F_ik F_jk``, (N, N), with ``query.moments`` (N + 1, N); for each of
        ``query.masks`` the content sum ``sum_ik m_k (F_ik - P_ik)^2``, a scalar (Gatys et al. 2016,
        eq. 1 and 3, without their factors); for each of ``query.neighbours`` the neighbour sum, a
        scalar (`Candidates.distance_sum`). The sums are float32, or float64 for such features.
    """
    shown, *sums = _Read.apply(features, query)
    found = iter(sums)
    grams = {key: next(found) for key in query.grams}
    neighbours = {key: next(found) for key in query.neighbours}
    # Without content features there is no content sum.
    contents = dict(zip(query.masks, found, strict=query.content is not None))
    return shown, grams, contents, neighbours


class _Read(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, features: Tensor, query: LayerQuery) -> tuple[Tensor, ...]:
        rows = _rows(features)
        exact = torch.promote_types(features.dtype, torch.float32)
        channels = features.shape[1]
        if query.values:
            grams = [_gram_sum(rows, chosen, query.moments) for chosen in query.grams.values()]
            neighbours = [
                _neighbour_sum(rows, chosen, wanted) for chosen, wanted in query.neighbours.values()
            ]
        else:
            zero = rows.new_zeros((), dtype=exact)
            empty = zero.expand(channels + query.moments, channels)
            grams = [empty.clone() for _ in query.grams]
            neighbours = [zero.clone() for _ in query.neighbours]
        contents = []
        if query.content is not None:
            squared = (features - query.content).to(exact).square().sum(1, keepdim=True)
            contents = [(squared if m is None else squared * m).sum() for m in query.masks.values()]
        ctx.query = query
        ctx.save_for_backward(features)
        # `view_as` would change the stride of the batch, by which libraries tell the layout.
        return features.detach(), *grams, *neighbours, *contents

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor | None, *sums: Tensor) -> tuple[Tensor, None]:
        (features,) = ctx.saved_tensors
        query = ctx.query
        rows, channels = _rows(features), features.shape[1]
        total = None
        for chosen, upstream in zip(query.grams.values(), sums, strict=False):
            # d sum(dG * G) / dF_k = m_k (dG + dG^T) F_k.
            square = upstream[:channels] if query.moments else upstream
            both = (square + square.T).to(rows.dtype)
            first = upstream[channels].to(rows.dtype) if query.moments else None
            if first is not None and chosen.roots is None:
                # d sum(df * f) / dF_k = m_k df.
                share = torch.addmm(first, chosen.of(rows), both)
            else:
                share = chosen.of(rows) @ both
                if first is not None and chosen.roots is not None:
                    share.addr_(chosen.roots[:, 0], first)
            if total is None and chosen.index is None:
                total = share if chosen.roots is None else share * chosen.roots
                continue
            total = torch.zeros_like(rows) if total is None else total
            chosen.add(total, share)
        count = len(query.grams)
        for (chosen, wanted), upstream in zip(
            query.neighbours.values(), sums[count:], strict=False
        ):
            region = _region(rows, chosen)
            first, *others = wanted
            share = first.distance_gradient(*region, chosen.index)
            for style in others:
                share += style.distance_gradient(*region, chosen.index)
            share *= upstream.to(rows.dtype)
            if total is None and chosen.index is None:
                total = share
                continue
            total = torch.zeros_like(rows) if total is None else total
            # It has been weighed already.
            Units(chosen.index).add(total, share)
        total = torch.zeros_like(rows) if total is None else total
        found = _picture(total, features)
        if query.content is not None:
            found = found + _content_gradient(
                features, query, sums[count + len(query.neighbours) :]
            )
        # What comes from deeper layers may be used elsewhere, too: it is not changed in place.
        return found if gradient is None else found.add_(gradient), None


def _content_gradient(features: Tensor, query: LayerQuery, sums: Sequence[Tensor]) -> Tensor:
    weight: Tensor | float = 0.0
    for mask, upstream in zip(query.masks.values(), sums, strict=True):
        weight = weight + 2 * (upstream if mask is None else upstream * mask)
    assert isinstance(weight, Tensor)
    assert query.content is not None
    return (features - query.content) * weight.to(features.dtype)


def _rows(features: Tensor) -> Tensor:
    """(B, N, H, W) to (M, N); without a copy if the channels lie last in memory."""
    return features.permute(0, 2, 3, 1).reshape(-1, features.shape[1])


def _picture(rows: Tensor, like: Tensor) -> Tensor:
    """(M, N) to (B, N, H, W)."""
    batch, channels, height, width = like.shape
    return rows.view(batch, height, width, channels).permute(0, 3, 1, 2)


def _region(rows: Tensor, units: Units) -> tuple[Tensor, Tensor | None]:
    """A region's features, (n, N), and their weights, (n, 1); None: all weigh 1."""
    weights = None if units.roots is None else units.roots.square()
    return rows if units.index is None else rows.index_select(0, units.index), weights


def _neighbour_sum(rows: Tensor, units: Units, styles: Sequence[Candidates]) -> Tensor:
    region = _region(rows, units)
    return torch.stack([style.distance_sum(*region, units.index) for style in styles]).sum()


def _gram_sum(rows: Tensor, units: Units, moments: bool) -> Tensor:
    """A region's Gram sum, (N, N); with its first moment (N + 1, N)."""
    weighed = units.of(rows)
    gram = _outer(weighed)
    if not moments:
        return gram
    if weighed.dtype == gram.dtype:
        roots = weighed.new_ones(len(weighed), 1) if units.roots is None else units.roots
        return torch.cat([gram, roots.T @ weighed])
    # A product in half precision would be rounded.
    again = weighed if units.roots is None else weighed * units.roots
    return torch.cat([gram, again.sum(0, keepdim=True, dtype=gram.dtype)])


def _outer(rows: Tensor) -> Tensor:
    """(n, N) to (N, N), ``sum_k x_ik x_jk`` in float32 at least."""
    if rows.dtype.itemsize < 4 and len(rows) < _FEW:
        rows = rows.float()
    if rows.dtype.itemsize >= 4:
        return rows.T @ rows
    count = len(rows) // _PARTS
    rest = rows[count * _PARTS :]
    product = (rest.T @ rest).float()
    if count > 0:
        parts = rows[: count * _PARTS].view(_PARTS, count, -1)
        product += torch.bmm(parts.transpose(1, 2), parts).float().sum(0)
    return product
