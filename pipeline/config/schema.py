"""Settings: the schema of conf/, with types, ranges and defaults checked before a run starts.

Only `command` and `run` know these classes; everything else takes plain arguments. Nothing here
needs torch, so that help and misspelt settings are answered at once.
"""

import dataclasses
import hashlib
import json
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field, is_dataclass
from enum import StrEnum
from typing import Any

from pipeline import request
from pipeline.errors import UserError, not_one_of
from pipeline.regions.names import CLASSES
from pipeline.request import Color

#: The largest number that ``size`` takes.
LARGEST_SIZE = 16384
#: Segmenters of Hugging Face's hub, which `SegmenterSettings.model` is for.
OPEN_SEGMENTERS = ("oneformer", "eomt", "open")
#: Settings that no picture shows.
_UNSEEN = ("checkpoint", "distances", "logger", "preview", "resume", "share", "shares")

# Made from lists, as "global" is no name in Python and names are to equal values: Hydra reads an
# enumeration's names, all else its values.
Blend = StrEnum("Blend", ["weighted", "sequential"])
Gram = StrEnum("Gram", ["masked", "global"])
LoggerName = StrEnum("LoggerName", ["none", "tensorboard"])
LossName = StrEnum("LossName", ["balanced", "gatys"])
Matte = StrEnum("Matte", ["auto", "off"])
Memory = StrEnum("Memory", ["normal", "low"])
MethodName = StrEnum(
    "MethodName", ["stitch", "composite", "guided", "instant", "feedforward", "global"]
)
#: Methods that make no optimisation.
ONE_PASS = (MethodName.instant, MethodName.feedforward)
OptimizerName = StrEnum("OptimizerName", ["lbfgs", "adam"])
Padding = StrEnum("Padding", ["replicate", "zeros", "reflect"])
Pooling = StrEnum("Pooling", ["max", "average"])
Precision = StrEnum("Precision", ["auto", "float32", "tf32", "bfloat16"])
Propagation = StrEnum("Propagation", ["simple", "inside", "all"])
StyleLoss = StrEnum("StyleLoss", ["gram", "wasserstein", "neighbours", "gram_neighbours"])
Unstyled = StrEnum("Unstyled", ["keep", "free"])


@dataclass(frozen=True)
class Range:
    """The numbers that a setting takes, and the words that it takes instead of one.

    Attributes:
        low, high: the smallest and the largest.
        words: with any, the number is a whole one.
    """

    low: float
    high: float
    words: tuple[str, ...] = ()

    def problem(self, key: str, value: Any) -> str:
        """What is wrong with a value; empty if nothing is."""
        if self.words:
            if value in self.words:
                return ""
            if not isinstance(value, int) or isinstance(value, bool):
                words = " nor ".join(self.words)
                return (
                    f"{key}={_plain(value)} is neither {words} nor a whole number "
                    f"from {self.low:g} to {self.high:g}"
                )
        # None stands for a default.
        if value is not None and (not isinstance(value, int | float) or isinstance(value, bool)):
            return f"{key}={_plain(value)} is no number from {self.low:g} to {self.high:g}"
        # Written so that NaN, too, is outside.
        if value is None or self.low <= value <= self.high:
            return ""
        return f"{key}={value} is outside {self.low:g} to {self.high:g}"


def within(low: float, high: float, *words: str) -> dict[str, Range]:
    """Metadata of a field: its `Range`, or that of each entry of its list."""
    return {"range": Range(low, high, words)}


@dataclass
class RefineSettings:
    """Edge-aware refinement of the masks."""

    enabled: bool = True
    radius: int = field(default=8, metadata=within(1, 200))
    eps: float = field(default=1e-4, metadata=within(1e-8, 1))
    # Those whose outlines fit better then, in blind comparisons.
    by_colour: list[str] = field(default_factory=lambda: ["person", "boat", "car", "cow"])


@dataclass
class SegmenterSettings:
    """Which segmenter, and how it is used."""

    name: str = "auto"
    weights: str | None = None
    model: str | None = None
    sizes: list[int] | None = field(default=None, metadata=within(64, 4096))
    mirror: bool = True
    closer: int | None = field(default=None, metadata=within(0, 100))
    min_share: float = field(default=0.005, metadata=within(0, 1))
    min_part: float = field(default=0.002, metadata=within(0, 1))
    refine: RefineSettings = field(default_factory=RefineSettings)


