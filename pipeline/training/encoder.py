"""Train the compact encoder to predict a VGG-19's relu1_1, relu2_1 and relu3_1.

    python -m pipeline.training.encoder photos=[PHOTOS,PAINTINGS] teacher=FILE

Feature distillation: the student (`pipeline.networks.compact_encoder`) sees random crops and is
asked for the teacher's activations, each channel divided by its standard deviation over training
crops. The learning rate falls to zero; a student taken from mid-schedule paints coloured speckles.
"""

import datetime
import logging
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import cv2
import hydra
import numpy as np
import torch
import torch.nn.functional as F
from hydra.core.config_store import ConfigStore
from omegaconf import MISSING
from torch import Tensor, nn
from torchvision.models import VGG19_Weights
from torchvision.models.vgg import cfgs, make_layers

from pipeline.config.compose import CONF
from pipeline.errors import UserError
from pipeline.networks import compact_encoder, weights
from pipeline.networks.compact_encoder import LAYERS
from pipeline.networks.encoder import Encoder
from pipeline.runtime import device as devices
from pipeline.training import pictures
from pipeline.training.command import carry_out
from pipeline.training.evaluate_encoder import describe, evaluate, load_student
from pipeline.training.export import export

log = logging.getLogger(__name__)

#: Every so many-th photograph is kept for validation.
VALIDATION_EVERY = 20
_LAST = 11  # VGG-19's relu3_1


@dataclass
class Settings:
    """Settings of the command; conf/training/encoder.yaml."""

    photos: list[str] = MISSING
    paintings: list[str] = field(default_factory=list)
    painting_share: float = 0.15
    teacher: str = "official"
    output: str = str(weights.BUNDLED / "compact_encoder.safetensors")
    steps: int = 8000
    batch: int = 8
    crop: int = 112
    learning_rate: float = 3e-3
    seed: int = 0
    device: str = "auto"


ConfigStore.instance().store(name="training_encoder_schema", node=Settings)


def load_teacher(source: str) -> Encoder:
    """VGG-19 up to relu3_1: torchvision's (``official``) or a file with its key names.

    Raises:
        UserError: the weights cannot be had.
    """
    url = VGG19_Weights.IMAGENET1K_V1.url
    file = weights.official(url, may_download=True) if source == "official" else Path(source)
    if file is None:
        raise UserError(
            f"torchvision's VGG-19 could not be downloaded; put {url} at "
            f"{weights.cached_file(url)} or name a file with teacher=FILE"
        )
    features = make_layers(cfgs["E"])[: _LAST + 1]
    state = weights.read_state_dict(file)
    try:
        features.load_state_dict(
            {k.removeprefix("features."): v.float() for k, v in state.items() if _needed(k)}
        )
    except RuntimeError:
        raise UserError(
            f"{file} does not hold a VGG-19 up to relu3_1; its keys must be torchvision's "
            f"(features.0.weight to features.{_LAST - 1}.bias)"
        ) from None
    teacher: Encoder = Encoder(features, padding="replicate").eval().requires_grad_(False)
    return teacher


def _needed(key: str) -> bool:
    return key.startswith("features.") and int(key.split(".")[1]) <= _LAST


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
        top = rng.integers(picture.shape[0] - side + 1)
        left = rng.integers(picture.shape[1] - side + 1)
        crop = picture[top : top + side, left : left + side]
        crop = np.asarray(
            cv2.resize(crop, (self.size, self.size), interpolation=cv2.INTER_AREA), dtype=np.uint8
        )
        if rng.random() < 0.5:
            crop = crop[:, ::-1]
        if rng.random() < 0.5:
            # Pictures on their way to a style are more colourful and noisier than photographs.
            crop = pictures.jitter_colour(np.ascontiguousarray(crop), rng, rng.uniform(0, 1.5))
        if rng.random() < 0.15:
            noise = rng.normal(0, rng.uniform(2, 25), crop.shape)
            crop = np.clip(crop + noise, 0, 255).astype(np.uint8)
        return np.ascontiguousarray(crop)


def channel_scales(teacher: Encoder, batches: Iterator[Tensor]) -> dict[str, Tensor]:
    """Standard deviation of each of the teacher's channels, (1, N, 1, 1) a layer.

    Nearly dead channels would be blown up: no value is under a tenth of its layer's mean.
    """
    sums = {layer: torch.zeros(2, 0) for layer in LAYERS}
    count = 0
    for batch in batches:
        count += 1
        for layer, features in teacher(batch, LAYERS).items():
            moments = torch.stack([features.mean((0, 2, 3)), features.square().mean((0, 2, 3))])
            sums[layer] = moments if sums[layer].numel() == 0 else sums[layer] + moments
    scales = {}
    for layer, (mean, square) in ((layer, sums[layer] / count) for layer in LAYERS):
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


