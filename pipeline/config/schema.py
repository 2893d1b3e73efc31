"""Settings: the schema of conf/, with types, ranges and defaults checked before a run starts.

Only `command` and `run` know these classes; everything else takes plain arguments. Nothing here
needs torch, so that help and misspelt settings are answered at once.
"""

import hashlib
import json
from dataclasses import asdict, dataclass, field
from typing import Any

from pipeline import request
from pipeline.errors import UserError

#: The largest number that ``size`` takes.
LARGEST_SIZE = 16384
#: Settings that no picture shows.
_UNSEEN = ("logger", "resume")


@dataclass
class RefineSettings:
    """Edge-aware refinement of the masks."""

    enabled: bool = True
    radius: int = 8
    eps: float = 1e-4
    by_colour: list[str] = field(default_factory=lambda: ["person"])


@dataclass
class SegmenterSettings:
    """Which segmenter, and how it is used."""

    name: str = "auto"
    weights: str | None = None
    sizes: list[int] | None = None
    mirror: bool = True
    min_share: float = 0.005
    min_part: float = 0.002
    refine: RefineSettings = field(default_factory=RefineSettings)


@dataclass
class EncoderSettings:
    """Which encoder, and which of its layers; None means the network's own default."""

    name: str = "auto"
    weights: str | None = None
    style_layers: list[str] | None = None
    content_layers: list[str] | None = None
    levels: int | None = None
    pooling: str = "max"
    padding: str = "reflect"


@dataclass
class MethodSettings:
    """Which method, and how it takes its statistics."""

    name: str = "stitch"
    gram: str = "masked"
    margin: int = 16
    propagation: str = "simple"


@dataclass
class LossSettings:
    """Which losses, and their weights."""

    name: str = "balanced"
    content_weight: float = 1.0
    style_weight: float = 30.0
    layout_weight: float = 4.0
    tv_weight: float = 10.0
    layer_weights: list[float] | None = None


@dataclass
class OptimizerSettings:
    """How the loss is brought down."""

    name: str = "lbfgs"
    iterations: int = 200
    # A number of sizes from 1 to 8, or "auto" (`build.scales`).
    scales: Any = "auto"
    learning_rate: float = 1.0
    history: int = 10
    tolerance: float = 0.0


@dataclass
class LoggerSettings:
    """Which experiment tracker is told of the run."""

    name: str = "none"


@dataclass
class Settings:
    """A whole run."""

    content: str = "astronaut"
    # Region to picture, or to what `request.parse_styles` reads; or "match".
    styles: Any = field(default_factory=dict)
    # The picture whose regions style the same regions of the content, for styles=match.
    reference: str | None = None
    # A label map's path, or name to what `request.parse_regions` reads.
    regions: Any = field(default_factory=dict)
    blend: str = "weighted"
    color: str = "style"
    unstyled: str = "keep"
    init: str = "content"
    noise: float = 0.1
    seed: int = 0
    snapshots: list[int] = field(default_factory=list)
    # Pixels of the long side, or "full": the photograph's own.
    size: Any = 512
    feather: float = 2.0
    device: str = "auto"
    precision: str = "auto"
    # off, auto, or a side in pixels.
    tile: Any = "auto"
    memory: str = "normal"
    cuda_graph: bool = True
    segmenter: SegmenterSettings = field(default_factory=SegmenterSettings)
    encoder: EncoderSettings = field(default_factory=EncoderSettings)
    method: MethodSettings = field(default_factory=MethodSettings)
    loss: LossSettings = field(default_factory=LossSettings)
    optimizer: OptimizerSettings = field(default_factory=OptimizerSettings)
    # Whether a finished run with the same settings in the same folder is left as it is.
    resume: bool = False
    logger: LoggerSettings = field(default_factory=LoggerSettings)
    # The name of the preset that was chosen, for the record.
    preset: str = "default"

    def __post_init__(self) -> None:
        """Check every value and report all that is wrong at once.

        Raises:
            UserError: one line for all of it.
        """
        self.size, self.tile = _number(self.size), _number(self.tile)
        self.optimizer.scales = _number(self.optimizer.scales)
        wrong = [problem for problem in _problems(self) if problem]
        if wrong:
            raise UserError("; ".join(wrong))


def fingerprint(settings: Settings) -> str:
    """SHA-256 of all settings that the pictures depend on, in hexadecimal.

    Equal for two runs that would paint the same, as long as the files they name are the same.
    """
    relevant = {key: value for key, value in asdict(settings).items() if key not in _UNSEEN}
    return hashlib.sha256(json.dumps(relevant, sort_keys=True, default=str).encode()).hexdigest()


