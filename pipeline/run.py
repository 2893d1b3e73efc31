"""One run, from files to files: read -> segment -> mask -> stylize -> blend -> write."""

import functools
import logging
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from types import MappingProxyType
from typing import Any

from torch import Tensor

from pipeline import build
from pipeline.config.schema import Settings, fingerprint
from pipeline.engine.progress import LossRow, Progress
from pipeline.errors import Stopped
from pipeline.inputs import Inputs, read_inputs
from pipeline.mask import mask
from pipeline.methods import Region
from pipeline.networks.encoders import LoadedEncoder
from pipeline.networks.segmenters import LoadedSegmenter
from pipeline.paint import beginning, describe, distances, paint, painted_instantly, rounds
from pipeline.pictures.read import InMemory
from pipeline.regions import custom
from pipeline.regions.segment import Segmentation
from pipeline.request import Request
from pipeline.results import loggers, write
from pipeline.results import summary as summaries
from pipeline.results.checkpoints import Checkpoints, under_way
from pipeline.results.failures import Failure
from pipeline.results.folder import UNFINISHED, all_or_nothing
from pipeline.results.preview import Preview
from pipeline.results.result import Result
from pipeline.results.terminal import Bar, print_outcome
from pipeline.runtime import device, memory, precision
from pipeline.styles import (
    StylePicture,
    look_inside,
    match,
    match_labels,
    prepared_regions,
    within_regions,
)

log = logging.getLogger(__name__)


def run(
    settings: Settings,
    output: Path,
    start: Path,
    overrides: Sequence[str],
    records: Mapping[str, str] = MappingProxyType({}),
) -> dict[str, Any]:
    """Carry out one run of the command.

    Args:
        settings: of the run.
        output: folder for the results.
        start: folder where the command was started; relative paths begin there.
        overrides: what the command line changed, for the record.
        records: further files of the result, name to text.

    Returns:
        The summary, as written to ``summary.json``.

    Raises:
        UserError: the input cannot be used.
        Stopped: the loss was not finite, or diverged; the last good picture has been written.
        Interrupted: a signal has ended it; while painting, the result so far has been written.

    Whatever else is raised, nothing of this run's result is left.
    """
    clock, files = summaries.Clock(), build.request(settings).files(start)
    command = Failure(UNFINISHED, overrides=overrides, settings=asdict(settings))
    with under_way(output, files, command, settings.checkpoint, settings.resume) as kept:
        with loggers.logger(settings.logger.name, output) as logger:
            with Bar("stylize") as bar:
                result = stylize(
                    settings,
                    start,
                    overrides=overrides,
                    clock=clock,
                    bar=bar,
                    watch=logger.advance,
                    kept=kept,
                    preview=Preview(output, settings.preview),
                )
            with all_or_nothing(output) as results:
                with clock.stage("write"):
                    write.save_result(result, results)
                    write.save_texts(records, results)
                    for steps, pictures in result.history().items():
                        logger.show(pictures, steps)
                clock.note(result.summary)
                results.show(result.summary, logger.files)
        print_outcome(result, settings.content, output, clock.seconds)
    memory.give_back()
    if stopped := result.summary.get("stopped"):
        raise Stopped(f"{stopped}; the last good picture is in {output}")
    return result.summary


def stylize(
    settings: Settings,
    start: Path,
    *,
    in_memory: InMemory | None = None,
    overrides: Sequence[str] = (),
    clock: summaries.Clock | None = None,
    bar: Bar | None = None,
    watch: Progress = lambda row: None,
    kept: Checkpoints | None = None,
    preview: Preview | None = None,
) -> Result:
    """The story but for its end: read -> segment -> mask -> stylize -> blend.

    Args:
        settings: of the run.
        start: folder where relative paths begin.
        in_memory: pictures in memory, by the names that stand for their paths in ``settings``.
        overrides: for the record.
        clock: where the seconds by stage go.
        bar: shows the progress.
        watch: called with each iteration's losses.
        kept: states to go on from.
        preview: is shown the picture on its way.

    Raises:
        UserError: the input cannot be used.
    """
    clock, asked = clock or summaries.Clock(), build.request(settings)
    where = device.prepare(device.choose(settings.device))
    with clock.stage("read"):
        painters = build.load_painters(settings, asked, where, start)
        known = build.classes(settings, start)
        inputs = read_inputs(asked, build.bound(settings), start, in_memory, known)
        content = inputs.photograph.picture.to(where)
    with clock.stage("segment"):
        network, segmentation, styles = _segment(settings, asked, inputs, content, start)
        prompted = build.segment_prompts(content, asked.prompts, settings, start)
    with clock.stage("mask"):
        inputs, content, shown, wanted, mixed = mask(
            asked,
            inputs,
            content,
            segmentation,
            prompted,
            [*styles],
            build.room(settings, where),
            settings.matte == "auto",
            build.finder(asked.regions, settings, where, start),
        )
    encoder = build.load_encoder(settings, where, start) if styles else None
    used = {"segmenter": network, "encoder": encoder}
    sources = {part: n.source for part, n in used.items() if n} | painters.sources
    summary = summaries.describe_run(
        settings.content,
        settings.method.name,
        fingerprint(settings),
        summaries.describe_inputs(asked.files(start)),
        where,
        overrides,
    )
    summary |= summaries.describe_networks(sources)
    summary["size"] = [content.shape[3], content.shape[2]]
    summary["regions"] = summaries.describe_regions(shown | wanted)
    log.info(summary["networks_hint"])
    result = Result(content, None, segmentation, shown, wanted, summary=summary)
    if encoder is not None:
        with clock.stage("stylize"):
            regions = prepared_regions(
                styles,
                wanted,
                asked.regions,
                content,
                settings.color,
                settings.feather,
                settings.blend == "sequential",
                enlarge=not build.paints_all(settings),
                strength=settings.strength,
                share=build.style_share(settings),
            )

        if kept is not None:
            kept.expect(summary)
        result = _paint(
            settings,
            result,
            regions,
            encoder,
            inputs,
            clock,
            bar,
            preview,
            watch,
            mixed,
            kept,
            painters,
        )
    summary["peak_memory_mib"] = round(summaries.peak_memory(where) / 2**20)
    clock.note(summary)
    return result


