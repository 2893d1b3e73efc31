"""Which device is chosen, where there are some, none, and some that do not work."""

from collections.abc import Callable, Iterator
from typing import Any

import pytest
import torch

from pipeline.errors import UserError
from pipeline.runtime import device

CPU = torch.device("cpu")
ZEROS = torch.zeros


@pytest.fixture(autouse=True)
def _asked_anew() -> Iterator[None]:
    """What has been found out once a process is forgotten."""
    for cached in (device._fault, device._warn):
        cached.cache_clear()
    yield
    for cached in (device._fault, device._warn):
        cached.cache_clear()


@pytest.fixture
def machine(monkeypatch: pytest.MonkeyPatch) -> Callable[..., list[str]]:
    """Makes a machine with CUDA devices, on which kernels end in an error, or do not."""
    probed: list[str] = []

    def make(count: int, error: Exception | None = None) -> list[str]:

        def allocate(*size: int, **options: Any) -> torch.Tensor:
            probed.append(str(options.pop("device")))
            if error is not None:
                raise error
            return ZEROS(*size)

        monkeypatch.setattr(torch.cuda, "is_available", lambda: count > 0)
        monkeypatch.setattr(torch.cuda, "device_count", lambda: count)
        monkeypatch.setattr(torch.backends.mps, "is_available", lambda: False)
        monkeypatch.setattr(device.torch, "zeros", allocate)
        return probed

    return make


def test_the_best_device_that_is_there(machine: Callable[..., list[str]]) -> None:
    machine(0)
    assert device.choose("auto") == CPU
    machine(2)
    assert device.choose("auto") == torch.device("cuda")
    assert device.choose("cuda:1") == torch.device("cuda", 1)
    assert device.choose("cpu") == CPU


@pytest.mark.parametrize(
    ("count", "name"), [(0, "cuda"), (2, "cuda:2"), (2, "cuda:x"), (2, "mps"), (2, "tpu")]
)
def test_a_device_that_is_not_there(
    count: int, name: str, machine: Callable[..., list[str]]
) -> None:
    machine(count)
    with pytest.raises(UserError, match=f"^device={name} is not available here; use device=auto"):
        device.choose(name)


NO_KERNEL = RuntimeError("CUDA error: no kernel image is available for execution\nCompile with")


def test_auto_passes_over_a_device_that_does_not_work(
    machine: Callable[..., list[str]], caplog: pytest.LogCaptureFixture
) -> None:
    probed = machine(1, NO_KERNEL)
    assert [device.choose("auto") for _ in range(3)] == [CPU] * 3
    assert probed == ["cuda"]
    assert [record.getMessage() for record in caplog.records] == [
        "cuda does not work (CUDA error: no kernel image is available for execution); "
        "going on with cpu"
    ]


def test_a_device_that_is_asked_for_and_does_not_work(machine: Callable[..., list[str]]) -> None:
    machine(2, NO_KERNEL)
    with pytest.raises(UserError, match=r"^device=cuda:1 does not work \(CUDA error: no kernel"):
        device.choose("cuda:1")


def test_a_full_device_works(machine: Callable[..., list[str]]) -> None:
    machine(1, torch.OutOfMemoryError("CUDA out of memory"))
    assert device.choose("cuda") == torch.device("cuda")


def test_a_driver_that_is_too_old_is_named(
    machine: Callable[..., list[str]],
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    machine(0)

    def is_available() -> bool:
        import warnings

        warnings.warn("The NVIDIA driver is too old (found version 1).", stacklevel=1)
        return False

    monkeypatch.setattr(torch.cuda, "is_available", is_available)
    with pytest.raises(UserError, match=r"not available here \(The NVIDIA driver is too old"):
        device.choose("cuda")
    assert device.choose("auto") == CPU
    assert "cuda does not work (The NVIDIA driver is too old (found version 1))" in caplog.text


def test_each_process_tries_its_own_device(
    machine: Callable[..., list[str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    given = {"RANK": "1", "LOCAL_RANK": "1", "WORLD_SIZE": "2", "MASTER_ADDR": "localhost"}
    for name, value in given.items():
        monkeypatch.setenv(name, value)
    probed = machine(2)
    assert device.choose("auto") == device.choose("cuda") == torch.device("cuda", 1)
    # On the others it would take memory.
    assert probed == ["cuda:1"]


def test_cuda_is_started_before_its_peak_is_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    called: list[object] = []
    monkeypatch.setattr(torch.cuda, "init", lambda: called.append("init"))
    monkeypatch.setattr(torch.cuda, "current_device", lambda: 3)
    for name in ("set_device", "reset_peak_memory_stats"):
        monkeypatch.setattr(
            torch.cuda, name, lambda where, name=name: called.append((name, str(where)))
        )
    for where, number in (("cuda:1", 1), ("cuda", 3)):
        assert device.prepare(torch.device(where)) == torch.device("cuda", number)
        there = f"cuda:{number}"
        assert called == ["init", ("set_device", there), ("reset_peak_memory_stats", there)]
        called.clear()
    assert device.prepare(CPU) == CPU
    assert called == []