@dataclass
class PromptSettings:
    """What finds regions by a phrase."""

    text_model: str = "CIDAS/clipseg-rd64-refined"
    click_model: str = "facebook/sam2.1-hiera-tiny"
    text_threshold: float = field(default=0.4, metadata=within(0.01, 0.99))


@dataclass
class EncoderSettings:
    """Which encoder, and which of its layers; None means the network's own default."""

    name: str = "auto"
    weights: str | None = None
    style_layers: list[str] | None = None
    content_layers: list[str] | None = None
    neighbour_layers: list[str] | None = None
    levels: int | None = field(default=None, metadata=within(1, 6))
    pooling: Pooling = Pooling.max
    padding: Padding = Padding.reflect


@dataclass
class MethodSettings:
    """Which method, and how it takes its statistics."""

    name: MethodName = MethodName.guided
    gram: Gram = Gram.masked
    margin: int = field(default=16, metadata=within(0, 4096))
    propagation: Propagation = Propagation.simple
    weights: str | None = None


#: `LossSettings.style_weight` where Gram matrices are all that a style is compared by: the default
#: is for them beside neighbours.
GRAM_ALONE = 120.0


@dataclass
class LossSettings:
    """Which losses, and their weights."""

    name: LossName = LossName.balanced
    style: StyleLoss = StyleLoss.gram_neighbours
    content_weight: float = field(default=3.0, metadata=within(0, 1e12))
    style_weight: float = field(default=40.0, metadata=within(0, 1e12))
    neighbour_weight: float = field(default=80.0, metadata=within(0, 1e12))
    neighbour_content: float = field(default=0.5, metadata=within(0, 1))
    neighbour_patch: int = field(default=3, metadata=within(1, 7))
    neighbour_balance: float = field(default=0.9, metadata=within(0, 1))
    neighbour_detail: float = field(default=0.65, metadata=within(0, 1))
    tones: float = field(default=0.7, metadata=within(0, 1))
    chroma_smoothing: float = field(default=1.2, metadata=within(0, 20))
    layout_weight: float = field(default=8.0, metadata=within(0, 1e12))
    color_layout_weight: float = field(default=8.0, metadata=within(0, 1e12))
    tv_weight: float = field(default=10.0, metadata=within(0, 1e12))
    layer_weights: list[float] | None = field(default=None, metadata=within(0, 1e12))


@dataclass
class OptimizerSettings:
    """How the loss is brought down."""

    name: OptimizerName = OptimizerName.lbfgs
    iterations: int = field(default=100, metadata=within(1, 100_000))
    # A number of sizes from 1 to 8, or "auto" (`job.scales`).
    scales: Any = field(default="auto", metadata=within(1, 8, "auto"))
    learning_rate: float = field(default=1.0, metadata=within(1e-6, 100))
    history: int = field(default=10, metadata=within(1, 200))
    tolerance: float = field(default=0.0, metadata=within(0, 1))


@dataclass
class LoggerSettings:
    """Which experiment tracker is told of the run."""

    name: LoggerName = LoggerName.none


