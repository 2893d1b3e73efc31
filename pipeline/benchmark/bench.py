"""Bench: the pictures, weights and runs that the comparisons have in common."""

import dataclasses
import functools
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import safetensors.torch
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torchvision.models import vgg

from pipeline import build
from pipeline.benchmark import textbook
from pipeline.config.compose import compose_settings
from pipeline.config.schema import Settings
from pipeline.engine.engine import Engine
from pipeline.engine.objective import Style
from pipeline.methods import Region, Scene, Stylized
from pipeline.networks import encoders, weights
from pipeline.pictures import read

_STYLES = ("scream.jpg", "wave.jpg", "mosaic.jpg")

#: One style for the whole frame at one scale, with the papers' formulas and zero padding: what the
#: textbook loop does with VGG-19, to the last operation.
EQUAL_WORK = (
    "method=global",
    "loss=gatys",
    "encoder.style_layers=[relu1_1,relu2_1,relu3_1,relu4_1,relu5_1]",
    "encoder.content_layers=[relu4_2]",
    "encoder.levels=1",
    "encoder.padding=zeros",
    "optimizer.scales=1",
)


@dataclass(frozen=True)
class Bench:
    """Where and how large.

    Attributes:
        where: the device.
        quick: smaller sizes and fewer repeats.
        size: side of the pictures in pixels, for all comparisons; None: each one's own.
        vgg19: file of VGG-19's weights.
        official: whether they are torchvision's; else they are random and good for timing alone.
    """

    where: torch.device
    quick: bool
    size: int | None
    vgg19: Path
    official: bool

    def sizes(self, cpu: Sequence[int], cuda: Sequence[int], quick: int) -> list[int]:
        """The sides to measure at, in pixels, on the CPU or on CUDA and MPS."""
        if self.size is not None:
            return [self.size]
        if self.quick:
            return [quick]
        return [*(cpu if self.where.type == "cpu" else cuda)]

    @property
    def repeats(self) -> int:
        """Samples a side."""
        return 3 if self.quick else 5

    @property
    def few_and_many(self) -> tuple[int, int]:
        """Iterations of the short and the long run of `timing.per_iteration`."""
        if self.quick:
            return 2, 5
        # The short run fills L-BFGS's history, where iterations are cheap enough for that.
        return (4, 12) if self.where.type == "cpu" else (12, 52)

    def vgg19_overrides(self) -> list[str]:
        """The settings that choose VGG-19 with the bench's weights."""
        return ["encoder=vgg19", f"encoder.weights='{self.vgg19}'"]


def find_vgg19(folder: Path) -> tuple[Path, bool]:
    """VGG-19's weights: torchvision's if they are cached, else random ones, which time the same.

    Args:
        folder: where random ones are written.

    Returns:
        The file, and whether it is torchvision's.
    """
    url = encoders.RECIPES[encoders.OFFICIAL].url
    assert url is not None
    official = weights.official(url, may_download=False)
    if official is not None:
        return official, True
    file = folder / "vgg19-random.safetensors"
    generator = torch.Generator().manual_seed(0)
    layers = vgg.make_layers(vgg.cfgs["E"])[:30]
    for layer in layers:
        if isinstance(layer, nn.Conv2d):
            # He et al. 2015, eq. 10: activations keep their size from layer to layer.
            fan_in = layer.weight[0].numel()
            nn.init.normal_(layer.weight, std=math.sqrt(2 / fan_in), generator=generator)
            nn.init.zeros_(layer.bias)  # type: ignore[arg-type]
    safetensors.torch.save_file(layers.state_dict(), file)
    return file, False


@functools.lru_cache(maxsize=16)
def content_picture(size: int, where: torch.device) -> Tensor:
    """(1, 3, size, size) in [0, 1]: a photograph."""
    return _square(read.content_picture("astronaut", 512, Path.cwd()).picture, size).to(where)


@functools.lru_cache(maxsize=16)
def style_picture(size: int, where: torch.device, number: int = 0) -> Tensor:
    """(1, 3, size, size) in [0, 1]: a painting, one of three."""
    return _square(read.style_picture(_STYLES[number], 512, Path.cwd()), size).to(where)


def _square(picture: Tensor, size: int) -> Tensor:
    return F.interpolate(picture, (size, size), mode="bilinear", antialias=True).clamp(0, 1)


def whole_frame(size: int, where: torch.device, start: Tensor | None = None) -> Scene:
    """One style for the whole picture."""
    content = content_picture(size, where)
    style = Style(style_picture(size, where))
    return Scene(content, [Region("all", torch.ones_like(content[:, :1]), [style])], start)


def settings(bench: Bench, overrides: Sequence[str]) -> Settings:
    """The settings of a run on the bench's device.

    Raises:
        UserError: an override that does not exist or does not fit.
    """
    return compose_settings([f"device={bench.where}", *overrides])


def engine(
    bench: Bench, overrides: Sequence[str]
) -> tuple[Settings, encoders.LoadedEncoder, Engine]:
    """The engine that these overrides describe.

    Raises:
        UserError: as `settings`, or weights that do not fit.
    """
    chosen = settings(bench, overrides)
    encoder = build.load_encoder(chosen, bench.where, Path.cwd())
    return chosen, encoder, build.engine(chosen, encoder)


def prepare_engine(
    bench: Bench, overrides: Sequence[str], scene: Scene
) -> Callable[[int], Callable[[], Stylized]]:
    """The engine's side of a comparison, as `timing.Prepare`.

    Args:
        bench: where.
        overrides: settings, method included; the number of iterations comes on top.
        scene: what is painted.
    """

    def prepare(iterations: int) -> Callable[[], Stylized]:
        chosen, _, ready = engine(bench, [*overrides, f"optimizer.iterations={iterations}"])
        # Every run makes its targets: a first run has none to reuse, and the textbook never has.
        alone = dataclasses.replace(ready, targets=None)
        method = build.method(chosen)
        return lambda: method(scene, alone, lambda row: None)

    return prepare


def prepare_textbook(
    stack: textbook.Stack, content: Tensor, style: Tensor, mask: Tensor | None = None
) -> Callable[[int], Callable[[], Tensor]]:
    """The textbook's side of a comparison, as `timing.Prepare`; targets are part of each run.

    Args:
        stack: the network.
        content, style: (1, 3, H, W) in [0, 1].
        mask: (1, 1, H, W), where the style goes; None: everywhere.
    """

    def prepare(iterations: int) -> Callable[[], Tensor]:
        def run() -> Tensor:
            goal = textbook.targets(stack, content, style, mask)
            return textbook.descend(
                lambda picture: textbook.loss(stack, goal, picture), content, iterations
            )

        return run

    return prepare
