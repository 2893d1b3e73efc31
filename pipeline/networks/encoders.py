"""The encoders by name: how each is built, its layers, and where its weights come from."""

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import nn

from pipeline.errors import UserError, not_one_of
from pipeline.networks import compact_encoder, weights
from pipeline.networks.encoder import Encoder, PaddingKind, PoolingKind
from pipeline.networks.pyramid import Layer, PyramidEncoder


@dataclass(frozen=True)
class Recipe:
    """An encoder's network and the layers it paints best with.

    Attributes:
        build: makes the layers, untrained.
        style_layers, content_layers, neighbour_layers: the defaults; the last with their levels, as
            `Layer.parse` reads them.
        levels: the default number of sizes (`PyramidEncoder`).
        url: torchvision's weights, or None for the bundled network.
    """

    build: Callable[[], nn.Sequential]
    style_layers: Sequence[str]
    content_layers: Sequence[str]
    neighbour_layers: Sequence[str]
    levels: int
    url: str | None


# Statistics of small parts give colour and grain, neighbours in larger ones the strokes and shapes.
# Chosen by looking at what the compact encoder and its teachers paint; a VGG's layers are alike.
_SHALLOW = ("relu1_1", "relu2_1", "relu3_1")
_COMPOSITION = ("relu2_1/2", "relu3_1", "relu3_1/2", "relu4_1")


def _torchvision(name: str, **options: Any) -> nn.Sequential:
    # Imported late: it takes a second and a half, and the bundled networks do without.
    from torchvision import models

    # Without memory, as the classifier, which is thrown away, has most of the weights.
    with torch.device("meta"):
        features: nn.Sequential = getattr(models, name)(**options).features
    return features.to_empty(device="cpu")


def _vgg(name: str, file: str) -> Recipe:
    return Recipe(
        lambda: _torchvision(name, init_weights=False),
        _SHALLOW,
        ("relu3_1",),
        _COMPOSITION,
        3,
        f"{weights.HUB}/{file}",
    )


RECIPES = {
    "vgg19": _vgg("vgg19", "vgg19-dcbb9e9d.pth"),
    "vgg16": _vgg("vgg16", "vgg16-397923af.pth"),
    "vgg13": _vgg("vgg13", "vgg13-19584684.pth"),
    "vgg11": _vgg("vgg11", "vgg11-8a719046.pth"),
    # Its five convolutions lie in three blocks; the first has a stride of 4.
    "alexnet": Recipe(
        build=lambda: _torchvision("alexnet"),
        style_layers=("relu1_1", "relu2_1", "relu3_1", "relu3_2", "relu3_3"),
        content_layers=("relu3_1",),
        neighbour_layers=("relu2_1", "relu3_1", "relu3_3"),
        levels=1,
        url=f"{weights.HUB}/alexnet-owt-7be5be79.pth",
    ),
    "compact": Recipe(
        build=compact_encoder.features,
        style_layers=_SHALLOW,
        content_layers=("relu3_1",),
        neighbour_layers=_COMPOSITION,
        levels=3,
        url=None,
    ),
}
#: What `auto` would rather have than the bundled encoder.
OFFICIAL = "vgg19"
BUNDLED_FILE = weights.BUNDLED / "compact_encoder.safetensors"


@dataclass(frozen=True)
class LoadedEncoder:
    """An encoder ready to use, with the layers to use it with."""

    module: PyramidEncoder
    style_layers: tuple[str, ...]
    content_layers: tuple[str, ...]
    neighbour_layers: tuple[Layer, ...]
    source: weights.Source


