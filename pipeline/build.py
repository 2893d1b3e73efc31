"""Build: the objects that the settings describe.

With `command` and `run` the only place that knows the settings; what is built here does not.
"""

import dataclasses
import functools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

import torch
from torch import Tensor

from pipeline.config.schema import ONE_PASS, Settings, paints_instantly
from pipeline.engine.checkpoint import Keeper, NoKeeper
from pipeline.engine.engine import Descent, Engine, Resources
from pipeline.engine.objective import NEIGHBOURS, Objective
from pipeline.errors import UserError
from pipeline.fit import Room
from pipeline.methods import Method, Region, Stylized
from pipeline.methods.composite import composite
from pipeline.methods.feedforward import feedforward
from pipeline.methods.guided import guided
from pipeline.methods.instant import instant
from pipeline.methods.stitch import stitch
from pipeline.methods.whole import whole
from pipeline.methods.working_size import at_working_size
from pipeline.networks import click_prompts, encoders, hub, segmenters, text_prompts
from pipeline.networks import feedforward as feedforward_network
from pipeline.networks import instant as instant_network
from pipeline.networks.feedforward import LoadedFeedForward
from pipeline.networks.instant import LoadedPainter
from pipeline.networks.weights import Source
from pipeline.paths import located
from pipeline.pictures import size
from pipeline.regions.names import SCENE_CLASSES
from pipeline.regions.prompted import check_found
from pipeline.regions.segment import Refinement, Segmentation, segment
from pipeline.regions.snap import Finder
from pipeline.request import RegionChoice, Request, Seeds, parse_regions, parse_styles
from pipeline.runtime import distributed, precision
from pipeline.runtime.cache import Store, digest

# Kept for further runs of this process: a sweep's, or those of a notebook. Pictures of 512 pixels
# take about 20 MB of the first and 5 MB of the second.
_targets = Store(512 * 2**20)
_segmentations = Store(128 * 2**20)

# The instant painter's tiles, in pixels a side: with its surroundings one takes about 3 GiB.
_TILE = 1024

# Long side of a style picture as a share of that of the box around its region. In blind comparisons
# of guided it was preferred to 1 in 32 of 46 answers, 1 to 2 in 14 of 16, and to 0.5 in 11 of 24.
_STYLE_SHARE = 0.7

#: Where the optimisation may start without a picture.
INITS = ("content", "noise", "content+noise", "style", "instant")

METHODS: dict[str, Callable[..., Stylized]] = {
    "stitch": stitch,
    "composite": composite,
    "guided": guided,
    "instant": instant,
    "feedforward": feedforward,
    "global": whole,
}


def request(settings: Settings) -> Request:
    """What the settings ask for: which files, which regions, which styles."""
    label_map, regions = parse_regions(settings.regions)
    matching = settings.styles == "match"
    weights = {
        "encoder.weights": settings.encoder.weights,
        "segmenter.weights": settings.segmenter.weights,
        "method.weights": settings.method.weights,
    }
    return Request(
        settings.content,
        {} if matching else parse_styles(settings.styles),
        settings.reference,
        label_map,
        regions,
        None if settings.init in INITS else settings.init,
        {key: file for key, file in weights.items() if file is not None},
        settings.reference_regions,
    )


def bound(settings: Settings) -> int | None:
    """Bound of the photograph's long side in pixels, as it is read; None: its own."""
    if settings.size == "full":
        return None
    return size.LARGEST if settings.size == "auto" else int(settings.size)


def paints_all(settings: Settings) -> bool:
    """Whether the whole frame is painted at once, not only its regions."""
    chosen = settings.method
    over_the_frame = chosen.name == "stitch" and chosen.gram == "global"
    return chosen.name == "global" or over_the_frame or settings.unstyled == "free"


def style_share(settings: Settings) -> float:
    """Long side of a style picture, as a share of that of the box around its region.

    A stitched picture fills the box, and in the papers both are of one size; for what is painted in
    one pass a smaller one is no better.
    """
    papers = settings.loss.name == "gatys"
    return 1.0 if papers or settings.method.name in ("stitch", *ONE_PASS) else _STYLE_SHARE


