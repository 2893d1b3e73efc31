"""How much memory there is, and was used."""

import os
import platform
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import psutil
import pytest
import torch

from pipeline.runtime import memory

CPU = torch.device("cpu")


def test_a_containers_limit_counts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    machine = memory.free_bytes(CPU)
    monkeypatch.setattr(memory, "_CONTROL_GROUP", tmp_path)
    (tmp_path / "memory.current").write_text("1000\n")
    (tmp_path / "memory.max").write_text("5000\n")
    (tmp_path / "memory.stat").write_text("anon 600\ninactive_file 300\nactive_file 100\n")
    assert memory.free_bytes(CPU) == 4300
    (tmp_path / "memory.max").write_text("max\n")
    assert memory.free_bytes(CPU) > machine / 2


def test_the_peak_is_this_processs_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    status = tmp_path / "status"
    status.write_text("Name:\tpython\nVmPeak:\t 4000 kB\nVmHWM:\t    1234 kB\nVmRSS:\t 1000 kB\n")
    monkeypatch.setattr(memory, "_STATUS", status)
    assert memory.peak_bytes() == 1234 * 1024


@pytest.mark.parametrize(
    ("platform", "expected"), [("linux", 5000 * 1024), ("darwin", 5000), ("win32", 6000)]
)
def test_the_peak_where_there_is_no_proc(
    platform: str, expected: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    used = SimpleNamespace(ru_maxrss=5000)
    resource = SimpleNamespace(RUSAGE_SELF=0, getrusage=lambda who: used)
    info = SimpleNamespace(memory_info=lambda: SimpleNamespace(peak_wset=6000))
    monkeypatch.setattr(memory, "_STATUS", tmp_path / "status")
    monkeypatch.setattr(memory.sys, "platform", platform)
    monkeypatch.setattr(memory.psutil, "Process", lambda: info)
    monkeypatch.setitem(sys.modules, "resource", resource)
    assert memory.peak_bytes() == expected


def test_the_peak_is_no_less_than_what_is_held_now() -> None:
    held = psutil.Process().memory_info().rss
    assert held / 2 < memory.peak_bytes() < 2**44


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2 GiB"), True),
        (RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory: 8 bytes"), True),
        (RuntimeError("not enough memory: you tried to allocate 9 bytes."), True),
        (RuntimeError("input tensor must fit into 32-bit index math"), True),
        (RuntimeError("mat1 and mat2 shapes cannot be multiplied"), False),
        (MemoryError(), True),
        (ValueError("out of memory"), False),
    ],
)
def test_what_counts_as_out_of_memory(error: Exception, expected: bool) -> None:
    assert memory.is_out_of_memory(error) == expected


@pytest.mark.skipif(sys.platform != "linux", reason="other C libraries give it back themselves")
def test_what_is_not_used_goes_back_to_the_system() -> None:
    # Below the size from which each block is the system's own; the last one keeps the others there.
    blocks = [bytearray(60_000) for _ in range(3000)]
    used = psutil.Process().memory_info().rss
    last = blocks[-1]
    del blocks
    memory.give_back()
    assert psutil.Process().memory_info().rss < used - 100 * 2**20
    assert len(last) == 60_000


def test_elsewhere_nothing_is_called(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(memory.sys, "platform", "win32")
    monkeypatch.setattr(memory.ctypes, "CDLL", None)
    memory.give_back()
    with memory.keeping_freed():
        pass


@pytest.mark.skipif(
    sys.platform != "linux" or platform.libc_ver()[0] != "glibc", reason="of glibc alone"
)
def test_freed_memory_is_kept_meanwhile() -> None:
    script = """
import resource
import torch
from pipeline.runtime import memory

def faults(elements):
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(10):
        torch.empty(elements).fill_(1.0)
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before

with memory.keeping_freed():
    faults(2**24)
    kept = faults(2**24)
print(kept, faults(2**25))
"""
    # Of ten tensors of 64 MiB, then of 128 MiB; a huge page is one fault, of 2 MiB.
    environment = {k: v for k, v in os.environ.items() if not k.startswith(("MALLOC_", "GLIBC_"))}
    command = [sys.executable, "-c", script]
    found = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    kept, given_back = map(int, found.stdout.split())
    assert kept < 32 < 10 * 64 <= given_back
