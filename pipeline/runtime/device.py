"""The device every stage runs on."""

import functools
import logging
import warnings

import torch

from pipeline.errors import UserError
from pipeline.runtime.distributed import own_device
from pipeline.runtime.memory import is_out_of_memory

log = logging.getLogger(__name__)


def choose(name: str) -> torch.device:
    """The device of this process.

    ``auto`` is CUDA, else Apple's MPS, else the CPU; a device that is there but does not work (too
    old a driver, no kernels for its generation) is passed over with a warning, once a process.

    Args:
        name: ``auto``, ``cuda``, ``cuda:<number>``, ``mps`` or ``cpu``.

    Raises:
        UserError: the device asked for is not on this machine, or does not work.
    """
    kind, _, index = name.partition(":")
    there, trouble = _available()
    if kind == "auto":
        for kind in there:
            where = own_device(torch.device(kind))
            found = _fault(where)
            if not found:
                break
            trouble[kind] = found
        for kind, found in trouble.items():
            _warn(f"{kind} does not work ({found}); going on with {where.type}")
        return where
    count = torch.cuda.device_count() if kind == "cuda" and kind in there else 1
    if kind not in there or (index and not (index.isdigit() and int(index) < count)):
        why = f" ({trouble[kind]})" if kind in trouble else ""
        raise UserError(
            f"device={name} is not available here{why}; "
            f"use device=auto or one of: {', '.join(there)}"
        )
    where = own_device(torch.device(name))
    if found := _fault(where):
        raise UserError(f"device={name} does not work ({found}); use device=auto or device=cpu")
    return where


def prepare(where: torch.device) -> torch.device:
    """Make a device ready for a run: the current one of its kind, its peak of memory forgotten.

    Args:
        where: as `choose` finds it.

    Returns:
        The same, a CUDA device with its number: which one ``cuda`` means may change.
    """
    if where.type != "cuda":
        return where
    # Before that a device with a number has no statistics that could be reset.
    torch.cuda.init()  # type: ignore[no-untyped-call]
    where = torch.device(
        "cuda", torch.cuda.current_device() if where.index is None else where.index
    )
    torch.cuda.set_device(where)
    torch.cuda.reset_peak_memory_stats(where)
    return where


def _available() -> tuple[list[str], dict[str, str]]:
    """The kinds of devices that torch finds, best first; kind to why it finds none."""
    with warnings.catch_warnings(record=True) as said:
        # Torch warns of drivers that are too old, once a process.
        warnings.simplefilter("always")
        cuda = torch.cuda.is_available()
    there = {"cuda": cuda, "mps": torch.backends.mps.is_available(), "cpu": True}
    trouble = {"cuda": _first_line(said[0].message)} if said and not cuda else {}
    return [kind for kind, found in there.items() if found], trouble


@functools.cache
def _fault(where: torch.device) -> str:
    """What a tiny operation there fails with; empty if it does not. Asked once a process."""
    if where.type == "cpu":
        return ""
    try:
        # Asking for the value waits for the kernel, whose errors come late.
        torch.zeros(2, device=where).add_(1).sum().item()
    except (RuntimeError, AssertionError) as error:
        # A device that others have filled is a matter of size.
        return "" if is_out_of_memory(error) else _first_line(error)
    return ""


@functools.cache
def _warn(text: str) -> None:
    log.warning(text)


def _first_line(message: Warning | str | Exception) -> str:
    return (str(message).splitlines() or [type(message).__name__])[0].rstrip(". ")
