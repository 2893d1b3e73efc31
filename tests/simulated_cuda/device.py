"""A simulated CUDA device: the project runs on a CPU as if it were on one.

A tensor "on CUDA" is a wrapper around one on the CPU, with the rules of the place it is said to be:

- it never meets a tensor of the CPU, but for one without dimensions in a pointwise operation, and
  becomes an array through ``.cpu()`` alone;
- whatever waits for the device (a value asked for, ``nonzero``, an index that is a mask, a copy) is
  counted, and refused while a step is recorded; copies from ordinary memory are, too;
- a copy to the host that does not wait holds NaN until its event has been waited for;
- a step is recorded operation by operation, leaves memory as it was, and is replayed on the same
  memory: what Python has computed once, or bound anew, shows as another result;
- an allocator that has not been told the end of a recording refuses to give up what it holds.

It cannot tell what kernels refuse, the order of streams, nor how much memory there is.

`install` changes torch itself: for processes that do nothing else.
"""

import sys
import weakref
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode

aten = torch.ops.aten
WHERE = torch.device("cuda", 0)
GIBIBYTE = 2**30


@dataclass
class Recorded:
    """One operation of a recorded step: on which memory, and which it made."""

    function: Callable[..., Any]
    args: Any
    kwargs: dict[str, Any]
    made: list[Tensor]

    def again(self) -> None:
        """Carry it out; what it makes goes where it went."""
        found = self.function(*self.args, **self.kwargs)
        if self.made:
            for old, new in zip(self.made, _tensors(found), strict=True):
                old.copy_(new)


@dataclass
class Device:
    """What happens on the device.

    Attributes:
        free: bytes, as it says.
        started: whether CUDA has been initialised.
        recording: the operations so far; None: no step is being recorded.
        spoiled: whether the recording has been asked for something that it refuses.
        pools: memory that the allocator believes to be recorded into.
        refuses: raised when a recording begins.
        in_step: whether a step is under way.
        waits: of the process for the device, by whether within a step, what, and where.
        waits_until: how many there were, iteration by iteration.
        uploads: copies from ordinary memory to the device, likewise.
        recordings, replays, streams: how many there were.
        outlived: tensors that a recorded step made and something still held afterwards, by place.
        stream: the current one.
    """

    free: int = 70 * GIBIBYTE
    started: bool = False
    recording: list[Recorded] | None = None
    spoiled: bool = False
    pools: list[Any] = field(default_factory=list)
    refuses: Exception | None = None
    in_step: bool = False
    waits: Counter[tuple[bool, str, str]] = field(default_factory=Counter)
    waits_until: list[int] = field(default_factory=list)
    uploads: Counter[tuple[bool, str, str]] = field(default_factory=Counter)
    recordings: int = 0
    replays: int = 0
    streams: int = 0
    outlived: Counter[str] = field(default_factory=Counter)
    stream: Any = None
    _before: dict[int, tuple[Any, Any]] = field(default_factory=dict)
    _made: list[tuple[Any, str]] = field(default_factory=list)
    _on_their_way: list[tuple[Tensor, Tensor]] = field(default_factory=list)
    _going_back: int = 0

    def wait(self, what: str) -> None:
        """The process waits for the device."""
        self.waits[self.in_step, what, _place()] += 1
        self.refuse(what)

    def upload(self, what: str) -> None:
        """Something is copied from ordinary memory."""
        self.started = True
        self.uploads[self.in_step, what, _place()] += 1
        self.refuse(what)

    def refuse(self, what: str) -> None:
        """It cannot be recorded."""
        if self.recording is not None:
            self.spoiled = True
            raise RuntimeError(
                f"CUDA error: operation not permitted when stream is capturing ({what})"
            )

    def note(self, function: Any, args: Any, kwargs: dict[str, Any], made: list[Tensor]) -> None:
        """Record an operation, if a step is recorded."""
        if self.recording is not None:
            self.recording.append(Recorded(function, args, kwargs, made))

    def before_writing(self, tensor: Tensor) -> None:
        """Remember memory that a recording is about to change: it does not carry anything out."""
        if self.recording is not None:
            storage = tensor.untyped_storage()
            self._before.setdefault(storage.data_ptr(), (storage, storage.clone()))

    def begin(self, pool: Any) -> None:
        """Begin to record."""
        self.recordings += 1
        if self.refuses is not None:
            raise self.refuses
        self.recording, self.spoiled = [], False
        self.pools.append(pool)

    def end(self, pool: Any) -> list[Recorded]:
        """End the recording."""
        recorded, self.recording = self.recording or [], None
        for storage, values in self._before.values():
            storage.copy_(values)
        self._before.clear()
        made, self._made = self._made, []
        if self.spoiled:
            raise RuntimeError(
                "CUDA error: operation failed due to a previous error during capture"
            )
        # State that a step binds anew is looked for by the next replay where it was before.
        self.outlived += Counter(place for tensor, place in made if tensor() is not None)
        self.pools.remove(pool)
        return recorded


