"""The gradient in tiles is the whole picture's."""

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import fields
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from torchvision import models

from pipeline.engine import losses
from pipeline.engine.evaluation import (
    Comparison,
    Evaluate,
    LayerMasks,
    whole_evaluation,
    whole_queries,
)
from pipeline.engine.objective import Guide, Objective, Style
from pipeline.engine.optimizers import PictureLBFGS
from pipeline.engine.search import details, find_neighbours
from pipeline.engine.targets import TargetMaker
from pipeline.engine.tiled import tiled_evaluation
from pipeline.engine.tiles import WHOLE, Tiling
from pipeline.networks.encoder import Encoder
from pipeline.networks.pyramid import Layer, PyramidEncoder
from tests.conftest import tiny_features


def vgg() -> PyramidEncoder:
    """VGG-13's layers up to relu3_1 with an eighth of the channels, on two levels."""
    torch.manual_seed(0)
    features = models.vgg.make_layers([8, 8, "M", 16, 16, "M", 32]).requires_grad_(False)
    return PyramidEncoder(Encoder(features, padding="reflect"), 2)


def alexnet() -> PyramidEncoder:
    """A stride of 4, overlapping pooling."""
    torch.manual_seed(0)
    features = models.AlexNet().features[:8].requires_grad_(False)
    return PyramidEncoder(Encoder(features, padding="zeros"), 1)


ENCODERS = {
    "tiny": (lambda: PyramidEncoder(Encoder(tiny_features()), 3), ["relu1_1", "relu2_1"]),
    "vgg": (vgg, ["relu1_1", "relu2_1", "relu3_1"]),
    "alexnet": (alexnet, ["relu1_1", "relu2_1", "relu3_1"]),
}


def comparison(
    encoder: PyramidEncoder,
    layers: Sequence[str],
    content: Tensor,
    guides: Sequence[Sequence[Guide]],
    mask: Tensor,
    tiling: Tiling = WHOLE,
    kind: str = "balanced",
    style: str = "gram",
    patch: int = 1,
    balance: float = 0.0,
    detail: float = 0.0,
) -> Comparison:
    deep = [layer for name in layers[1:] for layer in encoder.layers(name)]
    goal = Objective(
        kind,
        1.0,
        30.0,
        10.0,
        dict.fromkeys(layers, 1.0),
        layers[-2:],
        4.0,
        style,
        dict.fromkeys(deep, 1 / len(deep)),
        20.0,
        0.25,
        3.0,
        patch,
        balance,
        detail,
    )
    weights = {layer: 1.0 for name in layers for layer in encoder.layers(name)}
    maker = TargetMaker(encoder, goal, weights, tiling=tiling)
    targets, kept = maker.make(content, guides, False)
    return Comparison(encoder, goal, weights, content, mask, targets, kept)


