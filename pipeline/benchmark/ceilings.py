"""Ceilings: what the device can do at best, and what one iteration asks of it."""

import functools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from torch.utils.flop_counter import FlopCounterMode

from pipeline.benchmark import timing
from pipeline.benchmark.textbook import Loss


def matrix_product(
    where: torch.device,
    dtype: torch.dtype,
    sides: Sequence[int],
    repeats: int = 5,
    precision: str = "highest",
) -> dict[int, float]:
    """FLOP per second of square matrix products, the best of some repeats.

    A product of two (n, n) matrices counts 2 n^3.

    Args:
        where: the device.
        dtype: of the matrices.
        sides: values of n.
        repeats: of each.
        precision: of float32 products, as `torch.set_float32_matmul_precision`; ``high`` allows
            TF32 on CUDA.

    Returns:
        n to FLOP per second; sizes whose matrices do not fit into memory are left out.
    """
    before = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision(precision)
    found = {}
    try:
        for side in sides:
            try:
                left, right = (torch.rand(side, side, device=where).to(dtype) for _ in range(2))
                product = torch.empty_like(left)
                best = _best(functools.partial(torch.mm, left, right, out=product), where, repeats)
            except torch.OutOfMemoryError:
                continue
            found[side] = 2 * side**3 / best
    finally:
        torch.set_float32_matmul_precision(before)
    return found


def copy(where: torch.device, mebibytes: int, repeats: int = 5) -> float:
    """Bytes per second, read plus written, of the device's memory in a copy; the best of repeats.

    Args:
        where: the device.
        mebibytes: what is copied; far more than the caches hold.
        repeats: how often.
    """
    source = torch.ones(mebibytes * 2**18, device=where)
    target = torch.empty_like(source)
    best = _best(lambda: target.copy_(source), where, repeats)
    return 2 * source.nbytes / best


def _best(work: timing.Work, where: torch.device, repeats: int) -> float:
    work()
    # A single product is shorter than the clock and the launch are exact.
    times = max(1, min(100, round(0.05 / max(timing.seconds(work, where), 1e-6))))

    def several() -> None:
        for _ in range(times):
            work()

    return min(timing.seconds(several, where) for _ in range(repeats)) / times


@dataclass(frozen=True)
class Work:
    """What one evaluation of a loss and its gradient asks of the device.

    Attributes:
        flop: floating point operations of convolutions and matrix products.
        bytes: what all operations read and write if nothing stays in a cache and none are fused.
    """

    flop: int
    bytes: int


def work_of(of_picture: Loss, picture: Tensor) -> Work:
    """Count one evaluation of a loss and its gradient, forwards and backwards.

    Args:
        of_picture: (1, 3, H, W) to a scalar.
        picture: (1, 3, H, W).
    """
    flop, traffic = FlopCounterMode(display=False), _Traffic()
    with flop, traffic:
        of_picture(picture.detach().clone().requires_grad_()).backward()  # type: ignore[no-untyped-call]
    return Work(flop.get_total_flops(), traffic.bytes)


class _Traffic(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Adds up the bytes of the tensors that operations read and write."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.bytes = 0

    def __torch_dispatch__(
        self, function: Any, types: Any, arguments: Any = (), options: Any = None
    ) -> Any:
        """One operation."""
        result = function(*arguments, **(options or {}))
        read = [leaf for leaf in tree_leaves((arguments, options)) if isinstance(leaf, Tensor)]
        written = [leaf for leaf in tree_leaves(result) if isinstance(leaf, Tensor)]
        places = {tensor.untyped_storage().data_ptr() for tensor in read}
        # A view moves nothing; what is changed in place is read as well as written.
        views = [t for t in written if t.untyped_storage().data_ptr() in places]
        if len(views) < len(written) or function._schema.is_mutable:
            self.bytes += sum(tensor.nbytes for tensor in [*read, *written])
        return result