device = Device()


def _place() -> str:
    """File and function of the project that is under way."""
    frame = sys._getframe()
    while frame is not None:
        _, inside, file = frame.f_code.co_filename.rpartition("/pipeline/")
        if inside:
            return f"{file}:{frame.f_code.co_name}"
        frame = frame.f_back
    return "outside"


class OnDevice(Tensor):
    """A tensor that says it were on CUDA."""

    inner: Tensor

    @staticmethod
    def __new__(cls, inner: Tensor, requires_grad: bool = False) -> "OnDevice":
        # To autograd it is on the CPU: without a driver there is no other.
        made = Tensor._make_wrapper_subclass(
            cls,
            inner.shape,
            strides=inner.stride(),
            storage_offset=inner.storage_offset(),
            dtype=inner.dtype,
            layout=inner.layout,
            device=inner.device,
            requires_grad=requires_grad,
        )
        made.inner = inner.detach()
        return made

    device = property(lambda self: WHERE)
    is_cuda = property(lambda self: True)
    is_cpu = property(lambda self: False)

    def get_device(self) -> int:
        return 0

    def __repr__(self, **kwargs: Any) -> str:
        return f"OnDevice({self.inner!r})"

    def __deepcopy__(self, memo: Any) -> "OnDevice":
        made = OnDevice(self.inner.clone(), self.requires_grad)
        if getattr(self, "_is_param", False):
            made._is_param = True
        return made

    @classmethod
    def __torch_function__(
        cls, function: Any, types: Any, args: Any = (), kwargs: Any = None
    ) -> Any:
        return _call(function, args, kwargs or {})

    @classmethod
    def __torch_dispatch__(
        cls, function: Any, types: Any, args: Any = (), kwargs: Any = None
    ) -> Any:
        return _operate(function, args, kwargs or {})


class _Calls(TorchFunctionMode):
    def __torch_function__(
        self, function: Any, types: Any, args: Any = (), kwargs: Any = None
    ) -> Any:
        return _call(function, args, kwargs or {})


class _Operations(TorchDispatchMode):
    def __torch_dispatch__(
        self, function: Any, types: Any, args: Any = (), kwargs: Any = None
    ) -> Any:
        return _operate(function, args, kwargs or {})


@contextmanager
def simulated() -> Iterator[None]:
    """Inside, what torch is asked to do on CUDA is done here."""
    with _Calls(), _Operations():
        yield


def _wrap(found: Any) -> Any:
    if not isinstance(found, Tensor) or isinstance(found, OnDevice):
        return found
    made = OnDevice(found)
    if device.recording is not None:
        device._made.append((weakref.ref(made), _place()))
    return made


def _tensors(given: Any) -> list[Tensor]:
    """All in nested lists, tuples and dictionaries: torch's own function takes most of the time."""
    if isinstance(given, Tensor):
        return [given]
    if isinstance(given, dict):
        return _tensors([*given.values()])
    if isinstance(given, list | tuple):
        return [tensor for entry in given for tensor in _tensors(entry)]
    return []


