"""One run, from files to files: read -> segment -> mask -> stylize -> blend -> write."""

import functools
import logging
import platform
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

import torch
from torch import Tensor

from pipeline import __version__, device, read, regions, write
from pipeline.blend import blend
from pipeline.engine import Descent, Engine, Guide, Objective
from pipeline.errors import UserError
from pipeline.methods import Method, Stylized
from pipeline.methods.composite import composite
from pipeline.methods.stitch import stitch
from pipeline.networks import encoders, segmenters, weights
from pipeline.progress import Bar, print_hint, print_regions, print_result
from pipeline.segment import Refinement, Segmentation, segment
from pipeline.settings import Settings

log = logging.getLogger(__name__)

METHODS: dict[str, Callable[..., Stylized]] = {"stitch": stitch, "composite": composite}


@dataclass
class Clock:
    """Seconds spent in each stage."""

    seconds: dict[str, float] = field(default_factory=dict)

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        """Add the time inside to the stage's."""
        start = time.monotonic()
        try:
            yield
        finally:
            self.seconds[name] = self.seconds.get(name, 0.0) + time.monotonic() - start


def run(settings: Settings, output: Path, start: Path, overrides: Sequence[str]) -> dict[str, Any]:
    """Carry out one run.

    Args:
        settings: of the run.
        output: folder for the results.
        start: folder where the command was started; relative paths begin there.
        overrides: what the command line changed, for the record.

    Returns:
        The summary, as written to ``summary.json``.

    Raises:
        UserError: the input cannot be used; nothing has been written then.
    """
    clock = Clock()
    where = device.choose(settings.device)
    if where.type == "cuda":
        torch.cuda.reset_peak_memory_stats(where)
    regions.check_names(list(settings.styles))
    write.check_folder(output)

    with clock.stage("read"):
        content = read.content_picture(settings.content, settings.size, start).to(where)
        styles = {
            region: read.style_picture(style, settings.size, start).to(where)
            for region, style in settings.styles.items()
        }
    with clock.stage("segment"):
        segmenter = _load_segmenter(settings, where, start)
        segmentation = segment(
            content,
            segmenter.module,
            sizes=settings.segmenter.sizes or segmenter.sizes,
            mirror=settings.segmenter.mirror,
            refinement=_refinement(settings),
            min_share=settings.segmenter.min_share,
            min_part=settings.segmenter.min_part,
        )
    with clock.stage("mask"):
        masks = regions.region_masks(segmentation, list(settings.styles))
    summary = _summary(settings, where, overrides, segmenter.source, segmentation)
    if not styles:
        with clock.stage("write"):
            write.clear(output)
            _write_regions(content, segmentation, output)
        _finish(summary, clock, where, output)
        log.info(_which_networks(segmenter.source))
        print_regions(segmentation.shares, output)
        print_hint(settings.content, segmentation.shares)
        return summary

    with clock.stage("stylize"):
        encoder = _load_encoder(settings, where, start)
        log.info(_which_networks(segmenter.source, encoder.source))
        engine = _engine(settings, encoder)
        with Bar("stylize", _rounds(settings, len(masks)) * settings.optimizer.iterations) as bar:
            stylized = _method(settings)(content, masks, styles, engine, bar.advance)
    with clock.stage("blend"):
        result = blend(content, stylized.pictures, masks, settings.feather)
    with clock.stage("write"):
        write.clear(output)
        _write_regions(content, segmentation, output)
        for region, mask in masks.items():
            write.save_mask(mask, output / "masks" / f"{region}.png")
            write.save_picture(styles[region], output / "styles" / f"{region}.png")
        for name, picture in stylized.extra.items():
            write.save_picture(picture, output / f"{name}.png")
        write.save_losses(stylized.curve, output)
        write.save_picture(result, output / "result.png")
        shown = [output / f"{name}.png" for name in ("content", "regions", "result")]
        write.save_overview(shown, output / "overview.png")
    summary["networks"]["encoder"] = _describe(encoder.source)
    summary["networks_hint"] = _which_networks(segmenter.source, encoder.source)
    summary["iterations"] = len(stylized.curve)
    _describe_styles(
        summary, settings, masks, stylized, _distances(engine, content, result, masks, styles)
    )
    _finish(summary, clock, where, output)
    print_result(summary["regions"], output / "result.png", clock.seconds)
    return summary


@functools.cache
def _cached_segmenter(
    name: str, file: Path | None, where: torch.device
) -> segmenters.LoadedSegmenter:
    return segmenters.load(name, file, where)


def _load_segmenter(
    settings: Settings, where: torch.device, start: Path
) -> segmenters.LoadedSegmenter:
    return _cached_segmenter(
        settings.segmenter.name, _file(settings.segmenter.weights, start), where
    )


def _load_encoder(settings: Settings, where: torch.device, start: Path) -> encoders.LoadedEncoder:
    chosen = settings.encoder
    return encoders.load(
        chosen.name,
        _file(chosen.weights, start),
        where,
        style_layers=chosen.style_layers,
        content_layers=chosen.content_layers,
        levels=chosen.levels,
        pooling=cast(Any, chosen.pooling),
        padding=cast(Any, chosen.padding),
    )


def _file(name: str | None, start: Path) -> Path | None:
    return None if name is None else start / Path(name).expanduser()


