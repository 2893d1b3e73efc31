"""Train the compact segmenter from photographs and label maps.

    python -m pipeline.training.segmenter photos=PHOTOS labels=LABELS scenes=SCENES

What little data asks for: random scale, rotation, colour and noise, people and other things cut out
by their masks and pasted on other photographs (`paste`), water that mirrors them (`reflection`),
crops that the instant painter repaints (`repaint`), exact masks and rare classes repeated (Gupta
et al. 2019), label smoothing, and an average of the weights over time, which is what is kept. Both
heads learn from every photograph, each from its own labels; what a kind of photograph cannot show
is known of its uncertain pixels too (`partial_labels`).
"""

import copy
import logging
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from hydra.core.config_store import ConfigStore
from omegaconf import MISSING
from torch import Tensor, nn

from pipeline.config import schema
from pipeline.config.entry import command
from pipeline.errors import UserError
from pipeline.networks import efficientnet_lite, instant, segmenters, weights
from pipeline.networks.compact_segmenter import CLASSES, CompactSegmenter
from pipeline.runtime import device as devices
from pipeline.training import checkpoints, partial_labels, pictures
from pipeline.training.average import follow
from pipeline.training.command import carry_out
from pipeline.training.evaluate_segmenter import as_network, evaluate
from pipeline.training.export import export
from pipeline.training.pictures import UNCERTAIN, Example
from pipeline.training.repaint import Repainter
from pipeline.training.report import Report
from pipeline.training.samples import Samples

log = logging.getLogger(__name__)


@dataclass
class Settings:
    """Settings of the command; conf/training/segmenter.yaml."""

    photos: str = MISSING
    labels: str = MISSING
    scenes: str = MISSING
    # Folders of paintings, in whose styles crops are painted.
    paintings: list[str] = field(default_factory=list)
    output: str = str(weights.BUNDLED / "compact_segmenter.safetensors")
    checkpoint: str = "outputs/training/segmenter.pth"
    resume: bool = False
    # Weights to start from instead of random ones, for a further round of training.
    start: str | None = None
    # EfficientNet-Lite0's published weights, to start the backbone from instead of random ones.
    backbone: str | None = None
    # The backbone's share of the learning rate: what it learned before is not to be lost.
    backbone_rate: float = 0.25
    # The network's parts that are trained; the others stay as they are. Empty: all.
    layers: list[str] = field(default_factory=list)
    steps: int = 12000
    batch: int = 16
    crops: list[int] = field(default_factory=lambda: [128, 192])
    learning_rate: float = 2e-3
    weight_decay: float = 0.02
    smoothing: float = 0.05
    average: float = 0.998
    paste: float = 0.33
    # The share of crops under which calm water is laid.
    reflect: float = 0.08
    # The share of crops that are painted, where there are paintings.
    painted: float = 0.2
    # Scene classes that photographs never show, by how their names start.
    impossible: dict[str, list[str]] = field(default_factory=dict)
    # bfloat16 or float32: what is faster depends on the processor.
    precision: str = "bfloat16"
    # Folder of TensorBoard's curves.
    curves: str | None = None
    seed: int = 0
    device: str = "auto"


ConfigStore.instance().store(name="training_segmenter_schema", node=Settings)


def load_examples(photos: str, labels: str, scenes: str) -> list[Example]:
    """Every photograph in a folder with the label map and the scene map of the same name.

    Raises:
        UserError: a folder is empty or a map missing.
    """
    return [
        Example(
            path.stem,
            pictures.read_rgb(path),
            pictures.read_labels(Path(labels) / f"{path.stem}.png"),
            pictures.read_labels(Path(scenes) / f"{path.stem}.png"),
        )
        for path in pictures.list_pictures([photos])
    ]


#: One in how many photographs is kept for validation, by the first word of their names.
_KEPT = {"person": 7, "msrc": 10, "facade": 10, "sun": 20, "horse": 20}


def split(examples: Sequence[Example]) -> tuple[list[Example], list[Example]]:
    """For training and for validation, by name.

    Every 7th photograph with exact people, every 10th with exact scenes (``msrc_``,
    ``facade_``), every 20th of each other kind.
    """
    ordered = sorted(examples, key=lambda example: example.name)
    kinds: dict[str, list[Example]] = {}
    for example in ordered:
        kind = example.name.split("_")[0]
        kinds.setdefault(kind if kind in _KEPT else "", []).append(example)
    kept = {e.name for kind, members in kinds.items() for e in members[:: _KEPT.get(kind, 20)]}
    return (
        [example for example in ordered if example.name not in kept],
        [example for example in ordered if example.name in kept],
    )


