"""Quality: how near fast arithmetic comes to float32, and how long a given loss takes."""

import dataclasses
import math
import statistics
import time
from collections.abc import Callable, Mapping, Sequence

import torch
from torch import Tensor

from pipeline.benchmark import bench as benches
from pipeline.benchmark import textbook, timing
from pipeline.benchmark.bench import Bench
from pipeline.benchmark.report import Comparison, Figure, Target
from pipeline.compare import measures
from pipeline.config.schema import GRAM_ALONE
from pipeline.engine import losses
from pipeline.engine.objective import Guide
from pipeline.methods import Scene
from pipeline.networks.pyramid import Layer

# Real weights; random ones would say nothing of how near pictures are.
_PLAIN = ("encoder=compact", "method=global")
# Neighbours are looked up anew on the way, so that theirs is no one function of the picture.
_FIXED = (*_PLAIN, "loss.style=gram", f"loss.style_weight={GRAM_ALONE}")


def closeness(bench: Bench) -> list[Comparison]:
    """The picture of ``precision=auto`` against that of ``precision=float32``."""
    return [
        close(bench, size, 20 if bench.quick else 200, ["precision=float32"], ["precision=auto"])
        for size in bench.sizes(cpu=[256], cuda=[512], quick=96)
    ]


def close(
    bench: Bench, size: int, iterations: int, exact: Sequence[str], fast: Sequence[str]
) -> Comparison:
    """How near two ways to paint the same come, after equally many iterations.

    Descents part from rounding errors alone, so that a third run, the exact one from a start that
    differs by a hundred-thousandth, shows how far pictures drift that are both right.

    Args:
        bench: where.
        size: side of the picture in pixels.
        iterations: over all scales, as by default.
        exact, fast: overrides of the two.
    """
    scene = benches.whole_frame(size, bench.where)
    noise = torch.randn(scene.content.shape, generator=torch.Generator().manual_seed(0))
    jolted = (scene.content + 1e-5 * noise.to(bench.where)).clamp(0, 1)
    runs: dict[str, tuple[Sequence[str], Scene]] = {
        "exact": (exact, scene),
        "fast": (fast, scene),
        "exact from a start moved by 1e-5": (exact, dataclasses.replace(scene, start=jolted)),
    }
    pictures, samples = {}, {}
    for side, (overrides, here) in runs.items():
        paint = benches.prepare_engine(bench, [*_PLAIN, *overrides], here)(iterations)
        begin = time.perf_counter()
        pictures[side] = paint().pictures["all"]
        timing.synchronise(bench.where)
        samples[side] = [time.perf_counter() - begin]
    distances = {side: _distances(bench, exact, scene, shown) for side, shown in pictures.items()}
    reference = pictures.pop("exact")
    near = {side: psnr(shown, reference) for side, shown in pictures.items()}
    off = {
        side: {
            kind: abs(distances[side][kind] / distances["exact"][kind] - 1)
            for kind in ("style", "content")
        }
        for side in pictures
    }
    title = f"closeness, {size} px, {iterations} iterations"
    within = Target("measured", "at most", 0.02)
    return Comparison(
        "closeness",
        [
            Figure(
                f"{title}: PSNR",
                near["fast"],
                "dB",
                near["exact from a start moved by 1e-5"],
                target=Target("measured", "at least", 30),
                note="or both distances; against: float32 with a start moved by 1e-5",
            ),
            *(
                Figure(
                    f"{title}: {kind} distance differs by",
                    off["fast"][kind],
                    "share",
                    off["exact from a start moved by 1e-5"][kind],
                    target=within,
                )
                for kind in ("style", "content")
            ),
        ],
        samples,
        {"exact": [*_PLAIN, *exact], "fast": [*_PLAIN, *fast]},
        {
            "size": size,
            "network": "compact",
            "iterations": iterations,
            "psnr": near,
            "distances": distances,
            "relative_differences": off,
            "close": near["fast"] >= 30 or max(off["fast"].values()) <= 0.02,
        },
    )


def _distances(
    bench: Bench, exact: Sequence[str], scene: Scene, picture: Tensor
) -> dict[str, float]:
    """Of a picture from its style and from its content, by the exact engine."""
    _, encoder, engine = benches.engine(bench, [*_PLAIN, *exact])
    style = engine.style_distance(picture, Guide("all", scene.regions[0].styles))
    layers = [Layer(name) for name in encoder.content_layers]
    with torch.no_grad():
        painted, content = (encoder.module(shown, layers) for shown in (picture, scene.content))
    everywhere = {layer: torch.ones_like(found[:, :1]) for layer, found in content.items()}
    return {"style": style, "content": measures.perceptual_distance(painted, content, everywhere)}


def psnr(picture: Tensor, reference: Tensor) -> float:
    """Peak signal-to-noise ratio in dB of two (1, 3, H, W) in [0, 1]; infinite if equal."""
    error = float((picture - reference).square().mean())
    return math.inf if error == 0 else -10 * math.log10(error)


def time_to_loss(bench: Bench) -> list[Comparison]:
    """Seconds that a default run takes to the loss which the textbook's loop ends with.

    The loss is the balanced one with Gram matrices alone, ``loss.style=gram``: neighbours are
    looked up anew on the way, so that there would be no one loss to reach. The textbook's optimiser
    goes down the same loss: at full size from the first iteration, with pixels clamped at every
    step, or else at the end only. Of the run, coarse to fine, the smallest number of iterations is
    sought whose final picture is at or below that loss; then both are timed in turns, without
    evaluations.
    """
    return [
        reach(bench, size, 100 if bench.quick else 500, clamp, [])
        for size in bench.sizes(cpu=[512], cuda=[512], quick=96)
        for clamp in (True, False)
    ]