def scene(height: int, width: int) -> tuple[Tensor, list[Guide], Tensor]:
    """Two regions, one of them in two styles, and one that is held; their union."""
    generator = torch.Generator().manual_seed(0)

    def noise(channels: int, *size: int) -> Tensor:
        # Smooth, so that few units lie at a ReLU's kink, where rounding decides on gradients.
        fine = torch.rand(1, channels, *size, generator=generator)
        return torch.nn.functional.avg_pool2d(fine, 5, 1, 2, count_include_pad=False)

    content = noise(3, height, width)
    first = (noise(1, height, width) * 2 - 0.5).clamp(0, 1)
    first[..., : width // 4] = 0
    second = torch.minimum(1 - first, (noise(1, height, width) > 0.5).float())
    style, other = noise(3, 90, 120), noise(3, height, width)
    return (
        content,
        [
            Guide("first", [Style(style, weight=0.4), Style(other, second, 0.6)], first),
            Guide("second", [Style(style)], second),
            Guide("held", [], 1 - first),
        ],
        (first + second).clamp(0, 1),
    )


STYLES = ["gram", "wasserstein", "neighbours", "gram_neighbours"]
KINDS = [("gatys", "gram"), *(("balanced", style) for style in STYLES)]
# Kind and style, and patch, balance and detail of searches, the last two of them the same.
SEARCHES = [*((*kind, 1, 0.0) for kind in KINDS), ("balanced", "gram_neighbours", 3, 0.6)]


@pytest.mark.parametrize(("kind", "style", "patch", "balance"), SEARCHES)
@pytest.mark.parametrize("name", [*ENCODERS])
@pytest.mark.parametrize(("height", "width"), [(131, 97), (80, 144)])
def test_tiles_have_the_whole_pictures_gradient(
    name: str,
    kind: str,
    style: str,
    patch: int,
    balance: float,
    height: int,
    width: int,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("pipeline.engine.tiled._BAND", 32)
    make, layers = ENCODERS[name]
    encoder = make()
    content, guides, mask = scene(height, width)
    noise = torch.randn(content.shape, generator=torch.Generator().manual_seed(5))
    painted = 3 * content - 1 + 0.1 * noise
    poolings = [p + 1 for layer, p in encoder.encoder.index.items() if layer.startswith("pool")]

    def compared(tiling: Tiling) -> Comparison:
        found = comparison(
            encoder, layers, content, [guides], mask, tiling, kind, style, patch, balance
        )
        find_neighbours(found, painted, tiling.side)
        return found

    terms, gradient = whole_evaluation(compared(WHOLE), painted)(painted)
    assert terms[0, 0] == pytest.approx(terms[0, 1:].sum().item(), rel=0.5)
    assert painted.min() < -0.1
    tilings = [Tiling(48), *(Tiling(70, stop) for stop in poolings)]
    for tiling in tilings:
        evaluate = tiled_evaluation(compared(tiling), painted, tiling)
        found_terms, found = evaluate(painted)
        torch.testing.assert_close(found_terms, terms, rtol=1e-4, atol=0)
        assert (found - gradient).norm() < 1e-4 * gradient.norm(), tiling


def test_the_gradient_is_that_of_the_losses_as_written() -> None:
    content, guides, _ = scene(61, 83)
    encoder = PyramidEncoder(Encoder(tiny_features()), 1)
    layers, guide = ["relu1_1", "relu2_1"], Guide("a", guides[0].styles[:1], guides[0].mask)
    assert guide.mask is not None
    painted = (content + 0.05).requires_grad_()
    picture = guide.styles[0].picture
    read = [Layer(name) for name in layers]
    features, wanted = encoder(painted, read), encoder(picture, read)
    kept, half = encoder(content, read), torch.nn.functional.avg_pool2d(guide.mask, 2)
    expected = losses.layout_loss(painted, content, guide.mask) * 4
    expected = expected + losses.color_layout_loss(painted, content, guide.mask) * 3
    expected = expected + 10 * losses.total_variation(painted, torch.ones_like(guide.mask))
    for layer, mask in zip(read, (guide.mask, half), strict=True):
        gram = losses.gram_matrix(features[layer], mask)
        style = losses.relative_style_loss(gram, losses.gram_matrix(wanted[layer]))
        expected = expected + 30 * 0.4 * style
        content_loss = losses.relative_content_loss(features[layer], kept[layer], mask)
        expected = expected + content_loss / 2
    (gradient,) = torch.autograd.grad(expected, painted)
    everywhere = torch.ones_like(guide.mask)
    compared = comparison(encoder, layers, content, [[guide]], everywhere)
    # From the content, which is in range everywhere and so is the picture.
    terms, found = whole_evaluation(compared, content)(painted)
    assert terms[0, 1:].sum().item() == pytest.approx(expected.item(), rel=1e-4)
    torch.testing.assert_close(found, gradient, rtol=1e-3, atol=1e-6)


@pytest.mark.parametrize(("kind", "style", "patch", "balance"), SEARCHES)
def test_a_batch_has_each_pictures_losses_and_gradient(
    kind: str, style: str, patch: int, balance: float
) -> None:
    encoder, layers = vgg(), ["relu1_1", "relu2_1", "relu3_1"]
    content, guides, mask = scene(61, 83)
    # Regions everywhere, no styles, different numbers of regions, one that is out of range.
    scenes = [
        (content, guides, mask, content + 0.1),
        (content.flip(2), [Guide("all", guides[0].styles)], torch.ones_like(mask), content * 2),
        (content.flip(3), guides[2:], mask.flip(3), content - 0.3),
    ]

    def compare(
        pictures: Tensor, found: Sequence[Sequence[Guide]], own: Tensor, start: Tensor
    ) -> Evaluate:
        compared = comparison(
            encoder, layers, pictures, found, own, WHOLE, kind, style, patch, balance, balance
        )
        find_neighbours(compared, start, detail=details(compared))
        return whole_evaluation(compared, start)

    alone = [compare(picture, [found], own, start) for picture, found, own, start in scenes]
    contents, masks, starts = (torch.cat([scene[k] for scene in scenes]) for k in (0, 2, 3))
    together = compare(contents, [found for _, found, *_ in scenes], masks, starts)
    for _ in range(2):
        terms, gradient = together(starts)
        for number, evaluate in enumerate(alone):
            expected_terms, expected = evaluate(starts[number : number + 1])
            torch.testing.assert_close(terms[number], expected_terms[0], rtol=1e-4, atol=1e-6)
            torch.testing.assert_close(gradient[number], expected[0], rtol=1e-3, atol=1e-5)
    assert terms[2, 2] == 0


def batch_of(count: int, found: Any) -> Any:
    """The same picture so many times; guides are as they are."""
    return found.repeat(count, 1, 1, 1) if isinstance(found, Tensor) else found


class Refuse(TorchDispatchMode):
    """Refuses operations that make the process wait for a device's values."""

    WAITING = ("_local_scalar_dense", "nonzero", "is_nonzero", "masked_select", "equal", "item")

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):  # type: ignore[no-untyped-def]
        assert func.overloadpacket.__name__ not in self.WAITING, func
        indices = [leaf for leaf in tree_leaves((args[1:], kwargs)) if isinstance(leaf, Tensor)]
        if "index" in func.overloadpacket.__name__:
            # How many there are is known to the device alone.
            assert all(index.dtype != torch.bool for index in indices[:1]), func
        return func(*args, **(kwargs or {}))


@pytest.mark.parametrize("style", STYLES)
@pytest.mark.parametrize("count", [1, 2])
def test_an_iteration_never_waits_for_the_device(count: int, style: str) -> None:
    content, guides, mask = (batch_of(count, found) for found in scene(61, 83))
    compared = comparison(
        vgg(), ["relu1_1", "relu2_1"], content, [guides] * count, mask, style=style
    )
    evaluate = whole_evaluation(compared, content)
    painted = content.clone()
    optimizer = PictureLBFGS(painted)
    with Refuse():
        for _ in range(3):
            terms, gradient = evaluate(painted)
            optimizer.step(terms[:, 0], gradient)
    assert not torch.equal(painted, content)
    with pytest.raises(AssertionError), Refuse():
        float(terms[0, 0])
    with pytest.raises(AssertionError), Refuse():
        painted[painted > 0]


class Stay(TorchDispatchMode):
    """Refuses operations between devices; sending a number is enough to stop a recording."""

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):  # type: ignore[no-untyped-def]
        out = func(*args, **(kwargs or {}))
        tensors = [leaf for leaf in tree_leaves((args, kwargs, out)) if isinstance(leaf, Tensor)]
        assert {tensor.device.type for tensor in tensors} <= {"meta"}, func
        return out


