"""Train the instant painter: any style pictures, region by region, in one pass.

    python -m pipeline.training.instant 'photos=[PHOTOS]' 'paintings=[PAINTINGS]'

The painter (`pipeline.networks.instant`) learns first to give back the picture that it is shown,
and then to paint what the optimisation would: its pictures go to the engine's own losses, and their
gradient back into the painter. Half of the pictures have two styles, divided by a soft mask; styles
are pursued with strengths drawn at random, photographs are styles now and then, and some pictures
should come back as they are. (A picture styled by itself does: the map to its own moments is the
identity.)
"""

import copy
import logging
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from hydra.core.config_store import ConfigStore
from omegaconf import MISSING
from torch import Tensor

from pipeline import build
from pipeline.config import schema
from pipeline.config.entry import command
from pipeline.engine.engine import Engine
from pipeline.engine.job import Job
from pipeline.engine.objective import Guide, Style
from pipeline.errors import UserError
from pipeline.networks import encoders, instant
from pipeline.networks.pyramid import PyramidEncoder
from pipeline.pictures import read
from pipeline.pictures.read import array_to_tensor
from pipeline.pictures.tones import in_tones
from pipeline.results.write import save_picture
from pipeline.runtime import device as devices
from pipeline.training import checkpoints, pictures
from pipeline.training.average import follow
from pipeline.training.command import carry_out
from pipeline.training.encoder import split
from pipeline.training.export import export
from pipeline.training.report import Report

log = logging.getLogger(__name__)

#: Share of pictures that should come back as they are.
_AS_IT_IS = 0.2
#: Share of the others with two styles, with less than the full strength, and of styles that are
#: photographs.
_TWO, _LESS, _PHOTOGRAPH = 0.5, 0.3, 0.08
#: Share that is painted at half the size first.
_COARSE = 0.3
#: Weight of the mean squared difference of pixels, where a picture should come back as it is.
_RECONSTRUCTION = 20.0
_TERMS = ("loss", "content", "style", "variation")
#: The largest norm of a step's gradient.
_STEEPEST = 1.0
#: Side of a preview's pictures in pixels.
_PREVIEW = 256
#: Long side of a style picture that is named, in pixels: that of the bundled one's paintings.
_STYLE_SIZE = 640


@dataclass
class Settings:
    """Settings of the command; conf/training/instant.yaml."""

    photos: list[str] = MISSING
    paintings: list[str] = field(default_factory=list)
    # Pictures, or names from the gallery, beside the paintings or in their place.
    styles: list[str] = field(default_factory=list)
    output: str = str(instant.BUNDLED_FILE)
    checkpoint: str = "outputs/training/instant.pth"
    resume: bool = False
    # Weights to start from instead of random ones, or "bundled", for a further round.
    start: str | None = None
    steps: int = 12000
    # Of them, in which pictures only come back as they are.
    reconstruction: int = 600
    batch: int = 4
    crops: list[int] = field(default_factory=lambda: [128, 192])
    learning_rate: float = 1e-3
    average: float = 0.998
    # Folder for pictures painted on the way; null paints none.
    previews: str | None = None
    # Folder of TensorBoard's curves.
    curves: str | None = None
    # Of the losses, as in a run; the painter itself computes in float32, which is as fast on a CPU.
    precision: schema.Precision = schema.Precision.auto
    seed: int = 0
    device: str = "auto"


ConfigStore.instance().store(name="training_instant_schema", node=Settings)


class Draws:
    """Crops of photographs and paintings, masks and strengths, at random.

    Args:
        photos, paintings: HWC uint8 pictures.
        seed: of the sequence.
    """

    def __init__(
        self, photos: Sequence[pictures.Array], paintings: Sequence[pictures.Array], seed: int
    ) -> None:
        self.photos, self.paintings = photos, paintings
        self.rng = np.random.default_rng(seed)

    def content(self, side: int) -> Tensor:
        """(1, 3, side, side) in [0, 1], of a photograph."""
        return array_to_tensor(pictures.random_crop(self.photos, side, 0.35, self.rng))

    def style(self, side: int) -> Tensor:
        """(1, 3, side, side) in [0, 1], most often of a painting."""
        photograph = self.rng.random() < _PHOTOGRAPH
        pool = self.photos if photograph else self.paintings
        return array_to_tensor(pictures.random_crop(pool, side, 0.5, self.rng))

    def mask(self, side: int) -> Tensor:
        """(1, 1, side, side) in [0, 1]: large soft blobs."""
        coarse = torch.from_numpy(self.rng.normal(size=(1, 1, 4, 4))).float()
        smooth = F.interpolate(coarse, (side, side), mode="bicubic", align_corners=True)
        sharpness = float(np.exp(self.rng.uniform(np.log(4), np.log(60))))
        return (sharpness * smooth).sigmoid()

    def strength(self) -> float:
        """In (0, 1]; 1 most often."""
        rng = self.rng
        return float(rng.uniform(0.25, 1)) if rng.random() < _LESS else 1.0


