"""Reuse: what has been computed once in a process is not computed again.

Runs of a sweep share photographs, styles and networks. What depends on these alone is kept under a
key made of their contents, so that a file that has changed is never taken for what it was. On a CPU
a run that finds something here has the same result to the bit; on other devices libraries may add
up in another order, run by run.
"""

import hashlib
from collections import OrderedDict
from collections.abc import Callable, Hashable
from dataclasses import is_dataclass
from typing import TypeVar
from weakref import WeakSet

from torch import Tensor

Value = TypeVar("Value")

_stores: "WeakSet[Store]" = WeakSet()


def digest(tensor: Tensor | None) -> str:
    """SHA-256 of a tensor's shape, type and values, in hexadecimal; empty for None."""
    if tensor is None:
        return ""
    plain = tensor.detach().cpu().contiguous()
    found = hashlib.sha256(f"{tuple(plain.shape)} {plain.dtype}".encode())
    found.update(plain.numpy().data)
    return found.hexdigest()


class Store:
    """Values by key, up to a bound on memory; what has not been asked for longest goes first.

    Values are shared by all who ask: they are not to be changed.

    Args:
        bound: bytes of the tensors in the values; a value that is larger is not kept.
    """

    def __init__(self, bound: int) -> None:
        self._bound = bound
        self._values: OrderedDict[Hashable, tuple[object, int]] = OrderedDict()
        _stores.add(self)

    def get(self, key: Hashable, make: Callable[[], Value]) -> Value:
        """The value under a key, made now if it is not there.

        Args:
            key: all that the value depends on.
            make: makes it.
        """
        if key in self._values:
            self._values.move_to_end(key)
            return self._values[key][0]  # type: ignore[return-value]
        value = make()
        size = _bytes(value)
        if size <= self._bound:
            self._values[key] = value, size
        while self.size > self._bound:
            self._values.popitem(last=False)
        return value

    @property
    def size(self) -> int:
        """Bytes of all tensors kept."""
        return sum(size for _, size in self._values.values())

    def clear(self) -> None:
        """Forget everything."""
        self._values.clear()


def forget_all() -> None:
    """Empty every store of this process: what they hold is dear where the memory has run out."""
    for store in _stores:
        store.clear()


def _bytes(value: object) -> int:
    """Bytes of the tensors in nested dictionaries, lists, tuples and dataclasses."""
    if isinstance(value, Tensor):
        return value.numel() * value.element_size()
    if is_dataclass(value):
        return sum(map(_bytes, vars(value).values()))
    if isinstance(value, dict):
        return sum(map(_bytes, value.values()))
    return sum(map(_bytes, value)) if isinstance(value, list | tuple) else 0
