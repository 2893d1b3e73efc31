"""Train the compact segmenter from photographs and label maps.

    python -m pipeline.training.segmenter photos=PHOTOS labels=LABELS

What little data asks for: random scale, rotation, colour and noise, people and other things cut out
by their masks and pasted on other photographs (Ghiasi et al. 2021), exact masks and rare classes
repeated (Gupta et al. 2019), label smoothing, and an average of the weights over time, which is
what is kept.
"""

import copy
import datetime
import logging
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import cv2
import hydra
import numpy as np
import torch
import torch.nn.functional as F
from hydra.core.config_store import ConfigStore
from omegaconf import MISSING
from torch import Tensor, nn

from pipeline.config.compose import CONF
from pipeline.errors import UserError
from pipeline.networks import segmenters, weights
from pipeline.networks.compact_segmenter import CLASSES, CompactSegmenter
from pipeline.runtime import device as devices
from pipeline.training import pictures
from pipeline.training.command import carry_out
from pipeline.training.evaluate_segmenter import evaluate
from pipeline.training.export import export
from pipeline.training.pictures import Example

log = logging.getLogger(__name__)

PERSON = 15
UNCERTAIN = 255
#: Names of photographs whose people are exact masks start so.
EXACT = "person_"
#: How much more often to draw photographs with exact masks than those labelled by a network, by
#: the first word of their names.
_EXACTNESS = {"scene": 4.0, "person": 1.5}


@dataclass
class Settings:
    """Settings of the command; conf/training/segmenter.yaml."""

    photos: str = MISSING
    labels: str = MISSING
    output: str = str(weights.BUNDLED / "compact_segmenter.safetensors")
    checkpoint: str = "outputs/training/segmenter.pth"
    resume: bool = False
    # Weights to start from instead of random ones, for a further round of training.
    start: str | None = None
    steps: int = 12000
    batch: int = 16
    crops: list[int] = field(default_factory=lambda: [128, 192])
    learning_rate: float = 2e-3
    weight_decay: float = 0.02
    smoothing: float = 0.05
    average: float = 0.998
    paste: float = 0.33
    seed: int = 0
    device: str = "auto"


ConfigStore.instance().store(name="training_segmenter_schema", node=Settings)


def load_examples(photos: str, labels: str) -> list[Example]:
    """Every photograph in a folder with the label map of the same name.

    Raises:
        UserError: a folder is empty or a label map missing.
    """
    return [
        Example(
            path.stem,
            pictures.read_rgb(path),
            pictures.read_labels(Path(labels) / f"{path.stem}.png"),
        )
        for path in pictures.list_pictures([photos])
    ]


def split(examples: Sequence[Example]) -> tuple[list[Example], list[Example]]:
    """For training and for validation: every 7th exact person, every 20th of the rest, by name."""
    ordered = sorted(examples, key=lambda example: example.name)
    exact = [example for example in ordered if example.name.startswith(EXACT)]
    others = [example for example in ordered if not example.name.startswith(EXACT)]
    kept = {example.name for example in exact[::7] + others[::20]}
    return (
        [example for example in ordered if example.name not in kept],
        [example for example in ordered if example.name in kept],
    )


def repeat_factors(examples: Sequence[Example], threshold: float = 0.1) -> np.ndarray:
    """How often to draw each photograph, relative to the others (Gupta et al. 2019).

    ``max_c sqrt(threshold / share of photographs with class c)`` over the classes that cover at
    least 2% of it, at least 1; half for a photograph of background alone; times `_EXACTNESS`.
    """
    shares = np.stack([_class_shares(example.labels) >= 0.02 for example in examples])
    frequency = shares.mean(0).clip(1e-6)
    factors = np.sqrt(threshold / frequency).clip(1, 6)
    factors[0] = 0.5
    found: np.ndarray = np.where(shares, factors, 0.5).max(1)
    exact = [_EXACTNESS.get(example.name.split("_")[0], 1.0) for example in examples]
    found *= np.array(exact)
    return found


