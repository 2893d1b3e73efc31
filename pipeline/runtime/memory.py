"""Memory: how much there is, how much a picture needs, and how it is cut to fit."""

import ctypes
import logging
import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import psutil
import torch

log = logging.getLogger(__name__)

_TOO_LARGE = (
    "out of memory",
    "not enough memory",
    "can't allocate memory",
    # CUDA's reflection padding, of 2^31 elements and more.
    "32-bit index",
)
# Options of glibc's mallopt, as malloc.h numbers them.
_TRIM_THRESHOLD, _MMAP_THRESHOLD = -1, -3
_CONTROL_GROUP = Path("/sys/fs/cgroup")
_STATUS = Path("/proc/self/status")


def is_out_of_memory(error: BaseException) -> bool:
    """Whether an error says that the device, or the machine, has no memory left.

    Or that a tensor has more elements than a kernel can count: smaller parts are the answer, too.
    """
    if isinstance(error, torch.OutOfMemoryError | MemoryError):
        return True
    text = str(error).lower()
    return isinstance(error, RuntimeError) and any(words in text for words in _TOO_LARGE)


def free_bytes(device: torch.device) -> int:
    """Memory that could still be had: of the device, or of the machine (or container) on a CPU."""
    if device.type == "cuda":
        free, _ = torch.cuda.mem_get_info(device)
        unused = torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)
        return int(free + unused)
    available = int(psutil.virtual_memory().available)
    try:
        limit = (_CONTROL_GROUP / "memory.max").read_text().strip()
        used = int((_CONTROL_GROUP / "memory.current").read_text())
        lines = (_CONTROL_GROUP / "memory.stat").read_text().splitlines()
        counts = dict(line.split() for line in lines)
        # Files that have been read count as used, and are given up for whoever needs the memory.
        used -= int(counts.get("inactive_file", 0))
    except (OSError, ValueError):
        return available
    return min(available, int(limit) - used) if limit.isdigit() else available


def give_back() -> None:
    """Give the system what is no longer used.

    glibc keeps freed memory between what is still used, more of it from run to run: 11% more after
    200 runs of a process than after ten. Other C libraries have no such call.
    """
    _tell_glibc("malloc_trim", 0)


@contextmanager
def keeping_freed() -> Iterator[None]:
    """Meanwhile freed memory is kept for the next tensor.

    glibc maps and unmaps each large tensor, and the system clears every page of it: a network that
    is run once spends a quarter of its time there. Not for an optimisation of large pictures: gaps
    between tensors of many sizes would remain, half as much again as what they take. Other C
    libraries have no such call.
    """
    _set_thresholds(trim=2**31 - 1, mapped=2**30)
    try:
        yield
    finally:
        # Where glibc's own end that move with what is freed.
        _set_thresholds(trim=2**26, mapped=2**25)


def _set_thresholds(trim: int, mapped: int) -> None:
    """How much freed memory is kept, and from which size on each tensor is mapped, in bytes."""
    _tell_glibc("mallopt", _TRIM_THRESHOLD, trim)
    _tell_glibc("mallopt", _MMAP_THRESHOLD, mapped)


def _tell_glibc(function: str, *values: int) -> None:
    """Call one of its own functions; nothing with another C library."""
    if sys.platform == "linux":
        with suppress(OSError, AttributeError):
            getattr(ctypes.CDLL(None), function)(*values)


def peak_bytes() -> int:
    """The most memory that this process has held at once since it was started: resident bytes."""
    try:
        # Not getrusage: on Linux a child's begins with the peak of the process that started it.
        found = re.search(r"^VmHWM:\s+(\d+) kB$", _STATUS.read_text(), re.MULTILINE)
    except OSError:
        found = None
    if found:
        return int(found[1]) * 1024
    if sys.platform == "win32":
        return int(psutil.Process().memory_info().peak_wset)
    import resource  # Windows has none

    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024
