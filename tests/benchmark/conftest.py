"""A bench of tiny pictures, with random weights for VGG-19, and a clock that no load disturbs."""

import itertools
from types import SimpleNamespace

import pytest
import torch

from pipeline.benchmark import timing
from pipeline.benchmark.bench import Bench, find_vgg19


class TinyBench(Bench):
    """Takes as few samples as there can be."""

    repeats = 1  # type: ignore[assignment]
    few_and_many = (1, 2)  # type: ignore[assignment]


@pytest.fixture(scope="session")
def bench(tmp_path_factory: pytest.TempPathFactory) -> Bench:
    folder = tmp_path_factory.mktemp("weights")
    hub = torch.hub.get_dir()
    # Whatever this machine has cached, the tests run with the random weights.
    torch.hub.set_dir(str(folder))
    try:
        file, official = find_vgg19(folder)
    finally:
        torch.hub.set_dir(hub)
    assert not official
    return TinyBench(torch.device("cpu"), quick=True, size=None, vgg19=file, official=False)


@pytest.fixture(autouse=True)
def clock(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each reading is later than the last by more than the one before: no two samples are alike.

    A long run thereby takes longer than the short one before it, as it would on a machine without
    anything else to do; no sample of an iteration is negative.
    """
    readings = (number**3 for number in itertools.count())
    monkeypatch.setattr(timing, "time", SimpleNamespace(perf_counter=lambda: next(readings)))