def _mapped(change: Callable[[Any], Any], given: Any) -> Any:
    """Nested lists, tuples and dictionaries, with every other value changed."""
    if isinstance(given, dict):
        return {key: _mapped(change, value) for key, value in given.items()}
    if isinstance(given, list | tuple):
        return type(given)([_mapped(change, entry) for entry in given])
    return change(given)


def _unwrap(given: Any) -> Any:
    return given.inner if isinstance(given, OnDevice) else given


def _is_cuda(where: Any) -> bool:
    return where is not None and torch.device(where).type == "cuda"


def _upload(plain: Tensor, what: str) -> Tensor:
    device.upload(what)
    return OnDevice(plain.detach().clone(), plain.requires_grad)


def _download(there: OnDevice) -> Tensor:
    device.wait("copy to the host")
    return there.inner.clone()


def _call(function: Any, args: Any, kwargs: dict[str, Any]) -> Any:
    """What concerns devices, before torch's own code sees the arguments."""
    name = getattr(function, "__name__", "")
    is_method = function is getattr(Tensor, name, None)
    with torch._C.DisableTorchFunctionSubclass():
        if function is torch.autograd.grad or function is Tensor.backward:
            device._going_back += 1
            try:
                return function(*args, **kwargs)
            finally:
                device._going_back -= 1
        first = args[0] if args else None
        if isinstance(first, OnDevice):
            if name == "cpu":
                return _download(first)
            if name == "tolist":
                return _download(first).tolist()
            if name in ("numpy", "__array__"):
                raise TypeError("can't convert cuda:0 device type tensor to numpy")
            if name == "new_tensor":
                made = torch.tensor(*args[1:], dtype=kwargs.get("dtype", first.dtype))
                return _upload(made, name)
        if name == "cuda" and is_method:
            return first if isinstance(first, OnDevice) else _upload(first, name)
        if name == "pin_memory":
            return first
        if name == "to" and is_method:
            return _to(*args, **kwargs)
        if _is_cuda(kwargs.get("device")):
            return _make(function, name, args, kwargs)
        if kwargs.pop("pin_memory", False):
            made = function(*map(_unwrap, args), **{**kwargs, "device": "cpu"})
            made.is_pinned_here = True
            return made
        return function(*args, **kwargs)


def _make(function: Any, name: str, args: Any, kwargs: dict[str, Any]) -> Tensor:
    """A tensor made on the device."""
    device.started = True
    plain = {**kwargs, "device": "cpu"}
    if name in ("tensor", "as_tensor"):
        return _upload(function(*args, **plain), name)
    args = tuple(map(_unwrap, args))
    made = function(*args, **plain)
    device.note(function, args, plain, [made])
    # What nobody has written should not be of use.
    if name == "empty" and made.is_floating_point():
        made.fill_(torch.nan)
    return _wrap(made.detach()).requires_grad_(made.requires_grad)


def _to(tensor: Tensor, *args: Any, copy: bool = False, other: Any = None, **kwargs: Any) -> Tensor:
    if args and isinstance(args[0], Tensor):
        other = args[0]
    if other is not None:
        where = WHERE if isinstance(other, OnDevice) else torch.device("cpu")
        dtype, layout = other.dtype, kwargs.get("memory_format")
    else:
        where, dtype, _, layout = torch._C._nn._parse_to(*args, **kwargs)
    if where is not None and where.type == "cuda" and not isinstance(tensor, OnDevice):
        tensor = _upload(tensor, "to")
    elif where is not None and where.type == "cpu" and isinstance(tensor, OnDevice):
        tensor = _download(tensor)
    more = {} if layout is None else {"memory_format": layout}
    return Tensor.to(tensor, dtype=dtype or tensor.dtype, copy=copy, **more)


_WAITING = {
    aten.nonzero.default,
    aten.masked_select.default,
    aten._unique2.default,
    aten.equal.default,
    aten.is_nonzero.default,
    aten._linalg_check_errors.default,
    aten._assert_async.default,
    aten.bincount.default,
    aten.repeat_interleave.Tensor,
}
_INDEXING = {
    aten.index.Tensor,
    aten.index_put_.default,
    aten.index_put.default,
    aten._index_put_impl_.default,
    aten._unsafe_index.Tensor,
}


