"""The networks that the compact encoder learns from."""

from collections.abc import Collection
from pathlib import Path

from torch import Tensor, nn
from torchvision.models import VGG19_Weights
from torchvision.models.vgg import cfgs, make_layers

from pipeline.errors import UserError
from pipeline.networks import weights
from pipeline.networks.compact_encoder import LAYERS
from pipeline.networks.encoder import Encoder

# Widths of the blocks of the thin VGG-19, and how many convolutions each has.
_THIN_BLOCKS = ((16, 2), (32, 2), (64, 4), (128, 4), (128, 1))


class ThinVGG(nn.Module):
    """A VGG-19 of a quarter of the widths whose heads predict the original's layers.

    Wang et al. 2020, "Collaborative Distillation for Ultra-Resolution Universal Style Transfer".
    ``conv<block>_<index>`` are the convolutions, 3x3 with reflection padding, ``head<block>_1``
    one 1x1 convolution a layer, each followed by ReLU.

    Args:
        state: the tensors, ``conv1_1.weight`` to ``head5_1.bias``.
    """

    def __init__(self, state: dict[str, Tensor]) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        channels = 3
        for block, (width, count) in enumerate(_THIN_BLOCKS, 1):
            for index in range(1, count + 1):
                convolution = nn.Conv2d(channels, width, 3, padding=1)
                _fill(convolution, state, f"conv{block}_{index}")
                layers += [convolution, nn.ReLU()]
                channels = width
            if block < len(_THIN_BLOCKS):
                layers.append(nn.MaxPool2d(2, 2))
        self.encoder = Encoder(nn.Sequential(*layers), padding="reflect")
        self.heads = nn.ModuleDict()
        for layer in LAYERS:
            name = layer.replace("relu", "head")
            head = nn.Conv2d(self.encoder.channels(layer), len(state[f"{name}.bias"]), 1)
            _fill(head, state, name)
            self.heads[layer] = nn.Sequential(head, nn.ReLU())

    def forward(self, picture: Tensor, layers: Collection[str]) -> dict[str, Tensor]:
        """The original's layers, predicted; as `Encoder.forward`."""
        inner = self.encoder(picture, layers)
        return {layer: self.heads[layer](features) for layer, features in inner.items()}


def _fill(convolution: nn.Conv2d, state: dict[str, Tensor], name: str) -> None:
    convolution.load_state_dict({key: state[f"{name}.{key}"].float() for key in ("weight", "bias")})


class Teacher(nn.Module):
    """A VGG-19's layers, the deepest of them from another network where one is given.

    Args:
        vgg: gives the layers that it has.
        deep: gives the others, or None.
    """

    def __init__(self, vgg: Encoder, deep: ThinVGG | None = None) -> None:
        super().__init__()
        self.vgg, self.deep = vgg, deep
        self.layers: tuple[str, ...] = tuple(
            layer for layer in LAYERS if deep is not None or layer in vgg.index
        )

    def forward(self, picture: Tensor, layers: Collection[str]) -> dict[str, Tensor]:
        """Features of the named layers; as `Encoder.forward`."""
        own = [layer for layer in layers if layer in self.vgg.index]
        others = [layer for layer in layers if layer not in own]
        found: dict[str, Tensor] = self.vgg(picture, own) if own else {}
        if others:
            if self.deep is None:
                raise KeyError(others[0])
            found |= self.deep(picture, others)
        return {layer: found[layer] for layer in layers}


def load_teacher(source: str, deep: str | None = None) -> Teacher:
    """VGG-19: torchvision's (``official``) or a file with its key names.

    Args:
        source: the file may end at relu3_1 or any layer behind it.
        deep: a file of the thin VGG-19 (`ThinVGG`), for the layers that the first lacks.

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
    state = {
        key.removeprefix("features."): tensor.float()
        for key, tensor in weights.read_state_dict(file).items()
        if key.startswith("features.")
    }
    whole = make_layers(cfgs["E"])
    index = Encoder(whole).index
    last = max((int(key.split(".")[0]) for key in state), default=-1) + 1
    features = whole[: min(last, index[LAYERS[-1]]) + 1]
    try:
        features.load_state_dict({key: state[key] for key in features.state_dict()})
        if last < index[LAYERS[2]]:
            raise KeyError(LAYERS[2])
    except (KeyError, RuntimeError):
        raise UserError(
            f"{file} does not hold a VGG-19 up to relu3_1; its keys must be torchvision's "
            f"(features.0.weight to features.{index['conv3_1']}.bias)"
        ) from None
    teacher = Teacher(Encoder(features, padding="replicate"), _load_deep(deep) if deep else None)
    return teacher.eval().requires_grad_(False)


def _load_deep(source: str) -> ThinVGG:
    state = dict(weights.read_state_dict(Path(source)))
    try:
        return ThinVGG(state)
    except (KeyError, RuntimeError):
        raise UserError(
            f"{source} does not hold a thin VGG-19 with heads; its keys must be conv1_1.weight to "
            "head5_1.bias"
        ) from None
