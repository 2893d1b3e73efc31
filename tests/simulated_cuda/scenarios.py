"""What is run on the simulated device: ``python -m tests.simulated_cuda.scenarios NAME ...``.

Each scenario ends in a line of JSON: what happened. `faults` says what is wrong with it.
"""

import json
import logging
import runpy
import sys
import time
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch

from tests.simulated_cuda import device as simulation
from tests.simulated_cuda.device import device, simulated

Facts = dict[str, Any]

ROWS, COLUMNS = np.mgrid[:90, :120]
CONTENT = np.stack(
    [ROWS * 2, COLUMNS * 2, 250 * ((ROWS - 45) ** 2 + (COLUMNS - 60) ** 2 < 900)], axis=-1
).astype(np.uint8)
DOTS = (127 + 127 * np.sin(np.stack([ROWS / 2, COLUMNS / 3, ROWS / 4], -1))).astype(np.uint8)
STRIPES = (127 + 127 * np.sin(np.stack([ROWS + COLUMNS, ROWS, COLUMNS], -1) / 3)).astype(np.uint8)
DISC = {"disc": "circle(60,45,30)"}
#: A picture that could be cut.
LARGE: dict[str, Any] = {
    "content": np.tile(CONTENT, (3, 3, 1)),
    "regions": {"disc": "box(0.02,0.02,0.98,0.98)"},
    "method": "guided",
    "size": 260,
}
#: Iterations: some as usual, one to record, the rest replayed.
ITERATIONS = 6
#: Of what is not recorded: neighbours are looked up, which waits, before the last of them.
FEW = 5


