"""Pictures at other sizes: means by hand, sizes to the pixel, values in range."""

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from pipeline.pictures.resize import enlarged_rows, resize, shrink


def test_the_same_size_is_the_same_picture(content: Tensor) -> None:
    assert shrink(content, 1) is content
    assert resize(content, (61, 83)) is content


@pytest.mark.parametrize(("factor", "size"), [(2, (30, 42)), (3, (20, 28)), (8, (16, 16))])
def test_shrunk_sides_are_rounded_and_not_too_small(
    factor: int, size: tuple[int, int], content: Tensor
) -> None:
    assert shrink(content, factor).shape == (1, 3, *size)


def test_shrinking_averages() -> None:
    checks = (torch.arange(40).view(-1, 1) + torch.arange(60)).remainder(2).float()[None, None]
    inner = shrink(checks, 2)[..., 2:-2, 2:-2]
    torch.testing.assert_close(inner, torch.full_like(inner, 0.5))


@pytest.mark.parametrize("size", [(30, 41), (100, 150)])
def test_values_stay_in_range(size: tuple[int, int], stripes: Tensor) -> None:
    found = resize(stripes, size)
    assert found.shape == (1, 3, *size)
    assert float(found.min()) >= 0
    assert float(found.max()) <= 1
    torch.testing.assert_close(found.mean(), stripes.mean(), atol=0.03, rtol=0)


def test_rows_are_enlarged_as_torch_does() -> None:
    values = torch.rand(1, 4, 9, 13, generator=torch.Generator().manual_seed(0))
    whole = F.interpolate(values, (40, 57), mode="bilinear")
    parts = [enlarged_rows(values, slice(top, top + 8), 40, 57) for top in range(0, 40, 8)]
    torch.testing.assert_close(torch.cat(parts, dim=2), whole, atol=1e-6, rtol=0)