def _refinement(settings: Settings) -> Refinement | None:
    chosen = settings.segmenter.refine
    return Refinement(chosen.radius, chosen.eps) if chosen.enabled else None


def _engine(settings: Settings, encoder: encoders.LoadedEncoder) -> Engine:
    loss, optimizer = settings.loss, settings.optimizer
    layers = encoder.style_layers
    layer_weights = loss.layer_weights or [1.0] * len(layers)
    if len(layer_weights) != len(layers):
        raise UserError(
            f"loss.layer_weights has {len(layer_weights)} values for {len(layers)} style layers "
            f"({', '.join(layers)}); give one a layer"
        )
    total = sum(layer_weights)
    objective = Objective(
        cast(Any, loss.name),
        loss.content_weight,
        loss.style_weight,
        loss.tv_weight,
        {layer: weight / total for layer, weight in zip(layers, layer_weights, strict=True)},
        encoder.content_layers,
    )
    descent = Descent(
        cast(Any, optimizer.name),
        optimizer.iterations,
        optimizer.scales,
        optimizer.learning_rate,
        optimizer.history,
    )
    return Engine(encoder.module, objective, descent)


def _method(settings: Settings) -> Method:
    chosen = settings.method
    return functools.partial(METHODS[chosen.name], gram=chosen.gram, margin=chosen.margin)


def _rounds(settings: Settings, count: int) -> int:
    """How many optimisations a run makes, for the progress bar."""
    return count if settings.method.name == "composite" else 1


def _distances(
    engine: Engine,
    content: Tensor,
    result: Tensor,
    masks: Mapping[str, Tensor],
    styles: Mapping[str, Tensor],
) -> dict[str, tuple[float, float]]:
    found = {}
    for region, mask in masks.items():
        guide = Guide(region, styles[region], mask)
        found[region] = (
            engine.style_distance(content, guide),
            engine.style_distance(result, guide),
        )
    return found


def _write_regions(content: Tensor, segmentation: Segmentation, output: Path) -> None:
    write.save_picture(content, output / "content.png")
    labels = segmentation.labels
    write.save_labels(labels, output / "labels.png")
    write.save_overlay(content, labels, output / "regions.png")
    found = [name for name, share in segmentation.shares.items() if share > 0]
    for name, mask in regions.region_masks(segmentation, found).items():
        write.save_mask(mask, output / "masks" / f"{name}.png")


def _which_networks(*sources: weights.Source) -> str:
    """One line: which networks run, and how to get torchvision's."""
    named = ", ".join(f"{source.network} ({source.kind})" for source in sources)
    if all(source.kind != "bundled" for source in sources):
        return f"networks: {named}"
    return (
        f"networks: {named}; for torchvision's larger ones: "
        f"segmenter={segmenters.OFFICIAL} encoder={encoders.OFFICIAL} (downloads 780 MB once)"
    )


def _summary(
    settings: Settings,
    where: torch.device,
    overrides: Sequence[str],
    segmenter: weights.Source,
    segmentation: Segmentation,
) -> dict[str, Any]:
    return {
        "version": __version__,
        "overrides": list(overrides),
        "content": settings.content,
        "method": settings.method.name,
        "device": str(where),
        "device_name": torch.cuda.get_device_name(where)
        if where.type == "cuda"
        else platform.processor() or platform.machine(),
        "torch": torch.__version__,
        "networks": {"segmenter": _describe(segmenter)},
        "networks_hint": _which_networks(segmenter),
        "regions": [
            {"name": name, "share": round(share, 4)}
            for name, share in segmentation.shares.items()
            if share > 0
        ],
    }


def _describe(source: weights.Source) -> dict[str, str]:
    return {
        "name": source.network,
        "source": source.kind,
        "file": str(source.file),
        "sha256": source.sha256,
    }


def _describe_styles(
    summary: dict[str, Any],
    settings: Settings,
    masks: Mapping[str, Tensor],
    stylized: Stylized,
    distances: Mapping[str, tuple[float, float]],
) -> None:
    """Add style, distances and seconds to the styled regions; ``rest`` gets an entry of its own."""
    by_name = {entry["name"]: entry for entry in summary["regions"]}
    for region, mask in masks.items():
        if region not in by_name:
            entry: dict[str, Any] = {"name": region, "share": round(float(mask.mean()), 4)}
            summary["regions"].append(entry)
            by_name[region] = entry
        before, after = distances[region]
        by_name[region] |= {
            "style": settings.styles[region],
            "style_distance_before": round(before, 4),
            "style_distance_after": round(after, 4),
            "seconds": round(stylized.seconds[region], 2),
        }


def _finish(summary: dict[str, Any], clock: Clock, where: torch.device, output: Path) -> None:
    summary["seconds"] = {stage: round(spent, 2) for stage, spent in clock.seconds.items()}
    summary["peak_memory_mib"] = round(_peak_memory(where) / 2**20)
    write.save_summary(summary, output / "summary.json")


def _peak_memory(where: torch.device) -> int:
    """Bytes: of the device's allocator on CUDA, else of the process; 0 where unknown."""
    if where.type == "cuda":
        return torch.cuda.max_memory_allocated(where)
    try:
        import resource
    except ImportError:  # Windows
        return 0
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024
