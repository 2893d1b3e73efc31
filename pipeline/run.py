"""One run, from files to files: read -> segment -> mask -> stylize -> blend -> write."""

import dataclasses
import functools
import logging
import math
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from pipeline import build, inputs, request
from pipeline import styles as styling
from pipeline.config.schema import Settings
from pipeline.engine.engine import Engine
from pipeline.engine.objective import Guide, Style
from pipeline.engine.progress import LossRow, Progress
from pipeline.methods import Scene
from pipeline.methods.stitch import style_canvas
from pipeline.networks import encoders
from pipeline.pictures import color, read
from pipeline.pictures.blend import blend
from pipeline.regions import custom as own_regions
from pipeline.regions import masks as regions
from pipeline.regions.names import check_names
from pipeline.regions.segment import Segmentation
from pipeline.request import RegionChoice, StyleChoice
from pipeline.results import loggers, write
from pipeline.results.folder import all_or_nothing, check_folder, check_outputs
from pipeline.results.result import Result
from pipeline.results.summary import describe_networks, describe_regions, describe_run, peak_memory
from pipeline.results.terminal import Bar, print_hint, print_regions, print_result
from pipeline.runtime import device, precision
from pipeline.styles import StylePicture

log = logging.getLogger(__name__)


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

    def note(self, summary: dict[str, Any]) -> None:
        """Write the seconds so far into a summary."""
        summary["seconds"] = {stage: round(spent, 2) for stage, spent in self.seconds.items()}


def run(settings: Settings, output: Path, start: Path, overrides: Sequence[str]) -> dict[str, Any]:
    """Carry out one run of the command.

    Args:
        settings: of the run.
        output: folder for the results.
        start: folder where the command was started; relative paths begin there.
        overrides: what the command line changed, for the record.

    Returns:
        The summary, as written to ``summary.json``.

    Raises:
        UserError: the input cannot be used.

    Whatever is raised, nothing of this run's result is left.
    """
    check_folder(output)
    check_outputs(named_files(settings, start), output)
    clock = Clock()
    with loggers.logger(settings.logger.name, output) as logger:
        with Bar("stylize") as bar:
            result = stylize(
                settings, start, overrides=overrides, clock=clock, bar=bar, watch=logger.advance
            )
        with all_or_nothing(output) as files:
            with clock.stage("write"):
                write.save_result(result, files)
                for steps, pictures in _history(result).items():
                    logger.show(pictures, steps)
            clock.note(result.summary)
            files.show(result.summary, logger.files)
    if result.painted is None:
        print_regions(result.regions, output)
        print_hint(settings.content, result.regions)
    else:
        print_result(result.summary["regions"], output / "result.png", clock.seconds)
    return result.summary


def named_files(settings: Settings, start: Path) -> dict[str, Path]:
    """The files that settings name, ``content=a.png`` to its path; not all of them need exist."""
    labels, choices = request.parse_regions(settings.regions)
    named: list[tuple[str, Any]] = [
        ("content", settings.content),
        ("reference", settings.reference),
        ("init", settings.init),
        ("encoder.weights", settings.encoder.weights),
        ("segmenter.weights", settings.segmenter.weights),
        ("regions", labels),
        *((f"regions.{name}", choice.source) for name, choice in choices.items()),
        *(
            (f"styles.{region}", style.image)
            for region, styles in _choices(settings).items()
            for style in styles
        ),
    ]
    return {
        f"{key}={name}": start / Path(name).expanduser()
        for key, name in named
        if isinstance(name, str)
    }


def _history(result: Result) -> dict[int, dict[str, Tensor]]:
    """Number of iterations to the pictures worth looking at after them."""
    if result.painted is None:
        return {}
    history = {0: {"content": result.content, **result.extra}}
    for number, picture in result.snapshots.items():
        history[number] = {"result": picture}
    return history | {len(result.losses): {"result": result.painted}}


