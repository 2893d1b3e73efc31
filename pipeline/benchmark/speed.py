"""Speed: one iteration, what it uses of the device, and 600 of them."""

import statistics
from collections.abc import Sequence

import torch

from pipeline.benchmark import bench as benches
from pipeline.benchmark import ceilings, textbook, timing
from pipeline.benchmark.bench import EQUAL_WORK, Bench
from pipeline.benchmark.report import Comparison, Figure, Target, processor_flags


def iteration_float32(bench: Bench) -> list[Comparison]:
    """One iteration of equal work, both sides in float32."""
    target = Target("ratio", "at least", 1.1) if bench.where.type == "cpu" else None
    return [
        iteration(bench, "iteration-float32", size, [*EQUAL_WORK, "precision=float32"], target)
        for size in bench.sizes(cpu=[256], cuda=[512, 1024], quick=96)
    ]


def iteration_auto(bench: Bench) -> list[Comparison]:
    """One iteration of equal work, the engine in whatever precision the device is fast in."""
    target = None
    if bench.where.type == "cuda":
        target = Target("ratio", "at least", 4)
    elif {"avx512_bf16", "amx_bf16"} & {*processor_flags()}:
        target = Target("ratio", "at least", 2)
    return [
        iteration(bench, "iteration-auto", size, [*EQUAL_WORK, "precision=auto"], target)
        for size in bench.sizes(cpu=[256], cuda=[512, 1024], quick=96)
    ]


def iteration_default(bench: Bench) -> list[Comparison]:
    """One iteration as the defaults have it, with more losses than the textbook and its padding."""
    overrides = ["method=global", "optimizer.scales=1"]
    return [
        iteration(bench, "iteration-default", size, overrides)
        for size in bench.sizes(cpu=[256], cuda=[512, 1024], quick=96)
    ]


def iteration(
    bench: Bench, name: str, size: int, overrides: Sequence[str], target: Target | None = None
) -> Comparison:
    """One iteration with VGG-19 of the engine against one of the textbook loop.

    Args:
        bench: where, and with which weights.
        name: of the comparison.
        size: side of the picture in pixels.
        overrides: the engine's settings, besides the encoder.
        target: for the ratio, the textbook's seconds by the engine's.

    Raises:
        UserError: a setting that does not exist.
    """
    overrides = [*overrides, *bench.vgg19_overrides()]
    samples = _alternate(bench, size, overrides)
    engine, plain = (statistics.median(samples[side]) for side in ("engine", "textbook"))
    ratios = timing.ratios(samples["textbook"], samples["engine"])
    few, many = bench.few_and_many
    return Comparison(
        name,
        [Figure(f"{name}, {size} px", engine, "s", plain, ratios["of_medians"], target)],
        samples,
        {"engine": overrides},
        {
            "size": size,
            "network": "vgg19",
            "iterations_of_short_and_long_run": [few, many],
            "seconds_per_iteration": {"engine": engine, "textbook": plain},
            "iterations_per_second": {
                side: 1 / value if value > 0 else None
                for side, value in (("engine", engine), ("textbook", plain))
            },
            "textbook_by_engine": ratios,
            "loss_of_the_same_picture": same_picture(bench, size, overrides),
        },
    )


def _alternate(bench: Bench, size: int, overrides: Sequence[str]) -> dict[str, list[float]]:
    scene = benches.whole_frame(size, bench.where)
    stack = textbook.vgg19(bench.vgg19, bench.where)
    style = benches.style_picture(size, bench.where)
    sides: dict[str, timing.Prepare] = {
        "engine": benches.prepare_engine(bench, overrides, scene),
        "textbook": benches.prepare_textbook(stack, scene.content, style),
    }
    few, many = bench.few_and_many
    return timing.alternate(
        {
            side: timing.per_iteration(prepare, bench.where, few, many)
            for side, prepare in sides.items()
        },
        bench.repeats,
    )


def same_picture(bench: Bench, size: int, overrides: Sequence[str]) -> dict[str, float]:
    """What both sides call the loss of one and the same noise; equal where the work is equal."""
    generator = torch.Generator().manual_seed(0)
    noise = torch.rand(1, 3, size, size, generator=generator).to(bench.where)
    scene = benches.whole_frame(size, bench.where, noise)
    stack = textbook.vgg19(bench.vgg19, bench.where)
    goal = textbook.targets(stack, scene.content, benches.style_picture(size, bench.where))
    painted = benches.prepare_engine(bench, overrides, scene)(1)()
    with torch.no_grad():
        plain = float(textbook.loss(stack, goal, noise))
    return {"engine": painted.curve[0].total, "textbook": plain}


