"""Locality: what several regions cost against one."""

import math
import statistics
from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from pipeline.benchmark import bench as benches
from pipeline.benchmark import textbook, timing
from pipeline.benchmark.bench import Bench
from pipeline.benchmark.report import Comparison, Figure, Target
from pipeline.engine.objective import Style
from pipeline.methods import Region, Scene
from pipeline.networks import encoders

#: Centres of three discs, across and down, and their radius, in sides of the picture.
CENTRES = ((0.25, 0.3), (0.72, 0.3), (0.5, 0.72))
RADIUS = 0.15


def disc(size: int, across: float, down: float, radius: float, where: torch.device) -> Tensor:
    """(1, 1, size, size): 1 in a disc, else 0; centre and radius in sides of the picture."""
    places = (torch.arange(size, device=where) + 0.5) / size
    inside = (places[:, None] - down) ** 2 + (places[None] - across) ** 2 <= radius**2
    return inside.float()[None, None]


def discs(size: int, where: torch.device) -> dict[str, Tensor]:
    """Three discs that do not touch."""
    return {f"disc{n}": disc(size, *place, RADIUS, where) for n, place in enumerate(CENTRES)}


def scene(masks: Mapping[str, Tensor], where: torch.device) -> Scene:
    """The photograph with these regions, each with a style of its own."""
    size = next(iter(masks.values())).shape[2]
    regions = [
        Region(name, mask, [Style(benches.style_picture(size, where, number))])
        for number, (name, mask) in enumerate(masks.items())
    ]
    return Scene(benches.content_picture(size, where), regions)


def _network(bench: Bench) -> tuple[list[str], textbook.Stack]:
    """VGG-19, or on a CPU the compact encoder: what a run there takes by default."""
    if bench.where.type == "cpu":
        return ["encoder=compact"], textbook.compact(encoders.BUNDLED_FILE, bench.where)
    return bench.vgg19_overrides(), textbook.vgg19(bench.vgg19, bench.where)


def composite(bench: Bench) -> list[Comparison]:
    """Three classes against one of the same area, and against three runs over the whole frame.

    Seconds a run, targets included; against one class of a default run's iterations, against the
    textbook of fewer. The textbook's runs have each class's mask at every layer, and compute all
    of the frame.
    """
    default = benches.settings(bench, []).optimizer.iterations
    sizes = bench.sizes(cpu=[512], cuda=[512, 1024], quick=128)
    return [
        comparison
        for size in sizes
        for comparison in (
            _three_by_one(bench, size, 5 if bench.quick else default),
            _three_by_textbook(bench, size, 5 if bench.quick else 30),
        )
    ]


def _three_by_one(bench: Bench, size: int, iterations: int) -> Comparison:
    overrides, _ = _network(bench)
    overrides = ["method=composite", *overrides]
    area = {"disc": disc(size, 0.5, 0.5, RADIUS * math.sqrt(3), bench.where)}
    masks = {"three classes": discs(size, bench.where), "one class": area}
    runs = {
        side: benches.prepare_engine(bench, overrides, scene(found, bench.where))(iterations)
        for side, found in masks.items()
    }
    samples = timing.alternate(
        {side: _all_of(bench, [run]) for side, run in runs.items()},
        min(3, bench.repeats),
        warm=bench.quick or bench.where.type != "cpu",
    )
    ratios = timing.ratios(samples["three classes"], samples["one class"])
    figure = Figure(
        f"composite, {size} px, {iterations} iterations: three classes, against one",
        statistics.median(samples["three classes"]),
        "s",
        statistics.median(samples["one class"]),
        ratios["of_medians"],
        Target("ratio", "at most", 1.3),
    )
    details = {
        "size": size,
        "iterations": iterations,
        "area": {
            name: float(mask.mean()) for found in masks.values() for name, mask in found.items()
        },
        "three_by_one": ratios,
    }
    return Comparison("composite", [figure], samples, dict.fromkeys(masks, overrides), details)


def _three_by_textbook(bench: Bench, size: int, iterations: int) -> Comparison:
    overrides, stack = _network(bench)
    overrides = ["method=composite", *overrides]
    three = scene(discs(size, bench.where), bench.where)
    ours = benches.prepare_engine(bench, overrides, three)(iterations)
    theirs = [
        benches.prepare_textbook(stack, three.content, region.styles[0].picture, region.mask)(
            iterations
        )
        for region in three.regions
    ]
    samples = timing.alternate(
        {"three classes": _all_of(bench, [ours]), "textbook, three runs": _all_of(bench, theirs)},
        # Of a difference so large one sample on a CPU tells enough.
        1 if bench.where.type == "cpu" and not bench.quick else min(3, bench.repeats),
        warm=bench.quick or bench.where.type != "cpu",
    )
    ratios = timing.ratios(samples["three classes"], samples["textbook, three runs"])
    figure = Figure(
        f"composite, {size} px, {iterations} iterations: three classes, against the textbook's "
        "three runs",
        statistics.median(samples["three classes"]),
        "s",
        statistics.median(samples["textbook, three runs"]),
        ratios["of_medians"],
    )
    details = {"size": size, "iterations": iterations, "three_by_textbook": ratios}
    return Comparison("composite", [figure], samples, {"three classes": overrides}, details)


def _all_of(bench: Bench, runs: Sequence[timing.Work]) -> timing.Sample:
    return lambda: sum(timing.seconds(run, bench.where) for run in runs)


def guided(bench: Bench) -> list[Comparison]:
    """One iteration of guided with three regions against one that is all three of them."""
    found = []
    overrides, _ = _network(bench)
    overrides = ["method=guided", "optimizer.scales=1", *overrides]
    few, many = bench.few_and_many
    for size in bench.sizes(cpu=[512], cuda=[512, 1024], quick=128):
        masks = discs(size, bench.where)
        union = torch.stack([*masks.values()]).amax(0)
        scenes = {
            "three regions": scene(masks, bench.where),
            "one region": scene({"discs": union}, bench.where),
        }
        samples = timing.alternate(
            {
                side: timing.per_iteration(
                    benches.prepare_engine(bench, overrides, here), bench.where, few, many
                )
                for side, here in scenes.items()
            },
            bench.repeats,
        )
        three, one = (statistics.median(each) for each in samples.values())
        ratios = timing.ratios(samples["three regions"], samples["one region"])
        figure = Figure(
            f"guided, {size} px: three regions, against one",
            three,
            "s",
            one,
            ratios["of_medians"],
            Target("ratio", "at most", 1.2),
        )
        settings = dict.fromkeys(scenes, overrides)
        details = {
            "size": size,
            "three_by_one": ratios,
            "iterations_of_short_and_long_run": [few, many],
        }
        found.append(Comparison("guided", [figure], samples, settings, details))
    return found