def stylize(
    settings: Settings,
    start: Path,
    *,
    held: read.Held | None = None,
    overrides: Sequence[str] = (),
    clock: Clock | None = None,
    bar: Bar | None = None,
    watch: Progress = lambda row: None,
) -> Result:
    """The story but for its end: read -> segment -> mask -> stylize -> blend.

    Args:
        settings: of the run.
        start: folder where relative paths begin.
        held: pictures in memory, by the names that stand for their paths in ``settings``.
        overrides: for the record.
        clock: where the seconds by stage go.
        bar: shows the progress.
        watch: called with each iteration's losses.

    Raises:
        UserError: the input cannot be used.
    """
    clock = clock or Clock()
    where = device.prepare(device.choose(settings.device))
    held = held or {}
    label_map, choices = request.parse_regions(settings.regions)

    with clock.stage("read"):
        bound = None if settings.size == "full" else settings.size
        photograph = read.content_picture(settings.content, bound, start, held)
        content = photograph.picture.to(where)
        folder = _Folder(start, held, where, bound or max(photograph.original))
        labels = None if label_map is None else inputs.label_map(label_map, start, held)
        styles = _choices(settings)
        _check_names(styles, labels, choices)
        pictures = {
            region: [folder.style(choice) for choice in chosen] for region, chosen in styles.items()
        }
    with clock.stage("segment"):
        network, segmentation = None, None
        if not styles or own_regions.needs_classes([*styles], labels, choices):
            network = build.load_segmenter(settings, where, start)
            segmentation = build.segment_picture(content, network, settings)
        if styling.looks_into_styles(styles) or settings.styles == "match":
            network = network or build.load_segmenter(settings, where, start)
            look = functools.partial(build.segment_picture, network=network, settings=settings)
            if settings.styles == "match":
                assert settings.reference is not None
                assert segmentation is not None
                reference = folder.style(StyleChoice(settings.reference))
                styles, pictures = _match(settings.reference, reference, look, segmentation)
            pictures = styling.within_regions(styles, pictures, look)
    with clock.stage("mask"):
        available = {}
        if segmentation is not None:
            available = regions.class_masks(segmentation, content)
        available |= own_regions.label_masks(labels, content)
        available |= own_regions.own_masks(
            choices, available, content, photograph.original, start, held
        )
        masks = regions.region_masks([*styles], available, content, choices)
        feathers = {region: _feather(region, settings, choices) for region in masks}
        again = own_regions.aliases(labels)
        shown = {name: mask for name, mask in available.items() if name not in again}
    summary = describe_run(settings, where, overrides)
    summary |= describe_networks({} if network is None else {"segmenter": network.source})
    summary["regions"] = describe_regions(shown | masks)
    result = Result(content, None, segmentation, shown, masks, summary=summary)
    if styles:
        encoder = build.load_encoder(settings, where, start)
        used = {} if network is None else {"segmenter": network.source}
        summary |= describe_networks({**used, "encoder": encoder.source})
        log.info(summary["networks_hint"])
        with precision.tf32(settings.precision == "tf32"):
            result = _paint(
                result, styles, pictures, feathers, encoder, settings, folder, clock, bar, watch
            )
    else:
        log.info(summary["networks_hint"])
    summary["peak_memory_mib"] = round(peak_memory(where) / 2**20)
    clock.note(summary)
    return result


@dataclass(frozen=True)
class _Folder:
    """Where style pictures come from, the device they go to, and the bound of their long side."""

    start: Path
    held: read.Held
    where: torch.device
    size: int

    def style(self, choice: StyleChoice) -> StylePicture:
        picture = read.style_picture(
            choice.image, self.size, self.start, self.held, scale=choice.scale, crop=choice.crop
        )
        return StylePicture(picture.to(self.where))


def _choices(settings: Settings) -> dict[str, list[StyleChoice]]:
    return {} if settings.styles == "match" else request.parse_styles(settings.styles)


def _check_names(
    styles: Mapping[str, Sequence[StyleChoice]],
    labels: Any,
    choices: Mapping[str, RegionChoice],
) -> None:
    own = own_regions.own_names(labels, choices)
    check_names([*styles, *choices], own)
    for chosen in styles.values():
        check_names([choice.region for choice in chosen if choice.region is not None])


def _match(
    name_of_reference: str,
    reference: StylePicture,
    look: Callable[[Tensor], Segmentation],
    segmentation: Segmentation,
) -> tuple[dict[str, list[StyleChoice]], dict[str, list[StylePicture]]]:
    """Each class of the content in the style of the same class of the reference."""
    whole_picture = StyleChoice(name_of_reference)
    there = look(reference.picture).shares
    styles = {}
    for name, share in segmentation.shares.items():
        if share == 0:
            continue
        partner = there.get(name, 0) > 0
        styles[name] = [
            dataclasses.replace(whole_picture, region=name) if partner else whole_picture
        ]
        log.info("%s in the style of the %s", name, name if partner else "whole reference")
    return styles, {name: [reference] for name in styles}


