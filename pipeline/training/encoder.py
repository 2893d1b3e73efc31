"""Train the compact encoder to predict a VGG-19's relu1_1 to relu5_1.

    python -m pipeline.training.encoder photos=[PHOTOS,PAINTINGS] teacher=FILE

Feature distillation: the student (`pipeline.networks.compact_encoder`) sees random crops and is
asked for the teacher's activations, each channel divided by its standard deviation over training
crops. First the layers up to relu3_1 are trained; then, on these, which stay as they are, the
deeper ones. The learning rate falls to zero; a student taken from mid-schedule paints coloured
speckles.
"""

import logging
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from hydra.core.config_store import ConfigStore
from omegaconf import MISSING
from torch import Tensor, nn

from pipeline.config.entry import command
from pipeline.errors import UserError
from pipeline.networks import compact_encoder, weights
from pipeline.networks.compact_encoder import DEEP, LAYERS, SHALLOW
from pipeline.networks.encoder import Encoder
from pipeline.runtime import device as devices
from pipeline.training import checkpoints, pictures
from pipeline.training.command import carry_out
from pipeline.training.evaluate_encoder import describe, evaluate, load_student
from pipeline.training.export import export
from pipeline.training.report import Report
from pipeline.training.teacher import Teacher, load_teacher

log = logging.getLogger(__name__)

#: Every so many-th photograph is kept for validation.
VALIDATION_EVERY = 20


@dataclass
class Settings:
    """Settings of the command; conf/training/encoder.yaml."""

    photos: list[str] = MISSING
    paintings: list[str] = field(default_factory=list)
    painting_share: float = 0.15
    teacher: str = "official"
    # A thin VGG-19 (`teacher.ThinVGG`) for relu4_1 and relu5_1, where the teacher lacks them.
    deep_teacher: str | None = None
    output: str = str(weights.BUNDLED / "compact_encoder.safetensors")
    checkpoint: str = "outputs/training/encoder.pth"
    resume: bool = False
    # A compact encoder whose layers up to relu3_1 are kept; only the deeper ones are trained.
    start: str | None = None
    steps: int = 8000
    deep_steps: int = 16000
    batch: int = 8
    crop: int = 112
    deep_crop: int = 160
    learning_rate: float = 3e-3
    # Folder of TensorBoard's curves: of each layer's mean squared error.
    curves: str | None = None
    seed: int = 0
    device: str = "auto"


ConfigStore.instance().store(name="training_encoder_schema", node=Settings)


class Crops:
    """Random crops of photographs and paintings, as the optimised pictures may look.

    Args:
        photos, paintings: HWC uint8 pictures.
        painting_share: share of crops taken from paintings.
        size: side of the crops in pixels.
        seed: of the crops' sequence.
    """

    def __init__(
        self,
        photos: Sequence[pictures.Array],
        paintings: Sequence[pictures.Array],
        painting_share: float,
        size: int,
        seed: int,
    ) -> None:
        self.photos, self.paintings = photos, paintings
        self.painting_share = painting_share if paintings else 0.0
        self.size = size
        self.rng = np.random.default_rng(seed)

    def batch(self, count: int) -> Tensor:
        """(count, 3, size, size) in [0, 1]."""
        crops = np.stack([self._crop() for _ in range(count)])
        return torch.from_numpy(crops).permute(0, 3, 1, 2).float() / 255

    def _crop(self) -> pictures.Array:
        rng = self.rng
        pool = self.paintings if rng.random() < self.painting_share else self.photos
        picture = pool[int(rng.integers(len(pool)))]
        side = min(*picture.shape[:2], round(self.size * np.exp(rng.uniform(0, np.log(2.9)))))
        crop = pictures.random_square(picture, side, self.size, rng)
        if rng.random() < 0.5:
            # Pictures on their way to a style are more colourful and noisier than photographs.
            crop = pictures.jitter_colour(np.ascontiguousarray(crop), rng, rng.uniform(0, 1.5))
        if rng.random() < 0.15:
            noise = rng.normal(0, rng.uniform(2, 25), crop.shape)
            crop = np.clip(crop + noise, 0, 255).astype(np.uint8)
        return np.ascontiguousarray(crop)


def channel_scales(
    teacher: nn.Module, batches: Iterator[Tensor], layers: Collection[str] = LAYERS
) -> dict[str, Tensor]:
    """Standard deviation of each of the teacher's channels, (1, N, 1, 1) a layer.

    Nearly dead channels would be blown up: no value is under a tenth of its layer's mean.
    """
    sums = {layer: torch.zeros(2, 0) for layer in layers}
    count = 0
    for batch in batches:
        count += 1
        for layer, features in teacher(batch, layers).items():
            moments = torch.stack([features.mean((0, 2, 3)), features.square().mean((0, 2, 3))])
            sums[layer] = moments if sums[layer].numel() == 0 else sums[layer] + moments
    scales = {}
    for layer, (mean, square) in ((layer, sums[layer] / count) for layer in layers):
        deviation = (square - mean.square()).clamp_min(0).sqrt()
        scales[layer] = deviation.clamp_min(0.1 * float(deviation.mean())).view(1, -1, 1, 1)
    return scales


