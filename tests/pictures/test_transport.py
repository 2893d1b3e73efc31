"""Transport: roots and maps by hand, limits."""

import pytest
import torch
from torch import Tensor

from pipeline.pictures.transport import partly, symmetric_root, transport_map


def covariance(seed: int) -> Tensor:
    """(4, 4), well conditioned."""
    generator = torch.Generator().manual_seed(seed)
    mixing = torch.eye(4) + 0.4 * torch.rand(4, 4, generator=generator)
    return (mixing @ mixing.T).double()


def test_a_root_by_hand() -> None:
    # (2 1; 1 2) has eigenvalues 1 and 3.
    root = symmetric_root(torch.tensor([[2.0, 1.0], [1.0, 2.0]]))
    a, b = (3**0.5 + 1) / 2, (3**0.5 - 1) / 2
    torch.testing.assert_close(root, torch.tensor([[a, b], [b, a]]))


def test_of_diagonal_matrices_it_is_a_gain_each() -> None:
    given, wanted = torch.diag(torch.tensor([1.0, 4.0, 9.0])), torch.diag(torch.tensor([4.0, 4, 1]))
    found = transport_map(given, wanted, 0.0, 10.0)
    assert found.dtype == torch.float32
    torch.testing.assert_close(found, torch.diag(torch.tensor([2.0, 1.0, 1 / 3])))
    bounded = transport_map(given, wanted, 0.5, 1.5)
    torch.testing.assert_close(bounded, torch.diag(torch.tensor([1.5, 1.0, 0.5])))


def test_it_takes_one_covariance_to_the_other_and_is_symmetric() -> None:
    given, wanted = covariance(0), covariance(1)
    found = transport_map(given, wanted, 0.0, 100.0)
    torch.testing.assert_close(found @ given @ found, wanted)
    torch.testing.assert_close(found, found.T)
    assert torch.linalg.eigvalsh(found).min() > 0


def test_to_itself_it_is_the_identity() -> None:
    torch.testing.assert_close(
        transport_map(covariance(2), covariance(2), 0.0, 9.0), torch.eye(4).double()
    )


@pytest.mark.parametrize("flat", [0.0, 1e-12])
def test_a_flat_direction_gives_no_infinity(flat: float) -> None:
    given = torch.diag(torch.tensor([1.0, flat]))
    found = transport_map(given, torch.eye(2), 0.0, 3.0)
    torch.testing.assert_close(found, torch.diag(torch.tensor([1.0, 3.0])))


def test_a_part_of_the_way_to_a_map_by_hand() -> None:
    slope = torch.tensor([[3.0, 1.0], [1.0, 2.0]])
    expected = torch.tensor([[1.5, 0.25], [0.25, 1.25]])
    torch.testing.assert_close(partly(slope, 0.25), expected)
    torch.testing.assert_close(partly(slope, torch.tensor(0.25)), expected)
    torch.testing.assert_close(partly(slope, 0.0), torch.eye(2))
