"""Replay: steps that are recorded once on CUDA and then started as a whole.

An iteration is hundreds of small kernels; started one by one from Python, a fast device waits for
them most of the time. A recorded step (a CUDA graph) is started by one call.
"""

import logging
from collections import deque
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

log = logging.getLogger(__name__)

#: Steps carried out as usual before recording, so that libraries have chosen their kernels.
WARM_UP = 3


class Replay:
    """A step that is carried out again and again.

    The first `WARM_UP` calls carry it out, the next one records it, and from then on it is
    replayed; every call is one step. Where recording fails the steps go on unrecorded.

    Args:
        step: works on the same tensors every time, in place, and never asks the device for a value.
        device: where it works; anything but CUDA is never recorded.
    """

    def __init__(self, step: Callable[[], None], device: torch.device) -> None:
        self._step, self._device = step, device
        self._stream: torch.cuda.Stream | None = None
        if device.type == "cuda":
            self._stream = torch.cuda.Stream(device)  # type: ignore[no-untyped-call]
        self._graph: torch.cuda.CUDAGraph | None = None
        self._calls = 0

    def __call__(self) -> None:
        """One step."""
        self._calls += 1
        if self._graph is not None:
            self._graph.replay()
        elif self._stream is None:
            self._step()
        elif self._calls <= WARM_UP:
            # Recording wants the memory of a stream that is not the default one.
            self._stream.wait_stream(torch.cuda.current_stream(self._device))
            with torch.cuda.stream(self._stream):
                self._step()
            torch.cuda.current_stream(self._device).wait_stream(self._stream)
        else:
            self._record()

    def _record(self) -> None:
        graph = torch.cuda.CUDAGraph()
        try:
            with torch.cuda.graph(graph, stream=self._stream):
                self._step()
        except torch.OutOfMemoryError:
            raise
        except RuntimeError as error:
            log.warning("steps are not recorded as a CUDA graph: %s", str(error).splitlines()[0])
            self._stream = None
            torch.cuda.synchronize(self._device)
            self._step()
            return
        self._graph = graph
        graph.replay()


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
