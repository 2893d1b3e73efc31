"""Searches: the nearest patch, all of a style equally often, the same in tiles."""

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from pipeline.engine import search
from pipeline.engine.evaluation import Comparison, whole_evaluation
from pipeline.engine.neighbours import Samples
from pipeline.engine.objective import Guide, Style
from pipeline.engine.search import details, find_neighbours, nearest, potentials
from pipeline.engine.tiles import WHOLE, Tiling
from pipeline.networks.pyramid import PyramidEncoder
from tests.engine.test_evaluation import comparison, scene, vgg


def axes(count: int) -> Samples:
    """Samples along the axes of space, seen from its origin."""
    return Samples(torch.zeros(count), torch.eye(count), torch.eye(count))


def test_the_nearest_by_direction() -> None:
    rows = torch.tensor([[0.9, 0.4], [0.1, 0.2], [-1.0, 0.5]])
    assert nearest(axes(2), rows).tolist() == [0, 1, 1]
    assert nearest(axes(2), rows[:0]).tolist() == []
    assert nearest(axes(2), rows, torch.tensor([0.0, 0.6])).tolist() == [1, 1, 1]
    # Where a row is not free, what is nearest stays.
    free = torch.tensor([0.0, 1.0, 1.0])
    assert nearest(axes(2), rows, torch.tensor([0.0, 0.6]), free).tolist() == [0, 1, 1]


def test_a_balanced_search_uses_all_of_the_style() -> None:
    # All are nearest to the first, some of them by less than others.
    angles = torch.linspace(0, 0.7, 100)
    rows = torch.stack([angles.cos(), angles.sin()], 1)
    assert not nearest(axes(2), rows).any()
    assert not potentials(axes(2), rows, 0).any()
    found = nearest(axes(2), rows, potentials(axes(2), rows, 1))
    # Those that lose least by it are given to the second.
    assert found.tolist() == sorted(found.tolist())
    assert 45 <= found.sum() <= 55
    shares = [
        int(nearest(axes(2), rows, potentials(axes(2), rows, balance)).sum())
        for balance in (0.5, 0.8, 0.95)
    ]
    assert 0 <= shares[0] <= shares[1] <= shares[2] <= 55
    assert shares[1] > 0


def test_transport_is_sinkhorns() -> None:
    generator = torch.Generator().manual_seed(0)
    rows = F.normalize(torch.rand(60, 7, generator=generator), dim=1)
    offset = potentials(axes(7), rows, 1)
    shares = torch.softmax((rows + offset) / 0.05, 1)
    # Each row is spent, and each sample used as much as the others.
    torch.testing.assert_close(shares.sum(0), torch.full((7,), 60 / 7), rtol=0.02, atol=0)


def test_what_a_region_has_no_place_for_is_not_forced_upon_it() -> None:
    # The third axis is as far from every row as it can be.
    rows = F.normalize(torch.rand(50, 2, generator=torch.Generator().manual_seed(0)), dim=1)
    rows = torch.cat([rows, -0.2 * torch.ones(50, 1)], 1)
    found = nearest(axes(3), rows, potentials(axes(3), rows, 0.5))
    assert found.bincount(minlength=3).tolist()[2] == 0
    assert found.bincount(minlength=3).min() == 0
    assert potentials(axes(3), rows, 1).isfinite().all()


def choices(compared: Comparison) -> list[Tensor]:
    return [
        candidates.chosen
        for target in compared.targets[0]
        for found in target.candidates.values()
        for candidates in found
    ]


def goals(compared: Comparison) -> list[Tensor]:
    """(M, N) each, what the units are drawn to: in tiles samples have other numbers."""
    return [
        candidates.samples.directions[candidates.chosen.flatten()]
        for target in compared.targets[0]
        for found in target.candidates.values()
        for candidates in found
    ]


def compare(
    encoder: PyramidEncoder, tiling: Tiling, patch: int, balance: float, detail: float = 0.0
) -> tuple[Comparison, Tensor]:
    content, guides, mask = scene(131, 97)
    layers = ["relu1_1", "relu2_1", "relu3_1"]
    search = patch, balance, detail
    found = comparison(
        encoder, layers, content, [guides], mask, tiling, "balanced", "neighbours", *search
    )
    return found, content


