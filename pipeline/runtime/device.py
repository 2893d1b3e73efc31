"""The device every stage runs on."""

import torch

from pipeline.errors import UserError


def choose(name: str) -> torch.device:
    """The device for ``auto`` (CUDA, else Apple's MPS, else the CPU), ``cuda``, ``mps`` or ``cpu``.

    Raises:
        UserError: the device asked for is not on this machine.
    """
    there = {
        "cuda": torch.cuda.is_available(),
        "mps": torch.backends.mps.is_available(),
        "cpu": True,
    }
    if name == "auto":
        name = next(device for device, found in there.items() if found)
    kind, _, index = name.partition(":")
    count = torch.cuda.device_count() if kind == "cuda" else 1
    if not there.get(kind, False) or (index and not (index.isdigit() and int(index) < count)):
        found = ", ".join(device for device, available in there.items() if available)
        raise UserError(f"device={name} is not available here; use device=auto or one of: {found}")
    return torch.device(name)
