"""The weights of the bench."""

import torch
from torch import Tensor

from pipeline.benchmark import textbook
from pipeline.benchmark.bench import Bench


def test_the_random_weights_keep_the_size_of_activations(bench: Bench) -> None:
    stack = textbook.vgg19(bench.vgg19, bench.where)
    noise: Tensor = torch.rand(1, 3, 64, 64, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        deepest = stack.layers(noise)
    assert 0.05 < float(deepest.std()) < 20