@dataclass(frozen=True)
class Task:
    """A picture to be painted.

    Attributes:
        content: (1, 3, H, W) in [0, 1], in its styles' tones already.
        styles: of each region its style, (1, 3, h, w), and its mask, (1, 1, H, W).
        strength: in [0, 1]; 0, without styles, asks for the content itself.
        coarse: whether it is painted at half the size first.
    """

    content: Tensor
    styles: Sequence[tuple[Tensor, Tensor]]
    strength: float
    coarse: bool = False

    @property
    def halved(self) -> "Task":
        """The same at half the size, its styles too."""
        styles = [(F.avg_pool2d(style, 2), F.avg_pool2d(mask, 2)) for style, mask in self.styles]
        return Task(F.avg_pool2d(self.content, 2), styles, self.strength)

    @property
    def job(self) -> Job:
        """What the engine compares with; the painter's full strength is its usual one."""
        guides = [
            Guide(str(number), [Style(style, strength=self.strength / 2)], mask)
            for number, (style, mask) in enumerate(self.styles)
        ]
        return Job(self.content, torch.ones_like(self.content[:, :1]), guides, "instant")


def draw(draws: Draws, side: int, only_as_it_is: bool, tones: float) -> Task:
    """A task.

    Args:
        draws: where chance comes from.
        side: of the picture in pixels.
        only_as_it_is: whether to ask for nothing but the content.
        tones: share of its styles' tones that a content is given (`pictures.tones`).
    """
    content, chance = draws.content(side), float(draws.rng.random())
    if only_as_it_is or chance < _AS_IT_IS:
        return Task(content, [], 0.0)
    strength = draws.strength()
    if draws.rng.random() < _TWO:
        mask = draws.mask(side)
        styles = [(draws.style(side), mask), (draws.style(side), 1 - mask)]
    else:
        styles = [(draws.style(side), torch.ones_like(content[:, :1]))]
    for style, mask in styles:
        content = in_tones(content, mask, [(style, None, tones * strength)])
    return Task(content, styles, strength, bool(draws.rng.random() < _COARSE))


def painted(painter: instant.InstantPainter, encoder: PyramidEncoder, task: Task) -> Tensor:
    """(1, 3, H, W): what the painter makes of a task, with a gradient.

    The maps and the places in the style have none: that of eigenvectors is not stable, and places
    are numbers.
    """
    shown = task.content
    if task.coarse:
        with torch.no_grad():
            small = painted(painter, encoder, task.halved)
        shown = instant.enlarged(small, task.halved.content, task.content)
    features = painter.projected(encoder, shown)
    masks = [instant.depth_masks(mask) for _, mask in task.styles]
    styles = [painter.projected(encoder, style) for style, _ in task.styles]
    with torch.no_grad():
        maps = [
            instant.transports(
                instant.moments(features, shares), instant.moments(style), task.strength
            )
            for style, shares in zip(styles, masks, strict=True)
        ]
    regions = [
        instant.Painted(own, style, task.strength) for own, style in zip(maps, styles, strict=True)
    ]
    found: Tensor = painter(*instant.mixed(features, regions, masks))
    return found


def painted_whole(
    painter: instant.InstantPainter,
    encoder: PyramidEncoder,
    content: Tensor,
    style: Tensor,
    tones: float,
    strength: float = 1.0,
    coarse: bool = False,
) -> Tensor:
    """(1, 3, H, W): a picture in one style, as a whole, in its tones first.

    Args:
        painter, encoder: as `painted`.
        content, style: (1, 3, H, W) and (1, 3, h, w) in [0, 1].
        tones: share of the style's tones at full strength (`pictures.tones`).
        strength, coarse: as those of a `Task`.
    """
    everywhere = torch.ones_like(content[:, :1])
    content = in_tones(content, everywhere, [(style, None, tones * strength)])
    return painted(painter, encoder, Task(content, [(style, everywhere)], strength, coarse))