def initialise(features: nn.Sequential, seed: int) -> None:
    """Random weights after He et al. 2015 from one seed, biases zero."""
    generator = torch.Generator().manual_seed(seed)
    for module in features:
        if isinstance(module, nn.Conv2d):
            nn.init.kaiming_normal_(module.weight, nonlinearity="relu", generator=generator)
            assert module.bias is not None
            nn.init.zeros_(module.bias)


@dataclass(frozen=True)
class Stage:
    """One stage of the training: some layers, on top of those trained before.

    Attributes:
        layers: that are trained, with everything between them and the layer before.
        crop: side of the crops in pixels.
        steps: how many.
    """

    layers: tuple[str, ...]
    crop: int
    steps: int


def train(
    settings: Settings,
    photos: Sequence[pictures.Array],
    paintings: Sequence[pictures.Array],
    teacher: Teacher,
    checkpoint: Path | None = None,
) -> nn.Sequential:
    """Train from random weights, or from ``settings.start``.

    The same settings and pictures give the same weights.

    Args:
        settings: of the command.
        photos, paintings: HWC uint8 pictures.
        teacher: what is predicted; of its layers only those that it has are trained.
        checkpoint: written every twentieth of a stage, and read first if ``settings.resume``.

    Returns:
        The student's layers, on the CPU, float32, up to the teacher's deepest.
    """
    device = devices.choose(settings.device)
    teacher.to(device).to(memory_format=torch.channels_last)
    features = compact_encoder.features()
    initialise(features, settings.seed)
    # The padding that the bundled encoder was trained with, and its teacher.
    student = Encoder(features, padding="replicate")
    deepest = student.index[teacher.layers[-1]]
    student.features = student.features[: deepest + 1]
    if settings.start is not None:
        _keep_shallow(student, Path(settings.start))
    student.to(device).to(memory_format=torch.channels_last)
    shallow = Stage(SHALLOW, settings.crop, settings.steps)
    deep = Stage(
        tuple(layer for layer in DEEP if layer in teacher.layers),
        settings.deep_crop,
        settings.deep_steps,
    )
    for stage in (shallow, deep):
        if stage.layers and not (stage is shallow and settings.start):
            _train_stage(stage, student, settings, photos, paintings, teacher, checkpoint)
    return nn.Sequential(*student.features).cpu().to(memory_format=torch.contiguous_format)


def _keep_shallow(student: Encoder, file: Path) -> None:
    """Fill the layers up to relu3_1."""
    last = student.index[SHALLOW[-1]]
    state = weights.read_state_dict(file)
    try:
        student.features[: last + 1].load_state_dict(
            {k: v.float() for k, v in state.items() if int(k.split(".")[0]) <= last}
        )
    except (RuntimeError, ValueError):
        raise UserError(f"{file} does not hold a compact encoder; leave out start=") from None


