"""Textbook: the loop of Gatys et al. 2016 as it is commonly published, the benchmark's baseline.

One network read in order, float32 in NCHW, zero padding and max pooling; Gram matrices over the
whole frame, whatever part of it a class fills; full size from the first iteration; `torch.optim`'s
L-BFGS on the pixels. Nothing here is shared with the engine, and nothing is made fast.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torchvision.models import vgg

from pipeline.networks import compact_encoder, weights

Loss = Callable[[Tensor], Tensor]

_MEAN = (0.485, 0.456, 0.406)
_STD = (0.229, 0.224, 0.225)


@dataclass(frozen=True)
class Stack:
    """A network that is read while it runs.

    Attributes:
        layers: applied one after the other; no parameter requires a gradient.
        style: positions whose outputs have style losses.
        content: positions whose outputs have content losses.
    """

    layers: nn.Sequential
    style: Sequence[int]
    content: Sequence[int]


def vgg19(file: Path, where: torch.device) -> Stack:
    """VGG-19 up to relu5_1: styles at relu1_1, relu2_1, ... relu5_1, content at relu4_2.

    Args:
        file: its weights; those of deeper layers are not read.
        where: the device.

    Raises:
        UserError: the file cannot be read.
    """
    # Without the classifier, whose weights nobody needs and which take a second to make.
    layers = vgg.make_layers(vgg.cfgs["E"])[:30]
    return _stack(layers, file, where, (1, 6, 11, 20, 29), (22,))


def compact(file: Path, where: torch.device) -> Stack:
    """The bundled encoder's layers: styles at relu1_1, relu2_1 and relu3_1, content at relu3_1.

    Arguments and errors as `vgg19`.
    """
    return _stack(compact_encoder.features(), file, where, (1, 6, 11), (11,))


def _stack(
    layers: nn.Sequential,
    file: Path,
    where: torch.device,
    style: Sequence[int],
    content: Sequence[int],
) -> Stack:
    state = {
        key.removeprefix("features."): tensor.float()
        for key, tensor in weights.read_state_dict(file).items()
    }
    layers.load_state_dict({key: state[key] for key in layers.state_dict()})
    for layer in layers:
        if isinstance(layer, nn.ReLU):
            layer.inplace = False
    return Stack(layers.eval().requires_grad_(False).to(where), style, content)


def gram(features: Tensor, mask: Tensor | None = None) -> Tensor:
    """``G_ij = sum_k F_ik F_jk / M``: Gatys et al. 2016, eq. 3, divided by the number of units.

    Args:
        features: (1, N, H, W).
        mask: (1, 1, H, W), of one class; its units are weighed over the whole frame, and M is the
            mask's sum. None: all units.

    Returns:
        (N, N).
    """
    _, channels, height, width = features.shape
    flat = features.view(channels, height * width)
    if mask is None:
        return flat @ flat.t() / (height * width)
    weighed = (features * mask).view(channels, height * width)
    return weighed @ flat.t() / mask.sum()


@dataclass(frozen=True)
class Targets:
    """What the loss compares with.

    Attributes:
        grams: a style layer's position to its Gram matrix, (N, N).
        features: a content layer's position to its features, (1, N, H, W).
        masks: a layer's position to the class's mask there, (1, 1, H, W), or None.
    """

    grams: dict[int, Tensor]
    features: dict[int, Tensor]
    masks: dict[int, Tensor | None]


@torch.no_grad()
def targets(stack: Stack, content: Tensor, style: Tensor, mask: Tensor | None = None) -> Targets:
    """The targets of one class.

    Args:
        stack: the network.
        content: (1, 3, H, W) in [0, 1].
        style: (1, 3, h, w) in [0, 1], read as a whole.
        mask: (1, 1, H, W) in [0, 1], where the class is; None: everywhere. Layers have it resized.
    """
    of_style, of_content = _features(stack, style), _features(stack, content)
    masks = {
        position: None
        if mask is None
        else F.interpolate(mask, features.shape[2:], mode="bilinear", antialias=True)
        for position, features in of_content.items()
    }
    return Targets(
        {position: gram(of_style[position]) for position in stack.style},
        {position: of_content[position] for position in stack.content},
        masks,
    )


def loss(
    stack: Stack,
    goal: Targets,
    picture: Tensor,
    content_weight: float = 1.0,
    style_weight: float = 1000.0,
) -> Tensor:
    """Gatys et al. 2016, eq. 7: ``alpha L_content + beta sum_l w_l E_l`` with equal w_l.

    ``L_content`` is half the squared difference (eq. 1), ``E_l`` the squared difference of the Gram
    matrices by ``4 N_l^2`` (eq. 4, the number of units being divided out in `gram`).

    Args:
        stack: the network.
        goal: its targets.
        picture: (1, 3, H, W).
        content_weight, style_weight: alpha and beta.

    Returns:
        A scalar.
    """
    features = _features(stack, picture)
    total = picture.new_zeros(())
    for position, wanted in goal.features.items():
        squared = (features[position] - wanted) ** 2
        mask = goal.masks[position]
        total = total + content_weight * (squared if mask is None else squared * mask).sum() / 2
    for position, wanted in goal.grams.items():
        found = gram(features[position], goal.masks[position])
        error = ((found - wanted) ** 2).sum() / (4 * wanted.shape[0] ** 2)
        total = total + style_weight * error / len(goal.grams)
    return total


def descend(
    of_picture: Loss, start: Tensor, iterations: int, history: int = 10, clamp: bool = True
) -> Tensor:
    """Optimise the pixels by `torch.optim.LBFGS`, one evaluation of the loss an iteration.

    Args:
        of_picture: the loss of a picture, (1, 3, H, W) to a scalar.
        start: (1, 3, H, W) in [0, 1].
        iterations: how many.
        history: pairs that L-BFGS remembers; torch's own default is 100, the engine's 10.
        clamp: whether pixels are brought back into [0, 1] before every evaluation, as PyTorch's
            tutorial does, or only at the end.

    Returns:
        (1, 3, H, W) in [0, 1].
    """
    # L-BFGS views its parameters as vectors.
    picture = start.clone(memory_format=torch.contiguous_format).requires_grad_()
    # Without tolerances: losses that are small numbers would end the descent before its time.
    optimizer = torch.optim.LBFGS(
        [picture], max_iter=1, history_size=history, tolerance_grad=0, tolerance_change=0
    )

    def evaluate() -> float:
        if clamp:
            with torch.no_grad():
                picture.clamp_(0, 1)
        optimizer.zero_grad()
        total = of_picture(picture)
        total.backward()  # type: ignore[no-untyped-call]
        return float(total.detach())

    for _ in range(iterations):
        optimizer.step(evaluate)  # type: ignore[no-untyped-call]
    return picture.detach().clamp(0, 1)


def _features(stack: Stack, picture: Tensor) -> dict[int, Tensor]:
    """The outputs of all layers that losses read, by position."""
    shift = picture.new_tensor(_MEAN).view(1, 3, 1, 1)
    scale = picture.new_tensor(_STD).view(1, 3, 1, 1)
    hidden, found = (picture - shift) / scale, {}
    for position, layer in enumerate(stack.layers):
        hidden = layer(hidden)
        if position in stack.style or position in stack.content:
            found[position] = hidden
    return found
