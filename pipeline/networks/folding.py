"""Folding: a trained network without its batch norms, which are part of its convolutions then."""

from torch import nn
from torch.nn.utils.fusion import fuse_conv_bn_eval


def fold_batch_norms(network: nn.Module) -> None:
    """Make each batch norm part of the convolution before it, where they follow in a sequence.

    A batch norm that no longer learns multiplies and shifts each channel by constants, as a
    convolution's weights and bias can (Jacob et al. 2018, Quantization and Training of Neural
    Networks for Efficient Integer-Arithmetic-Only Inference, section 3.2). Scores stay the same but
    for rounding.

    Args:
        network: in evaluation mode; changed in place.
    """
    for sequence in [part for part in network.modules() if isinstance(part, nn.Sequential)]:
        for number in reversed(range(1, len(sequence))):
            before, norm = sequence[number - 1], sequence[number]
            if isinstance(before, nn.Conv2d) and isinstance(norm, nn.BatchNorm2d):
                sequence[number - 1] = fuse_conv_bn_eval(before, norm)
                del sequence[number]
