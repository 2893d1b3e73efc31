"""Losses of neural style transfer, as pure functions.

Shapes: B batch, C or N channels, H W height and width, M = H*W units.
"""

import math
from collections.abc import Mapping

import torch
from torch import Tensor

from pipeline.networks.pyramid import Layer
from pipeline.pictures.color import luminance

#: Cells along the longer side on which light, dark and colours are compared (`Layout`).
_LAYOUT_CELLS = 48
# Squared variance under which a content has no light and dark, or no colours, to lay out.
_LEAST_LAYOUT = 1e-8


def gram_matrix(features: Tensor, mask: Tensor | None = None) -> Tensor:
    """Gram matrix of a layer's features, averaged over a region.

    ``G_ij = sum_k m_k F_ik F_jk / sum_k m_k``; without a mask ``sum_k F_ik F_jk / M`` (Gatys et
    al. 2016, eq. 3, divided by M). The division makes a region's strength independent of its
    area. It equals the guided Gram matrix of Gatys et al. 2017 (eq. 5-6) with guidance channel
    ``T = sqrt(m / sum m)``: for a soft mask the square root, not the mask, weighs the features, so
    that a unit half inside counts half.

    Args:
        features: (1, N, H, W).
        mask: (1, 1, H, W), non-negative with a positive sum, or None for the whole picture.

    Returns:
        (N, N).
    """
    flat = features[0].flatten(1)  # (N, M)
    if mask is None:
        return flat @ flat.T / flat.shape[1]
    weights = mask[0].flatten(1)  # (1, M)
    return (flat * weights) @ flat.T / weights.sum()


def gatys_content_loss(features: Tensor, target: Tensor, mask: Tensor | None = None) -> Tensor:
    """Content loss of Gatys et al. 2016, eq. 1: ``1/2 sum_ij (F_ij - P_ij)^2``.

    With a mask each unit's squared difference is weighed by it. Arguments as `gram_matrix`.
    """
    squared = (features - target).square()
    if mask is not None:
        squared = squared * mask
    return squared.sum() / 2


def gatys_style_loss(gram: Tensor, target: Tensor) -> Tensor:
    """Style loss of one layer, Gatys et al. 2016, eq. 4.

    ``E_l = 1 / (4 N_l^2 M_l^2) sum_ij (G_ij - A_ij)^2`` with sums over M_l units in G and A. Here
    ``gram`` and ``target`` are (N, N) averages over units (`gram_matrix`), so that M_l has been
    divided out already and may differ between the painted picture and the style picture.
    """
    channels = gram.shape[0]
    return (gram - target).square().sum() / (4 * channels**2)


def relative_content_loss(features: Tensor, target: Tensor, mask: Tensor | None = None) -> Tensor:
    """Content loss as a share of what the content's own features vary.

    ``sum m (F - P)^2 / sum m (P - mean P)^2``: 0 is the content itself, 1 a picture that knows
    nothing of it but its mean features, whatever the encoder, layer, picture or region.
    Arguments as `gram_matrix`.
    """
    if mask is None:
        mask = features.new_ones(1, 1, *features.shape[2:])
    weighed = target * mask
    energy = content_energy(mask.sum(), weighed.sum((0, 2, 3)), (weighed * target).sum())
    return ((features - target).square() * mask).sum() / energy


def content_energy(weight: Tensor, first: Tensor, second: Tensor) -> Tensor:
    """What `relative_content_loss` divides by, from sums over the content's features.

    ``sum m (P - mean P)^2``, and a thousandth of ``sum m P^2``: a flat content (a grey wall) has no
    variance to relate to.

    Args:
        weight: ``sum m``; 0 for a region in the odd last rows, which pooling drops.
        first: ``sum m P``, (N,).
        second: ``sum m P^2``.
    """
    variance = second - first.square().sum() / weight.clamp_min(1e-6)
    return variance.clamp_min(0) + second * 1e-3 + 1e-12


def relative_style_loss(gram: Tensor, target: Tensor) -> Tensor:
    """Style loss of one layer as a share of the target's own energy.

    ``sum_ij (G_ij - A_ij)^2 / sum_ij A_ij^2``: 0 is the style itself, 1 an empty picture, whatever
    the encoder and layer.
    """
    return (gram - target).square().sum() / target.square().sum().clamp_min(1e-12)


def style_distance(grams: Mapping[Layer, Tensor], style: Mapping[Layer, Tensor]) -> Tensor:
    """How far a region is from a style: 0 is the style itself, about 1 is unrelated.

    The mean over layers of ``sqrt(sum_ij (G_ij - A_ij)^2 / sum_ij A_ij^2)``, the Frobenius distance
    of the Gram matrices of Gatys et al. 2016 (eq. 3-4) as a share of the style's own. The paper
    squares it and divides by the layer's size, which no two layers or encoders have in common.

    Args:
        grams: of the region, (N, N) by layer.
        style: of the style picture, likewise.

    Returns:
        A scalar, at least 0; NaN where they have no layer in common.
    """
    distances = [
        relative_style_loss(gram, style[layer]).sqrt()
        for layer, gram in grams.items()
        if layer in style
    ]
    return torch.stack(distances).mean() if distances else torch.tensor(math.nan)


def total_variation(picture: Tensor, mask: Tensor | None = None) -> Tensor:
    """Mean squared difference of neighbouring pixels, horizontally plus vertically.

    Args:
        picture: (B, 3, H, W).
        mask: (B, 1, H, W), weighs the pixels; None: all alike.

    Returns:
        (B,), of each picture; Mahendran and Vedaldi 2015 with exponent 2, averaged, so that its
        strength does not depend on the region's area.
    """
    if mask is None:
        mask = torch.ones_like(picture[:, :1])
    return (variation_sums(picture, mask) / variation_weights(mask)).sum(0)


