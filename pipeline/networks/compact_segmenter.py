"""The compact segmenter: heads for objects and for scenes on EfficientNet-Lite0."""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from pipeline.networks.convolution import Rectifier
from pipeline.networks.efficientnet_lite import EIGHTH, QUARTER, SIXTEENTH, EfficientNetLite
from pipeline.networks.folding import fold_batch_norms

#: PASCAL VOC's classes, and the scene classes (`regions.names.SCENE_CLASSES`), each with "none".
CLASSES = 21
SCENES = 8
_HEAD = 96
_DECODER = 64


class CompactSegmenter(nn.Module):
    """Class scores of a picture's pixels, at a quarter of its size: which object, which scene.

    EfficientNet-Lite0's stages (`efficientnet_lite`), an atrous spatial pyramid with rates 1, 3 and
    6 and image pooling (Chen et al. 2017, DeepLabv3), and a decoder that adds the stages at 1/8 and
    1/4 (Chen et al. 2018, DeepLabv3+, which adds 1/4 only).
    """

    def __init__(self) -> None:
        super().__init__()
        self.backbone = EfficientNetLite()
        self.pyramid = _AtrousPyramid(SIXTEENTH, _HEAD, rates=(3, 6))
        self.from_eighth = _convolution(EIGHTH, _DECODER, kernel=1)
        self.at_eighth = _convolution(_HEAD + _DECODER, _DECODER)
        self.from_quarter = _convolution(QUARTER, _DECODER // 2, kernel=1)
        self.at_quarter = _convolution(_DECODER + _DECODER // 2, _DECODER)
        self.dropout = nn.Dropout2d(0.1)
        self.classify = nn.Conv2d(_DECODER, CLASSES, 1)
        self.scenes_at_quarter = _convolution(_DECODER + _DECODER // 2, _DECODER)
        self.classify_scenes = nn.Conv2d(_DECODER, SCENES, 1)
        # A third less time on CPUs.
        self.to(memory_format=torch.channels_last)

    def prepare(self, dtype: torch.dtype) -> None:
        """Make the trained network faster, in place: no batch norms, and numbers of another type.

        Args:
            dtype: of its weights and features from now on.
        """
        fold_batch_norms(self)
        self.to(dtype).to(memory_format=torch.channels_last)

    def forward(self, picture: Tensor) -> Tensor:
        """Class scores before the softmax.

        Args:
            picture: (B, 3, H, W), RGB in [0, 1], any size.

        Returns:
            (B, 21 + 8, ceil(H/4), ceil(W/4)): PASCAL VOC's classes in their order, then none and
            the scene classes. Each of the two has a softmax of its own. In float32.
        """
        # EfficientNet-Lite was trained on [-1, 1].
        normalised = (2 * picture - 1).to(self.classify.weight.dtype)
        quarter, eighth, sixteenth = self.backbone(normalised)
        deep = self.pyramid(sixteenth)
        deep = torch.cat([_resize(deep, eighth), self.from_eighth(eighth)], dim=1)
        deep = self.at_eighth(deep)
        deep = torch.cat([_resize(deep, quarter), self.from_quarter(quarter)], dim=1)
        objects = self.classify(self.dropout(self.at_quarter(deep)))
        scenes = self.classify_scenes(self.dropout(self.scenes_at_quarter(deep)))
        return torch.cat([objects, scenes], dim=1).float()


def _convolution(
    inputs: int, outputs: int, kernel: int = 3, stride: int = 1, dilation: int = 1
) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(
            inputs,
            outputs,
            kernel,
            stride,
            padding=dilation * (kernel // 2),
            dilation=dilation,
            bias=False,
        ),
        nn.BatchNorm2d(outputs),
        Rectifier(),
    )


class _AtrousPyramid(nn.Module):
    def __init__(self, inputs: int, outputs: int, rates: Sequence[int]) -> None:
        super().__init__()
        self.branches = nn.ModuleList([_convolution(inputs, outputs, kernel=1)])
        self.branches += [_convolution(inputs, outputs, dilation=rate) for rate in rates]
        # Without batch norm: its statistics over one value a picture would be noise.
        self.whole = nn.Sequential(nn.Conv2d(inputs, outputs, 1), Rectifier())
        self.project = _convolution((2 + len(rates)) * outputs, outputs, kernel=1)

    def forward(self, hidden: Tensor) -> Tensor:
        whole = self.whole(hidden.mean((2, 3), keepdim=True)).expand(-1, -1, *hidden.shape[2:])
        projected: Tensor = self.project(
            torch.cat([*(branch(hidden) for branch in self.branches), whole], dim=1)
        )
        return projected


def _resize(hidden: Tensor, like: Tensor) -> Tensor:
    return F.interpolate(hidden, like.shape[2:], mode="bilinear", align_corners=False)