@pytest.mark.parametrize(
    ("patch", "balance", "detail"),
    [(1, 0.0, 0.0), (3, 0.0, 0.0), (1, 0.9, 0.0), (1, 0.0, 0.8), (5, 0.9, 0.6)],
)
def test_tiles_find_what_the_whole_picture_finds(
    patch: int, balance: float, detail: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    encoder, found = vgg(), []
    for tiling, at_once in ((WHOLE, 2**22), (Tiling(48), 2**22), (Tiling(32), 1)):
        monkeypatch.setattr(search, "_AT_ONCE", at_once)
        compared, content = compare(encoder, tiling, patch, balance, detail)
        seen = details(compared, tiling.side)
        find_neighbours(compared, content.flip(3), tiling.side, seen)
        found.append(goals(compared))
    for whole, *tiled in zip(*found, strict=True):
        assert whole.std() > 0.01
        for one in tiled:
            # Rounding decides between equals.
            apart = (one - whole).abs().amax(1) > 1e-3
            assert apart.float().mean() < 0.005


def test_patches_and_balance_find_something_else() -> None:
    encoder, found = vgg(), []
    for patch, balance in ((1, 0.0), (3, 0.0), (1, 0.9)):
        compared, content = compare(encoder, WHOLE, patch, balance)
        find_neighbours(compared, content.flip(3))
        found.append(choices(compared))
    for one, other in ((0, 1), (0, 2)):
        for found_one, found_other in zip(found[one], found[other], strict=True):
            assert (found_one != found_other).float().mean() > 0.1


def test_detail_is_where_units_differ_from_those_around_them() -> None:
    encoder = vgg()
    content = torch.full((1, 3, 96, 96), 0.5)
    content[..., 32:64, 48:80] = torch.rand(
        1, 3, 32, 32, generator=torch.Generator().manual_seed(0)
    )
    guide, everywhere = Guide("all", [Style(content)]), torch.ones_like(content[:, :1])

    def compared(tiling: Tiling, detail: float) -> Comparison:
        layers = ["relu1_1", "relu2_1", "relu3_1"]
        return comparison(
            encoder,
            layers,
            content,
            [[guide]],
            everywhere,
            tiling,
            style="neighbours",
            detail=detail,
        )

    assert details(compared(WHOLE, 0)) is None
    found = details(compared(WHOLE, 0.5))
    assert found is not None
    # relu3_1: a fourth of the size.
    assert found.shape == (1, 1, 24, 24)
    assert found.min() >= 0
    assert found[0, 0, 8:16, 12:20].mean() > 0.5
    for plain in (found[..., :4, :], found[..., 20:, :], found[..., :8]):
        assert plain.max() < 0.05
    in_tiles = details(compared(Tiling(32), 0.5), 32)
    torch.testing.assert_close(in_tiles, found, rtol=1e-3, atol=1e-4)


def test_where_there_is_detail_the_photograph_is_looked_up() -> None:
    encoder = vgg()
    compared, content = compare(encoder, WHOLE, 1, 0.0, 1.0)
    whole = torch.ones_like(content[:, :1])
    find_neighbours(compared, content, detail=0 * whole)
    photograph = [one.clone() for one in choices(compared)]
    find_neighbours(compared, content.flip(2), detail=whole)
    for one, wanted in zip(choices(compared), photograph, strict=True):
        assert torch.equal(one, wanted)
    find_neighbours(compared, content.flip(2), detail=0 * whole)
    for one, wanted in zip(choices(compared), photograph, strict=True):
        assert not torch.equal(one, wanted)


def test_patches_go_on_from_unit_to_unit() -> None:
    """What neighbours find is beside what their neighbours find more often."""
    encoder = vgg()
    generator = torch.Generator().manual_seed(3)
    content, style = torch.rand(2, 1, 3, 64, 64, generator=generator)
    together = []
    for patch in (1, 3):
        guide, everywhere = Guide("all", [Style(style)]), torch.ones_like(content[:, :1])
        compared = comparison(
            encoder,
            ["relu1_1", "relu2_1"],
            content,
            [[guide]],
            everywhere,
            style="neighbours",
            patch=patch,
        )
        find_neighbours(compared, content)
        (full, _) = choices(compared)
        # relu2_1 of the style: 32 x 32 samples, all looked at, one after the other.
        together.append((full[..., 1:] - full[..., :-1] == 1).float().mean().item())
    assert together[1] > 2 * together[0] > 0


@pytest.mark.parametrize("style", ["neighbours", "gram_neighbours"])
def test_a_search_never_raises_the_loss(style: str) -> None:
    content, guides, mask = scene(61, 83)
    layers = ["relu1_1", "relu2_1"]
    compared = comparison(vgg(), layers, content, [guides], mask, style=style)
    evaluate = whole_evaluation(compared, content)
    places = [one.data_ptr() for one in choices(compared)]
    # Two styles of one region and one of another, at the second layer on two levels.
    assert len(places) == 6
    before = evaluate(content)[0][0, 2].item()
    find_neighbours(compared, content)
    after = evaluate(content)[0][0, 2].item()
    assert after < 0.95 * before
    # In place, so that a recorded step sees it.
    assert places == [one.data_ptr() for one in choices(compared)]


def test_neighbours_are_of_the_regions_style_alone() -> None:
    content, _, mask = scene(61, 83)
    left = torch.zeros(1, 1, 61, 83)
    left[..., :40] = 1
    # The style's other half is what the region shows: were it looked at, nothing would be nearer.
    style = torch.cat([torch.zeros_like(content), content], 3)
    half = torch.cat([torch.ones_like(mask), torch.zeros_like(mask)], 3)
    found = {}
    for name, where in (("black", half), ("all", None)):
        guide = Guide("left", [Style(style, where)], left)
        compared = comparison(
            vgg(), ["relu1_1", "relu2_1"], content, [[guide]], mask, style="neighbours"
        )
        find_neighbours(compared, content)
        found[name] = whole_evaluation(compared, content)(content)[0][0, 2].item()
    assert found["all"] < 0.3 * found["black"]