def variation_sums(picture: Tensor, mask: Tensor, rows: int | None = None) -> Tensor:
    """What `total_variation` averages: (2, B), squared differences downwards and to the right.

    Args:
        picture, mask: as there.
        rows: how many rows count to the right; the others belong to the next band.
    """
    down = (picture[..., 1:, :] - picture[..., :-1, :]).square().mean(1, keepdim=True)
    first = picture[..., :rows, :]
    right = (first[..., 1:] - first[..., :-1]).square().mean(1, keepdim=True)
    weighed = down * mask[..., 1:, :], right * mask[..., :rows, 1:]
    return torch.stack([values.sum((1, 2, 3)) for values in weighed])


def variation_weights(mask: Tensor) -> Tensor:
    """(2, B), the sums of the weights of `variation_sums`."""
    weights = mask[..., 1:, :], mask[..., 1:]
    return torch.stack([values.sum((1, 2, 3)) for values in weights]).clamp_min(1e-6)


def layout_loss(picture: Tensor, content: Tensor, mask: Tensor | None = None) -> Tensor:
    """How little a picture's light and dark lie where the content's do.

    ``1 - r`` with r the correlation of the two pictures' luma over the region, on cells of 1/48 of
    the longer side: 0 if every light part of the content is a light part of the picture, whatever
    its colours, brightness and contrast. Not in the papers: a Gram loss says how much light and
    dark a region shall have, not where, and puts a dark field across a small face as readily as
    into its hair.

    Args:
        picture, content: (1, 3, H, W) in [0, 1].
        mask: (1, 1, H, W), weighs the pixels; None: all alike.

    Returns:
        A scalar in [0, 2]; near 1, without a gradient, for a content of one colour.
    """
    layout = Layout(content, mask)
    return layout.losses(layout.cells(picture))[0]


def color_layout_loss(picture: Tensor, content: Tensor, mask: Tensor | None = None) -> Tensor:
    """How little a picture's colours lie where the content's do.

    As `layout_loss`, of both differences of colour, red and blue less luma, together: 0 if all
    that is warmer than the rest in the content is so in the picture, however saturated. A content
    in its style's tones has the style's colours by light and dark; a Gram loss alone spreads them
    in blotches over shirts and walls, and over teeth.

    Args:
        picture, content, mask: as `layout_loss`.

    Returns:
        A scalar in [0, 2]; near 1, without a gradient, for a grey content.
    """
    layout = Layout(content, mask)
    return layout.losses(layout.cells(picture))[1]


class Layout:
    """Where light, dark and colours lie in a region of a content: what the layout losses compare.

    Args:
        content: (1, 3, H, W) in [0, 1].
        mask: (1, 1, H, W), weighs the pixels; None: all alike.
    """

    def __init__(self, content: Tensor, mask: Tensor | None = None) -> None:
        self._mask = torch.ones_like(content[:, :1]) if mask is None else mask
        height, width = content.shape[2:]
        scale = min(1.0, _LAYOUT_CELLS / max(height, width))
        # (cells, pixels), one for rows and one for columns.
        self._rows = _triangles(height, max(1, round(height * scale))).to(content)
        self._columns = _triangles(width, max(1, round(width * scale))).to(content)
        area = self._rows @ self._mask[0] @ self._columns.T
        self._area = area.clamp_min(1e-6)
        self._weights = area / area.sum().clamp_min(1e-6)
        self._centred = self._centre(self.cells(content))

    def cells(self, picture: Tensor, rows: slice = slice(None)) -> Tensor:
        """What a picture, or a band of its rows, adds to the cells: (3, h, w).

        Args:
            picture: (1, 3, H', W) in [0, 1].
            rows: its place in the whole picture.
        """
        return self._rows[:, rows] @ (picture * self._mask[:, :, rows])[0] @ self._columns.T

    def losses(self, cells: Tensor) -> tuple[Tensor, Tensor]:
        """`layout_loss` and `color_layout_loss` of a picture with these cells in all."""
        ours = self._centre(cells)
        light, colors = slice(0, 1), slice(1, 3)
        return self._apart(ours, light), self._apart(ours, colors)

    def _centre(self, cells: Tensor) -> Tensor:
        """(3, h, w), luma, and red and blue less it, from their means over the region."""
        # Averages of what lies in the region; its surroundings do not shine in.
        inside = cells / self._area
        luma = luminance(inside[None])[0]
        planes = torch.cat([luma, inside[0:1] - luma, inside[2:3] - luma])
        return planes - (planes * self._weights).sum((1, 2), keepdim=True)

    def _apart(self, ours: Tensor, planes: slice) -> Tensor:
        picture, content = ours[planes], self._centred[planes]
        covariance = (picture * content * self._weights).sum()
        variances = [(values.square() * self._weights).sum() for values in (picture, content)]
        return 1 - covariance / (variances[0] * variances[1] + _LEAST_LAYOUT).sqrt()


def _triangles(pixels: int, cells: int) -> Tensor:
    """(cells, pixels), averages over cells that overlap: disjoint ones would leave a grid.

    Triangles twice a cell's size, as in bilinear interpolation with antialiasing.
    """
    size = pixels / cells
    centres = (torch.arange(cells) + 0.5) * size
    distance = (torch.arange(pixels) + 0.5 - centres[:, None]).abs() / size
    weights = (1 - distance).clamp_min(0)
    return weights / weights.sum(1, keepdim=True)