def utilisation(bench: Bench) -> list[Comparison]:
    """Arithmetic and memory traffic of an iteration against what the device can do.

    The arithmetic is that of the textbook's convolutions and matrix products, forwards and
    backwards, for both sides: the engine is to do the same, and gets no credit for more. The bytes
    are those of the textbook's operations one by one, with nothing fused and no cache: a side
    that is beyond the copy ceiling keeps or fuses that much.
    """
    cpu = bench.where.type == "cpu"
    sides = (256, 512, 1024) if bench.quick else ((1024, 2048) if cpu else (4096, 8192, 16384))
    products = {
        "float32": ceilings.matrix_product(bench.where, torch.float32, sides),
        "bfloat16": ceilings.matrix_product(bench.where, torch.bfloat16, sides),
    }
    if bench.where.type == "cuda":
        products["tf32"] = ceilings.matrix_product(
            bench.where, torch.float32, sides, precision="high"
        )
    best = {name: max(found.values()) for name, found in products.items() if found}
    copy = ceilings.copy(bench.where, 64 if bench.quick else (256 if cpu else 1024))
    figures = [
        Figure(f"ceiling, {name} matrix product", rate, "FLOP/s") for name, rate in best.items()
    ]
    figures.append(Figure("ceiling, copy", copy, "B/s"))
    found = [
        Comparison(
            "utilisation",
            figures,
            details={"matrix_products": products, "ceilings": best, "copy_ceiling": copy},
        )
    ]
    for size in bench.sizes(cpu=[256], cuda=[512, 1024, 2048], quick=96):
        found.append(_utilisation(bench, size, best, copy))
    return found


def _utilisation(bench: Bench, size: int, best: dict[str, float], copy: float) -> Comparison:
    overrides = [*EQUAL_WORK, *bench.vgg19_overrides()]
    stack = textbook.vgg19(bench.vgg19, bench.where)
    content = benches.content_picture(size, bench.where)
    style = benches.style_picture(size, bench.where)
    goal = textbook.targets(stack, content, style)
    work = ceilings.work_of(lambda picture: textbook.loss(stack, goal, picture), content)
    samples = _alternate(bench, size, overrides)
    figures = []
    for side, found in samples.items():
        middle = statistics.median(found)
        if middle <= 0:
            continue
        rate, traffic = work.flop / middle, work.bytes / middle
        for name in ("float32", "bfloat16") if side == "engine" else ("float32",):
            judged = side == "engine" and name == "bfloat16" and bench.where.type == "cuda"
            figures.append(
                Figure(
                    f"utilisation, {side}, {size} px, of the {name} product",
                    rate,
                    "FLOP/s",
                    best.get(name),
                    rate / best[name] if name in best else None,
                    Target("ratio", "at least", 0.5) if judged and size >= 2048 else None,
                )
            )
        figures.append(
            Figure(
                f"utilisation, {side}, {size} px, of the copy", traffic, "B/s", copy, traffic / copy
            )
        )
    return Comparison(
        "utilisation",
        figures,
        samples,
        {"engine": overrides},
        {
            "size": size,
            "network": "vgg19",
            "flop_per_iteration": work.flop,
            "bytes_per_iteration": work.bytes,
            "flop_per_byte": work.flop / work.bytes,
        },
    )


def six_hundred(bench: Bench) -> list[Comparison]:
    """600 iterations of VGG-19, coarse to fine as by default, against 600 of the textbook's.

    Where that would take too long, ``quick`` or on a CPU, fewer are run and the rest extrapolated,
    which the figure says.
    """
    wanted = 600
    [size] = bench.sizes(cpu=[512], cuda=[512], quick=96)
    counted = 15 if bench.quick else (30 if bench.where.type == "cpu" else wanted)
    scene = benches.whole_frame(size, bench.where)
    stack = textbook.vgg19(bench.vgg19, bench.where)
    style = benches.style_picture(size, bench.where)
    overrides = ["method=global", *bench.vgg19_overrides()]
    sides: dict[str, timing.Work] = {
        "engine": benches.prepare_engine(bench, overrides, scene)(counted),
        "textbook": benches.prepare_textbook(stack, scene.content, style)(counted),
    }
    samples = timing.alternate(
        {side: _scaled(bench, run, wanted / counted) for side, run in sides.items()},
        3 if bench.where.type == "cuda" else 1,
        warm=bench.where.type == "cuda",
    )
    ratios = timing.ratios(samples["textbook"], samples["engine"])
    target = Target("measured", "at most", 3.0) if bench.where.type == "cuda" else None
    note = "" if counted == wanted else f"EXTRAPOLATED from {counted} iterations"
    figure = Figure(
        f"600 iterations, {size} px",
        statistics.median(samples["engine"]),
        "s",
        statistics.median(samples["textbook"]),
        ratios["of_medians"],
        target if size == 512 else None,
        note,
    )
    details = {
        "size": size,
        "network": "vgg19",
        "iterations_run": counted,
        "extrapolated": counted != wanted,
        "textbook_by_engine": ratios,
    }
    return [Comparison("six-hundred", [figure], samples, {"engine": overrides}, details)]


def _scaled(bench: Bench, run: timing.Work, factor: float) -> timing.Sample:
    return lambda: timing.seconds(run, bench.where) * factor