def _train_stage(
    stage: Stage,
    student: Encoder,
    settings: Settings,
    photos: Sequence[pictures.Array],
    paintings: Sequence[pictures.Array],
    teacher: Teacher,
    checkpoint: Path | None,
) -> None:
    """Train the modules behind what was trained before up to the stage's last layer."""
    device = next(student.parameters()).device
    crops = Crops(photos, paintings, settings.painting_share, stage.crop, settings.seed)
    with torch.no_grad():
        batches = (crops.batch(16).to(device) for _ in range(20))
        scales = channel_scales(teacher, batches, stage.layers)
    first = 0 if stage.layers == SHALLOW else student.index[SHALLOW[-1]] + 1
    trained = student.features[first : student.index[stage.layers[-1]] + 1]
    optimizer = torch.optim.AdamW(trained.parameters(), weight_decay=1e-4)
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimizer, settings.learning_rate, total_steps=stage.steps, pct_start=0.15
    )
    done = 0
    if settings.resume and checkpoint is not None:
        done = _restore(checkpoint, stage, student, optimizer, schedule, crops)
    report = Report(stage.steps, done, curves=_curves(settings, stage))
    for step in range(done + 1, stage.steps + 1):
        batch = crops.batch(settings.batch).to(device, memory_format=torch.channels_last)
        precise = step > 0.8 * stage.steps
        with torch.autocast(device.type, torch.bfloat16, enabled=not precise):
            with torch.no_grad():
                wanted = teacher(batch, stage.layers)
            predicted = _predict(student, batch, stage.layers, first)
        terms = {
            layer: F.mse_loss(predicted[layer].float(), wanted[layer].float() / scales[layer])
            for layer in stage.layers
        }
        optimizer.zero_grad(set_to_none=True)
        torch.stack(list(terms.values())).sum().backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        schedule.step()
        report.step(step, {layer: float(term.detach()) for layer, term in terms.items()})
        if checkpoint is not None and step % max(1, stage.steps // 20) == 0:
            _save(checkpoint, step, stage, student, optimizer, schedule, crops)


def _curves(settings: Settings, stage: Stage) -> str | None:
    """A folder for each stage: both count their steps from 1."""
    if settings.curves is None:
        return None
    return str(Path(settings.curves) / ("shallow" if stage.layers == SHALLOW else "deep"))


def _predict(
    student: Encoder, batch: Tensor, layers: Collection[str], first: int
) -> dict[str, Tensor]:
    """The student's layers; what lies before position ``first`` gets no gradient."""
    found: dict[str, Tensor] = {}

    def keep(layer: str, features: Tensor) -> Tensor:
        found[layer] = features
        return features

    with torch.no_grad():
        below = student.read(student.normalise(batch), (), keep, 0, first)
    student.read(below, layers, keep, first)
    return found


def _save(
    path: Path,
    step: int,
    stage: Stage,
    student: Encoder,
    optimizer: torch.optim.Optimizer,
    schedule: torch.optim.lr_scheduler.LRScheduler,
    crops: Crops,
) -> None:
    state = {
        "step": step,
        "layers": stage.layers,
        "student": student.state_dict(),
        "optimizer": optimizer.state_dict(),
        "schedule": schedule.state_dict(),
        "crops": crops.rng.bit_generator.state,
    }
    checkpoints.save(path, state)


def _restore(
    path: Path,
    stage: Stage,
    student: Encoder,
    optimizer: torch.optim.Optimizer,
    schedule: torch.optim.lr_scheduler.LRScheduler,
    crops: Crops,
) -> int:
    """Load what `_save` wrote; the steps of the stage that are done."""
    state = checkpoints.load(path)
    saved = tuple(state["layers"])
    if saved == DEEP and stage.layers == SHALLOW:
        student.load_state_dict(state["student"])
        return stage.steps
    if saved != stage.layers:
        return 0
    student.load_state_dict(state["student"])
    optimizer.load_state_dict(state["optimizer"])
    schedule.load_state_dict(state["schedule"])
    crops.rng.bit_generator.state = state["crops"]
    return int(state["step"])


def split(paths: Sequence[Path]) -> tuple[list[Path], list[Path]]:
    """Photographs for training and for validation (every `VALIDATION_EVERY`-th by name)."""
    ordered = sorted(paths, key=lambda path: path.name)
    kept = set(ordered[::VALIDATION_EVERY])
    return [path for path in ordered if path not in kept], sorted(kept)


def training_scales(
    settings: Settings,
    photos: Sequence[pictures.Array],
    paintings: Sequence[pictures.Array],
    teacher: Teacher,
) -> dict[str, Tensor]:
    """What the training divided the teacher's channels by: the same seed draws the same crops.

    Returns:
        (1, N, 1, 1) a layer.
    """
    found: dict[str, Tensor] = {}
    for layers, side in ((SHALLOW, settings.crop), (DEEP, settings.deep_crop)):
        there = tuple(layer for layer in layers if layer in teacher.layers)
        if there:
            crops = Crops(photos, paintings, settings.painting_share, side, settings.seed)
            with torch.no_grad():
                found |= channel_scales(teacher, (crops.batch(16) for _ in range(20)), there)
    return found


def run(settings: Settings) -> None:
    """Train, write the weights, validate.

    Raises:
        UserError: pictures or the teacher cannot be had, or there are too few photographs.
    """
    training, validation = split(pictures.list_pictures(settings.photos))
    if not training:
        raise UserError("one photograph is not enough to train and to validate; add more")
    teacher = load_teacher(settings.teacher, settings.deep_teacher)
    if teacher.layers != LAYERS:
        raise UserError(
            f"{settings.teacher} ends before {LAYERS[-1]}; name a thin VGG-19 that predicts the "
            "deeper layers with deep_teacher=FILE"
        )
    photos = [pictures.read_rgb(path) for path in training]
    paintings = (
        [pictures.read_rgb(path) for path in pictures.list_pictures(settings.paintings)]
        if settings.paintings
        else []
    )
    log.info(
        "%d photographs, %d paintings, %d for validation",
        len(photos),
        len(paintings),
        len(validation),
    )
    features = train(settings, photos, paintings, teacher, Path(settings.checkpoint))
    output = Path(settings.output)
    export(
        features.state_dict(),
        output,
        {
            "seed": str(settings.seed),
            "steps": f"{settings.steps}, {settings.deep_steps}",
        },
    )
    teacher.cpu().to(memory_format=torch.contiguous_format)
    figures = evaluate(
        load_student(output),
        teacher,
        training_scales(settings, photos, paintings, teacher),
        (pictures.read_rgb(path) for path in validation),
    )
    log.info("R^2 on %d validation photographs: %s", len(validation), describe(figures))


@command("training/encoder")
def main(configuration: object) -> None:
    """The command; exits with 2 where the user has to put something right."""
    carry_out(run, Settings, configuration)


if __name__ == "__main__":
    main()
