"""Compiled: what is written by hand against what `torch.compile` makes of plain modules.

The engine does three things by hand that a compiler might do: padding, convolution and ReLU in one
step (`pipeline.networks.convolution`), its gradient, and on CUDA the recording of an iteration
(`pipeline.runtime.cuda_graph`). Here the same loss and its gradient are computed with these, with
plain modules, and with plain modules compiled.
"""

import itertools
import statistics
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from pipeline.benchmark import bench as benches
from pipeline.benchmark import timing
from pipeline.benchmark.bench import Bench
from pipeline.benchmark.report import Comparison, Figure
from pipeline.networks import encoders
from pipeline.networks.encoder import Encoder
from pipeline.runtime import precision
from pipeline.runtime.cuda_graph import WARM_UP, RecordedStep

HAND, PLAIN, COMPILED = "by hand", "plain modules", "compiled"

#: (1, 3, H, W) in [0, 1] to the features of the layers that are read, (1, N, H', W') each.
Features = Callable[[Tensor], list[Tensor]]


class PlainEncoder(nn.Module):
    """An encoder's modules one after the other, nothing done by hand.

    Args:
        encoder: whose layers they are.
        layers: to read, in the network's order.
    """

    mean: Tensor
    std: Tensor

    def __init__(self, encoder: Encoder, layers: Sequence[str]) -> None:
        super().__init__()
        self.register_buffer("mean", encoder.mean)
        self.register_buffer("std", encoder.std)
        places = [-1, *(encoder.index[layer] for layer in layers)]
        self.parts = nn.ModuleList(
            encoder.features[start + 1 : end + 1] for start, end in itertools.pairwise(places)
        )

    def forward(self, picture: Tensor) -> list[Tensor]:
        """As `Features`."""
        features, found = (picture - self.mean) / self.std, []
        for part in self.parts:
            features = part(features)
            found.append(features)
        return found


def gram(features: Tensor) -> Tensor:
    """(1, N, H, W) to (N, N), by the number of units; channels last need no copy for it."""
    units = features[0].movedim(0, -1).flatten(0, 1)  # (M, N)
    return units.mT @ units / len(units)


def loss(found: Sequence[Tensor], wanted: Sequence[Tensor], content: Tensor) -> Tensor:
    """The mean squared difference of each layer's Gram matrix, and of the last one's features."""
    style = [
        (gram(features) - target).square().mean()
        for features, target in zip(found, wanted, strict=True)
    ]
    return torch.stack(style).sum() + (found[-1] - content).square().mean()


@dataclass(frozen=True)
class Side:
    """One way to the gradient.

    Attributes:
        step: computes loss and gradient once.
        loss: (), overwritten by every step.
        gradient: (1, 3, H, W), overwritten by every step.
    """

    step: Callable[[], None]
    loss: Tensor
    gradient: Tensor


def side(features: Features, picture: Tensor, style: Tensor, recorded: bool = False) -> Side:
    """Loss and gradient of a picture by some way through the network.

    Args:
        features: that way.
        picture: (1, 3, H, W) in [0, 1]; also what its content is compared with.
        style: (1, 3, h, w) in [0, 1].
        recorded: whether steps are recorded on CUDA.
    """
    with torch.no_grad():
        wanted = [gram(found) for found in features(style)]
        # Another picture than the one that is read, or its gradient would be zero.
        content = features(picture.flip(3))[-1].clone()
    leaf = picture.clone().requires_grad_()
    value, gradient = torch.zeros((), device=picture.device), torch.zeros_like(picture)

    def step() -> None:
        total = loss(features(leaf), wanted, content)
        (found,) = torch.autograd.grad(total, leaf)
        value.copy_(total.detach())
        gradient.copy_(found)

    return Side(RecordedStep(step, picture.device) if recorded else step, value, gradient)


def sides(
    encoder: Encoder, layers: Sequence[str], picture: Tensor, style: Tensor
) -> dict[str, Side]:
    """The three ways; the compiled one compiles at its first step.

    Args:
        encoder: frozen, float32.
        layers: to read, in the network's order.
        picture, style: as `side`.
    """
    plain = PlainEncoder(encoder, layers)
    # On CUDA this mode records its kernels, too.
    mode = "reduce-overhead" if picture.device.type == "cuda" else "default"
    compiled: Features = torch.compile(plain, mode=mode)
    return {
        HAND: side(lambda p: [*encoder(p, layers).values()], picture, style, recorded=True),
        PLAIN: side(plain, picture, style),
        COMPILED: side(compiled, picture, style),
    }


def compiled(bench: Bench) -> list[Comparison]:
    """Loss and gradient of the compact encoder, by hand, with plain modules and compiled."""
    return [_compiled(bench, size) for size in bench.sizes(cpu=[256], cuda=[512, 1024], quick=256)]


def _compiled(bench: Bench, size: int) -> Comparison:
    loaded = encoders.load("compact", None, bench.where, padding="reflect")
    picture = benches.content_picture(size, bench.where)
    style = benches.style_picture(size, bench.where)
    # As the engine has it, channels last, for all three.
    encoder = precision.prepared(loaded.module, "float32").encoder
    ways = sides(encoder, loaded.style_layers, picture, style)
    times = 3 if bench.quick else 10
    first = {name: timing.seconds(way.step, bench.where) for name, way in ways.items()}

    def several(way: Side) -> timing.Sample:
        def run() -> None:
            for _ in range(times):
                way.step()

        return lambda: timing.seconds(run, bench.where) / times

    for _ in range(WARM_UP):
        for way in ways.values():
            way.step()
    samples = timing.alternate(
        {name: several(way) for name, way in ways.items()}, 3 * bench.repeats
    )
    middle = {name: statistics.median(found) for name, found in samples.items()}
    ratios = {name: timing.ratios(samples[name], samples[HAND]) for name in (PLAIN, COMPILED)}
    return Comparison(
        "compile",
        [
            Figure(
                f"compile, {size} px: by hand, against {name}",
                middle[HAND],
                "s",
                middle[name],
                ratio["of_medians"],
            )
            for name, ratio in ratios.items()
        ],
        samples,
        details={
            "size": size,
            "network": "compact",
            "layers": [*loaded.style_layers],
            "first_step_with_compilation": first,
            "others_by_hand": ratios,
            "difference": {
                name: {
                    "loss": float((ways[name].loss / ways[HAND].loss - 1).abs()),
                    "gradient": float(
                        (ways[name].gradient - ways[HAND].gradient).norm()
                        / ways[HAND].gradient.norm()
                    ),
                }
                for name in (PLAIN, COMPILED)
            },
        },
    )