def _paint(
    result: Result,
    choices: Mapping[str, Sequence[StyleChoice]],
    pictures: Mapping[str, Sequence[StylePicture]],
    feathers: Mapping[str, float],
    encoder: encoders.LoadedEncoder,
    settings: Settings,
    folder: _Folder,
    clock: Clock,
    bar: Bar | None,
    watch: Progress,
) -> Result:
    """Stylize and blend, once, or (``blend=sequential``) once a style of a region."""
    content, masks = result.content, result.region_masks
    sequential, free = settings.blend == "sequential", settings.unstyled == "free"
    with clock.stage("stylize"):
        engine = build.engine(settings, encoder, max(content.shape[2:]))
        styles = {
            region: [
                styling.coloured(
                    found,
                    choice,
                    styling.weight_of(choice, len(chosen), sequential),
                    content,
                    masks[region],
                    settings.color,
                )
                for choice, found in zip(chosen, pictures[region], strict=True)
            ]
            for region, chosen in choices.items()
        }
    grey = [r for r, chosen in choices.items() if _color(chosen[0], settings) == "luminance"]
    rounds = styling.rounds(styles, sequential)
    if bar is not None:
        count = sum(build.optimisations(settings, one) for one in rounds)
        bar.expect(count * settings.optimizer.iterations)
    shown, seconds = content, dict.fromkeys(masks, 0.0)
    curve: list[LossRow] = []
    snapshots: dict[int, Tensor] = {}
    extra: dict[str, Tensor] = {}

    def advance(row: LossRow) -> None:
        watch(row)
        if bar is not None:
            bar.advance(row)

    for number, now in enumerate(rounds):
        here = {region: masks[region] for region in now}

        def finish(painted: Mapping[str, Tensor], before: Tensor = shown) -> Tensor:
            toned = {
                region: color.with_luminance(before, picture) if region in grey else picture
                for region, picture in painted.items()
            }
            widths = {region: feathers[region] for region in toned}
            return blend(before, toned, {r: masks[r] for r in toned}, widths, free)

        with clock.stage("stylize"):
            scene_content = styling.grey_inside(shown, [here[r] for r in now if r in grey])
            begin = None
            if number == 0:
                begin = _beginning(settings, scene_content, here, now, folder)
            scene = Scene(scene_content, here, now, begin, free)
            stylized = build.method(settings)(scene, engine, advance)
        with clock.stage("blend"):
            earlier = number * settings.optimizer.iterations
            snapshots |= {
                earlier + n: finish(stylized.pictures | taken)
                for n, taken in stylized.snapshots.items()
            }
            shown = finish(stylized.pictures)
        curve += stylized.curve
        extra = stylized.extra | extra
        for region, spent in stylized.seconds.items():
            seconds[region] += spent
    result.summary["iterations"] = len(curve)
    with clock.stage("stylize"):
        _describe_styles(result, shown, choices, styles, grey, engine, seconds)
    return dataclasses.replace(
        result,
        painted=shown,
        styles={region: [style.picture for style in chosen] for region, chosen in styles.items()},
        losses=curve,
        snapshots=dict(sorted(snapshots.items())),
        extra=extra,
    )


def _color(choice: StyleChoice, settings: Settings) -> str:
    return choice.color or settings.color


def _feather(region: str, settings: Settings, choices: Mapping[str, RegionChoice]) -> float:
    own = choices[region].feather if region in choices else None
    return settings.feather if own is None else own


def _beginning(
    settings: Settings,
    content: Tensor,
    masks: Mapping[str, Tensor],
    styles: Mapping[str, Sequence[Style]],
    folder: _Folder,
) -> Tensor | None:
    """Where the optimisation starts; None: at the content."""
    if settings.init == "content":
        return None
    if settings.init == "noise":
        return styling.noise_picture(content, settings.seed)
    if settings.init == "content+noise":
        return styling.content_with_noise(content, settings.noise, settings.seed)
    if settings.init == "style":
        first = {region: chosen[0] for region, chosen in styles.items()}
        return style_canvas(content, masks, first).picture
    picture = folder.style(StyleChoice(settings.init)).picture
    return F.interpolate(picture, content.shape[2:], mode="bilinear", antialias=True).clamp(0, 1)


def _describe_styles(
    result: Result,
    shown: Tensor,
    choices: Mapping[str, Sequence[StyleChoice]],
    styles: Mapping[str, Sequence[Style]],
    grey: Sequence[str],
    engine: Engine,
    seconds: Mapping[str, float],
) -> None:
    """Add style, distances to it before and after, and seconds to the styled regions' entries."""
    by_name = {entry["name"]: entry for entry in result.summary["regions"]}
    for region, mask in result.region_masks.items():
        guide = Guide(region, styles[region], mask)
        seen = [color.grey(p) if region in grey else p for p in (result.content, shown)]
        distances = [engine.style_distance(picture, guide) for picture in seen]
        # A region too small for every layer has none; JSON knows no NaN.
        before, after = (None if math.isnan(d) else round(d, 4) for d in distances)
        images = [choice.image for choice in choices[region]]
        by_name[region] |= {
            "style": images[0] if len(images) == 1 else images,
            "style_distance_before": before,
            "style_distance_after": after,
            "seconds": round(seconds[region], 2),
        }