def _segment(
    settings: Settings, asked: Request, inputs: Inputs, content: Tensor, start: Path
) -> tuple[LoadedSegmenter | None, Segmentation | None, dict[str, list[StylePicture]]]:
    """The segmenter and the content's classes, where they are needed; the styles, cut to theirs."""
    matching = settings.styles == "match"
    styles = {region: [one.to(content) for one in own] for region, own in inputs.styles.items()}
    if inputs.reference is not None and inputs.reference_labels and inputs.label_map:
        reference = inputs.reference.to(content)
        labels = inputs.reference_labels, inputs.label_map
        styles, matching = match_labels(str(asked.reference), reference, *labels), False
    needed = custom.needs_classes([*styles], inputs.label_map, asked.regions, inputs.classes)
    if not (matching or not styles or needed or look_inside(styles)):
        return None, None, styles
    network = build.load_segmenter(settings, content.device, start)
    beside = build.load_scenes(settings, network, asked, content.device)
    look = functools.partial(
        build.segment_picture, network=network, settings=settings, scenes_by=beside
    )
    segmentation = look(content) if matching or not styles or needed else None
    if matching and inputs.reference is not None and segmentation is not None:
        styles = match(str(asked.reference), inputs.reference.to(content), look, segmentation)
    return network, segmentation, within_regions(styles, look)


def _paint(
    settings: Settings,
    result: Result,
    regions: list[Region],
    encoder: LoadedEncoder,
    inputs: Inputs,
    clock: summaries.Clock,
    bar: Bar | None,
    preview: Preview | None,
    watch: Progress,
    mixed: Tensor | None,
    kept: Checkpoints | None,
    painters: build.Painters,
) -> Result:
    turns = rounds(regions, settings.blend == "sequential")
    count = sum(build.optimisations(settings, turn) for turn in turns)
    shows: list[Bar | Preview] = [one for one in (bar, preview) if one is not None]
    for one in shows:
        one.expect(count, settings.optimizer.iterations)

    def advance(row: LossRow) -> None:
        watch(row)
        for one in shows:
            one.advance(row)

    free = settings.unstyled == "free"

    def begin(content: Tensor, turn: Sequence[Region]) -> Tensor | None:
        if settings.init == "instant":
            instant = build.method(settings, painters, "instant")
            return painted_instantly(content, turn, instant, engine, free)
        return beginning(settings.init, inputs.init, content, turn, settings.noise, settings.seed)

    with precision.tf32(settings.precision == "tf32"):
        with clock.stage("stylize"):
            engine = build.engine(settings, encoder, kept)
        painted = paint(
            result.content,
            turns,
            build.method(settings, painters),
            engine,
            begin,
            free,
            clock,
            advance,
            mixed,
            settings.loss.tones,
            preview,
            settings.loss.chroma_smoothing,
        )
        described = describe(painted, regions)
        if settings.distances:
            with clock.stage("measure"):
                margin = settings.method.margin
                found = distances(result.content, painted.picture, regions, engine, margin)
            for name, own in found.items():
                described[name] |= own
    for entry in result.summary["regions"]:
        entry |= described.get(entry["name"], {})
    result.summary["iterations"] = len(painted.losses)
    interrupted = "" if kept is None else kept.conclude()
    if stopped := interrupted or painted.stopped:
        result.summary["stopped"] = stopped
    pictures = {region.name: [style.picture for style in region.styles] for region in regions}
    return result.with_painted(painted, pictures)
