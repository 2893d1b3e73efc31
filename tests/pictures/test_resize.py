"""Pictures at other sizes: means by hand, sizes to the pixel, values in range."""

import pytest
import torch
from torch import Tensor

from pipeline.pictures.resize import resize, shrink


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
