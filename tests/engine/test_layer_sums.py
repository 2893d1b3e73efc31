"""Sums over a layer's units: by hand, against autograd, in parts."""

import dataclasses

import pytest
import torch
from torch import Tensor

from pipeline.engine import losses
from pipeline.engine.layer_sums import LayerQuery, read, units
from pipeline.engine.neighbours import Candidates, Samples

REGION = (0, 0)


@pytest.fixture
def features() -> Tensor:
    generator = torch.Generator().manual_seed(0)
    return torch.randn(1, 5, 7, 9, generator=generator, dtype=torch.float64)


@pytest.fixture
def masks() -> list[Tensor | None]:
    """A soft one, a small one and everything."""
    generator = torch.Generator().manual_seed(1)
    soft = torch.rand(1, 1, 7, 9, generator=generator, dtype=torch.float64)
    small = torch.zeros_like(soft)
    small[..., 2:4, 3:6] = 1
    return [soft, small, None]


def query(features: Tensor, masks: list[Tensor | None]) -> LayerQuery:
    keyed = {(0, k): mask for k, mask in enumerate(masks)}
    grams = {key: units(mask, features.dtype) for key, mask in keyed.items()}
    return LayerQuery(grams, features.flip(3), keyed)


def test_by_hand() -> None:
    # Two channels, three units: F = [[1, 2, 3], [0, 1, 1]].
    features = torch.tensor([[[[1.0, 2.0, 3.0]], [[0.0, 1.0, 1.0]]]])
    mask = torch.tensor([[[[1.0, 0.0, 0.5]]]])
    content = torch.tensor([[[[1.0, 0.0, 3.0]], [[0.0, 1.0, 3.0]]]])
    shown, grams, contents, _ = read(
        features,
        LayerQuery({REGION: units(mask, torch.float32)}, content, {REGION: mask, (0, 1): None}),
    )
    assert torch.equal(shown, features)
    torch.testing.assert_close(grams[REGION], torch.tensor([[5.5, 1.5], [1.5, 0.5]]))
    assert [found.item() for found in contents.values()] == [0.5 * 4, 4 + 4]


def test_sums_are_those_of_the_losses(features: Tensor, masks: list[Tensor | None]) -> None:
    _, grams, contents, _ = read(features, query(features, masks))
    for mask, gram, content in zip(masks, grams.values(), contents.values(), strict=True):
        area = features[0, 0].numel() if mask is None else mask.sum()
        torch.testing.assert_close(gram / area, losses.gram_matrix(features, mask))
        expected = losses.gatys_content_loss(features, features.flip(3), mask)
        torch.testing.assert_close(content / 2, expected)


@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
def test_gradients(
    features: Tensor, masks: list[Tensor | None], layout: torch.memory_format
) -> None:
    taken = query(features, masks)
    features = features.contiguous(memory_format=layout).requires_grad_()

    def everything(given: Tensor) -> tuple[Tensor, ...]:
        shown, grams, contents, _ = read(given, taken)
        return shown.sin(), *grams.values(), *contents.values()

    assert torch.autograd.gradcheck(everything, features)


def with_moments(features: Tensor, masks: list[Tensor | None]) -> LayerQuery:
    """Everything there is to take: moments, contents, two styles' neighbours in two regions."""
    taken = query(features, masks)
    generator = torch.Generator().manual_seed(2)
    style = Samples.of(torch.rand(6, 1, 5, generator=generator, dtype=torch.float64))
    chosen = torch.randint(0, 6, (1, 1, 7, 9), generator=generator)
    styles = [Candidates(style, 0.3, chosen), Candidates(style, 0.7, chosen.flip(3))]
    regions = {(0, k): (units(mask, features.dtype), styles) for k, mask in enumerate(masks)}
    return dataclasses.replace(taken, moments=True, neighbours=regions)


def test_moments_by_hand() -> None:
    features = torch.tensor([[[[1.0, 2.0, 3.0]], [[0.0, 1.0, 1.0]]]])
    mask = torch.tensor([[[[1.0, 0.0, 0.5]]]])
    for dtype in (torch.float32, torch.bfloat16):
        regions = {REGION: units(mask, dtype), (0, 1): units(None, dtype)}
        _, grams, _, _ = read(features.to(dtype), LayerQuery(regions, moments=True))
        torch.testing.assert_close(
            grams[REGION], torch.tensor([[5.5, 1.5], [1.5, 0.5], [2.5, 0.5]]), rtol=0.01, atol=0
        )
        torch.testing.assert_close(grams[0, 1], torch.tensor([[14.0, 5.0], [5.0, 2.0], [6.0, 2.0]]))


@pytest.mark.parametrize("several", [False, True])
def test_gradients_of_moments_and_neighbours(
    features: Tensor, masks: list[Tensor | None], several: bool
) -> None:
    # Alone a region's gradient is the layer's; others' are added to it.
    for wanted in [masks] if several else [[mask] for mask in masks]:
        taken = with_moments(features, wanted)

        def everything(given: Tensor, taken: LayerQuery = taken) -> tuple[Tensor, ...]:
            shown, *sums = read(given, taken)
            return shown.sin(), *(value for found in sums for value in found.values())

        assert torch.autograd.gradcheck(everything, features.clone().requires_grad_())


def test_without_values_gradients_stay(features: Tensor, masks: list[Tensor | None]) -> None:
    taken = query(features, masks).grams
    upstream = [torch.rand(5, 5, dtype=torch.float64) for _ in masks]
    found = []
    for values in (True, False):
        given = features.clone().requires_grad_()
        _, grams, _, _ = read(given, LayerQuery(taken, values=values))
        found += torch.autograd.grad([*grams.values()], given, upstream)
        assert bool(grams[REGION].any()) == values
    assert torch.equal(*found)


def test_half_precision_is_near(features: Tensor, masks: list[Tensor | None]) -> None:
    large = features.repeat(1, 1, 20, 20).float()
    wide = [None if mask is None else mask.repeat(1, 1, 20, 20).float() for mask in masks]
    exact = read(large, query(large, wide))
    half = read(large.bfloat16(), query(large.bfloat16(), wide))
    pairs = [(exact[k][key], half[k][key]) for k in (1, 2) for key in exact[1]]
    for expected, found in pairs:
        assert found.dtype == torch.float32
        assert (found - expected).norm() < 0.004 * expected.norm()


def test_a_small_region_in_half_precision() -> None:
    features = torch.ones(1, 2, 3, 4, dtype=torch.bfloat16)
    mask = torch.zeros(1, 1, 3, 4)
    mask[..., 1, 1:3] = 1
    for wanted in (mask, torch.zeros_like(mask)):
        _, grams, _, _ = read(features, LayerQuery({REGION: units(wanted, torch.bfloat16)}))
        assert torch.equal(grams[REGION], wanted.sum() * torch.ones(2, 2))


def test_features_keep_their_layout() -> None:
    features = torch.rand(1, 4, 6, 8).contiguous(memory_format=torch.channels_last)
    taken = LayerQuery({REGION: units(None, torch.float32)})
    shown, grams, _, _ = read(features.requires_grad_(), taken)
    # A batch of one has a stride all the same; with another one convolutions copy their input.
    assert shown.stride() == features.stride()
    (gradient,) = torch.autograd.grad(shown.sum() + grams[REGION].sum(), features)
    assert gradient.stride() == features.stride()
