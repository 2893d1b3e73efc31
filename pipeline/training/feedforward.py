"""Train a network for one style, which then paints in one pass (Johnson et al. 2016).

    python -m pipeline.training.feedforward style=scream 'photos=[PHOTOS]' output=scream.safetensors

The network's pictures go to the engine's own losses, with any encoder, and their gradient back into
it. Photographs get the style's tones first, as they do when they are painted.
"""

import copy
import logging
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
from hydra.core.config_store import ConfigStore
from omegaconf import MISSING
from torch import Tensor

from pipeline import build
from pipeline.config import schema
from pipeline.config.entry import command
from pipeline.engine.engine import Engine
from pipeline.engine.job import Job
from pipeline.engine.objective import Guide, Style
from pipeline.networks import encoders
from pipeline.networks.feedforward import WIDTH, FeedForward, load, with_style
from pipeline.pictures import read
from pipeline.pictures.read import array_to_tensor
from pipeline.pictures.tones import in_tones
from pipeline.results.write import save_picture
from pipeline.runtime import device as devices
from pipeline.runtime import precision
from pipeline.training import checkpoints, pictures
from pipeline.training.average import follow
from pipeline.training.command import carry_out
from pipeline.training.encoder import split
from pipeline.training.export import export
from pipeline.training.report import Report

log = logging.getLogger(__name__)

#: The largest norm of a step's gradient.
_STEEPEST = 1.0
#: Side of a preview's pictures in pixels, and how many there are.
_PREVIEW, _PREVIEWS = 320, 4
# Crops show at least this share of a photograph's shorter side.
_LEAST = 0.4


@dataclass
class Settings:
    """Settings of the command; conf/training/feedforward.yaml."""

    style: str = MISSING
    photos: list[str] = MISSING
    output: str = MISSING
    checkpoint: str = "outputs/training/feedforward.pth"
    resume: bool = False
    # A network to start from instead of random weights.
    start: str | None = None
    steps: int = 2000
    batch: int = 4
    # Sides of the photographs' crops, and the style picture's long side, in pixels.
    crop: int = 128
    style_size: int = 384
    width: int = WIDTH
    learning_rate: float = 2e-3
    average: float = 0.99
    strength: float = 0.5
    # Whose losses; its layers where they are not its own default ones.
    encoder: str = "compact"
    style_layers: list[str] | None = None
    content_layers: list[str] | None = None
    levels: int | None = None
    loss: str = "balanced"
    # More than a run's: the network cannot look for each photograph's own compromise.
    content_weight: float = 20.0
    style_weight: float = schema.GRAM_ALONE
    tv_weight: float | None = None
    tones: float = field(default_factory=lambda: schema.LossSettings().tones)
    previews: str | None = None
    # Folder of TensorBoard's curves.
    curves: str | None = None
    # Of the losses, as in a run, and of the network.
    precision: schema.Precision = schema.Precision.auto
    seed: int = 0
    device: str = "auto"


ConfigStore.instance().store(name="training_feedforward_schema", node=Settings)


def losses(settings: Settings, device: torch.device) -> Engine:
    """The engine with Gram losses in the features of the encoder that is asked for.

    Raises:
        UserError: the encoder or its layers cannot be had.
    """
    loss = schema.LossSettings(
        name=schema.LossName[settings.loss],
        style=schema.StyleLoss.gram,
        content_weight=settings.content_weight,
        style_weight=settings.style_weight,
    )
    if settings.tv_weight is not None:
        loss.tv_weight = settings.tv_weight
    asked = schema.Settings(loss=loss, precision=settings.precision)
    encoder = encoders.load(
        settings.encoder,
        None,
        device,
        style_layers=settings.style_layers,
        content_layers=settings.content_layers,
        neighbour_layers=(),
        levels=settings.levels,
    )
    return build.engine(asked, encoder)


def crops(
    settings: Settings, photos: Sequence[pictures.Array], style: Tensor, rng: np.random.Generator
) -> Tensor:
    """(B, 3, S, S) in [0, 1]: parts of photographs in the style's tones."""
    found = [
        array_to_tensor(pictures.random_crop(photos, settings.crop, _LEAST, rng)).to(style)
        for _ in range(settings.batch)
    ]
    return torch.cat([toned(content, style, settings.tones) for content in found])


def toned(content: Tensor, style: Tensor, share: float) -> Tensor:
    """A content, (1, 3, H, W), with a share of the style's tones."""
    return in_tones(content, torch.ones_like(content[:, :1]), [(style, None, share)])


