"""The textbook loop: its formulas by hand, and that it optimises."""

import pytest
import torch
from torch import Tensor, nn

from pipeline.benchmark import textbook
from pipeline.benchmark.bench import Bench
from pipeline.networks import encoders
from tests.conftest import tiny_features


@pytest.fixture
def stack() -> textbook.Stack:
    layers = tiny_features()
    for layer in layers:
        if isinstance(layer, nn.ReLU):
            layer.inplace = False
    return textbook.Stack(layers, style=(1, 6), content=(6,))


def test_gram_by_hand() -> None:
    features = torch.tensor([[[[1.0, 2.0]], [[3.0, 0.0]]]])  # two channels of two units
    expected = torch.tensor([[5.0, 3.0], [3.0, 9.0]]) / 2
    torch.testing.assert_close(textbook.gram(features), expected)


def test_gram_of_a_class_by_hand() -> None:
    features = torch.tensor([[[[1.0, 2.0]], [[3.0, 0.0]]]])
    mask = torch.tensor([[[[0.0, 0.5]]]])
    expected = torch.tensor([[4.0, 0.0], [0.0, 0.0]])
    torch.testing.assert_close(textbook.gram(features, mask), expected)


def test_loss_by_hand() -> None:
    identity = nn.Conv2d(3, 3, 1)
    nn.init.eye_(identity.weight.data.view(3, 3))
    nn.init.zeros_(identity.bias)
    stack = textbook.Stack(nn.Sequential(identity).requires_grad_(False), (0,), (0,))
    mean = torch.tensor([0.485, 0.456, 0.406]).view(1, 3, 1, 1)
    std = torch.tensor([0.229, 0.224, 0.225]).view(1, 3, 1, 1)
    black, white = mean.expand(1, 3, 2, 2), (mean + std).expand(1, 3, 2, 2)
    goal = textbook.targets(stack, content=black, style=black)
    # All features are 1 instead of 0: content 12 units / 2, style 9 entries of 1 / (4 * 3^2).
    found = textbook.loss(stack, goal, white, content_weight=2.0, style_weight=8.0)
    assert float(found) == pytest.approx(2 * 6 + 8 * 9 / 36, rel=1e-5)


def test_a_class_has_no_loss_elsewhere(
    stack: textbook.Stack, content: Tensor, stripes: Tensor
) -> None:
    left = torch.zeros(1, 1, 61, 83)
    left[..., :40] = 1
    goal = textbook.targets(stack, content, stripes, left)
    changed = content.clone()
    changed[..., 60:] = 0.5
    same, other = (textbook.loss(stack, goal, picture) for picture in (content, changed))
    torch.testing.assert_close(same, other)
    changed[..., 20:] = 0.5
    assert float(textbook.loss(stack, goal, changed)) != pytest.approx(float(same), rel=1e-3)


@pytest.mark.parametrize("clamp", [True, False])
def test_the_loss_falls(stack: textbook.Stack, stripes: Tensor, clamp: bool) -> None:
    content = torch.rand(1, 3, 61, 83, generator=torch.Generator().manual_seed(0)) * 0.2 + 0.4
    goal = textbook.targets(stack, content, stripes)
    seen: list[Tensor] = []

    def loss(picture: Tensor) -> Tensor:
        seen.append(picture.detach().clone())
        return textbook.loss(stack, goal, picture)

    painted = textbook.descend(loss, content, iterations=60, clamp=clamp)
    assert len(seen) == 60  # one evaluation an iteration
    assert float(loss(painted)) < 0.9 * float(loss(content))
    assert painted.min() >= 0
    assert painted.max() <= 1
    inside = all(picture.min() >= 0 and picture.max() <= 1 for picture in seen[:60])
    assert inside == clamp


def test_vgg19_is_read_where_the_paper_reads_it(bench: Bench) -> None:
    stack = textbook.vgg19(bench.vgg19, bench.where)
    channels = [layer.out_channels for layer in stack.layers if isinstance(layer, nn.Conv2d)]
    assert channels == [64] * 2 + [128] * 2 + [256] * 4 + [512] * 5
    read = [stack.layers[position] for position in (*stack.style, *stack.content)]
    assert all(isinstance(layer, nn.ReLU) and not layer.inplace for layer in read)
    assert stack.style[-1] == len(stack.layers) - 1  # relu5_1, nothing behind it
    assert not any(parameter.requires_grad for parameter in stack.layers.parameters())


def test_compact_is_read_at_its_layers() -> None:
    stack = textbook.compact(encoders.BUNDLED_FILE, torch.device("cpu"))
    goal = textbook.targets(stack, torch.rand(1, 3, 32, 40), torch.rand(1, 3, 24, 24))
    assert {position: gram.shape[0] for position, gram in goal.grams.items()} == {
        1: 64,
        6: 128,
        11: 256,
    }
