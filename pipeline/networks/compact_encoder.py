"""The compact encoder: VGG-19 up to relu5_1 with its inner layers thinned."""

import itertools

from torch import nn

#: The layers that predict the teacher's.
LAYERS = ("relu1_1", "relu2_1", "relu3_1", "relu4_1", "relu5_1")
#: The first of them, which see texture, and the last, which see composition.
SHALLOW, DEEP = LAYERS[:3], LAYERS[3:]
#: Channels of relu1_2 and relu2_2, which no loss reads (VGG-19 has 64 and 128). With 64 instead of
#: 96, relu3_1 explained 0.89 of the teacher's variance instead of 0.92.
THIN = (32, 96)


def features() -> nn.Sequential:
    """The layers of the compact encoder, untrained.

    VGG-19 (Simonyan and Zisserman 2015) up to relu5_1, its inner layers thinned: relu1_2 to 32
    channels, relu2_2 to 96, and behind relu3_1, where a pixel costs a sixteenth, to 64 to 128; the
    convolutions that narrow 256 and 512 channels are 1x1. 1.4 million parameters instead of 12.9
    million. The layers that losses read keep VGG-19's width, (B, 64, H, W), (B, 128, H/2, W/2),
    (B, 256, H/4, W/4), (B, 512, H/8, W/8) and (B, 512, H/16, W/16), and are trained to be VGG-19's
    relu1_1 to relu5_1, each channel divided by its standard deviation
    (`pipeline.training.encoder`).

    Returns:
        A stack for `pipeline.networks.encoder.Encoder`.
    """
    thin1, thin2 = THIN
    return nn.Sequential(
        *_convolutions(3, 64, thin1),
        nn.MaxPool2d(2, 2),
        *_convolutions(thin1, 128, thin2),
        nn.MaxPool2d(2, 2),
        *_convolutions(thin2, 256),
        *_narrowing(256, 96),
        *_convolutions(96, 64, 64),
        nn.MaxPool2d(2, 2),
        *_convolutions(64, 512),
        *_narrowing(512, 128),
        *_convolutions(128, 96, 80),
        nn.MaxPool2d(2, 2),
        *_convolutions(80, 512),
    )


def _convolutions(*channels: int) -> list[nn.Module]:
    """3x3 convolutions, each with its ReLU, from the first number of channels to the next."""
    layers: list[nn.Module] = []
    for inputs, outputs in itertools.pairwise(channels):
        layers += [nn.Conv2d(inputs, outputs, 3, padding=1), nn.ReLU()]
    return layers


def _narrowing(inputs: int, outputs: int) -> list[nn.Module]:
    return [nn.Conv2d(inputs, outputs, 1), nn.ReLU()]