def room(settings: Settings, where: torch.device) -> Room | None:
    """How much may be painted with ``size=auto``; None: the size is given."""
    if settings.size != "auto":
        return None
    automatic = 1024**2 if where.type == "cuda" else 512**2
    return Room(
        automatic if settings.budget == "auto" else int(settings.budget),
        settings.method.margin,
        settings.method.name != "composite",
        paints_all(settings),
    )


@functools.cache
def _cached_segmenter(
    name: str,
    file: Path | None,
    where: torch.device,
    model: str | None,
    start: Path,
    dtype: torch.dtype,
) -> segmenters.LoadedSegmenter:
    return segmenters.load(name, file, where, model, start, dtype)


def load_segmenter(
    settings: Settings, where: torch.device, start: Path
) -> segmenters.LoadedSegmenter:
    """The segmenter, loaded once a process."""
    chosen = settings.segmenter
    file, dtype = _file(chosen.weights, start), _dtype(settings, where)
    return _cached_segmenter(chosen.name, file, where, chosen.model, start, dtype)


def load_scenes(
    settings: Settings, network: segmenters.LoadedSegmenter, asked: Request, where: torch.device
) -> segmenters.LoadedSegmenter | None:
    """The bundled segmenter, for the scenes alone, where the segmenter knows none.

    With a DeepLabv3 chosen by name only where a scene is asked for: it finds what it always found.
    """
    if network.classes != segmenters.Classes():
        return None
    if settings.segmenter.name != "auto" and not asked.region_names & {*SCENE_CLASSES}:
        return None
    return _cached_segmenter("compact", None, where, None, Path(), _dtype(settings, where))


def _dtype(settings: Settings, where: torch.device) -> torch.dtype:
    """In which networks' features are held."""
    return precision.dtype(cast(Any, settings.precision), where)


def classes(settings: Settings, start: Path) -> tuple[str, ...]:
    """The names of what the segmenter finds."""
    return segmenters.classes(settings.segmenter.name, settings.segmenter.model, start).names


def _file(name: str | None, start: Path) -> Path | None:
    return None if name is None else located(name, start)


def segment_picture(
    picture: Tensor,
    network: segmenters.LoadedSegmenter,
    settings: Settings,
    scenes_by: segmenters.LoadedSegmenter | None = None,
) -> Segmentation:
    """A picture's classes, at the settings' sizes and refined as they say; once a process."""
    chosen = settings.segmenter
    sizes = chosen.sizes or network.sizes
    closer = network.closer if chosen.closer is None else chosen.closer
    return _segmented(picture, network, settings, sizes, chosen.mirror, closer, scenes_by=scenes_by)


def segment_prompts(
    picture: Tensor, phrases: Mapping[str, str], settings: Settings, start: Path
) -> dict[str, Segmentation]:
    """What phrases say, each as a class beside the background; looked for once a process.

    Args:
        picture: (1, 3, H, W) in [0, 1].
        phrases: name of a region to its phrase.
        settings: of the run.
        start: where relative folders begin.

    Raises:
        UserError: a model that cannot be had, or a phrase that the picture shows nothing of.
    """
    if not phrases:
        return {}
    chosen = settings.prompts
    prompts = _cached_text_prompts(chosen.text_model, start, picture.device)
    found = {}
    for name, phrase in phrases.items():
        network = segmenters.LoadedSegmenter(
            prompts.segmenter(phrase, chosen.text_threshold),
            text_prompts.SIZES,
            prompts.source,
            text_prompts.CLASSES,
        )
        what = phrase, chosen.text_threshold
        # Not mirrored: phrases may say left or right.
        found[name] = _segmented(picture, network, settings, text_prompts.SIZES, False, 0, what)
    check_found(found, phrases)
    return found


_cached_text_prompts = functools.cache(text_prompts.load)