def load(
    name: str,
    file: Path | None,
    device: torch.device,
    *,
    style_layers: Sequence[str] | None = None,
    content_layers: Sequence[str] | None = None,
    neighbour_layers: Sequence[str] | None = None,
    levels: int | None = None,
    pooling: PoolingKind = "max",
    padding: PaddingKind = "reflect",
) -> LoadedEncoder:
    """Load an encoder.

    Args:
        name: a key of `RECIPES`, or ``auto``: torchvision's VGG-19 where its weights are cached or
            (on CUDA) can be downloaded, else the bundled encoder.
        file: weights to use instead; may end at the deepest layer asked for. With ``auto`` the
            network that they fit.
        device: where it runs.
        style_layers, content_layers, neighbour_layers, levels: None for the network's own defaults;
            no ``neighbour_layers`` at all where no loss reads them.
        pooling, padding: as `Encoder`.

    Raises:
        UserError: a layer the network lacks, or weights that cannot be had or do not fit.
    """
    if name == "auto" and file is not None:
        name = _recognise(file)
    elif name == "auto":
        url = RECIPES[OFFICIAL].url
        assert url is not None
        name = OFFICIAL if weights.official(url, device.type == "cuda") else "compact"
    if name not in RECIPES:
        raise UserError(not_one_of("encoder.name", name, ["auto", *RECIPES]))
    recipe = RECIPES[name]
    styles = tuple(style_layers or recipe.style_layers)
    contents = tuple(content_layers or recipe.content_layers)
    chosen = recipe.neighbour_layers if neighbour_layers is None else neighbour_layers
    try:
        parsed = [Layer.parse(text) for text in chosen]
    except ValueError as error:
        raise UserError(f"encoder.neighbour_layers: {error}") from None
    sizes = levels or recipe.levels
    neighbours = tuple(layer for layer in parsed if layer.level < sizes)
    if parsed and not neighbours:
        raise UserError(
            f"encoder.neighbour_layers: {parsed[0]} is not read with encoder.levels={sizes}"
        )
    features = recipe.build()
    wanted = {*styles, *contents, *(layer.name for layer in neighbours)}
    _require_layers(name, features, wanted)
    source = weights.locate(name, "encoder", file, recipe.url, BUNDLED_FILE)
    features = _trim(features, wanted)
    _fill(features, source)
    encoder = Encoder(features, pooling=pooling, padding=padding)
    module = PyramidEncoder(encoder, sizes)
    module.eval().requires_grad_(False).to(device)
    return LoadedEncoder(module, styles, contents, neighbours, source)


def _recognise(file: Path) -> str:
    """The encoder that a file's tensors fit, as far as they go; the first of several."""
    state = weights.read_state_dict(file)
    shapes = {
        key.removeprefix("features."): tensor.shape
        for key, tensor in state.items()
        if not key.startswith("classifier.")
    }
    for name, recipe in RECIPES.items():
        wanted = {key: tensor.shape for key, tensor in recipe.build().state_dict().items()}
        if shapes and shapes.items() <= wanted.items():
            return name
    raise UserError(f"{file} fits no encoder; there are {', '.join(RECIPES)}")


def _require_layers(name: str, features: nn.Sequential, layers: Collection[str]) -> None:
    there = Encoder(features).index
    unknown = sorted(set(layers) - set(there))
    if unknown:
        raise UserError(
            f"encoder {name} has no layer {', '.join(unknown)}; it has "
            + ", ".join(layer for layer in there if layer.startswith("relu"))
        )


def _trim(features: nn.Sequential, layers: Collection[str]) -> nn.Sequential:
    index = Encoder(features).index
    return features[: max(index[layer] for layer in layers) + 1]


def _fill(features: nn.Sequential, source: weights.Source) -> None:
    state = {
        key.removeprefix("features."): tensor.float()
        for key, tensor in weights.read_state_dict(source.file).items()
    }
    wanted = features.state_dict()
    missing = sorted(set(wanted) - set(state), key=lambda key: int(key.split(".")[0]))
    if missing:
        index = {position: layer for layer, position in Encoder(features).index.items()}
        layers = dict.fromkeys(index[int(key.split(".")[0])] for key in missing)
        raise UserError(
            f"{source.file} lacks the weights of {', '.join(layers)}; choose encoder.style_layers, "
            "encoder.content_layers and encoder.neighbour_layers that it covers"
        )
    wrong = [key for key in wanted if wanted[key].shape != state[key].shape]
    if wrong:
        key = wrong[0]
        raise UserError(
            f"{source.file} does not fit encoder {source.network}: {key} is "
            f"{tuple(state[key].shape)} instead of {tuple(wanted[key].shape)}"
        )
    features.load_state_dict({key: state[key] for key in wanted})