def _class_shares(labels: pictures.Array) -> np.ndarray:
    return np.bincount(labels.ravel(), minlength=256)[:CLASSES] / labels.size


class Samples:
    """An endless, seeded sequence of augmented crops.

    Args:
        examples: the photographs.
        paste: share of the crops on which a cut-out person (every second time) or whatever a
            photograph shows is pasted.
        seed: of the sequence.
    """

    def __init__(self, examples: Sequence[Example], paste: float, seed: int) -> None:
        self.examples = examples
        factors = repeat_factors(examples)
        self.probabilities = factors / factors.sum()
        self.people = [
            e for e in examples if e.name.startswith(EXACT) and (e.labels == PERSON).mean() > 0.02
        ]
        self.objects = [e for e in examples if 0.03 < _objects(e.labels).mean() < 0.6]
        self.paste = paste if self.people and self.objects else 0.0
        factors = repeat_factors(self.objects) if self.objects else np.ones(0)
        self.object_probabilities = factors / factors.sum() if self.objects else factors
        self.rng = np.random.default_rng(seed)

    def batch(self, count: int, size: int) -> tuple[Tensor, Tensor]:
        """``count`` crops (B, 3, size, size) in [0, 1], and labels (B, size, size), int64."""
        drawn = [self._sample(size) for _ in range(count)]
        crops = torch.from_numpy(np.stack([crop for crop, _ in drawn]))
        labels = torch.from_numpy(np.stack([labels for _, labels in drawn]))
        return crops.permute(0, 3, 1, 2).float() / 255, labels.long()

    def _sample(self, size: int) -> tuple[pictures.Array, pictures.Array]:
        rng = self.rng
        example = self.examples[rng.choice(len(self.examples), p=self.probabilities)]
        crop, labels = warp(example, size, random_view(example, size, rng))
        if rng.random() < self.paste:
            if rng.random() < 0.5:
                cut = self.people[rng.integers(len(self.people))]
            else:
                cut = self.objects[rng.choice(len(self.objects), p=self.object_probabilities)]
            crop, labels = paste_objects(crop, labels, cut, rng)
        crop = pictures.jitter_colour(crop, rng, rng.uniform(0, 1))
        if rng.random() < 0.1:
            grey = cv2.cvtColor(crop, cv2.COLOR_RGB2GRAY)
            crop = np.asarray(cv2.cvtColor(grey, cv2.COLOR_GRAY2RGB), np.uint8)
        if rng.random() < 0.2:
            crop = np.asarray(cv2.GaussianBlur(crop, (0, 0), rng.uniform(0.4, 1.5)), np.uint8)
        if rng.random() < 0.2:
            noise = rng.normal(0, rng.uniform(2, 15), crop.shape)
            crop = np.clip(crop + noise, 0, 255).astype(np.uint8)
        return crop, labels


def random_view(example: Example, size: int, rng: np.random.Generator) -> np.ndarray:
    """A random 2x3 affine map from the photograph to a crop: scale, mirror, rotation, place."""
    height, width = example.labels.shape
    # The whole short side fills between 60% and 200% of the crop, whatever the crop's size.
    scale = size / min(height, width) * np.exp(rng.uniform(np.log(0.6), np.log(2.0)))
    angle = np.radians(rng.normal(0, 8)) if rng.random() < 0.5 else 0.0
    mirror = -1.0 if rng.random() < 0.5 else 1.0
    stretch = np.exp(rng.normal(0, 0.08))
    matrix = scale * np.array(
        [
            [mirror * np.cos(angle) * stretch, -np.sin(angle)],
            [mirror * np.sin(angle) * stretch, np.cos(angle)],
        ]
    )
    room = (np.array([width, height]) * scale - size) / 2
    centre = np.array([width, height]) / 2 + rng.uniform(-1, 1, 2) * np.abs(room) / scale
    return np.column_stack([matrix, size / 2 - matrix @ centre])


