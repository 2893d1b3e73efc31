"""Transport: the map between Gaussians, of colours or of features, that moves them least.

Computed in double precision on the CPU, whatever the device: the matrices are small, and Apple's
MPS knows neither doubles nor eigenvectors.

Shapes: d channels.
"""

from collections.abc import Callable

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

Array = npt.NDArray[np.float64]
#: Finds the map between two covariances within bounds of its gains, as `transport_map`.
Between = Callable[[Tensor, Tensor, float, float], Tensor]

# Eigenvalues are no smaller where they are divided by.
_LEAST = 1e-8
#: Newton-Schulz doubles the exact digits at each step once it is near; far from it each step halves
#: the distance to 1 of the smallest eigenvalue's root, at worst a ten-thousandth of the largest's.
STEPS = 40
#: Added to a matrix's size, that nothing is divided by 0, and, as a share of that, to its
#: eigenvalues, that it has an inverse.
LEAST_SIZE, LEAST_ROOT = 1e-12, 1e-9


def symmetric_root(matrix: Tensor) -> Tensor:
    """(d, d), the symmetric root of a symmetric positive matrix."""
    values, vectors = np.linalg.eigh(_exact(matrix))
    return _like(_composed(vectors, np.sqrt(np.maximum(values, 0))), matrix)


def transport_map(given: Tensor, wanted: Tensor, least: float, most: float) -> Tensor:
    """The optimal transport map between two Gaussians, within limits.

    ``C^(-1/2) (C^(1/2) S C^(1/2))^(1/2) C^(-1/2)`` takes covariance C to S with the least change;
    whitening and colouring, which has the same moments, turns them besides.

    Args:
        given, wanted: (d, d), the covariances C and S.
        least, most: bounds of its gains, which are its eigenvalues.

    Returns:
        (d, d), symmetric.
    """
    values, vectors = np.linalg.eigh(_exact(given))
    deviations = np.sqrt(np.maximum(values, _LEAST))
    root, inverse = _composed(vectors, deviations), (vectors / deviations) @ vectors.T
    inner, axes = np.linalg.eigh(root @ _exact(wanted) @ root)
    exact = inverse @ _composed(axes, np.sqrt(np.maximum(inner, 0))) @ inverse
    gains, directions = np.linalg.eigh((exact + exact.T) / 2)
    return _like(_composed(directions, np.clip(gains, least, most)), given)


def partly(slope: Tensor, strength: float | Tensor) -> Tensor:
    """A part of the way to a map (McCann's interpolation).

    Args:
        slope: (d, d), the map.
        strength: 0 for none of it, which is the identity, 1 for all.

    Returns:
        (d, d).
    """
    return strength * slope + (1 - strength) * torch.eye(len(slope)).to(slope)


def root_by_products(matrix: Tensor) -> tuple[Tensor, Tensor]:
    """The root of a symmetric positive matrix, and the root's inverse, without eigenvectors.

    The coupled iteration of Newton and Schulz (Higham 2008, Functions of Matrices, eq. 6.35).

    Args:
        matrix: (d, d), double precision.
    """
    one = torch.eye(len(matrix), dtype=matrix.dtype)
    size = torch.sqrt((matrix * matrix).sum()) + LEAST_SIZE
    root, inverse = matrix / size + LEAST_ROOT * one, one
    for _ in range(STEPS):
        step = (3 * one - inverse @ root) / 2
        root, inverse = root @ step, step @ inverse
    return root * size.sqrt(), inverse / size.sqrt()


def _composed(vectors: Array, values: Array) -> Array:
    """The matrix that has these eigenvectors and -values."""
    found: Array = (vectors * values) @ vectors.T
    return found


def _exact(matrix: Tensor) -> Array:
    return np.asarray(matrix.detach().cpu().double().numpy())


def _like(matrix: Array, like: Tensor) -> Tensor:
    return torch.from_numpy(matrix).to(like)
