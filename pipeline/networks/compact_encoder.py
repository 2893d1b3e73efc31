"""The compact encoder: VGG-19 up to relu3_1 with its inner layers thinned."""

from torch import nn

#: The layers that predict the teacher's.
LAYERS = ("relu1_1", "relu2_1", "relu3_1")
#: Channels of relu1_2 and relu2_2, which no loss reads (VGG-19 has 64 and 128). With 64 instead of
#: 96, relu3_1 explained 0.89 of the teacher's variance instead of 0.92.
THIN = (32, 96)


def features() -> nn.Sequential:
    """The layers of the compact encoder, untrained.

    VGG-19 (Simonyan and Zisserman 2015) up to relu3_1, its relu1_2 thinned from 64 to 32 channels
    and its relu2_2 from 128 to 96: 389k parameters instead of 555k, 63% of the arithmetic. The
    layers that losses read keep VGG-19's width, (B, 64, H, W), (B, 128, H/2, W/2) and
    (B, 256, H/4, W/4), and are trained to be VGG-19's relu1_1, relu2_1 and relu3_1, each channel
    divided by its standard deviation (`pipeline.training.encoder`).

    Returns:
        A stack for `pipeline.networks.encoder.Encoder`.
    """
    thin1, thin2 = THIN
    return nn.Sequential(
        nn.Conv2d(3, 64, 3, padding=1),
        nn.ReLU(),
        nn.Conv2d(64, thin1, 3, padding=1),
        nn.ReLU(),
        nn.MaxPool2d(2, 2),
        nn.Conv2d(thin1, 128, 3, padding=1),
        nn.ReLU(),
        nn.Conv2d(128, thin2, 3, padding=1),
        nn.ReLU(),
        nn.MaxPool2d(2, 2),
        nn.Conv2d(thin2, 256, 3, padding=1),
        nn.ReLU(),
    )