def warp(example: Example, size: int, view: np.ndarray) -> tuple[pictures.Array, pictures.Array]:
    """A crop of the picture and of its labels through the same view; outside is uncertain."""
    crop = cv2.warpAffine(
        example.picture, view, (size, size), flags=cv2.INTER_LINEAR, borderValue=(124, 116, 104)
    )
    labels = cv2.warpAffine(
        example.labels, view, (size, size), flags=cv2.INTER_NEAREST, borderValue=(UNCERTAIN,)
    )
    return np.asarray(crop, np.uint8), np.asarray(labels, np.uint8)


def paste_objects(
    crop: pictures.Array, labels: pictures.Array, cut: Example, rng: np.random.Generator
) -> tuple[pictures.Array, pictures.Array]:
    """Lay the objects cut out of a photograph over a crop, edge feathered by about a pixel."""
    size = crop.shape[0]
    view = random_view(cut, size, rng)
    view[:, 2] += rng.uniform(-0.35, 0.35, 2) * size
    figure, figure_labels = warp(cut, size, view)
    figure = pictures.jitter_colour(figure, rng, 0.5)
    inside = _objects(figure_labels)
    edge = cv2.GaussianBlur(inside.astype(np.float32), (0, 0), 0.8)[..., None]
    blended = (figure * edge + crop * (1 - edge)).astype(np.uint8)
    return blended, np.where(inside, figure_labels, labels)


def _objects(labels: pictures.Array) -> np.ndarray:
    """Where a label map shows anything but background, for certain."""
    found: np.ndarray = (labels > 0) & (labels < CLASSES)
    return found


def loss_function(scores: Tensor, labels: Tensor, smoothing: float) -> Tensor:
    """Cross entropy at half the crop's size, uncertain pixels left out.

    Args:
        scores: (B, 21, h, w).
        labels: (B, H, W), 255 for uncertain.
        smoothing: label smoothing.
    """
    half = labels[:, ::2, ::2]
    scores = F.interpolate(scores.float(), half.shape[1:], mode="bilinear", align_corners=False)
    return F.cross_entropy(scores, half, ignore_index=UNCERTAIN, label_smoothing=smoothing)