def loss_function(scores: Tensor, labels: Tensor, scenes: Tensor, smoothing: float) -> Tensor:
    """Cross entropy of both heads at half the crop's size.

    Uncertain pixels are left out, but for scenes that they cannot show (`partial_labels`).

    Args:
        scores: (B, 21 + 8, h, w).
        labels: objects, (B, H, W), 255 for uncertain.
        scenes: (B, H, W), 255 for uncertain, 128 to 254 for sets of candidates.
        smoothing: label smoothing.
    """
    half = labels[:, ::2, ::2].shape[1:]
    scores = F.interpolate(scores.float(), half, mode="bilinear", align_corners=False)
    return _cross_entropy(scores[:, :CLASSES], labels, smoothing) + _cross_entropy(
        scores[:, CLASSES:], scenes, smoothing
    )


def _cross_entropy(scores: Tensor, labels: Tensor, smoothing: float) -> Tensor:
    wanted = labels[:, ::2, ::2]
    partly = partial_labels.is_set(wanted)
    summed = F.cross_entropy(
        scores,
        wanted.masked_fill(partly, UNCERTAIN),
        ignore_index=UNCERTAIN,
        label_smoothing=smoothing,
        reduction="sum",
    )
    if partly.any():
        summed = summed + partial_labels.loss(scores, wanted)
    # Not the mean: a batch may hold no pixel that is known.
    return summed / (wanted != UNCERTAIN).sum().clamp_min(1)