def train(
    settings: Settings,
    photos: Sequence[pictures.Array],
    paintings: Sequence[pictures.Array],
    teacher: Encoder,
) -> nn.Sequential:
    """Train from random weights; the same settings and pictures give the same weights.

    Returns:
        The student's layers, on the CPU, float32.
    """
    device = devices.choose(settings.device)
    teacher.to(device).to(memory_format=torch.channels_last)
    crops = Crops(photos, paintings, settings.painting_share, settings.crop, settings.seed)
    with torch.no_grad():
        scales = channel_scales(teacher, (crops.batch(16).to(device) for _ in range(20)))
    features = compact_encoder.features()
    initialise(features, settings.seed)
    # The padding that the bundled encoder was trained with, and its teacher.
    student = Encoder(features, padding="replicate")
    student.to(device).to(memory_format=torch.channels_last)
    optimizer = torch.optim.AdamW(student.parameters(), weight_decay=1e-4)
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimizer, settings.learning_rate, total_steps=settings.steps, pct_start=0.15
    )
    start, running = time.monotonic(), dict.fromkeys(LAYERS, 0.0)
    every = max(1, settings.steps // 60)
    for step in range(1, settings.steps + 1):
        batch = crops.batch(settings.batch).to(device, memory_format=torch.channels_last)
        precise = step > 0.8 * settings.steps
        with torch.autocast(device.type, torch.bfloat16, enabled=not precise):
            with torch.no_grad():
                wanted = teacher(batch, LAYERS)
            predicted = student(batch, LAYERS)
        terms = {
            layer: F.mse_loss(predicted[layer].float(), wanted[layer].float() / scales[layer])
            for layer in LAYERS
        }
        optimizer.zero_grad(set_to_none=True)
        torch.stack(list(terms.values())).sum().backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        schedule.step()
        for layer, term in terms.items():
            running[layer] += float(term.detach()) / every
        if step % every == 0:
            log.info(
                "step %d of %d, %.0f s, mean squared error %s",
                step,
                settings.steps,
                time.monotonic() - start,
                ", ".join(f"{layer} {value:.4f}" for layer, value in running.items()),
            )
            running = dict.fromkeys(LAYERS, 0.0)
    return nn.Sequential(*student.features).cpu().to(memory_format=torch.contiguous_format)


def split(paths: Sequence[Path]) -> tuple[list[Path], list[Path]]:
    """Photographs for training and for validation (every `VALIDATION_EVERY`-th by name)."""
    ordered = sorted(paths, key=lambda path: path.name)
    kept = set(ordered[::VALIDATION_EVERY])
    return [path for path in ordered if path not in kept], sorted(kept)


def training_scales(
    settings: Settings,
    photos: Sequence[pictures.Array],
    paintings: Sequence[pictures.Array],
    teacher: Encoder,
) -> dict[str, Tensor]:
    """What the training divided the teacher's channels by: the same seed draws the same crops.

    Returns:
        (1, N, 1, 1) a layer.
    """
    crops = Crops(
        photos,
        paintings,
        settings.painting_share,
        settings.crop,
        settings.seed,
    )
    with torch.no_grad():
        return channel_scales(teacher, (crops.batch(16) for _ in range(20)))


def run(settings: Settings) -> None:
    """Train, write the weights, validate.

    Raises:
        UserError: pictures or the teacher cannot be had, or there are too few photographs.
    """
    training, validation = split(pictures.list_pictures(settings.photos))
    if not training:
        raise UserError("one photograph is not enough to train and to validate; add more")
    teacher = load_teacher(settings.teacher)
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
    features = train(settings, photos, paintings, teacher)
    output = Path(settings.output)
    export(
        features.state_dict(),
        output,
        {
            "date": datetime.date.today().isoformat(),
            "seed": str(settings.seed),
            "steps": str(settings.steps),
        },
    )
    figures = evaluate(
        load_student(output),
        teacher.cpu().to(memory_format=torch.contiguous_format),
        training_scales(settings, photos, paintings, teacher),
        (pictures.read_rgb(path) for path in validation),
    )
    log.info("R^2 on %d validation photographs: %s", len(validation), describe(figures))
    log.info("%s, SHA-256 %s", output, weights.sha256(output))


@hydra.main(version_base="1.3", config_path=str(CONF), config_name="training/encoder")
def main(configuration: object) -> None:
    """The command; exits with 2 where the user has to put something right."""
    carry_out(run, Settings, configuration)


if __name__ == "__main__":
    main()
