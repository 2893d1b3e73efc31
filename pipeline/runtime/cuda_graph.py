"""RecordedStep: steps that are recorded once on CUDA and then started as a whole.

An iteration is hundreds of small kernels; started one by one from Python, a fast device waits for
them most of the time. A recorded step (a CUDA graph) is started by one call.
"""

import functools
import logging
import sys
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import torch
from torch import Tensor

from pipeline.runtime.memory import is_out_of_memory

log = logging.getLogger(__name__)

#: Steps carried out as usual before recording, so that libraries have chosen their kernels.
WARM_UP = 3


class RecordedStep:
    """A step that is carried out again and again.

    The first `WARM_UP` calls carry it out, the next one records it, and from then on it is
    replayed; every call is one step. Where recording fails the steps go on unrecorded.

    Args:
        step: works on the same tensors every time, in place, and never asks the device for a value.
        device: where it works; anything but CUDA is never recorded.
    """

    def __init__(self, step: Callable[[], None], device: torch.device) -> None:
        self._step, self._device = step, device
        self._stream = _side_stream(device) if device.type == "cuda" else None
        self._graph: torch.cuda.CUDAGraph | None = None
        self._calls = 0

    def __call__(self) -> None:
        """One step.

        Raises:
            torch.OutOfMemoryError: as the step, while it is recorded, too.
        """
        self._calls += 1
        if self._graph is None and self._stream is not None and self._calls > WARM_UP:
            self._graph = _recorded(self._step, self._stream)
            if self._graph is None:
                self._stream = None
        if self._graph is not None:
            self._graph.replay()
        elif self._stream is None:
            self._step()
        else:
            # Recording wants the memory of a stream that is not the default one.
            self._stream.wait_stream(torch.cuda.current_stream(self._device))
            with torch.cuda.stream(self._stream):
                self._step()
            torch.cuda.current_stream(self._device).wait_stream(self._stream)


@functools.cache
def _side_stream(device: torch.device) -> torch.cuda.Stream:
    """The stream for steps to be recorded; one a device, as libraries hold memory for each."""
    return torch.cuda.Stream(device)  # type: ignore[no-untyped-call]


def _recorded(step: Callable[[], None], stream: torch.cuda.Stream) -> torch.cuda.CUDAGraph | None:
    """A step as a graph, not carried out; None where it cannot be recorded."""
    graph, pool = torch.cuda.CUDAGraph(), torch.cuda.graph_pool_handle()
    outer = sys.exception()
    try:
        # `torch.cuda.graph` leaves its stream the current one if the recording ends in an error.
        with (
            torch.cuda.stream(stream),
            # Other threads, which move pictures or ask for free memory, may go on.
            torch.cuda.graph(graph, pool, stream, capture_error_mode="thread_local"),
        ):
            step()
        return graph
    except RuntimeError as error:
        _end_allocation(stream.device, pool)
        cause = _first(error, outer)
        if is_out_of_memory(cause):
            raise cause from None
        log.warning("steps are not recorded as a CUDA graph: %s", str(cause).splitlines()[0])
        log.debug("recording failed", exc_info=error)
    return None


def _first(error: BaseException, outer: BaseException | None) -> BaseException:
    """The error that led to the others, since ``outer``: ending a failed recording fails, too."""
    while error.__context__ is not None and error.__context__ is not outer:
        error = error.__context__
    return error


def _end_allocation(device: torch.device, pool: Any) -> None:
    """Tell the allocator that a recording has ended, which one that fails may not have done.

    It would hold on to the recording's memory, and refuse `torch.cuda.empty_cache`.
    """
    with suppress(AttributeError, RuntimeError):
        # Refused where the recording has come to its end, and the graph itself gives up the rest.
        torch._C._cuda_endAllocateToPool(device.index, pool)
        torch._C._cuda_releasePool(device.index, pool)


class Arrivals:
    """The values of a small tensor after every step, read without waiting for the device.

    On CUDA they are copied while the device goes on, and handed over once they are there; elsewhere
    at once.

    Args:
        source: overwritten by every step.
        arrived: is called with its values as (nested) lists, step by step.
        ahead: steps that may be queued on the device before the process waits for the oldest.
    """

    def __init__(
        self, source: Tensor, arrived: Callable[[list[Any]], None], ahead: int = 16
    ) -> None:
        self._source, self._arrived, self._ahead = source, arrived, ahead
        self._under_way: deque[tuple[Tensor, torch.cuda.Event]] = deque()

    def take(self) -> None:
        """Read the values that the last step leaves."""
        if self._source.device.type != "cuda":
            self._arrived(self._source.tolist())
            return
        copied = torch.empty_like(self._source, device="cpu", pin_memory=True)
        copied.copy_(self._source, non_blocking=True)
        event = torch.cuda.Event()  # type: ignore[no-untyped-call]
        # Without a stream it is recorded on the present device, which may be another one.
        event.record(torch.cuda.current_stream(self._source.device))
        self._under_way.append((copied, event))
        while len(self._under_way) > self._ahead or self._first_is_there():
            self._hand_over()

    def finish(self) -> None:
        """Wait for all values that have not arrived."""
        while self._under_way:
            self._hand_over()

    def _first_is_there(self) -> bool:
        if not self._under_way:
            return False
        event = self._under_way[0][1]
        return bool(event.query())  # type: ignore[no-untyped-call]

    def _hand_over(self) -> None:
        copied, event = self._under_way.popleft()
        event.synchronize()
        self._arrived(copied.tolist())
