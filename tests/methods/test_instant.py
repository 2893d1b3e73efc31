"""Instant: one pass for all regions, the same by tiles, what it leaves alone."""

import dataclasses
import math
from typing import Any

import pytest
import torch
from torch import Tensor

from pipeline.engine.engine import Descent, Engine
from pipeline.engine.objective import Objective, Style
from pipeline.methods import Region, Scene, Stylized
from pipeline.methods.instant import Wish, coarse_to_fine, instant, one_pass, wishes_of
from pipeline.networks import instant as networks
from pipeline.networks.pyramid import PyramidEncoder
from pipeline.pictures.bands import LEVELS, band, smaller_ones
from pipeline.pictures.layers import widened
from tests.conftest import scene_of


@pytest.fixture(scope="module")
def painter() -> networks.LoadedPainter:
    return networks.load(torch.device("cpu"))


@pytest.fixture
def engine(encoder: PyramidEncoder) -> Engine:
    objective = Objective("balanced", 1.0, 300.0, 0.0, {"relu1_1": 1.0}, ["relu2_1"])
    return Engine(encoder, objective, Descent("lbfgs", 3, 1, 1.0))


def smooth(height: int, width: int, seed: int) -> Tensor:
    """(1, 3, height, width) in [0, 1], large soft spots."""
    generator = torch.Generator().manual_seed(seed)
    coarse = torch.rand(1, 3, height // 12, width // 12, generator=generator)
    found: Tensor = torch.nn.functional.interpolate(coarse, (height, width), mode="bicubic")
    return found.clamp(0, 1)


def painted(
    scene: Scene, engine: Engine, painter: networks.LoadedPainter, tile: int | None = None
) -> Stylized:
    return instant(scene, engine, lambda row: None, painter=painter, margin=8, tile=tile)


def test_regions_are_painted_at_once_and_nothing_else_changes(
    engine: Engine, painter: networks.LoadedPainter
) -> None:
    content = smooth(96, 130, 0)
    left, right = torch.zeros(2, 1, 1, 96, 130)
    left[..., 20:60, 10:50] = 1
    right[..., 30:80, 70:100] = 1
    styles = {"a": [Style(smooth(80, 64, 1) * 0.3)], "b": [Style(1 - smooth(64, 90, 2) * 0.3)]}
    done = painted(scene_of(content, {"a": left, "b": right}, styles), engine, painter)
    picture = done.pictures["a"]
    assert done.pictures["b"] is picture
    assert done.curve == []
    assert picture.min() >= 0
    assert picture.max() <= 1
    # A dark style darkens its region, a light one lightens the other.
    inside = [(mask > 0.5).expand_as(content) for mask in (left, right)]
    assert picture[inside[0]].mean() < content[inside[0]].mean() - 0.1
    assert picture[inside[1]].mean() > content[inside[1]].mean() + 0.1


def test_a_picture_by_tiles_is_the_whole_one(painter: networks.LoadedPainter) -> None:
    content, style = smooth(640, 1400, 3), Style(smooth(200, 150, 4))
    mask = torch.zeros(1, 1, 640, 1400)
    mask[..., 40:600, 100:1300] = 1
    wishes = wishes_of(scene_of(content, {"a": mask}, {"a": [style]}), [mask])
    with torch.inference_mode():
        whole = one_pass(content, wishes, painter)
        tiles = one_pass(content, wishes, painter, tile=256)
    difference = (whole - tiles).abs()
    # Two places in the style that resemble a unit alike may change with rounding.
    assert float((difference > 1e-3).float().mean()) < 1e-3
    # torch 2.4 rounds differently, and more of them change (1.4e-5).
    assert float(difference.mean()) < (3e-5 if torch.__version__.startswith("2.4.") else 1e-5)


def test_a_style_is_encoded_once(
    painter: networks.LoadedPainter, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[Tensor] = []
    projected = networks.InstantPainter.projected

    def counted(network: networks.InstantPainter, encoder: PyramidEncoder, picture: Tensor) -> Any:
        seen.append(picture)
        return projected(network, encoder, picture)

    monkeypatch.setattr(networks.InstantPainter, "projected", counted)
    mask = torch.ones(1, 1, 64, 96)
    with torch.inference_mode():
        first, second = (
            one_pass(smooth(64, 96, n), [Wish(Style(smooth(64, 48, 20)), mask, mask)], painter)
            for n in (11, 12)
        )
        again = one_pass(smooth(64, 96, 11), [Wish(Style(smooth(64, 48, 20)), mask, mask)], painter)
        one_pass(smooth(64, 96, 11), [Wish(Style(smooth(64, 48, 21)), mask, mask)], painter)
    assert [picture.shape[3] for picture in seen] == [96, 48, 96, 96, 96, 48]
    assert torch.equal(again, first)
    assert not torch.equal(second, first)


def test_in_bfloat16_it_paints_much_the_same(painter: networks.LoadedPainter) -> None:
    low = networks.load(torch.device("cpu"), dtype=torch.bfloat16)
    content, style = smooth(192, 256, 3), Style(smooth(144, 120, 4))
    mask = torch.ones(1, 1, 192, 256)
    with torch.inference_mode():
        exact = one_pass(content, [Wish(style, mask, mask)], painter)
        found, tiles = (one_pass(content, [Wish(style, mask, mask)], low, t) for t in (None, 128))
    assert found.dtype == torch.float32
    assert 0 < float((found - exact).abs().mean()) < 0.01
    assert float((exact - content).abs().mean()) > 0.05
    # A step of bfloat16 between 1/2 and 1 is 1/256.
    assert float(((found - tiles).abs() > 1 / 256).float().mean()) < 1e-3


def test_without_their_surroundings_tiles_would_show(
    painter: networks.LoadedPainter, monkeypatch: pytest.MonkeyPatch
) -> None:
    content, style = smooth(640, 1400, 3), Style(smooth(200, 150, 4))
    mask = torch.ones(1, 1, 640, 1400)
    wishes = wishes_of(scene_of(content, {"a": mask}, {"a": [style]}), [mask])
    monkeypatch.setattr("pipeline.methods.instant.halo", lambda windows: 0)
    monkeypatch.setattr("pipeline.methods.instant._DECODER_HALO", -128)
    with torch.inference_mode():
        whole = one_pass(content, wishes, painter)
        tiles = one_pass(content, wishes, painter, tile=256)
    assert float(((whole - tiles).abs() > 1e-3).float().mean()) > 1e-3


def test_neighbours_of_one_style_leave_no_seam(
    engine: Engine, painter: networks.LoadedPainter
) -> None:
    content, style = smooth(96, 128, 5), Style(smooth(64, 64, 6))
    whole = torch.ones(1, 1, 96, 128)
    half = whole.clone()
    half[..., 50:] = 0
    one = painted(scene_of(content, {"a": whole}, {"a": [style]}), engine, painter)
    masks = {"a": half, "b": 1 - half}
    two = painted(scene_of(content, masks, {"a": [style], "b": [style]}), engine, painter)
    torch.testing.assert_close(two.pictures["b"], one.pictures["a"])
    # Of another strength it is another style.
    weaker = dataclasses.replace(style, strength=0.2)
    apart = painted(scene_of(content, masks, {"a": [style], "b": [weaker]}), engine, painter)
    assert not torch.allclose(apart.pictures["b"], one.pictures["a"], atol=0.01)


def test_strength_leads_from_the_photograph_to_the_style(
    engine: Engine, painter: networks.LoadedPainter
) -> None:
    content, style = smooth(96, 128, 7), smooth(64, 64, 8) * 0.4
    mask = torch.ones(1, 1, 96, 128)

    def away(strength: float) -> float:
        styles = {"a": [Style(style, strength=strength)]}
        done = painted(scene_of(content, {"a": mask}, styles), engine, painter)
        return float((done.pictures["a"] - content).square().mean())

    found = [away(strength) for strength in (0.05, 0.25, 0.5)]
    assert found[0] < 0.5 * found[1]
    assert found[1] < found[2]


def test_several_styles_share_a_region_by_weight() -> None:
    content, mask = torch.rand(1, 3, 40, 50), torch.zeros(1, 1, 40, 50)
    mask[..., 10:30, 10:30] = 0.5
    styles = [Style(content, weight=3.0), Style(1 - content, weight=1.0)]
    first, second = wishes_of(scene_of(content, {"a": mask}, {"a": styles}), [mask])
    # Paint lies under all of a soft edge, and a little beyond it.
    covered = first.covered + second.covered
    assert torch.equal(covered, widened(mask))
    torch.testing.assert_close(first.covered, 3 * second.covered)
    assert torch.equal(first.counted, mask)


def test_regions_that_meet_have_their_shares() -> None:
    content = torch.rand(1, 3, 16, 20)
    slope = torch.linspace(0, 1, 20).expand(1, 1, 16, 20).contiguous()
    regions = [
        Region("a", slope, [Style(content)]),
        Region("b", 1 - slope, [Style(1 - content)]),
    ]
    first, second = wishes_of(Scene(content, regions), [slope, 1 - slope])
    torch.testing.assert_close(first.covered, slope)
    torch.testing.assert_close(second.covered, 1 - slope)


def test_a_styles_region_is_what_counts(engine: Engine, painter: networks.LoadedPainter) -> None:
    content, mask = smooth(96, 128, 9), torch.ones(1, 1, 96, 128)
    style = smooth(96, 96, 10)
    style[..., :48] *= 0.1
    part = torch.zeros(1, 1, 96, 96)
    part[..., :48] = 1

    def mean(inside: Tensor | None) -> float:
        styles = {"a": [Style(style, inside)]}
        done = painted(scene_of(content, {"a": mask}, styles), engine, painter)
        return float(done.pictures["a"].mean())

    assert mean(part) < mean(None) < mean(1 - part)


def test_small_pictures_and_styles(engine: Engine, painter: networks.LoadedPainter) -> None:
    content, mask = smooth(40, 33, 11)[..., :37, :29], torch.ones(1, 1, 37, 29)
    for side in (5, 20, 300):
        styles = {"a": [Style(torch.rand(1, 3, side, side + 3))]}
        done = painted(scene_of(content, {"a": mask}, styles), engine, painter)
        assert done.pictures["a"].shape == content.shape
        assert bool(done.pictures["a"].isfinite().all())


def test_styles_are_held_within_bounds() -> None:
    mask = torch.ones(1, 1, 32, 32)

    def sides(height: int, width: int, factor: int) -> tuple[int, ...]:
        style = Style(torch.zeros(1, 3, height, width), torch.ones(1, 1, height, width))
        smaller = Wish(style, mask, mask).at(factor).style
        assert smaller.mask is not None
        assert smaller.mask.shape[2:] == smaller.picture.shape[2:]
        return tuple(smaller.picture.shape[2:])

    assert sides(400, 300, 2) == (200, 150)
    assert sides(100, 300, 4) == (100, 300)
    assert sides(30, 5000, 1) == (16, 1667)


def test_a_bold_style_leaves_details_out(painter: networks.LoadedPainter) -> None:
    content, mask = torch.rand(1, 3, 256, 256), torch.ones(1, 1, 256, 256)
    scene = scene_of(content, {"a": mask}, {"a": [Style(smooth(128, 128, 12))]})
    (usual,) = wishes_of(scene, [mask])
    assert usual.left_out == 0
    bold = dataclasses.replace(usual, style=dataclasses.replace(usual.style, strength=1.0))
    assert bold.left_out == pytest.approx(0.5)
    with torch.inference_mode():
        found = [coarse_to_fine(content, [one], painter, None) for one in (usual, bold)]
    # The noise of the photograph is a detail.
    assert found[1].diff().abs().mean() < found[0].diff().abs().mean()


def test_bold_styles_begin_at_coarser_sizes(
    painter: networks.LoadedPainter, monkeypatch: pytest.MonkeyPatch
) -> None:
    shown: list[tuple[int, list[float]]] = []

    def pass_by(
        picture: Tensor, wishes: list[Wish], painter: object, tile: object, coarser: int
    ) -> Tensor:
        shown.append((picture.shape[3], [round(w.strength(coarser), 3) for w in wishes]))
        return picture

    monkeypatch.setattr("pipeline.methods.instant.one_pass", pass_by)
    content = torch.rand(1, 3, 400, 1000)
    masks = torch.zeros(2, 1, 1, 400, 1000)
    masks[0, ..., :500], masks[1, ..., 500:] = 1, 1
    pictures = torch.rand(2, 1, 3, 64, 64)

    def sizes(*strengths: float) -> list[tuple[int, list[float]]]:
        shown.clear()
        wishes = [
            Wish(Style(picture, strength=strength), mask, mask)
            for picture, mask, strength in zip(pictures, masks, strengths, strict=False)
        ]
        coarse_to_fine(content, wishes, painter, None)
        return [*shown]

    assert sizes(0.5) == [(500, [1]), (1000, [1])]
    assert sizes(0.2) == [(500, [0.4]), (1000, [0.4])]
    assert sizes(0.6, 0.5) == [(250, [0.4]), (500, [1, 1]), (1000, [1, 1])]
    assert sizes(0.9) == [(125, [0.6]), (250, [1]), (500, [1]), (1000, [1])]


def test_a_region_has_its_styles_contrast_at_every_scale(
    painter: networks.LoadedPainter, monkeypatch: pytest.MonkeyPatch
) -> None:
    content, generator = smooth(128, 192, 20), torch.Generator().manual_seed(21)
    style = Style(0.4 + 0.2 * torch.rand(1, 3, 128, 128, generator=generator))
    mask = torch.zeros(1, 1, 128, 192)
    mask[..., :128] = 1

    def apart() -> tuple[float, Tensor]:
        """How far variances are from the style's, by their logarithms, and the picture."""
        picture = one_pass(content, [Wish(style, mask, mask)], painter)
        own, wanted = smaller_ones(picture[..., :128]), smaller_ones(style.picture)
        ratios = [
            float(band(own, level).var() / band(wanted, level).var()) for level in range(LEVELS)
        ]
        return sum(abs(math.log(ratio)) for ratio in ratios), picture

    with torch.inference_mode():
        found, picture = apart()
        monkeypatch.setattr(
            "pipeline.methods.instant.with_bands_of", lambda picture, *others: picture
        )
        plain, without = apart()
    assert found < 0.7 * plain
    torch.testing.assert_close(picture[..., 128:], without[..., 128:])
