"""The segmenters by name: torchvision's DeepLabv3 and the bundled one."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import torch
from torch import Tensor, nn

from pipeline.errors import UserError, not_one_of
from pipeline.networks import hub, weights
from pipeline.networks.compact_segmenter import CompactSegmenter
from pipeline.networks.encoder import IMAGENET_MEAN, IMAGENET_STD
from pipeline.regions.names import SCENE_CLASSES, VOC_CLASSES


@dataclass(frozen=True)
class Classes:
    """What a segmenter's scores are of.

    Attributes:
        objects: the names of its classes, in their order; ``background`` first where it has one.
        scenes: names of a second head, which has a softmax of its own: ``background``, for none of
            them, and what lies in the background.
        under: names of ``objects`` that lie in the background, such as the sky of ADE20K.
        unions: name to the names of ``objects`` that it stands for, all together.
    """

    objects: tuple[str, ...] = VOC_CLASSES
    scenes: tuple[str, ...] = ()
    under: frozenset[str] = frozenset()
    unions: Mapping[str, tuple[str, ...]] = field(default_factory=dict)

    @property
    def names(self) -> tuple[str, ...]:
        """All names that a region can be asked for by."""
        return tuple(dict.fromkeys(("background", *self.objects, *self.scenes, *self.unions)))


class TorchvisionDeepLab(nn.Module):
    """DeepLabv3 (Chen et al. 2017) as torchvision has it, read out before its upsampling.

    Args:
        name: of one of torchvision's constructors.
    """

    mean: Tensor
    std: Tensor

    def __init__(self, name: str) -> None:
        super().__init__()
        # Imported late: it takes a second and a half, and the bundled networks do without.
        from torchvision.models import segmentation

        build: Callable[..., nn.Module] = getattr(segmentation, name)
        self.model = build(weights=None, weights_backbone=None, num_classes=21, aux_loss=False)
        self.register_buffer("mean", torch.tensor(IMAGENET_MEAN).view(1, 3, 1, 1), persistent=False)
        self.register_buffer("std", torch.tensor(IMAGENET_STD).view(1, 3, 1, 1), persistent=False)

    def forward(self, picture: Tensor) -> Tensor:
        """Class scores, (B, 21, ~H/8, ~W/8), of (B, 3, H, W) in [0, 1]."""
        normalised = (picture - self.mean) / self.std
        scores: Tensor = self.model.classifier(self.model.backbone(normalised)["out"])  # type: ignore[operator]
        return scores


@dataclass(frozen=True)
class Recipe:
    """A segmenter's network, torchvision's weights for it (None: bundled), and how to use it.

    Attributes:
        build: makes the network, untrained.
        url: torchvision's weights, or None for the bundled network.
        sizes: the long sides at which it sees a picture by default.
        classes: what its scores are of.
        closer: how many small objects it sees a second time by default.
    """

    build: Callable[[], nn.Module]
    url: str | None
    sizes: tuple[int, ...] = (512,)
    classes: Classes = Classes()
    closer: int = 0


RECIPES = {
    "deeplabv3_resnet101": Recipe(
        lambda: TorchvisionDeepLab("deeplabv3_resnet101"),
        f"{weights.HUB}/deeplabv3_resnet101_coco-586e9e4e.pth",
    ),
    "deeplabv3_resnet50": Recipe(
        lambda: TorchvisionDeepLab("deeplabv3_resnet50"),
        f"{weights.HUB}/deeplabv3_resnet50_coco-cd0a2569.pth",
    ),
    "deeplabv3_mobilenet_v3_large": Recipe(
        lambda: TorchvisionDeepLab("deeplabv3_mobilenet_v3_large"),
        f"{weights.HUB}/deeplabv3_mobilenet_v3_large-fc3c493d.pth",
    ),
    "compact": Recipe(
        CompactSegmenter,
        None,
        sizes=(288, 384, 512),
        classes=Classes(scenes=("background", *SCENE_CLASSES)),
        closer=6,
    ),
}
#: Models of Hugging Face's hub by their short names; ``open`` is any other one.
OPEN_MODELS = {
    "oneformer": "shi-labs/oneformer_ade20k_swin_tiny",
    "eomt": "tue-mps/ade20k_semantic_eomt_large_512",
    "open": None,
}
#: Long side in pixels of what an open model's own processor is given.
_OPEN_SIZES = (1024,)
#: What `auto` would rather have than the bundled segmenter.
OFFICIAL = "deeplabv3_resnet101"
BUNDLED_FILE = weights.BUNDLED / "compact_segmenter.safetensors"


@dataclass(frozen=True)
class LoadedSegmenter:
    """A segmenter ready to use: (B, 3, H, W) in [0, 1] to scores of its classes, (B, K, h, w)."""

    module: nn.Module
    sizes: tuple[int, ...]
    source: weights.Source
    classes: Classes = Classes()
    closer: int = 0
    dtype: torch.dtype = torch.float32


def load(
    name: str,
    file: Path | None,
    device: torch.device,
    model: str | None = None,
    start: Path = Path(),
    dtype: torch.dtype = torch.float32,
) -> LoadedSegmenter:
    """Load a segmenter.

    Args:
        name: a key of `RECIPES` or `OPEN_MODELS`, or ``auto``: torchvision's DeepLabv3 with
            ResNet-101 where its weights are cached or (on CUDA) can be downloaded, else the
            bundled segmenter.
        file: weights to use instead; with ``auto``, of the network that they fit.
        device: where it runs.
        model: of an open one, its folder or its name on the hub.
        start: where a relative folder begins.
        dtype: in which the bundled network computes; the others always do in float32.

    Raises:
        UserError: weights that cannot be had or do not fit.
    """
    if name in OPEN_MODELS:
        return _load_open(name, model, device, start)
    if name == "auto" and file is not None:
        name = _recognise(file)
    elif name == "auto":
        url = RECIPES[OFFICIAL].url
        assert url is not None
        name = OFFICIAL if weights.official(url, device.type == "cuda") else "compact"
    if name not in RECIPES:
        raise UserError(not_one_of("segmenter.name", name, ["auto", *RECIPES, *OPEN_MODELS]))
    recipe = RECIPES[name]
    source = weights.locate(name, "segmenter", file, recipe.url, BUNDLED_FILE)
    module = recipe.build()
    fill(module, source.file)
    ready = module.eval().requires_grad_(False).to(device)
    if isinstance(ready, CompactSegmenter):
        ready.prepare(dtype)
    else:
        dtype = torch.float32
    return LoadedSegmenter(ready, recipe.sizes, source, recipe.classes, recipe.closer, dtype)


def classes(name: str, model: str | None, start: Path) -> Classes:
    """What a segmenter finds, known before it is loaded.

    Args:
        name, model, start: as `load`.

    Raises:
        UserError: an open model that cannot be had.
    """
    if name not in OPEN_MODELS:
        # DeepLabv3 has the bundled one beside it, for the scenes.
        return RECIPES["compact"].classes
    # Imported late, as it imports this module.
    from pipeline.networks import open_segmenters

    return open_segmenters.classes(_open_files(name, model, start)[1])


def _load_open(name: str, model: str | None, device: torch.device, start: Path) -> LoadedSegmenter:
    from pipeline.networks import open_segmenters

    chosen, files = _open_files(name, model, start)
    module = open_segmenters.load(files, device)
    source = hub.source(chosen, files, chosen, start)
    return LoadedSegmenter(module, _OPEN_SIZES, source, open_segmenters.classes(files))


def _open_files(name: str, model: str | None, start: Path) -> tuple[str, Path]:
    """An open model's name on the hub, or folder, and where its files are."""
    chosen = model or OPEN_MODELS[name]
    if chosen is None:
        raise UserError(
            "segmenter=open needs a model: segmenter.model=NAME, a semantic segmentation model on "
            "huggingface.co such as facebook/mask2former-swin-tiny-ade-semantic, or "
            "segmenter.model=FOLDER"
        )
    return chosen, hub.locate(f"segmenter={name}", chosen, "segmenter.model", start)


