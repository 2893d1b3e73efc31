"""Precision: in which numbers networks compute."""

import copy
import platform
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Literal

import torch
from torch import nn

from pipeline.networks.pyramid import PyramidEncoder

Precision = Literal["auto", "float32", "tf32", "bfloat16"]

#: First generation of NVIDIA's devices (Ampere) with bfloat16 and TF32 in its matrix units.
_AMPERE = (8, 0)
#: Whether sums of products may be rounded to half precision before they are complete.
_HALVES = ("allow_bf16_reduced_precision_reduction", "allow_fp16_reduced_precision_reduction")
_CPU_INSTRUCTIONS = ("avx512_bf16", "amx_bf16")


def choose(precision: Precision, device: torch.device) -> Precision:
    """What ``auto`` means on a device: bfloat16 where its matrix units have it, else float32."""
    if precision != "auto":
        return precision
    return "bfloat16" if has_fast_bfloat16(device) else "float32"


def dtype(precision: Precision, device: torch.device) -> torch.dtype:
    """In which a network's features are held; ``auto`` as `choose`."""
    return torch.bfloat16 if choose(precision, device) == "bfloat16" else torch.float32


def has_fast_bfloat16(device: torch.device) -> bool:
    """Whether products of bfloat16 are faster there than those of float32."""
    if device.type == "cuda":
        return torch.version.hip is not None or torch.cuda.get_device_capability(device) >= _AMPERE
    if device.type == "cpu":
        there = {name for name in _CPU_INSTRUCTIONS if _cpu_capabilities().get(name, False)}
        # Intel's vector instruction is slower than float32, by a half where it was measured.
        return "amx_bf16" in there or ("avx512_bf16" in there and "AMD" in _cpu_vendor())
    return False


def _cpu_vendor() -> str:
    """What the system says of the processor; ``AuthenticAMD`` or ``GenuineIntel`` is in it."""
    listed = Path("/proc/cpuinfo")
    return listed.read_text(errors="replace") if listed.is_file() else platform.processor()


def _cpu_capabilities() -> dict[str, bool]:
    # Public since torch 2.9 or so; before that the same was known under private names.
    if hasattr(torch.cpu, "get_capabilities"):
        return dict(torch.cpu.get_capabilities())
    found = {}
    for name, question in zip(
        _CPU_INSTRUCTIONS, ("_is_avx512_bf16_supported", "_is_amx_tile_supported"), strict=True
    ):
        ask = getattr(torch.cpu, question, None)
        found[name] = bool(ask is not None and ask())
    return found


@contextmanager
def tf32(allowed: bool) -> Iterator[None]:
    """How CUDA rounds within products and convolutions, inside.

    Factors in float32 to 10 bits, or not at all. Sums of products in half precision not before
    they are complete, whatever is allowed: by itself CUDA adds up parts of them in half precision,
    and a Gram matrix is a sum over hundreds of thousands.

    It holds for the whole process; afterwards all is as it was before.

    Args:
        allowed: whether float32 may be rounded.
    """
    products, convolutions = torch.backends.cuda.matmul, torch.backends.cudnn
    places: tuple[object, object]
    value: str | bool
    if hasattr(convolutions, "conv"):
        # Since torch 2.9; where this has been used, the older name cannot be read.
        places, name = (products, convolutions.conv), "fp32_precision"
        value = "tf32" if allowed else "ieee"
    else:
        places, name, value = (products, convolutions), "allow_tf32", allowed
    before = [getattr(place, name) for place in places]
    reductions = {kind: _reduction(products, kind) for kind in _HALVES}
    try:
        for place in places:
            setattr(place, name, value)
        for kind in _HALVES:
            setattr(products, kind, False)
        yield
    finally:
        for place, was in zip(places, before, strict=True):
            setattr(place, name, was)
        for kind, setting in reductions.items():
            setattr(products, kind, setting)


def _reduction(products: object, kind: str) -> bool | tuple[bool, bool]:
    """What is to be set for all to be as it is now."""
    allowed = bool(getattr(products, kind))
    # Since torch 2.10 or so there are two answers, which are set together and read one by one.
    split = getattr(products, f"{kind}_split_k", None)
    return allowed if split is None else (allowed, bool(split))


def prepared(encoder: PyramidEncoder, precision: Precision) -> PyramidEncoder:
    """A copy of an encoder that computes in a precision, channels last in memory.

    Pictures go in, and sums come out, in float32 all the same; only features are held in half
    precision. With channels last a unit's features lie side by side, as convolutions and Gram
    matrices want them.

    Args:
        encoder: in float32.
        precision: not ``auto``. ``tf32`` is prepared as ``float32``; what makes the difference is
            that its encoder computes inside `tf32`.
    """
    ready = copy.deepcopy(encoder)
    held = dtype(precision, ready.encoder.mean.device)
    for module in ready.encoder.features:
        if isinstance(module, nn.Conv2d):
            module.to(held).to(memory_format=torch.channels_last)
    return ready
