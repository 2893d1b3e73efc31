"""Feed-forward networks: one style, one pass (Johnson et al. 2016, Perceptual Losses).

Two convolutions of stride 2, five residual blocks, and the way back. As in Ulyanov et al. 2017
(Improved Texture Networks) features are normalised by picture, not by batch; pictures are reflected
at the border, and enlarged before they are convolved, so that there are no checkerboards (Odena et
al. 2016).

Shapes: B batch, H W height and width.
"""

import io
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import safetensors
import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor, nn

from pipeline.errors import UserError
from pipeline.networks import weights

#: Where the networks of gallery pictures are.
BUNDLED = weights.BUNDLED / "feedforward"
#: Of a file of such a network.
SUFFIX = ".safetensors"
#: Channels at full size; the paper has 32.
WIDTH = 16
#: In a file: the style picture, as the bytes of a JPEG.
STYLE = "style_jpeg"
# Long side of that picture in pixels.
_SHOWN = 256
_BLOCKS = 5
# How far the picture may leave [0, 1] before it is clamped.
_BEYOND = 0.25
# Sides of the picture are multiples of it inside.
_MULTIPLE = 4


class FeedForward(nn.Module):
    """The network of one style.

    Args:
        width: channels at full size; twice and four times as many at half and quarter size.
    """

    def __init__(self, width: int = WIDTH) -> None:
        super().__init__()
        self.width = width
        self.down = nn.Sequential(
            _layer(3, width, 9),
            _layer(width, 2 * width, 3, stride=2),
            _layer(2 * width, 4 * width, 3, stride=2),
        )
        self.blocks = nn.ModuleList(_Residual(4 * width) for _ in range(_BLOCKS))
        self.up = nn.ModuleList(
            [_layer(4 * width, 2 * width, 3), _layer(2 * width, width, 3)],
        )
        self.last = _convolution(width, 3, 9)

    def forward(self, picture: Tensor) -> Tensor:
        """(B, 3, H, W), a little beyond [0, 1] maybe, of (B, 3, H, W) in [0, 1], 16 or more."""
        height, width = picture.shape[2:]
        below, right = -height % _MULTIPLE, -width % _MULTIPLE
        features = self.down(F.pad(picture - 0.5, (0, right, 0, below), mode="reflect"))
        for block in self.blocks:
            features = block(features)
        for layer in self.up:
            features = layer(F.interpolate(features, scale_factor=2, mode="nearest"))
        reach = 0.5 + _BEYOND
        shown: Tensor = 0.5 + reach * torch.tanh(self.last(features) / reach)
        return shown[:, :, :height, :width]


@dataclass(frozen=True)
class LoadedFeedForward:
    """A network ready to use, and where its weights came from."""

    network: FeedForward
    source: weights.Source


def find(style: str, file: Path) -> Path:
    """The file of a style's network.

    Args:
        style: as it is called: a file of such a network, or a name from the gallery.
        file: that name as a path.

    Raises:
        UserError: there is none; how to train one.
    """
    if file.suffix == SUFFIX:
        return file
    bundled = BUNDLED / f"{Path(style).stem}{SUFFIX}"
    if Path(style).name == style and bundled.is_file():
        return bundled
    have = ", ".join(sorted(path.stem for path in BUNDLED.glob(f"*{SUFFIX}")))
    raise UserError(
        f"method=feedforward has no network for the style {style}, only for {have}; train one: "
        f"python -m pipeline.training.feedforward style={style} 'photos=[FOLDER]' "
        f"output={Path(style).stem}{SUFFIX}"
    )


def load(file: Path, device: torch.device) -> LoadedFeedForward:
    """Load a network.

    Raises:
        UserError: the file cannot be read, is damaged, or holds another network.
    """
    bundled = file.parent == BUNDLED
    source = weights.locate("feedforward", "painter", None if bundled else file, None, file)
    state = weights.read_state_dict(file)
    state.pop(STYLE, None)
    first = state.get("down.0.0.weight")
    network = FeedForward(WIDTH if first is None else len(first))
    weights.fill(network, state, file, "a feed-forward network")
    network.eval().requires_grad_(False).to(device)
    return LoadedFeedForward(network, source)


def style_picture(file: Path) -> Image.Image:
    """The picture whose style a file's network paints.

    Raises:
        UserError: the file cannot be read, or shows none.
    """
    if not file.is_file():
        raise UserError(f"style {file} not found")
    try:
        with safetensors.safe_open(file, "np") as opened:
            return Image.open(io.BytesIO(opened.get_tensor(STYLE).tobytes())).convert("RGB")
    except (safetensors.SafetensorError, OSError):
        raise UserError(
            f"{file} is no network of a style; name a picture or another file"
        ) from None


def with_style(state: Mapping[str, Tensor], picture: Image.Image) -> dict[str, Tensor]:
    """A network's weights with a small copy of its style picture."""
    small, file = picture.convert("RGB"), io.BytesIO()
    small.thumbnail((_SHOWN, _SHOWN))
    small.save(file, "JPEG", quality=90)
    return {**state, STYLE: torch.from_numpy(np.frombuffer(file.getvalue(), np.uint8).copy())}


def _convolution(inputs: int, outputs: int, kernel: int, stride: int = 1) -> nn.Conv2d:
    return nn.Conv2d(inputs, outputs, kernel, stride, kernel // 2, padding_mode="reflect")


def _layer(inputs: int, outputs: int, kernel: int, stride: int = 1) -> nn.Sequential:
    return nn.Sequential(
        _convolution(inputs, outputs, kernel, stride),
        nn.InstanceNorm2d(outputs, affine=True),
        nn.ReLU(),
    )


class _Residual(nn.Module):
    """Two convolutions, whose result is added to what they were given (He et al. 2016)."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.first = _layer(channels, channels, 3)
        self.second = nn.Sequential(
            _convolution(channels, channels, 3), nn.InstanceNorm2d(channels, affine=True)
        )

    def forward(self, features: Tensor) -> Tensor:
        """(B, N, H, W), as given."""
        found: Tensor = features + self.second(self.first(features))
        return found