@dataclass
class Settings:
    """A whole run."""

    content: str = "astronaut"
    # Region to picture, or to what `request.parse_styles` reads; or "match".
    styles: Any = field(default_factory=dict)
    # The picture whose regions style the same regions of the content, for styles=match.
    reference: str | None = None
    # Its label map, whose labels pair with those of the content's label map.
    reference_regions: str | None = None
    # 0 is the photograph, 1 the boldest.
    strength: float = field(default=0.5, metadata=within(0, 1))
    # A label map's path, or name to what `request.parse_regions` reads.
    regions: Any = field(default_factory=dict)
    blend: Blend = Blend.weighted
    color: Color = Color.style
    unstyled: Unstyled = Unstyled.keep
    init: str = "content"
    noise: float = field(default=0.1, metadata=within(0, 10))
    seed: int = field(default=0, metadata=within(0, 2**63 - 1))
    snapshots: list[int] = field(default_factory=list, metadata=within(1, 100_000))
    # Pixels of the long side, "full": the photograph's own, or "auto": as the budget allows.
    size: Any = field(default="auto", metadata=within(32, LARGEST_SIZE, "auto", "full"))
    # Pixels to be painted with size=auto, or "auto": what suits the device.
    budget: Any = field(default="auto", metadata=within(64**2, 10_000_000, "auto"))
    matte: Matte = Matte.auto
    feather: float = field(default=0.0, metadata=within(0, 100))
    device: str = "auto"
    precision: Precision = Precision.auto
    # off, auto, or a side in pixels.
    tile: Any = field(default="auto", metadata=within(64, 16384, "off", "auto"))
    memory: Memory = Memory.normal
    cuda_graph: bool = True
    segmenter: SegmenterSettings = field(default_factory=SegmenterSettings)
    prompts: PromptSettings = field(default_factory=PromptSettings)
    encoder: EncoderSettings = field(default_factory=EncoderSettings)
    method: MethodSettings = field(default_factory=MethodSettings)
    loss: LossSettings = field(default_factory=LossSettings)
    optimizer: OptimizerSettings = field(default_factory=OptimizerSettings)
    # Whether a run in the same folder with the same settings goes on; one that has finished is left
    # as it is.
    resume: bool = False
    # Seconds between two states that are kept to go on from; 0: after every iteration.
    checkpoint: float = field(default=60.0, metadata=within(0, 1e6))
    # Seconds between two pictures of the run on its way; 0: none.
    preview: float = field(default=0.0, metadata=within(0, 1e6))
    # Whether the summary has each region's distances to its styles.
    distances: bool = True
    # Of a folder's pictures only every shares-th one is painted, from number share on.
    shares: int = field(default=1, metadata=within(1, 100_000))
    share: int = field(default=1, metadata=within(1, 100_000))
    logger: LoggerSettings = field(default_factory=LoggerSettings)
    # The name of the preset that was chosen, for the record.
    preset: str = "default"

    def __post_init__(self) -> None:
        """Check every value and report all that is wrong at once.

        Raises:
            UserError: one line for all of it.
        """
        for owner, entry, _ in _entries(self):
            taken = entry.metadata.get("range")
            if taken is not None and taken.words:
                setattr(owner, entry.name, _number(getattr(owner, entry.name)))
        wrong = [*_problems_of_values(self), *_problems_between(self)]
        if wrong:
            raise UserError("; ".join(wrong))


def fingerprint(settings: Settings) -> str:
    """SHA-256 of all settings that the pictures depend on, in hexadecimal.

    Equal for two runs that would paint the same, as long as the files they name are the same.
    """
    relevant = {key: value for key, value in asdict(settings).items() if key not in _UNSEEN}
    return hashlib.sha256(json.dumps(relevant, sort_keys=True, default=str).encode()).hexdigest()


def _entries(settings: Any, prefix: str = "") -> Iterator[tuple[Any, dataclasses.Field[Any], str]]:
    """Every value's owner, field and key, as ``optimizer.iterations``."""
    for entry in dataclasses.fields(settings):
        value = getattr(settings, entry.name)
        if is_dataclass(value):
            yield from _entries(value, f"{prefix}{entry.name}.")
        else:
            yield settings, entry, f"{prefix}{entry.name}"


def _number(value: Any) -> Any:
    """Quoted numbers are numbers, as for the settings that take nothing else."""
    return int(value) if isinstance(value, str) and value.isdecimal() else value


def _problems_of_values(settings: Settings) -> Iterator[str]:
    """What is wrong with values by themselves: no choice of their field's, or out of its range."""
    for owner, entry, key in _entries(settings):
        value, taken = getattr(owner, entry.name), entry.metadata.get("range")
        if isinstance(entry.type, type) and issubclass(entry.type, StrEnum):
            if value not in [*entry.type]:
                yield not_one_of(key, value, entry.type)
        elif taken is not None:
            values = value if isinstance(value, list) and not taken.words else [value]
            yield from filter(None, (taken.problem(key, one) for one in values))