class _Log(logging.Handler):
    """Keeps what is said."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.said: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.said.append(record.getMessage())


log = _Log()


def paint(where: str, content: Any, styles: Any, **settings: Any) -> tuple[np.ndarray, list[float]]:
    """The picture and its losses, as a notebook would have them."""
    from pipeline import stylize

    merged = {
        "size": 96,
        "encoder": {"name": "compact", "levels": 2},
        "segmenter": "compact",
        "precision": "float32",
        **settings,
        "optimizer": {"iterations": ITERATIONS, "scales": 1, **settings.get("optimizer", {})},
    }
    result = stylize(content, styles, device=where, **merged)
    return np.asarray(result.picture).astype(int), [row.total for row in result.losses]


def forget() -> None:
    """As at the start of a process, but for networks."""
    from pipeline.runtime import cache, cuda_graph

    cache.forget_all()
    cuda_graph._side_stream.cache_clear()
    simulation.device.__init__()  # type: ignore[misc]
    device.stream = simulation.DEFAULT
    log.said.clear()


def observe(
    content: Any = CONTENT,
    styles: Any = None,
    where: str = "cuda",
    beside_unrecorded: bool = True,
    beside_cpu: bool = False,
    **settings: Any,
) -> Facts:
    """Paint recorded, and unrecorded, on the device.

    Args:
        content, styles, settings: as `pipeline.stylize` takes them.
        where: the device's name.
        beside_unrecorded, beside_cpu: paint unrecorded, and on the CPU, too.
    """
    styles = styles or {"disc": DOTS}
    forget()
    with simulated():
        recorded, losses = paint(where, content, styles, **settings)
    facts = {
        "recordings": device.recordings,
        "replays": device.replays,
        "streams": device.streams,
        "stream_is_the_default": device.stream is simulation.DEFAULT,
        "allocator_records": bool(device.pools),
        "outlived": dict(device.outlived),
        "waits_in_steps": _within(device.waits + device.uploads),
        "waits": sum(device.waits.values()),
        "waits_an_iteration": device.waits_until[-1] - device.waits_until[-2],
        "said": [*log.said],
        "iterations": len(losses),
        "losses_are_numbers": bool(np.isfinite(losses).all()),
    }
    if beside_unrecorded:
        forget()
        with simulated():
            unrecorded, others = paint(where, content, styles, cuda_graph=False, **settings)
        assert device.recordings == 0
        facts["difference"] = int(np.abs(recorded - unrecorded).max())
        facts["losses_are_the_same"] = losses == others
    if beside_cpu:
        here, _ = paint("cpu", content, styles, **settings)
        facts["to_cpu"] = float(np.abs(recorded - here).mean())
    return facts


def _within(counts: Any) -> dict[str, int]:
    return {f"{what} ({place})": n for (inside, what, place), n in counts.items() if inside}


def faults(facts: Facts, recorded: bool = True) -> list[str]:
    """What is wrong with what `observe` has seen.

    Args:
        facts: as it returns them.
        recorded: whether steps were to be recorded.
    """
    checks = {
        "not recorded": not recorded or (facts["recordings"] > 0 and facts["replays"] > 0),
        "recorded": recorded or facts["recordings"] == facts["replays"] == 0,
        "another result": facts.get("difference", 0) == 0
        and facts.get("losses_are_the_same", True),
        "no numbers": facts["losses_are_numbers"],
        "outlives the step": not facts["outlived"],
        "waits in a step": not facts["waits_in_steps"],
        "another stream": facts["stream_is_the_default"],
        "streams": facts["streams"] <= 1,
        "the allocator records": not facts["allocator_records"],
        "warnings": not facts["said"],
    }
    return [name for name, fine in checks.items() if not fine]


SCENARIOS: dict[str, Callable[[], Facts]] = {
    "stitch": lambda: observe(styles={"disc": DOTS, "rest": STRIPES}, regions=DISC),
    "two_scales": lambda: observe(
        beside_cpu=True, **{**LARGE, "size": 140}, optimizer={"scales": 2, "iterations": 10}
    ),
    "guided": lambda: observe(
        styles={"disc": DOTS, "rest": STRIPES}, regions=DISC, method="guided"
    ),
    "composite": lambda: observe(
        styles={"a": DOTS, "b": STRIPES},
        size=120,
        method="composite",
        regions={"a": "box(0.1,0.1,0.4,0.5)", "b": "box(0.55,0.1,0.85,0.5)"},
    ),
    # The first to use the device, which has a number.
    "global": lambda: observe(styles={"all": DOTS}, method="global", where="cuda:0"),
    "adam": lambda: observe(regions=DISC, optimizer={"name": "adam", "learning_rate": 0.02}),
    "history_of_one": lambda: observe(regions=DISC, optimizer={"history": 1}),
    "tolerance": lambda: observe(regions=DISC, optimizer={"tolerance": 0.5, "iterations": 20}),
    "bfloat16": lambda: observe(regions=DISC, precision="bfloat16"),
    "tf32": lambda: observe(regions=DISC, precision="tf32"),
    "tiles": lambda: observe(
        regions=DISC,
        tile=64,
        optimizer={"iterations": FEW},
        beside_unrecorded=False,
        beside_cpu=True,
    ),
    "memory_low": lambda: observe(
        **LARGE,
        memory="low",
        optimizer={"iterations": FEW},
        beside_unrecorded=False,
        beside_cpu=True,
    ),
    "gatys": lambda: observe(regions=DISC, loss="gatys"),
    "inside": lambda: observe(regions=DISC, method={"propagation": "inside"}),
    "all_units": lambda: observe(regions=DISC, method={"propagation": "all"}),
    "one_gram": lambda: observe(regions=DISC, method={"gram": "global"}),
    "average": lambda: observe(regions=DISC, encoder={"name": "compact", "pooling": "average"}),
    "luminance": lambda: observe(regions=DISC, color="luminance"),
    "histogram": lambda: observe(regions=DISC, color="histogram"),
    "sequential": lambda: observe(
        styles={"disc": [{"image": DOTS}, {"image": STRIPES}]}, regions=DISC, blend="sequential"
    ),
    "free_noise": lambda: observe(regions=DISC, unstyled="free", init="noise", snapshots=[3, 6]),
    "match": lambda: observe("chelsea", "match", reference="coffee"),
    "style_region": lambda: observe(
        "chelsea", {"background": {"image": "chelsea", "region": "cat"}}
    ),
    "segmented": lambda: observe("astronaut", {"person": DOTS}),
}


def scenario(function: Callable[[], Facts]) -> Callable[[], Facts]:
    """Give a function to the scenarios."""
    SCENARIOS[function.__name__] = function
    return function


@contextmanager
def instead(owner: Any, name: str, made: Callable[[Any], Any]) -> Iterator[None]:
    """An attribute is what a function makes of it, inside."""
    before = getattr(owner, name)
    setattr(owner, name, made(before))
    try:
        yield
    finally:
        setattr(owner, name, before)


@scenario
def refused_recording() -> Facts:
    """A step that cannot be recorded goes on, from where it was, with what it was refused for."""
    return planted("value")


@scenario
def memory_runs_out_while_recording() -> Facts:
    """Smaller tiles are the answer, and these are not recorded."""
    from pipeline.runtime import cuda_graph

    real = cuda_graph._recorded

    def full(step: Any, stream: Any) -> Any:
        device.refuses = torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB")
        return real(step, stream)

    with instead(cuda_graph, "_recorded", lambda before: full):
        return observe(
            **LARGE,
            encoder={"name": "compact", "levels": 1},
            optimizer={"iterations": 4},
            beside_unrecorded=False,
            beside_cpu=True,
        )


@scenario
def memory_runs_out_and_the_recording_fails() -> Facts:
    """The error that is raised for the end of the recording hides the one that matters."""
    from pipeline.engine import optimizers

    def full(before: Any) -> Any:
        def step(self: Any, loss: Any, gradient: Any) -> None:
            if device.recording is not None:
                device.spoiled = True
                raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB")
            before(self, loss, gradient)

        return step

    with instead(optimizers.PictureLBFGS, "step", full):
        return observe(
            **LARGE,
            encoder={"name": "compact", "levels": 1},
            optimizer={"iterations": 4},
            beside_unrecorded=False,
            beside_cpu=True,
        )


def _read_before_it_arrives(before: Any) -> Any:
    def hand_over(self: Any) -> None:
        copied, _ = self._under_way.popleft()
        self._arrived(copied.tolist())

    return hand_over


def _count_in_python(before: Any) -> Any:
    def step(self: Any, loss: Any, gradient: Any) -> None:
        self.number = getattr(self, "number", 0) + 1
        self._largest_step = 0.01 / self.number
        before(self, loss, gradient)

    return step


def _add_from_cpu(before: Any) -> Any:
    return lambda self, loss, gradient: before(self, loss + torch.zeros(len(loss)), gradient)


def _bind_anew(before: Any) -> Any:
    def update(self: Any, picture: Any, loss: Any) -> None:
        better = loss < self.loss
        self.picture = torch.where(better.view(-1, 1, 1, 1), picture, self.picture)
        self.loss = torch.where(better, loss, self.loss)

    return update


def _keep_gradient(before: Any) -> Any:
    def step(self: Any, loss: Any, gradient: Any) -> None:
        self.last = gradient
        before(self, loss, gradient)

    return step


def _ask_for_value(before: Any) -> Any:
    def step(self: Any, loss: Any, gradient: Any) -> None:
        if float(loss.sum()) < 1e9:
            before(self, loss, gradient)

    return step


def _index_by_mask(before: Any) -> Any:
    def step(self: Any, loss: Any, gradient: Any) -> None:
        # Not `= 0`: newer versions of torch fill by a mask without waiting.
        gradient[gradient.abs() > 1e9] *= 0
        before(self, loss, gradient)

    return step


def _upload_list(before: Any) -> Any:
    def step(self: Any, loss: Any, gradient: Any) -> None:
        order = torch.tensor([0, 1, 2]).to(gradient.device)
        before(self, loss, gradient.index_select(1, order))

    return step


def _never_replay(before: Any) -> Any:
    def call(self: Any) -> None:
        if self._graph is None:
            before(self)

    return call


#: Name to what is changed (module, class, function), how, and what `faults`, or an error, says.
MISTAKES: dict[str, tuple[str, str, str, Callable[[Any], Any], str]] = {
    "read_early": (
        "runtime.cuda_graph", "Arrivals", "_hand_over", _read_before_it_arrives, "no numbers"
    ),
    "counted_in_python": (
        "engine.optimizers", "PictureLBFGS", "step", _count_in_python, "another result"
    ),
    "from_cpu": ("engine.optimizers", "PictureLBFGS", "step", _add_from_cpu, "on the same device"),
    "bound_anew": ("engine.optimizers", "Best", "update", _bind_anew, "outlives the step"),
    "gradient_kept": (
        "engine.optimizers", "PictureLBFGS", "step", _keep_gradient, "outlives the step"
    ),
    "value": ("engine.optimizers", "PictureLBFGS", "step", _ask_for_value, "not recorded"),
    "mask_as_index": ("engine.optimizers", "PictureLBFGS", "step", _index_by_mask, "not recorded"),
    "list_uploaded": ("engine.optimizers", "PictureLBFGS", "step", _upload_list, "not recorded"),
    "never_replayed":
        ("runtime.cuda_graph", "RecordedStep", "__call__", _never_replay, "another result"),
}  # fmt: skip


def planted(name: str) -> Facts:
    """What is observed with a mistake."""
    import importlib

    module, owner, function, made, fault = MISTAKES[name]
    where = getattr(importlib.import_module(f"pipeline.{module}"), owner)
    with instead(where, function, made):
        return observe(
            regions=DISC,
            encoder={"name": "compact", "levels": 1},
            beside_unrecorded=fault == "another result" or name == "value",
        )


def watch_steps() -> None:
    """Tell what happens within a step from what does not, and one iteration from the next."""
    from pipeline.runtime.cuda_graph import Arrivals, RecordedStep

    call, take = RecordedStep.__call__, Arrivals.take

    def watched(self: RecordedStep) -> None:
        device.in_step = True
        try:
            call(self)
        finally:
            device.in_step = False

    def marked(self: Arrivals) -> None:
        device.waits_until.append(sum(device.waits.values()))
        take(self)

    RecordedStep.__call__, Arrivals.take = watched, marked  # type: ignore[method-assign]


def command(words: list[str]) -> Facts:
    """The command itself, as the first thing a process does."""
    sys.argv = ["pipeline", *words]
    code: Any = 0
    with simulated():
        try:
            runpy.run_module("pipeline", run_name="__main__", alter_sys=True)
        except SystemExit as end:
            code = end.code
    return {"code": code, "recordings": device.recordings, "replays": device.replays}


def main(names: list[str]) -> None:
    """Run scenarios, mistakes (``mistake:NAME``) or a command (``command WORD ...``)."""
    simulation.install()
    torch.set_num_threads(1)
    if names[0] == "command":
        print(json.dumps({"name": "command", **command(names[1:])}))
        return
    watch_steps()
    logging.root.addHandler(log)
    for name in names:
        start = time.monotonic()
        kind, _, which = name.rpartition(":")
        try:
            facts = planted(which) if kind == "mistake" else SCENARIOS[name]()
        except Exception as error:
            facts = {"raised": f"{type(error).__name__}: {error}"}
            traceback.print_exc()
        facts["seconds"] = round(time.monotonic() - start, 1)
        print(json.dumps({"name": name, **facts}), flush=True)


if __name__ == "__main__":
    main(sys.argv[1:])
