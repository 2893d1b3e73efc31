"""Rates by a clock of even steps; counted work is what can be counted by hand."""

import itertools
from types import SimpleNamespace

import pytest
import torch
from torch import Tensor

from pipeline.benchmark import ceilings, timing

CPU = torch.device("cpu")


@pytest.fixture(autouse=True)
def second(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever is timed takes a second."""
    readings = itertools.count()
    monkeypatch.setattr(timing, "time", SimpleNamespace(perf_counter=lambda: next(readings)))


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_products_have_a_rate(dtype: torch.dtype) -> None:
    found = ceilings.matrix_product(CPU, dtype, [32, 64], repeats=1)
    assert found == {32: 2 * 32**3, 64: 2 * 64**3}


def test_what_is_short_is_repeated(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 0.0
    done = 0

    def work() -> None:
        nonlocal now, done
        now, done = now + 0.01, done + 1

    monkeypatch.setattr(timing, "time", SimpleNamespace(perf_counter=lambda: now))
    assert ceilings._best(work, CPU, repeats=2) == pytest.approx(0.01)
    assert done == 1 + 1 + 2 * 5  # to warm up, to see how long it takes, then twice 50 ms


def test_the_precision_of_products_is_put_back() -> None:
    before = torch.get_float32_matmul_precision()
    ceilings.matrix_product(CPU, torch.float32, [16], repeats=1, precision="medium")
    assert torch.get_float32_matmul_precision() == before


def test_copies_have_a_rate() -> None:
    assert ceilings.copy(CPU, 4, repeats=1) == 2 * 4 * 2**20


def test_work_by_hand() -> None:
    weights = torch.ones(5, 3)

    def loss(picture: Tensor) -> Tensor:
        return (weights @ picture.view(3, -1)).sum()

    work = ceilings.work_of(loss, torch.rand(1, 3, 2, 4))
    # (5, 3) @ (3, 8) forwards, (3, 5) @ (5, 8) backwards; nothing flows into the weights.
    assert work.flop == 2 * (2 * 5 * 3 * 8)
    forwards = 4 * (15 + 24 + 40)  # bytes of the factors and the product
    backwards = 4 * (15 + 40 + 24)
    around = work.bytes - forwards - backwards
    assert 0 < around < 4 * 40 * 4  # the sum and its gradient, which is written or expanded


def test_views_move_nothing() -> None:
    plain = ceilings.work_of(lambda picture: picture.square().sum(), torch.rand(1, 3, 8, 8))
    viewed = ceilings.work_of(
        lambda picture: picture.view(3, 64).T.square().sum(), torch.rand(1, 3, 8, 8)
    )
    assert viewed.bytes == plain.bytes