def to_meta(found: Any) -> Any:
    """A copy whose tensors have shapes but no values."""
    if isinstance(found, Tensor):
        return found.to("meta")
    if dataclasses.is_dataclass(found) and not isinstance(found, type):
        values = {entry.name: to_meta(getattr(found, entry.name)) for entry in fields(found)}
        return dataclasses.replace(found, **values)
    if isinstance(found, Mapping):
        return {key: to_meta(value) for key, value in found.items()}
    return type(found)(map(to_meta, found)) if isinstance(found, list | tuple) else found


@pytest.mark.parametrize("count", [1, 2])
@pytest.mark.parametrize(("kind", "style"), KINDS)
def test_an_iteration_stays_on_its_device(
    kind: str, style: str, count: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    content, guides, mask = (batch_of(count, found) for found in scene(61, 83))
    layers = ["relu1_1", "relu2_1"]
    compared = comparison(vgg(), layers, content, [guides] * count, mask, kind=kind, style=style)
    taken = to_meta(whole_queries(LayerMasks.of(compared), compared))
    monkeypatch.setattr("pipeline.engine.evaluation.whole_queries", lambda *_: taken)
    there = to_meta(compared)
    there.encoder.to("meta")
    evaluate = whole_evaluation(there, content.to("meta"))
    painted = content.to("meta")
    optimizer = PictureLBFGS(painted)
    with Stay():
        for _ in range(2):
            terms, gradient = evaluate(painted)
            optimizer.step(terms[:, 0], gradient)
    with pytest.raises(AssertionError), Stay():
        painted * torch.tensor(2.0)
