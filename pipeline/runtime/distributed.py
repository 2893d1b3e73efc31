"""Processes: several share the tiles of one picture out among themselves.

Each is started with the same command, as `torchrun` does, and carries out the whole run; only the
tiles are shared out, and what is computed of them added up. The first one writes the results.
"""

import atexit
import os
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeVar

from pipeline.errors import UserError

if TYPE_CHECKING:
    # The command line asks for the rank before torch is worth its seconds to import.
    import torch
    from torch import Tensor

Item = TypeVar("Item")


@dataclass(frozen=True)
class Team:
    """The processes that paint one picture together.

    Attributes:
        rank: number of this one.
        size: how many there are.
    """

    rank: int = 0
    size: int = 1

    def share(self, items: Sequence[Item]) -> Sequence[Item]:
        """The items that this process has to do."""
        return items[self.rank :: self.size]

    def add_up(self, tensors: Sequence["Tensor"]) -> None:
        """Replace each tensor by its sum over all processes."""
        if self.size == 1 or not tensors:
            return
        import torch.distributed as dist

        for tensor in tensors:
            dist.all_reduce(tensor.detach())


ALONE = Team()


def rank() -> int:
    """The number that `torchrun` has given this process; 0 without it."""
    return int(os.environ.get("RANK", 0)) if size() > 1 else 0


def size() -> int:
    """How many processes `torchrun` has started; 1 without it."""
    # Cluster schedulers set some of these, too; all of them, only torchrun does.
    if not {"RANK", "LOCAL_RANK", "WORLD_SIZE", "MASTER_ADDR"} <= os.environ.keys():
        return 1
    return int(os.environ["WORLD_SIZE"])


def own_device(device: "torch.device") -> "torch.device":
    """The device of this process: with several, each has a CUDA device of its own.

    Raises:
        UserError: there are fewer CUDA devices than processes.
    """
    if size() == 1 or device.type != "cuda" or device.index is not None:
        return device
    import torch

    number, count = int(os.environ["LOCAL_RANK"]), torch.cuda.device_count()
    if number >= count:
        raise UserError(
            f"process {number} finds no CUDA device of its own, as there are {count}; "
            f"use torchrun --nproc-per-node={max(1, count)} or device=cpu"
        )
    return torch.device("cuda", number)


def join(device: "torch.device") -> Team:
    """Meet the other processes, once; `ALONE` where there are none.

    Args:
        device: that this process computes on.
    """
    if size() == 1:
        return ALONE
    import torch
    import torch.distributed as dist

    if not dist.is_initialized():
        if device.type == "cuda":
            torch.cuda.set_device(device)
        dist.init_process_group("nccl" if device.type == "cuda" else "gloo")
        atexit.register(dist.destroy_process_group)
    return Team(rank(), size())