def train(
    settings: Settings, examples: Sequence[Example], checkpoint: Path | None = None
) -> CompactSegmenter:
    """Train; the same settings and photographs give the same weights.

    Args:
        settings: of the command.
        examples: the photographs.
        checkpoint: written every twentieth of the way, and read first if ``settings.resume``.

    Returns:
        The averaged network, on the CPU.
    """
    device = devices.choose(settings.device)
    torch.manual_seed(settings.seed)
    network = CompactSegmenter()
    network.to(device).to(memory_format=torch.channels_last)
    if settings.start is not None:
        segmenters.fill(network, Path(settings.start))
    average = copy.deepcopy(network).requires_grad_(False)
    optimizer = torch.optim.AdamW(_groups(network, settings.weight_decay), settings.learning_rate)
    samples = Samples(examples, settings.paste, settings.seed)
    first = 0
    if settings.resume and checkpoint is not None:
        first = _restore(checkpoint, network, average, optimizer, samples)
    start, running = time.monotonic(), 0.0
    every = max(1, settings.steps // 100)
    network.train()
    for step in range(first, settings.steps):
        for group in optimizer.param_groups:
            group["lr"] = settings.learning_rate * _schedule(step, settings.steps)
        size = settings.crops[step * len(settings.crops) // settings.steps]
        picture, labels = samples.batch(settings.batch, size)
        picture = picture.to(device, memory_format=torch.channels_last)
        with torch.autocast(device.type, torch.bfloat16):
            scores = network(picture)
        loss = loss_function(scores, labels.to(device), settings.smoothing)
        optimizer.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        torch.nn.utils.clip_grad_norm_(network.parameters(), 5.0)
        optimizer.step()
        # The average follows faster at first, when random weights are still far from good.
        young = 1.0 if settings.start is not None else (1 + step) / (10 + step)
        _follow(average, network, min(settings.average, young))
        running += float(loss.detach()) / every
        if (step + 1) % every == 0:
            log.info(
                "step %d of %d, crops of %d, %.0f s, loss %.4f",
                step + 1,
                settings.steps,
                size,
                time.monotonic() - start,
                running,
            )
            running = 0.0
        if checkpoint is not None and (step + 1) % max(1, settings.steps // 20) == 0:
            _save(checkpoint, step + 1, network, average, optimizer, samples)
    average.cpu().to(memory_format=torch.contiguous_format).eval()
    return average


def _schedule(step: int, steps: int) -> float:
    """Linear warm-up over a fiftieth of the way, then a cosine to zero."""
    warm = max(1, steps // 50)
    if step < warm:
        return (step + 1) / warm
    return float(0.5 * (1 + np.cos(np.pi * (step - warm) / max(1, steps - warm))))


def _groups(network: nn.Module, weight_decay: float) -> list[dict[str, Any]]:
    decayed = [p for p in network.parameters() if p.ndim > 1]
    rest = [p for p in network.parameters() if p.ndim <= 1]
    return [{"params": decayed, "weight_decay": weight_decay}, {"params": rest, "weight_decay": 0}]


@torch.no_grad()
def _follow(average: nn.Module, network: nn.Module, keep: float) -> None:
    for mean, value in zip(
        average.state_dict().values(), network.state_dict().values(), strict=True
    ):
        if mean.is_floating_point():
            mean.lerp_(value, 1 - keep)
        else:
            mean.copy_(value)


def _save(
    path: Path,
    step: int,
    network: nn.Module,
    average: nn.Module,
    optimizer: torch.optim.Optimizer,
    samples: Samples,
) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(path.name + ".partial")
    torch.save(
        {
            "step": step,
            "network": network.state_dict(),
            "average": average.state_dict(),
            "optimizer": optimizer.state_dict(),
            "samples": samples.rng.bit_generator.state,
            "torch": torch.get_rng_state(),
        },
        partial,
    )
    partial.replace(path)


def _restore(
    path: Path,
    network: nn.Module,
    average: nn.Module,
    optimizer: torch.optim.Optimizer,
    samples: Samples,
) -> int:
    if not path.is_file():
        raise UserError(f"no checkpoint {path} to resume from; leave out resume=true")
    state: Mapping[str, Any] = torch.load(path, weights_only=True)
    network.load_state_dict(state["network"])
    average.load_state_dict(state["average"])
    optimizer.load_state_dict(state["optimizer"])
    samples.rng.bit_generator.state = state["samples"]
    torch.set_rng_state(state["torch"])
    return int(state["step"])


def run(settings: Settings) -> None:
    """Train, write the weights, validate.

    Raises:
        UserError: pictures or label maps cannot be had.
    """
    training, validation = split(load_examples(settings.photos, settings.labels))
    log.info("%d photographs for training, %d for validation", len(training), len(validation))
    network = train(settings, training, Path(settings.checkpoint))
    output = Path(settings.output)
    export(
        network.state_dict(),
        output,
        {
            "date": datetime.date.today().isoformat(),
            "seed": str(settings.seed),
            "steps": str(settings.steps),
        },
    )
    written = segmenters.load("compact", output, torch.device("cpu")).module
    log.info("%s", evaluate(written, validation))
    log.info("%s, SHA-256 %s", output, weights.sha256(output))


@hydra.main(version_base="1.3", config_path=str(CONF), config_name="training/segmenter")
def main(configuration: object) -> None:
    """The command; exits with 2 where the user has to put something right."""
    carry_out(run, Settings, configuration)


if __name__ == "__main__":
    main()