def _recognise(file: Path) -> str:
    """The segmenter that a file's tensors fit."""
    for name, recipe in RECIPES.items():
        try:
            fill(recipe.build(), file)
        except WrongNetworkError:
            continue
        return name
    raise UserError(f"{file} fits no segmenter; there are {', '.join(RECIPES)}")


class WrongNetworkError(UserError):
    """The weights are another network's."""


def fill(module: nn.Module, file: Path) -> None:
    """Give a segmenter the weights of a file.

    Raises:
        UserError: the file cannot be read or is another network's.
    """
    target = module.model if isinstance(module, TorchvisionDeepLab) else module
    assert isinstance(target, nn.Module)
    take(target, weights.read_state_dict(file), file)


def take(module: nn.Module, state: Mapping[str, Tensor], file: Path) -> None:
    """Give a network, or a part of one, its tensors by name.

    Args:
        module: whose tensors they are.
        state: name to tensor; further ones are left out.
        file: where they come from.

    Raises:
        WrongNetworkError: tensors are missing or of another shape.
    """
    wanted = module.state_dict()
    # num_batches_tracked counts training steps; old checkpoints lack it and nothing reads it.
    missing = [k for k in wanted if k not in state and not k.endswith("num_batches_tracked")]
    wrong = [k for k in wanted if k in state and wanted[k].shape != state[k].shape]
    if missing or wrong:
        raise WrongNetworkError(
            f"{file} does not fit this segmenter: {len(missing)} tensors missing, "
            f"{len(wrong)} of another shape; name another file or segmenter"
        )
    module.load_state_dict({k: state.get(k, wanted[k]).to(wanted[k].dtype) for k in wanted})