def _operate(function: Any, args: Any, kwargs: dict[str, Any]) -> Any:
    """One operation on values."""
    tensors = _tensors((args, kwargs))
    there = [entry for entry in tensors if isinstance(entry, OnDevice)]
    if tensors and not there:
        return function(*args, **kwargs)
    if function is aten.copy_.default:
        return _copy(*args, **kwargs)
    if function is aten._local_scalar_dense.default:
        device.wait("value")
        return function(args[0].inner)
    if function in _WAITING:
        device.wait(str(function))
    indices = [i for i in args[1] if i is not None] if function in _INDEXING else []
    if any(index.dtype in (torch.bool, torch.uint8) for index in indices):
        device.wait("mask as an index")
    for index in indices:
        if not isinstance(index, OnDevice):
            device.upload("index")
    _check_places(function, [entry for entry in tensors if all(entry is not i for i in indices)])
    if not _is_cuda(kwargs.get("device")) and kwargs.get("device") is not None:
        # As C++ sees the wrappers: it means where they are.
        kwargs = {**kwargs, "device": torch.device("cpu")}
    kwargs = {key: value for key, value in kwargs.items() if key != "pin_memory"}
    plain_args, plain_kwargs = _mapped(_unwrap, args), _mapped(_unwrap, kwargs)
    for written in _written(function, plain_args, plain_kwargs):
        device.before_writing(written)
    found = function(*plain_args, **plain_kwargs)
    # Autograd makes zeros and ones in C++, which takes our tensors for the CPU's.
    if not there and not (device._going_back and not tensors):
        return found
    if not function.is_view:
        made = [] if function._schema.is_mutable else _tensors(found)
        device.note(function, plain_args, plain_kwargs, made)
    # In place the tensor itself comes back.
    same = {id(_unwrap(entry)): entry for entry in there}
    return _mapped(lambda out: same[id(out)] if id(out) in same else _wrap(out), found)


def _check_places(function: Any, tensors: list[Tensor]) -> None:
    """Refuse operations on tensors of both devices."""
    here = [entry for entry in tensors if not isinstance(entry, OnDevice)]
    if len(here) == len(tensors):
        return
    tags = torch.Tag.pointwise in function.tags or function is aten.fill_.Tensor
    pointwise = tags or function in _INDEXING
    if wrong := [tuple(entry.shape) for entry in here if entry.dim() > 0 or not pointwise]:
        raise RuntimeError(
            "Expected all tensors to be on the same device, but found at least two devices, "
            f"cuda:0 and cpu! ({function}, {wrong}, {_place()})"
        )


def _written(function: Any, args: Any, kwargs: dict[str, Any]) -> list[Tensor]:
    """The tensors that an operation changes."""
    if not function._schema.is_mutable:
        return []
    found = []
    for position, argument in enumerate(function._schema.arguments):
        given = args[position] if position < len(args) else kwargs.get(argument.name)
        if argument.alias_info is not None and argument.alias_info.is_write:
            found += _tensors(given)
    return found


def _copy(target: Tensor, source: Tensor, non_blocking: bool = False) -> Tensor:
    if isinstance(target, OnDevice):
        if not isinstance(source, OnDevice) and source.dim() > 0:
            device.upload("copy")
        device.before_writing(target.inner)
        target.inner.copy_(_unwrap(source))
        device.note(aten.copy_.default, (target.inner, _unwrap(source)), {}, [])
        return target
    if non_blocking and getattr(target, "is_pinned_here", False):
        device._on_their_way.append((target, source.inner.clone()))
        return target.fill_(torch.nan)
    device.wait("copy to the host")
    return target.copy_(source.inner)


class Stream:
    """As ``torch.cuda.Stream``; operations are carried out at once."""

    def __init__(self, where: Any = None) -> None:
        device.started = True
        device.streams += 1
        self.device = WHERE

    def wait_stream(self, other: "Stream") -> None: ...

    def is_capturing(self) -> bool:
        return device.recording is not None


