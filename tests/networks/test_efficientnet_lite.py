"""EfficientNet-Lite0's layers are the published ones, at 1/4, 1/8 and 1/16 of any picture."""

import pytest
import torch
from torch import Tensor, nn

from pipeline.networks.efficientnet_lite import EfficientNetLite, from_published

#: Of Lite0's published parameters, its last convolution (320 to 1,280), that one's normalisation
#: and its classifier of 1,000 classes are not needed.
PUBLISHED = 4_652_008
NOT_NEEDED = 320 * 1280 + 2 * 1280 + 1280 * 1000 + 1000
BLOCKS = (1, 2, 2, 3, 3, 4, 1)


@pytest.fixture(scope="module")
def network() -> EfficientNetLite:
    torch.manual_seed(0)
    return EfficientNetLite().eval().requires_grad_(False)


@pytest.mark.parametrize("size", [(64, 96), (61, 83), (33, 17), (5, 7)])
def test_features_are_at_a_quarter_an_eighth_and_a_sixteenth(
    network: EfficientNetLite, size: tuple[int, int]
) -> None:
    found = network(torch.rand(2, 3, *size))
    for features, channels, share in zip(found, (24, 40, 320), (4, 8, 16), strict=True):
        assert features.shape == (2, channels, *(-(-side // share) for side in size))


def test_has_the_published_parameters_but_the_classifiers(network: EfficientNetLite) -> None:
    count = sum(parameter.numel() for parameter in network.parameters())
    assert count == PUBLISHED - NOT_NEEDED
    assert tuple(len(stage) for stage in network.stages) == BLOCKS  # type: ignore[arg-type]


def published(network: EfficientNetLite) -> dict[str, Tensor]:
    """The network's state as the published file names it, with a classifier."""
    parts = {
        "expand.0": "_expand_conv",
        "expand.1": "_bn0",
        "each.0": "_depthwise_conv",
        "each.1": "_bn1",
        "project.0": "_project_conv",
        "project.1": "_bn2",
    }
    found = {"_fc.weight": torch.zeros(1000, 1280), "_conv_head.weight": torch.zeros(1, 1, 1, 1)}
    for name, tensor in network.state_dict().items():
        layer, _, kind = name.rpartition(".")
        if layer.startswith("stem."):
            found[f"{'_conv_stem' if layer == 'stem.0' else '_bn0'}.{kind}"] = tensor
            continue
        _, stage, block, part = layer.split(".", 3)
        number = sum(BLOCKS[: int(stage)]) + int(block)
        found[f"_blocks.{number}.{parts[part]}.{kind}"] = tensor
    return found


def test_published_weights_fill_every_layer(network: EfficientNetLite) -> None:
    other = EfficientNetLite().eval()
    other.load_state_dict(from_published(published(network)))
    picture = torch.rand(1, 3, 40, 56)
    for found, wanted in zip(other(picture), network(picture), strict=True):
        assert torch.equal(found, wanted)


def test_each_channel_is_convolved_by_itself_and_deep_ones_are_dilated(
    network: EfficientNetLite,
) -> None:
    def each(stage: int) -> list[nn.Conv2d]:
        return [block.each[0] for block in network.stages[stage]]  # type: ignore[union-attr]

    assert all(layer.groups == layer.in_channels for stage in range(7) for layer in each(stage))
    strides = [[layer.stride[0] for layer in each(stage)] for stage in range(7)]
    assert strides == [[1], [2, 1], [2, 1], [2, 1, 1], [1, 1, 1], [1, 1, 1, 1], [1]]
    # Stride 2 of the sixth stage is given up: what comes after it sees twice as far instead.
    dilations = [[layer.dilation[0] for layer in each(stage)] for stage in range(7)]
    assert dilations == [[1], [1, 1], [1, 1], [1, 1, 1], [1, 1, 1], [1, 2, 2, 2], [2]]


def test_a_block_adds_what_it_was_given_where_that_fits(network: EfficientNetLite) -> None:
    first, second = network.stages[1]  # type: ignore[misc]
    hidden = torch.randn(1, 24, 6, 8)
    changed = second.project(second.each(second.expand(hidden)))
    assert torch.equal(second(hidden), hidden + changed)
    wider = torch.randn(1, 16, 6, 8)
    assert torch.equal(first(wider), first.project(first.each(first.expand(wider))))
