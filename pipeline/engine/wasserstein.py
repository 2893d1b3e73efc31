"""Wasserstein: the distance of two Gaussians, a style loss beside the Gram matrices'.

A style is the mean and the covariance of a layer's features, and the loss the squared 2-Wasserstein
distance of the Gaussians that have them (Olkin and Pukelsheim 1982; as a style loss Vacher et al.
2020 and K. Crowson's style-transfer-pytorch). Both are sums over units, as a Gram matrix is.

Shapes: N channels, R directions, S batch of matrices.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

#: Directions in which covariances are compared as matrices. Of the bundled encoder's layers, which
#: have 64 to 512 channels, they hold 95 to 100% of the variance; a root in all of 512 would take
#: longer than the encoder.
DIRECTIONS = 128
#: Variance that is added to both Gaussians in every direction, as a share of the target's largest:
#: the root's gradient is infinite where there is none, and a region of few units has little.
_BLUR = 1e-3
# Roots of matrices are taken down to this share of the largest eigenvalue's root.
_LOWEST = 1e-3


@dataclass(frozen=True)
class Gaussian:
    """A style's features at one layer: what `distances` compares with.

    Attributes:
        mean: (N,).
        energy: a scalar, ``tr T + |mu|^2``, the mean square of its features.
        directions: (N, R), the eigenvectors of its covariance T with the largest eigenvalues; 0
            where these are below the blur.
        variances: (R,), the eigenvalues, blurred, the smallest first.
        rest: a scalar, the variance in all other directions, blurred.
        blur: a scalar.
    """

    mean: Tensor
    energy: Tensor
    directions: Tensor
    variances: Tensor
    rest: Tensor
    blur: Tensor

    @staticmethod
    def of(moments: Tensor, most: int = DIRECTIONS) -> "Gaussian":
        """The Gaussian of some features.

        Args:
            moments: (N + 1, N), averages over units of ``F_i F_j`` and, in the last row, of ``F_i``
                (`layer_sums.LayerQuery.moments`).
            most: R at most.
        """
        # Apple's MPS knows neither doubles nor eigenvectors; it happens once a scale.
        where = "cpu" if moments.device.type == "mps" else moments.device
        exact = moments.to(where, torch.float64)
        second, mean = exact[:-1], exact[-1]
        values, vectors = torch.linalg.eigh(second - torch.outer(mean, mean))
        values = values.clamp_min(0)
        # Without any variance nothing but the mean counts; the blur keeps the root finite.
        blur = _BLUR * values[-1] + 1e-6 * mean.square().mean() + 1e-12
        # Without variance, which vectors are found is chance: these count as the rest.
        kept = torch.where(values[-most:] > blur, values[-most:], 0)
        found = (
            mean,
            second.trace().clamp_min(1e-12),
            vectors[:, -most:] * (kept > 0),
            kept + blur,
            values.sum() - kept.sum() + blur,
            blur,
        )
        return Gaussian(*(tensor.to(moments.device, moments.dtype) for tensor in found))


def distances(moments: Sequence[Tensor], targets: Sequence[Gaussian]) -> list[Tensor]:
    """Squared 2-Wasserstein distances as shares of the targets' energies.

    ``(|mu_s - mu_t|^2 + tr S + tr T - 2 tr (T^1/2 S T^1/2)^1/2) / (tr T + |mu_t|^2)``: 0 is the
    style itself, 1 an empty picture, whatever the encoder and layer.

    S and T are compared as matrices in T's first `DIRECTIONS` directions; of all others the whole
    variances s and t are, by ``(s^1/2 - t^1/2)^2``, the least that Gaussians of such variances can
    be apart. Both covariances are blurred by a thousandth of T's largest eigenvalue. Neither is in
    the papers, which have all directions and a small number on the diagonal.

    Args:
        moments: (N + 1, N) each, as `Gaussian.of`.
        targets: as many.

    Returns:
        A scalar each.
    """
    means, traces, products, least = [], [], [], []
    for found, target in zip(moments, targets, strict=True):
        second, mean = found[:-1], found[-1]
        means.append((mean - target.mean).square().sum())
        turned = mean @ target.directions
        inside = target.directions.T @ (second @ target.directions) - torch.outer(turned, turned)
        variances = inside.diagonal() + target.blur
        all_of_it = second.diagonal().sum() - mean.square().sum()
        rest = (all_of_it - inside.diagonal().sum()).clamp_min(0) + target.blur
        beyond = (rest.sqrt() - target.rest.sqrt()).square()
        traces.append((variances + target.variances).sum() + beyond)
        # In T's own directions T^1/2 is a diagonal, which is multiplied with by elements.
        roots = target.variances.sqrt()
        blurred = inside + torch.diag_embed(target.blur.expand_as(roots))
        products.append(blurred * torch.outer(roots, roots))
        least.append(target.blur * target.variances[0])
    common = _root_traces_by_size(products, least)
    return [
        (mean + trace - 2 * root) / target.energy
        for mean, trace, root, target in zip(means, traces, common, targets, strict=True)
    ]


def _root_traces_by_size(matrices: Sequence[Tensor], least: Sequence[Tensor]) -> list[Tensor]:
    """`root_traces`, of matrices of the same size at once."""
    sizes = dict.fromkeys(len(matrix) for matrix in matrices)
    found: dict[int, Tensor] = {}
    for size in sizes:
        chosen = [k for k, matrix in enumerate(matrices) if len(matrix) == size]
        bounds = torch.stack([least[k] for k in chosen])
        roots = root_traces(torch.stack([matrices[k] for k in chosen]), bounds)
        found |= zip(chosen, roots.unbind(), strict=True)
    return [found[k] for k in range(len(matrices))]


def root_traces(matrices: Tensor, least: Tensor) -> Tensor:
    """``tr A^1/2`` of symmetric positive matrices.

    By the coupled Newton-Schulz iteration, which finds A^1/2 and A^-1/2 together (Higham 2008,
    equation 6.35), its steps scaled to the eigenvalues that are left (Chen and Chow 2014). The
    gradient is ``A^-1/2 / 2``: nothing goes back through the iteration.

    Args:
        matrices: (S, R, R).
        least: (S,), what their eigenvalues are at least. Where that is less than a millionth of a
            matrix's norm, its eigenvalues are raised by the difference: on those that rounding
            leaves below 0 the iteration diverges.

    Returns:
        (S,).
    """
    found = _RootTraces.apply(matrices, least)
    assert isinstance(found, Tensor)
    return found


class _RootTraces(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, matrices: Tensor, least: Tensor) -> Tensor:
        roots, inverse = _roots(matrices, least)
        ctx.save_for_backward(inverse)
        return roots.diagonal(dim1=1, dim2=2).sum(1)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, upstream: Tensor) -> tuple[Tensor, None]:
        (inverse,) = ctx.saved_tensors
        return inverse * (upstream / 2)[:, None, None], None


def _steps() -> list[float]:
    """The factor alpha of each step: ``p(x) = alpha x (3 - alpha^2 x^2) / 2`` of a root's values.

    It takes [l, 1] into [p(l), 1] with the largest p(l).
    """
    low, factors = _LOWEST, []
    while low < 1 - 1e-6:
        factors.append(math.sqrt(3 / (1 + low + low**2)))
        low = factors[-1] * low * (3 - (factors[-1] * low) ** 2) / 2
    return factors


_STEPS = _steps()


def _roots(matrices: Tensor, least: Tensor) -> tuple[Tensor, Tensor]:
    """A^1/2 and A^-1/2 of (S, R, R); arguments as `root_traces`."""
    identity = torch.eye(matrices.shape[1], dtype=matrices.dtype, device=matrices.device)
    norm = torch.linalg.matrix_norm(matrices).clamp_min(1e-30)
    floor = (_LOWEST**2 - least / norm).clamp_min(0)[:, None, None]
    norm = norm[:, None, None]
    root, inverse = matrices / norm + floor * identity, identity.expand_as(matrices)
    for alpha in _STEPS:
        change = torch.baddbmm(identity, inverse, root, beta=1.5 * alpha, alpha=-0.5 * alpha**3)
        root, inverse = root @ change, change @ inverse
    return root * norm.sqrt(), inverse / norm.sqrt()