def finder(
    choices: Mapping[str, RegionChoice], settings: Settings, device: torch.device, start: Path
) -> Finder | None:
    """What finds the things that points lie on, where some are given and a model can be had.

    Args:
        choices: the user's own regions.
        settings: of the run.
        device: where it runs.
        start: where relative folders begin.

    Raises:
        UserError: a model that was asked for and cannot be had.
    """
    sources = (choice.source for choice in choices.values())
    if not any(isinstance(source, Seeds) and source.inside for source in sources):
        return None
    model = settings.prompts.click_model
    if model != click_prompts.MODEL:
        hub.locate("a region of point(...)", model, "prompts.click_model", start)
    found = _cached_click_prompts(start, device, model)
    return None if found is None else found.masks_of_points


_cached_click_prompts = functools.cache(click_prompts.load)


def _segmented(
    picture: Tensor,
    network: segmenters.LoadedSegmenter,
    settings: Settings,
    sizes: Sequence[int],
    mirror: bool,
    closer: int,
    what: tuple[Any, ...] = (),
    scenes_by: segmenters.LoadedSegmenter | None = None,
) -> Segmentation:
    """What a network finds in a picture; ``what`` tells it from others of the same weights."""
    chosen, refine = settings.segmenter, settings.segmenter.refine
    refinement = None
    if refine.enabled:
        refinement = Refinement(refine.radius, refine.eps, tuple(refine.by_colour))

    def look() -> Segmentation:
        return segment(
            picture,
            network.module,
            sizes=sizes,
            mirror=mirror,
            refinement=refinement,
            min_share=chosen.min_share,
            min_part=chosen.min_part,
            classes=network.classes,
            scenes_by=scenes_by,
            closer=closer,
        )

    how = tuple(sizes), mirror, closer, refinement, chosen.min_share, chosen.min_part, what
    used = [(one.source, one.dtype) for one in (network, scenes_by) if one is not None]
    key = digest(picture), str(picture.device), tuple(used), how
    found = _segmentations.get(key, look)
    # A dictionary of the caller's own, who may change it.
    return dataclasses.replace(found, probabilities=dict(found.probabilities))


# Sweeps change encoders as they change anything else; a few are kept.
@functools.lru_cache(maxsize=4)
def _cached_encoder(
    name: str, file: Path | None, where: torch.device, options: tuple[tuple[str, Any], ...]
) -> encoders.LoadedEncoder:
    return encoders.load(name, file, where, **dict(options))


def load_encoder(settings: Settings, where: torch.device, start: Path) -> encoders.LoadedEncoder:
    """The encoder, with the layers asked for; loaded once a process."""
    chosen = settings.encoder
    options = {
        "style_layers": None if chosen.style_layers is None else tuple(chosen.style_layers),
        "content_layers": None if chosen.content_layers is None else tuple(chosen.content_layers),
        "neighbour_layers": _neighbour_layers(settings),
        "levels": chosen.levels,
        "pooling": chosen.pooling,
        "padding": chosen.padding,
    }
    file = _file(chosen.weights, start)
    return _cached_encoder(chosen.name, file, where, tuple(options.items()))


def _neighbour_layers(settings: Settings) -> tuple[str, ...] | None:
    if settings.loss.style not in NEIGHBOURS:
        return ()
    chosen = settings.encoder.neighbour_layers
    return None if chosen is None else tuple(chosen)


# As many as there are encoders, in two precisions.
_prepared = functools.lru_cache(maxsize=8)(precision.prepared)