def _problems_between(settings: Settings) -> Iterator[str]:
    """What is wrong with values together."""
    if settings.share > settings.shares:
        yield f"share={settings.share} is more than shares={settings.shares}"
    iterations = settings.optimizer.iterations
    for number in settings.snapshots:
        if isinstance(number, int) and number > iterations:
            yield f"snapshots={number} is after the last of optimizer.iterations={iterations}"
    for key, layers in (
        ("style_layers", settings.encoder.style_layers),
        ("content_layers", settings.encoder.content_layers),
        ("neighbour_layers", settings.encoder.neighbour_layers),
    ):
        if layers is not None and not layers:
            yield f"encoder.{key} is empty; name a layer or leave it null"
    yield from _problems_of_segmenter(settings.segmenter)
    weights = settings.loss.layer_weights
    if weights is not None and not sum(weights) > 0:
        yield "loss.layer_weights are all 0; give one of them a weight"
    if settings.loss.neighbour_patch % 2 == 0:
        yield (
            f"loss.neighbour_patch={settings.loss.neighbour_patch} has no unit in the middle; "
            "take an odd number"
        )
    if settings.loss.name == LossName.gatys and settings.loss.style != StyleLoss.gram:
        yield (
            f"loss.style={settings.loss.style} is not for the formulas of loss=gatys; "
            "use loss=balanced or loss.style=gram"
        )
    if settings.method.weights is not None and not paints_instantly(settings):
        yield (
            f"method.weights is a painter for method=instant or init=instant, not for "
            f"method={settings.method.name}; leave it out"
        )
    if settings.method.name in ONE_PASS:
        yield from _problems_of_one_pass(settings)
    yield from _problems_of_regions_and_styles(settings)


def paints_instantly(settings: Settings) -> bool:
    """Whether the painter of any style is needed."""
    return settings.method.name == MethodName.instant or settings.init == "instant"


def _problems_of_one_pass(settings: Settings) -> Iterator[str]:
    """What is said to an optimisation, and there is none."""
    method = f"method={settings.method.name}"
    if settings.init != "content":
        yield f"init={settings.init} is where an optimisation starts; {method} makes none"
    if settings.snapshots:
        yield f"snapshots are taken of an optimisation; {method} makes none"


def _problems_of_segmenter(segmenter: SegmenterSettings) -> Iterator[str]:
    unknown = {*segmenter.refine.by_colour} - {*CLASSES}
    # Which classes an open model has is known once it is read.
    if segmenter.name not in OPEN_SEGMENTERS and unknown:
        names = ", ".join(sorted(unknown))
        yield f"segmenter.refine.by_colour={names}: the segmenter has no class of that name"
    if segmenter.name not in OPEN_SEGMENTERS and segmenter.model is not None:
        yield (
            f"segmenter.model={segmenter.model} is not for segmenter={segmenter.name}; "
            "add segmenter=open"
        )
    if segmenter.name in OPEN_SEGMENTERS and segmenter.weights is not None:
        yield (
            f"segmenter.weights is not for segmenter={segmenter.name}; name a folder with its "
            "model, segmenter.model=FOLDER"
        )


def _problems_of_regions_and_styles(settings: Settings) -> list[str]:
    found = []
    label_map = None
    try:
        label_map, _ = request.parse_regions(settings.regions)
    except UserError as error:
        found.append(str(error))
    if settings.reference_regions is not None and (settings.styles != "match" or not label_map):
        found.append(
            "reference_regions pairs the labels of two label maps: add styles=match and "
            "regions=LABELMAP, the photograph's"
        )
    if settings.styles == "match":
        if settings.reference is None:
            found.append("styles=match needs the picture to match: add reference=PICTURE")
        if settings.method.name == "global":
            found.append("method=global knows no regions to match; choose another method")
        return found
    if not isinstance(settings.styles, dict):
        return [
            *found,
            f"styles={settings.styles} is neither match nor regions with pictures, "
            "+styles.REGION=PICTURE",
        ]
    if settings.reference is not None:
        found.append("reference is for styles=match; leave it out or add styles=match")
    try:
        names = list(request.parse_styles(settings.styles))
    except UserError as error:
        return [*found, str(error)]
    if settings.method.name == "global" and names not in ([], ["all"]):
        found.append(
            f"method=global paints the whole picture: use +styles.all=PICTURE instead of "
            f"{', '.join(f'styles.{name}' for name in names)}, or another method"
        )
    return found


def _plain(value: Any) -> str:
    """A value as it is written on the command line."""
    return json.dumps(value) if value is None or isinstance(value, bool) else str(value)