def reach(
    bench: Bench, size: int, iterations: int, clamp: bool, overrides: Sequence[str]
) -> Comparison:
    """As `time_to_loss`, for one size and one way of clamping.

    Args:
        bench: where.
        size: side of the picture in pixels.
        iterations: of the textbook's loop.
        clamp: as `textbook.descend`.
        overrides: of the engine's run, besides encoder and method.
    """
    overrides = [*_FIXED, *overrides]
    scene = benches.whole_frame(size, bench.where)
    loss = fixed_loss(bench, overrides, scene)

    def descend() -> Tensor:
        return textbook.descend(loss, scene.content, iterations, clamp=clamp)

    @torch.no_grad()
    def value(picture: Tensor) -> float:
        return float(loss(picture))

    wanted = value(descend())
    prepare = benches.prepare_engine(bench, overrides, scene)
    tried: dict[int, float] = {}

    def reaches(total: int) -> bool:
        tried[total] = value(prepare(total)().pictures["all"])
        return tried[total] <= wanted

    enough = smallest(reaches, iterations)
    samples: dict[str, list[float]] = {"textbook": [timing.seconds(descend, bench.where)]}
    # Not reached in whatever time: a target that is missed, not one that was not looked at.
    ratio: Mapping[str, float | None] = {"of_medians": math.inf}
    if enough is not None:
        paint = prepare(enough)
        samples = timing.alternate(
            {
                "engine": lambda: timing.seconds(paint, bench.where),
                "textbook": lambda: timing.seconds(descend, bench.where),
            },
            1 if bench.where.type == "cpu" else 3,
            warm=False,
        )
        ratio = timing.ratios(samples["engine"], samples["textbook"])
    how = "at every step" if clamp else "at the end"
    figure = Figure(
        f"time to loss, {size} px, {iterations} textbook iterations, clamped {how}",
        statistics.median(samples["engine"]) if enough is not None else None,
        "s",
        statistics.median(samples["textbook"]),
        ratio["of_medians"],
        Target("ratio", "at most", 1 / 3),
        f"engine: {enough} iterations" if enough else f"NOT REACHED in {max(tried)} iterations",
    )
    details: Mapping[str, object] = {
        "size": size,
        "network": "compact",
        "iterations_of_textbook": iterations,
        "clamped_at_every_step": clamp,
        "loss_at_start": value(scene.content),
        "loss_of_textbook": wanted,
        "loss_of_engine_by_iterations": tried,
        "iterations_of_engine": enough,
        "engine_by_textbook": ratio,
    }
    return Comparison("time-to-loss", [figure], samples, {"engine": overrides}, {**details})


def smallest(reaches: Callable[[int], bool], largest: int) -> int | None:
    """The smallest number of iterations that will do, to about a tenth.

    Args:
        reaches: whether a number will do; what lies above one that does is taken to do, too.
        largest: the most that are tried.

    Returns:
        A number that was tried and did; None if not even the largest does.
    """
    below, number = 0, min(10, largest)
    while not reaches(number):
        if number == largest:
            return None
        below, number = number, min(largest, number * 3 // 2)
    for _ in range(2):
        middle = (below + number) // 2
        if below < middle < number:
            below, number = (below, middle) if reaches(middle) else (middle, number)
    return number


def fixed_loss(bench: Bench, overrides: Sequence[str], scene: Scene) -> textbook.Loss:
    """The engine's balanced loss of a whole frame, with Gram matrices, as a plain function.

    Args:
        bench: where.
        overrides: the engine's settings, ``loss.style=gram`` among them.
        scene: that style and the content.

    Returns:
        (1, 3, H, W) in [0, 1] to a scalar: what the engine calls the total of such a picture.
    """
    _, encoder, engine = benches.engine(bench, overrides)
    goal = engine.objective
    style_layers = [layer for name in encoder.style_layers for layer in encoder.module.layers(name)]
    content_layers = [Layer(name) for name in encoder.content_layers]
    wanted = [*style_layers, *content_layers]
    with torch.no_grad():
        content = encoder.module(scene.content, wanted)
        style = encoder.module(scene.regions[0].styles[0].picture, style_layers)
        grams = {layer: losses.gram_matrix(found) for layer, found in style.items()}
    frame = torch.ones_like(scene.content[:, :1])

    def loss(picture: Tensor) -> Tensor:
        features = encoder.module(picture, wanted)
        layers = [
            losses.relative_content_loss(features[layer], content[layer])
            for layer in content_layers
        ]
        styles = [
            losses.relative_style_loss(losses.gram_matrix(features[layer]), grams[layer])
            for layer in style_layers
            if layer in features and layer in grams
        ]
        return (
            goal.content_weight * torch.stack(layers).mean()
            + goal.style_weight * torch.stack(styles).mean()
            + goal.layout_weight * losses.layout_loss(picture, scene.content)
            + goal.color_layout_weight * losses.color_layout_loss(picture, scene.content)
            + goal.tv_weight * losses.total_variation(picture, frame)
        )

    return loss