def train(
    settings: Settings,
    photos: Sequence[pictures.Array],
    paintings: Sequence[pictures.Array],
    kept: Sequence[pictures.Array] = (),
) -> instant.InstantPainter:
    """Train, from random weights or from ``settings.start``.

    The same settings and pictures give the same weights, also after an interruption.

    Args:
        settings: of the command.
        photos, paintings: HWC uint8 pictures.
        kept: photographs that previews are painted of.

    Returns:
        The painter with the average of the weights over the last steps, on the CPU.
    """
    device = devices.choose(settings.device)
    torch.manual_seed(settings.seed)
    painter = instant.InstantPainter().to(device)
    if settings.start is not None:
        named = instant.BUNDLED_FILE if settings.start == "bundled" else Path(settings.start)
        instant.fill(painter, named)
    engine, tones = losses(device, settings.precision)
    encoder = instant.encoder_of(engine.encoder.encoder)
    average = copy.deepcopy(painter).requires_grad_(False)
    optimizer = torch.optim.AdamW(painter.parameters(), weight_decay=1e-4)
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimizer, settings.learning_rate, total_steps=settings.steps, pct_start=0.1
    )
    draws, checkpoint = Draws(photos, paintings, settings.seed), Path(settings.checkpoint)
    done = 0
    if settings.resume:
        done = _restore(checkpoint, painter, average, optimizer, schedule, draws)
    report = Report(settings.steps, done, curves=settings.curves)
    for step in range(done + 1, settings.steps + 1):
        first = step <= settings.reconstruction
        stage = (step - 1) * len(settings.crops) // settings.steps
        side = settings.crops[stage] // instant.MULTIPLE * instant.MULTIPLE
        tasks = [draw(draws, side, first, tones) for _ in range(settings.batch)]
        optimizer.zero_grad(set_to_none=True)
        report.step(step, backward(painter, encoder, engine, tasks, device))
        torch.nn.utils.clip_grad_norm_(painter.parameters(), _STEEPEST)
        optimizer.step()
        schedule.step()
        follow(average, painter, min(settings.average, step / (step + 10)))
        if step % max(1, settings.steps // 100) == 0:
            _save(checkpoint, step, painter, average, optimizer, schedule, draws)
            if settings.previews is not None and kept:
                show(average, encoder, tones, kept, paintings, Path(settings.previews))
    return average.cpu().requires_grad_(True)


def backward(
    painter: instant.InstantPainter,
    encoder: PyramidEncoder,
    engine: Engine,
    tasks: Sequence[Task],
    device: torch.device,
) -> dict[str, float]:
    """Add the gradient of a step's mean loss to the painter's weights.

    Of a picture to be styled it is that of the logarithm of the engine's loss, so that no pair of
    pictures outweighs the others.

    Returns:
        ``difference``, the mean squared one of pictures that should come back, and the means of the
        others' losses, ``loss``, ``content``, ``style`` and ``variation``; 0 where there are none.
    """
    tasks = [_on(task, device) for task in tasks]
    shown = [painted(painter, encoder, task) for task in tasks]
    plain = [number for number, task in enumerate(tasks) if task.strength == 0]
    styled = [number for number, task in enumerate(tasks) if task.strength > 0]
    found, ends, gradients = dict.fromkeys(("difference", *_TERMS), 0.0), [], []
    for number in plain:
        difference = F.mse_loss(shown[number], tasks[number].content)
        ends.append(difference)
        gradients.append(torch.full_like(difference, _RECONSTRUCTION / len(tasks)))
        found["difference"] += float(difference.detach()) / len(plain)
    if styled:
        together = torch.cat([shown[number] for number in styled])
        terms, gradient = engine.evaluate([tasks[number].job for number in styled], together)
        ends.append(together)
        gradients.append(gradient / terms[:, :1, None, None] / len(tasks))
        found |= zip(_TERMS, terms.mean(0).double().cpu().tolist(), strict=True)
    torch.autograd.backward(ends, gradients)
    return found


def losses(
    device: torch.device, precision: schema.Precision = schema.Precision.float32
) -> tuple[Engine, float]:
    """The engine with Gram losses and the bundled encoder; the share of tones.

    The default's neighbours would be searched anew for each picture, which takes as long as all
    the rest; strokes of the style lie before the painter anyway (`instant.swapped`).
    """
    defaults = schema.Settings(precision=precision)
    defaults.loss.style = schema.StyleLoss.gram
    defaults.loss.style_weight = schema.GRAM_ALONE
    return build.engine(defaults, encoders.load("compact", None, device)), defaults.loss.tones


@torch.no_grad()
def show(
    painter: instant.InstantPainter,
    encoder: PyramidEncoder,
    tones: float,
    photos: Sequence[pictures.Array],
    paintings: Sequence[pictures.Array],
    folder: Path,
) -> None:
    """Write what a painter makes of pictures: photographs down, paintings across."""
    device, rows = next(painter.parameters()).device, []
    for photo in photos[:4]:
        content = array_to_tensor(pictures.middle_square(photo, _PREVIEW)).to(device)
        row = [content]
        for painting in paintings[:: max(1, len(paintings) // 5)][:5]:
            style = array_to_tensor(pictures.middle_square(painting, _PREVIEW)).to(device)
            row.append(painted_whole(painter, encoder, content, style, tones, coarse=True))
        rows.append(torch.cat(row, 3))
    folder.mkdir(parents=True, exist_ok=True)
    save_picture(torch.cat(rows, 2), folder / "preview.png")


def _on(task: Task, device: torch.device) -> Task:
    styles = [(style.to(device), mask.to(device)) for style, mask in task.styles]
    return replace(task, content=task.content.to(device), styles=styles)


def _save(
    path: Path,
    step: int,
    painter: instant.InstantPainter,
    average: instant.InstantPainter,
    optimizer: torch.optim.Optimizer,
    schedule: torch.optim.lr_scheduler.LRScheduler,
    draws: Draws,
) -> None:
    state = {
        "step": step,
        "painter": painter.state_dict(),
        "average": average.state_dict(),
        "optimizer": optimizer.state_dict(),
        "schedule": schedule.state_dict(),
        "draws": draws.rng.bit_generator.state,
    }
    checkpoints.save(path, state)


def _restore(
    path: Path,
    painter: instant.InstantPainter,
    average: instant.InstantPainter,
    optimizer: torch.optim.Optimizer,
    schedule: torch.optim.lr_scheduler.LRScheduler,
    draws: Draws,
) -> int:
    """Load what `_save` wrote; the steps that are done."""
    state = checkpoints.load(path)
    painter.load_state_dict(state["painter"])
    average.load_state_dict(state["average"])
    optimizer.load_state_dict(state["optimizer"])
    schedule.load_state_dict(state["schedule"])
    draws.rng.bit_generator.state = state["draws"]
    return int(state["step"])


def run(settings: Settings) -> None:
    """Train and write the weights.

    Raises:
        UserError: pictures cannot be had, or there are too few photographs.
    """
    training, validation = split(pictures.list_pictures(settings.photos))
    if not training:
        raise UserError("one photograph is not enough to train and to validate; add more")
    photos = [pictures.read_rgb(path) for path in training]
    paintings = [pictures.read_rgb(path) for path in pictures.list_pictures(settings.paintings)]
    for name in settings.styles:
        picture = read.fit(read.open_style(name, Path.cwd()), _STYLE_SIZE, name)
        paintings.append(np.asarray(picture, np.uint8))
    if not paintings:
        raise UserError("no paintings; name a folder with paintings=[FOLDER], or styles=[PICTURE]")
    kept = [pictures.read_rgb(path) for path in validation[:: max(1, len(validation) // 4)]]
    log.info("%d photographs, %d paintings", len(photos), len(paintings))
    painter = train(settings, photos, paintings, kept)
    output = Path(settings.output)
    export(
        painter.state_dict(),
        output,
        {
            "seed": str(settings.seed),
            "steps": str(settings.steps),
        },
    )


@command("training/instant")
def main(configuration: object) -> None:
    """The command."""
    carry_out(run, Settings, configuration)


if __name__ == "__main__":
    main()
