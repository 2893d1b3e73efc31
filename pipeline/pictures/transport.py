"""Transport: the map between Gaussians, of colours or of features, that moves them least.

Computed in double precision on the CPU, whatever the device: the matrices are small, and Apple's
MPS knows neither doubles nor eigenvectors.

Shapes: d channels.
"""

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

Array = npt.NDArray[np.float64]

# Eigenvalues are no smaller where they are divided by.
_LEAST = 1e-8


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


def _composed(vectors: Array, values: Array) -> Array:
    """The matrix that has these eigenvectors and -values."""
    found: Array = (vectors * values) @ vectors.T
    return found


def _exact(matrix: Tensor) -> Array:
    return np.asarray(matrix.detach().cpu().double().numpy())


def _like(matrix: Array, like: Tensor) -> Tensor:
    return torch.from_numpy(matrix).to(like)