def train(
    settings: Settings,
    examples: Sequence[Example],
    checkpoint: Path | None = None,
    paintings: Sequence[pictures.Array] = (),
) -> CompactSegmenter:
    """Train; the same settings and pictures give the same weights.

    Args:
        settings: of the command.
        examples: the photographs.
        checkpoint: written every twentieth of the way, and read first if ``settings.resume``.
        paintings: HWC uint8 RGB, in whose styles crops are painted.

    Returns:
        The averaged network, on the CPU.

    Raises:
        UserError: crops are to be painted, of a size that the painter does not take; or weights to
            start from cannot be read or are another network's.
    """
    device = devices.choose(settings.device)
    torch.manual_seed(settings.seed)
    network = CompactSegmenter()
    network.to(device)
    if settings.backbone is not None:
        file = Path(settings.backbone)
        published = efficientnet_lite.from_published(weights.read_state_dict(file))
        segmenters.take(network.backbone, published, file)
    if settings.start is not None:
        _start_from(network, Path(settings.start))
    _only(network.train(), settings.layers)
    average = copy.deepcopy(network).requires_grad_(False)
    optimizer = torch.optim.AdamW(_groups(network, settings), settings.learning_rate)
    samples = Samples(examples, settings.paste, settings.seed, settings.reflect)
    repaint = _painter(settings, paintings, device)
    first = 0
    if settings.resume and checkpoint is not None:
        first = _restore(checkpoint, network, average, optimizer, samples)
    report = Report(settings.steps, first, curves=settings.curves)
    for step in range(first, settings.steps):
        for group in optimizer.param_groups:
            group["lr"] = group["rate"] * _schedule(step, settings.steps)
        size = settings.crops[step * len(settings.crops) // settings.steps]
        picture, labels, scenes = samples.batch(settings.batch, size)
        if repaint is not None:
            picture = repaint(picture, samples.rng)
        picture = picture.to(device, memory_format=torch.channels_last)
        with torch.autocast(device.type, torch.bfloat16, enabled=settings.precision == "bfloat16"):
            found = network(picture)
        loss = loss_function(found, labels.to(device), scenes.to(device), settings.smoothing)
        optimizer.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        torch.nn.utils.clip_grad_norm_(network.parameters(), 5.0)
        optimizer.step()
        # The average follows faster at first, when random weights are still far from good.
        young = 1.0 if settings.start is not None else (1 + step) / (10 + step)
        follow(average, network, min(settings.average, young))
        report.step(step + 1, {"loss": float(loss.detach())})
        if checkpoint is not None and (step + 1) % max(1, settings.steps // 20) == 0:
            _save(checkpoint, step + 1, network, average, optimizer, samples)
    average.cpu().to(memory_format=torch.contiguous_format).eval()
    return average


def _painter(
    settings: Settings, paintings: Sequence[pictures.Array], device: torch.device
) -> Repainter | None:
    if not paintings or settings.painted == 0:
        return None
    for side in settings.crops:
        if side % instant.MULTIPLE:
            raise UserError(
                f"crops: {side} cannot be painted; "
                f"use multiples of {instant.MULTIPLE}, or painted=0"
            )
    return Repainter(paintings, settings.painted, schema.Settings().loss.tones, device)


def _start_from(network: nn.Module, file: Path) -> None:
    """Take the weights of a file; layers that it lacks keep their random ones."""
    state = weights.read_state_dict(file)
    wanted = network.state_dict()
    # num_batches_tracked counts training steps; nothing reads it.
    named = [name for name in wanted if not name.endswith("num_batches_tracked")]
    lacking = sorted({name.rpartition(".")[0] for name in named if name not in state})
    if lacking:
        log.info("%s has no %s", file, ", ".join(lacking))
    network.load_state_dict({n: state.get(n, tensor).to(tensor) for n, tensor in wanted.items()})


def _only(network: nn.Module, layers: Collection[str]) -> None:
    """Train these layers; the others stay as they are, their normalisation's statistics too.

    Args:
        network: in training mode.
        layers: names of its children; none: all are trained.

    Raises:
        UserError: there is no such child.
    """
    children = dict(network.named_children())
    unknown = sorted({*layers} - {*children})
    if unknown:
        raise UserError(f"layers: there is no {unknown[0]}; there are {', '.join(children)}")
    for name, child in children.items():
        if layers and name not in layers:
            child.eval().requires_grad_(False)


def _schedule(step: int, steps: int) -> float:
    """Linear warm-up over a fiftieth of the way, then a cosine to zero."""
    warm = max(1, steps // 50)
    if step < warm:
        return (step + 1) / warm
    return float(0.5 * (1 + np.cos(np.pi * (step - warm) / max(1, steps - warm))))


def _groups(network: CompactSegmenter, settings: Settings) -> list[dict[str, Any]]:
    """Parameters with and without weight decay, the backbone's and the others."""
    groups: dict[tuple[bool, bool], list[nn.Parameter]] = {}
    for name, parameter in network.named_parameters():
        if parameter.requires_grad:
            kind = (name.startswith("backbone."), parameter.ndim > 1)
            groups.setdefault(kind, []).append(parameter)
    return [
        {
            "params": members,
            "weight_decay": settings.weight_decay if decays else 0,
            "rate": settings.learning_rate * (settings.backbone_rate if in_backbone else 1),
        }
        for (in_backbone, decays), members in groups.items()
    ]


def _save(
    path: Path,
    step: int,
    network: nn.Module,
    average: nn.Module,
    optimizer: torch.optim.Optimizer,
    samples: Samples,
) -> None:
    checkpoints.save(
        path,
        {
            "step": step,
            "network": network.state_dict(),
            "average": average.state_dict(),
            "optimizer": optimizer.state_dict(),
            "samples": samples.rng.bit_generator.state,
            "torch": torch.get_rng_state(),
        },
    )


def _restore(
    path: Path,
    network: nn.Module,
    average: nn.Module,
    optimizer: torch.optim.Optimizer,
    samples: Samples,
) -> int:
    state = checkpoints.load(path)
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
    training, validation = split(load_examples(settings.photos, settings.labels, settings.scenes))
    training = partial_labels.rule_out(training, settings.impossible)
    log.info("%d photographs for training, %d for validation", len(training), len(validation))
    paintings = [pictures.read_rgb(path) for path in pictures.list_pictures(settings.paintings)]
    network = train(settings, training, Path(settings.checkpoint), paintings)
    output = Path(settings.output)
    export(
        network.state_dict(),
        output,
        {
            "seed": str(settings.seed),
            "steps": str(settings.steps),
        },
    )
    written = segmenters.load("compact", output, torch.device("cpu")).module
    log.info("%s", evaluate(as_network(written), validation))


@command("training/segmenter")
def main(configuration: object) -> None:
    """The command; exits with 2 where the user has to put something right."""
    carry_out(run, Settings, configuration)


if __name__ == "__main__":
    main()