def _problems(settings: Settings) -> list[str]:
    segmenter, encoder, method = settings.segmenter, settings.encoder, settings.method
    loss, optimizer = settings.loss, settings.optimizer
    found = [
        _one_of("encoder.pooling", encoder.pooling, ["max", "average"]),
        _one_of("encoder.padding", encoder.padding, ["replicate", "zeros", "reflect"]),
        _one_of("blend", settings.blend, ["weighted", "sequential"]),
        _one_of("color", settings.color, [*request.COLORS]),
        _one_of("precision", settings.precision, ["auto", "float32", "tf32", "bfloat16"]),
        _one_of("memory", settings.memory, ["normal", "low"]),
        _tile(settings.tile),
        _one_of("unstyled", settings.unstyled, ["keep", "free"]),
        _one_of("method.name", method.name, ["stitch", "composite", "guided", "global"]),
        _one_of("method.propagation", method.propagation, ["simple", "inside", "all"]),
        _one_of("method.gram", method.gram, ["masked", "global"]),
        _one_of("loss.name", loss.name, ["balanced", "gatys"]),
        _one_of("optimizer.name", optimizer.name, ["lbfgs", "adam"]),
        _one_of("logger.name", settings.logger.name, ["none", "tensorboard"]),
        _number_or("size", settings.size, "full", 32, LARGEST_SIZE),
        _within("feather", settings.feather, 0, 100),
        _within("noise", settings.noise, 0, 10),
        _within("seed", settings.seed, 0, 2**63 - 1),
        *(_within("snapshots", n, 1, optimizer.iterations) for n in settings.snapshots),
        *(_within("segmenter.sizes", size, 64, 4096) for size in segmenter.sizes or []),
        _within("segmenter.min_share", segmenter.min_share, 0, 1),
        _within("segmenter.min_part", segmenter.min_part, 0, 1),
        _within("segmenter.refine.radius", segmenter.refine.radius, 1, 200),
        _within("segmenter.refine.eps", segmenter.refine.eps, 1e-8, 1),
        _within("method.margin", method.margin, 0, 4096),
        _within("loss.content_weight", loss.content_weight, 0, 1e12),
        _within("loss.style_weight", loss.style_weight, 0, 1e12),
        _within("loss.layout_weight", loss.layout_weight, 0, 1e12),
        _within("loss.tv_weight", loss.tv_weight, 0, 1e12),
        _within("optimizer.iterations", optimizer.iterations, 1, 100_000),
        _number_or("optimizer.scales", optimizer.scales, "auto", 1, 8),
        _within("optimizer.learning_rate", optimizer.learning_rate, 1e-6, 100),
        _within("optimizer.history", optimizer.history, 1, 200),
        _within("optimizer.tolerance", optimizer.tolerance, 0, 1),
    ]
    if encoder.levels is not None:
        found.append(_within("encoder.levels", encoder.levels, 1, 6))
    for key, layers in (("style", encoder.style_layers), ("content", encoder.content_layers)):
        if layers is not None and not layers:
            found.append(f"encoder.{key}_layers is empty; name a layer or leave it null")
    if loss.layer_weights is not None:
        found += [_within("loss.layer_weights", weight, 0, 1e12) for weight in loss.layer_weights]
        if not sum(loss.layer_weights) > 0:
            found.append("loss.layer_weights are all 0; give one of them a weight")
    return found + _problems_of_regions_and_styles(settings)


def _problems_of_regions_and_styles(settings: Settings) -> list[str]:
    found = []
    try:
        request.parse_regions(settings.regions)
    except UserError as error:
        found.append(str(error))
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


def _one_of(key: str, value: str, choices: list[str]) -> str:
    return "" if value in choices else f"{key}={value} is not one of {', '.join(choices)}"


def _number(value: Any) -> Any:
    """Quoted numbers are numbers, as for the settings that take nothing else."""
    return int(value) if isinstance(value, str) and value.isdecimal() else value


def _number_or(key: str, value: Any, word: str, low: int, high: int) -> str:
    if value == word:
        return ""
    if isinstance(value, int) and not isinstance(value, bool):
        return _within(key, value, low, high)
    return f"{key}={_plain(value)} is neither {word} nor a whole number from {low} to {high}"


def _tile(tile: Any) -> str:
    if tile == "off":
        return ""
    return _number_or("tile", tile, "auto", 64, 16384).replace("neither", "neither off nor")


def _plain(value: Any) -> str:
    """A value as it is written on the command line."""
    return json.dumps(value) if value is None or isinstance(value, bool) else str(value)


def _within(key: str, value: float, low: float, high: float) -> str:
    # Written so that NaN, too, is outside.
    return "" if low <= value <= high else f"{key}={value} is outside {low:g} to {high:g}"