@contextmanager
def _stream(chosen: Stream) -> Iterator[None]:
    before, device.stream = device.stream, chosen
    try:
        yield
    finally:
        device.stream = before


class Event:
    """As ``torch.cuda.Event``: copies have arrived when it has been waited for."""

    def __init__(self) -> None:
        self._copies: list[tuple[Tensor, Tensor]] = []
        self._asked = 0

    def record(self, stream: Any = None) -> None:
        device.refuse("event")
        self._copies, device._on_their_way = device._on_their_way, []

    def query(self) -> bool:
        self._asked += 1
        return self._asked > 3

    def synchronize(self) -> None:
        for target, values in self._copies:
            target.copy_(values)


class CUDAGraph:
    """As ``torch.cuda.CUDAGraph``."""

    def __init__(self) -> None:
        self.recorded: list[Recorded] = []

    def replay(self) -> None:
        assert self.recorded, "nothing has been recorded"
        device.replays += 1
        for operation in self.recorded:
            operation.again()


class Graph:
    """As ``torch.cuda.graph``, which leaves its stream the current one when its end fails."""

    def __init__(
        self, graph: CUDAGraph, pool: Any, stream: Stream, capture_error_mode: str = "global"
    ) -> None:
        assert capture_error_mode == "thread_local"
        self._graph, self._pool, self._stream = graph, pool, stream

    def __enter__(self) -> None:
        assert self._stream is not DEFAULT, "the default stream cannot be recorded"
        self._before, device.stream = device.stream, self._stream
        device.begin(self._pool)

    def __exit__(self, *error: object) -> None:
        self._graph.recorded = device.end(self._pool)
        device.stream = self._before


DEFAULT = Stream()


def _reset_peak(where: Any) -> None:
    # With a number it does not start CUDA.
    if not device.started and torch.device(where).index is not None:
        raise RuntimeError("Invalid device argument ")


def _empty_cache() -> None:
    if device.pools:
        raise RuntimeError("captures_underway.empty() INTERNAL ASSERT FAILED")


def _end_allocation(index: int, pool: Any) -> None:
    with suppress(ValueError):
        device.pools.remove(pool)
        return
    raise RuntimeError("endAllocatePool: not currently recording to mempool_id")


def _start() -> None:
    device.started = True


def install() -> None:
    """Make torch say that there is a CUDA device, for the rest of this process."""
    # As it does for parameters that change their device.
    torch.__future__.set_overwrite_module_params_on_conversion(True)
    device.stream, device.started, device.streams = DEFAULT, False, 0
    replaced: dict[str, Any] = {
        "is_available": lambda: True,
        "is_initialized": lambda: device.started,
        "device_count": lambda: 1,
        # Three functions: torch itself looks some of these up by what they are.
        "init": lambda: _start(),
        "_lazy_init": lambda: _start(),
        "set_device": lambda where: _start(),
        "current_device": lambda: 0,
        "get_device_name": lambda where=None: "simulated",
        "get_device_capability": lambda where=None: (8, 0),
        "mem_get_info": lambda where=None: (device.free, 80 * GIBIBYTE),
        "memory_reserved": lambda where=None: 2**20,
        "memory_allocated": lambda where=None: 2**20,
        "max_memory_allocated": lambda where=None: 2**20,
        "reset_peak_memory_stats": _reset_peak,
        "empty_cache": _empty_cache,
        "synchronize": lambda where=None: device.wait("synchronize"),
        "current_stream": lambda where=None: device.stream,
        "graph_pool_handle": object,
        "stream": _stream,
        "graph": Graph,
        "Stream": Stream,
        "Event": Event,
        "CUDAGraph": CUDAGraph,
    }
    for name, value in replaced.items():
        setattr(torch.cuda, name, value)
    torch._C._cuda_endAllocateToPool = _end_allocation
    torch._C._cuda_releasePool = lambda index, pool: None
    torch.accelerator.current_accelerator = lambda check_available=False: torch.device("cuda")
    torch.accelerator.current_stream = lambda where=None: device.stream