def engine(
    settings: Settings, encoder: encoders.LoadedEncoder, keeper: Keeper | None = None
) -> Engine:
    """The engine, with its losses and its way down.

    Args:
        settings: of the run.
        encoder: whose features the losses compare.
        keeper: of its states; None: nothing is kept.

    Raises:
        UserError: not one weight for each style layer.
    """
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
        loss.layout_weight,
        cast(Any, loss.style),
        dict.fromkeys(encoder.neighbour_layers, 1 / max(1, len(encoder.neighbour_layers))),
        loss.neighbour_weight,
        loss.neighbour_content,
        # Without its style's tones a region's colours are the photograph's.
        loss.color_layout_weight if loss.tones > 0 else 0.0,
        loss.neighbour_patch,
        loss.neighbour_balance,
        loss.neighbour_detail,
    )
    descent = Descent(
        cast(Any, optimizer.name),
        optimizer.iterations,
        optimizer.scales,
        optimizer.learning_rate,
        optimizer.history,
        optimizer.tolerance,
        frozenset(settings.snapshots),
    )
    chosen, where = settings.encoder, encoder.module.encoder.mean.device
    in_numbers = precision.choose(cast(Any, settings.precision), where)
    team = distributed.join(where)
    resources = Resources(settings.tile, cast(Any, settings.memory), settings.cuda_graph, team)
    exact = functools.partial(precision.prepared, encoder.module, "float32")
    return Engine(
        _prepared(encoder.module, in_numbers),
        objective,
        descent,
        cast(Any, settings.method.propagation),
        _targets,
        (encoder.source, chosen.pooling, chosen.padding, str(where), in_numbers),
        resources,
        # Processes that share tiles would have to stop together.
        NoKeeper() if keeper is None or team.size > 1 else keeper,
        exact if in_numbers == "bfloat16" else None,
    )


_cached_instant = functools.cache(instant_network.load)
_cached_feedforward = functools.cache(feedforward_network.load)


@dataclass(frozen=True)
class Painters:
    """The networks that paint in one pass, where they are wanted.

    Attributes:
        instant: the one of any style.
        feedforward: by what its style picture is called, the one of each style.
    """

    instant: LoadedPainter | None = None
    feedforward: Mapping[str, LoadedFeedForward] = field(default_factory=dict)

    @property
    def sources(self) -> dict[str, Source]:
        """Where their weights come from, by what they are."""
        found = {} if self.instant is None else {"painter": self.instant.source}
        styles = self.feedforward.items()
        return found | {f"painter of {style}": loaded.source for style, loaded in styles}


def load_painters(settings: Settings, asked: Request, where: torch.device, start: Path) -> Painters:
    """What paints in one pass, or gives an optimisation its start; loaded once a process.

    Raises:
        UserError: a style that has no network, or a file that is none.
    """
    names = {choice.image for choices in asked.styles.values() for choice in choices}
    if asked.reference is not None:
        names.add(asked.reference)
    name, found = settings.method.name, Painters()
    if names and paints_instantly(settings):
        file = _file(settings.method.weights, start)
        found = Painters(_cached_instant(where, file, _dtype(settings, where)))
    if name == "feedforward":
        files = {n: feedforward_network.find(n, located(n, start)) for n in sorted(names)}
        found = Painters(None, {n: _cached_feedforward(f, where) for n, f in files.items()})
    return found


def method(settings: Settings, painters: Painters = Painters(), name: str | None = None) -> Method:
    """A method, with its own settings filled in.

    Args:
        settings: of the run.
        painters: as `load_painters`.
        name: of the method; None: the one that is asked for.
    """
    chosen, name = settings.method, name or settings.method.name
    tile = {"off": None, "auto": _TILE}.get(settings.tile, settings.tile)
    networks = {style: loaded.network for style, loaded in painters.feedforward.items()}
    options: dict[str, dict[str, Any]] = {
        "stitch": {"gram": chosen.gram, "margin": chosen.margin},
        "composite": {"gram": chosen.gram, "margin": chosen.margin},
        "guided": {"margin": chosen.margin},
        "instant": {"margin": chosen.margin, "painter": painters.instant, "tile": tile},
        "feedforward": {"margin": chosen.margin, "networks": networks},
        "global": {},
    }
    found = functools.partial(METHODS[name], **options[name])
    return functools.partial(at_working_size, method=found, margin=chosen.margin)


def optimisations(settings: Settings, regions: Sequence[Region]) -> int:
    """How many optimisations a method makes for these regions, for the progress bar."""
    if settings.method.name in ONE_PASS:
        return 0
    if settings.method.name == "composite":
        return len(regions)
    small = sum(region.enlargement > 1 for region in regions)
    return small + (small < len(regions))