def train(
    settings: Settings,
    photos: Sequence[pictures.Array],
    style: Tensor,
    kept: Sequence[pictures.Array] = (),
) -> FeedForward:
    """Train; the same settings and pictures give the same weights, also after an interruption.

    Args:
        settings: of the command.
        photos: HWC uint8 pictures.
        style: (1, 3, h, w) in [0, 1].
        kept: photographs that previews are painted of.

    Returns:
        The network with the average of the weights over the last steps, on the CPU.
    """
    device = devices.choose(settings.device)
    torch.manual_seed(settings.seed)
    network = FeedForward(settings.width).to(device)
    if settings.start is not None:
        network = load(Path(settings.start), device).network.train().requires_grad_(True)
    average = copy.deepcopy(network).requires_grad_(False)
    engine, style = losses(settings, device), style.to(device)
    wanted = Style(style, name="style", strength=settings.strength)
    optimizer = torch.optim.Adam(network.parameters())
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimizer, settings.learning_rate, total_steps=settings.steps, pct_start=0.1
    )
    rng, checkpoint, done = np.random.default_rng(settings.seed), Path(settings.checkpoint), 0
    if settings.resume:
        state = checkpoints.load(checkpoint)
        done = int(state["step"])
        for name, part in (("network", network), ("average", average)):
            part.load_state_dict(state[name])
        optimizer.load_state_dict(state["optimizer"])
        schedule.load_state_dict(state["schedule"])
        rng.bit_generator.state = state["rng"]
    report = Report(settings.steps, done, curves=settings.curves)
    low = precision.choose(cast(Any, settings.precision.value), device) == "bfloat16"
    for step in range(done + 1, settings.steps + 1):
        content = crops(settings, photos, style, rng)
        optimizer.zero_grad(set_to_none=True)
        report.step(step, backward(network, engine, wanted, content, low))
        torch.nn.utils.clip_grad_norm_(network.parameters(), _STEEPEST)
        optimizer.step()
        schedule.step()
        follow(average, network, min(settings.average, step / (step + 10)))
        if step % max(1, settings.steps // 50) == 0:
            checkpoints.save(
                checkpoint,
                {
                    "step": step,
                    "network": network.state_dict(),
                    "average": average.state_dict(),
                    "optimizer": optimizer.state_dict(),
                    "schedule": schedule.state_dict(),
                    "rng": rng.bit_generator.state,
                },
            )
            if settings.previews is not None and kept:
                show(average, style, settings.tones, kept, Path(settings.previews))
    return average.cpu().requires_grad_(True)


def backward(
    network: FeedForward, engine: Engine, style: Style, content: Tensor, low: bool = False
) -> dict[str, float]:
    """Add the gradient of a batch's mean loss to the network's weights.

    Args:
        network: is trained.
        engine: its losses.
        style: the only one.
        content: (B, 3, H, W) in [0, 1].
        low: whether the network computes in bfloat16.

    Returns:
        The mean losses.
    """
    with torch.autocast(content.device.type, torch.bfloat16, enabled=low):
        painted = network(content).float()
    jobs = [
        Job(one[None], torch.ones_like(one[None, :1]), [Guide("all", [style])], "feedforward")
        for one in content
    ]
    terms, gradient = engine.evaluate(jobs, painted)
    # No photograph outweighs the others.
    torch.autograd.backward(painted, gradient / terms[:, :1, None, None] / len(content))
    means = terms.mean(0).double().cpu().tolist()
    return dict(zip(("loss", "content", "style", "variation"), means, strict=True))


@torch.no_grad()
def show(
    network: FeedForward,
    style: Tensor,
    tones: float,
    photos: Sequence[pictures.Array],
    folder: Path,
) -> None:
    """Write what a network makes of photographs, which stand above."""
    above = [
        array_to_tensor(pictures.middle_square(photo, _PREVIEW)).to(style)
        for photo in photos[:_PREVIEWS]
    ]
    below = [network(toned(photo, style, tones)).clamp(0, 1) for photo in above]
    folder.mkdir(parents=True, exist_ok=True)
    save_picture(torch.cat([torch.cat(above, 3), torch.cat(below, 3)], 2), folder / "preview.png")


def run(settings: Settings) -> None:
    """Train and write the weights.

    Raises:
        UserError: pictures cannot be had, or there are too few photographs.
    """
    picture = read.open_style(settings.style, Path.cwd())
    fitted = read.fit(picture, settings.style_size, settings.style)
    style = array_to_tensor(np.asarray(fitted))
    training, validation = split(pictures.list_pictures(settings.photos))
    kept = [pictures.read_rgb(path) for path in validation[:: max(1, len(validation) // _PREVIEWS)]]
    photos = [pictures.read_rgb(path) for path in training or validation]
    log.info("%d photographs, in the style of %s", len(photos), settings.style)
    network, output = train(settings, photos, style, kept), Path(settings.output)
    export(
        with_style(network.state_dict(), picture),
        output,
        {
            "style": Path(settings.style).name,
            "seed": str(settings.seed),
            "steps": str(settings.steps),
        },
    )


@command("training/feedforward")
def main(configuration: object) -> None:
    """The command."""
    carry_out(run, Settings, configuration)


if __name__ == "__main__":
    main()
