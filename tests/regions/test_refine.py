"""The guided filter follows the picture's edges, the colour models its colours."""

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from pipeline.regions.refine import (
    colour_models,
    guided_filter,
    guided_lines,
    inverse_of_symmetric,
    most_probable,
    with_class,
    without_islands,
    without_rings,
)


def test_other_classes_share_what_one_leaves() -> None:
    before = torch.tensor([0.2, 0.5, 0.3]).view(1, 3, 1, 1)
    found = with_class(before, 1, torch.full((1, 1, 1, 1), 0.9))
    torch.testing.assert_close(found.flatten(), torch.tensor([0.04, 0.9, 0.06]))
    assert before.flatten()[1] == 0.5
    alone = torch.tensor([0.0, 1.0, 0.0]).view(1, 3, 1, 1)
    assert with_class(alone, 1, torch.zeros(1, 1, 1, 1)).flatten().tolist() == [0, 0, 0]


def test_the_most_probable_class_is_the_first_of_those_with_the_largest_probability() -> None:
    probabilities = torch.tensor([[0.2, 0.5, 0.3], [0.4, 0.2, 0.4], [0.0, 0.0, 1.0]])
    found = most_probable(probabilities.T.view(1, 3, 1, 3))
    assert found.tolist() == [[[1, 0, 2]]]


def test_a_constant_mask_stays() -> None:
    guide = torch.rand(1, 3, 20, 31, generator=torch.Generator().manual_seed(0))
    mask = torch.full((1, 2, 20, 31), 0.3)
    torch.testing.assert_close(guided_filter(guide, mask, 4, 1e-4), mask, atol=1e-5, rtol=0)


def test_a_linear_function_of_the_colours_stays() -> None:
    # Where the mask is a linear function of the guide the model is exact, up to eps.
    guide = torch.rand(1, 3, 24, 30, generator=torch.Generator().manual_seed(1))
    mask = (0.2 * guide[:, :1] + 0.5 * guide[:, 1:2] + 0.1).clone()
    torch.testing.assert_close(guided_filter(guide, mask, 5, 1e-8), mask, atol=1e-4, rtol=0)


def test_a_blurred_mask_snaps_to_the_edge_of_the_picture() -> None:
    guide = torch.zeros(1, 3, 32, 48)
    guide[..., 24:] = torch.tensor([0.8, 0.5, 0.2]).view(1, 3, 1, 1)
    ramp = ((torch.arange(48) - 18) / 12).clamp(0, 1).expand(1, 1, 32, 48)
    sharp = guided_filter(guide, ramp, 12, 1e-4)
    before = ramp[..., 24] - ramp[..., 23]
    after = sharp[..., 24] - sharp[..., 23]
    assert (after > 4 * before).all()


def test_a_flat_picture_gives_the_mean() -> None:
    guide = torch.full((1, 3, 9, 9), 0.5)
    mask = torch.zeros(1, 1, 9, 9)
    mask[..., 4, 4] = 1
    # Slope 0 everywhere: the filter is two box means, 3x3 each, of a single one.
    filtered = guided_filter(guide, mask, 1, 1e-4)
    assert filtered[0, 0, 4, 4].item() == torch.tensor(1 / 9).item()
    assert abs(filtered.sum().item() - 1) < 1e-5


@pytest.mark.parametrize("device", ["cpu", pytest.param("cuda", marks=pytest.mark.gpu)])
@pytest.mark.parametrize("radius", [1, 3, 12])
def test_windows_count_what_is_inside_the_picture(radius: int, device: str) -> None:
    def means(values: Tensor) -> Tensor:
        found = torch.empty_like(values)
        for row in range(7):
            for column in range(9):
                top, left = max(0, row - radius), max(0, column - radius)
                window = values[..., top : row + radius + 1, left : column + radius + 1]
                found[..., row, column] = window.mean((2, 3))
        return found

    mask = torch.rand(1, 2, 7, 9, generator=torch.Generator().manual_seed(3), dtype=torch.float64)
    # A flat picture explains nothing: slope 0, and what is left are two means.
    found = guided_filter(torch.full((1, 3, 7, 9), 0.5).to(device), mask.to(device), radius, 1e-2)
    torch.testing.assert_close(found.cpu().double(), means(means(mask)), atol=1e-6, rtol=0)


def red_on_blue() -> tuple[Tensor, Tensor]:
    """A red rectangle on blue, both a little noisy, and where it is."""
    picture = torch.rand(1, 3, 64, 90, generator=torch.Generator().manual_seed(2)) * 0.2
    truth = torch.zeros(1, 1, 64, 90)
    truth[..., 16:48, 20:70] = 1
    picture[:, :1] += 0.7 * truth
    picture[:, 2:] += 0.7 * (1 - truth)
    return picture, truth


def test_colours_decide_where_the_mask_is_uncertain() -> None:
    picture, truth = red_on_blue()
    # Certain in the middle and far outside; in between it leans to the wrong side.
    given = torch.full_like(truth, 0.4) + 0.2 * (1 - truth)
    given[..., 26:38, 35:55] = 0.95
    given[..., :8, :] = given[..., 56:, :] = 0.02
    found = colour_models(picture, given)
    assert ((found > 0.5) == (truth > 0.5)).float().mean() > 0.99
    assert ((given > 0.5) == (truth > 0.5)).float().mean() < 0.6
    certain = (given < 0.15) | (given > 0.85)
    assert torch.equal(found[certain], given[certain])


def test_colours_far_from_what_is_uncertain_have_no_say() -> None:
    # A red sleeve on a person in orange, before blue; far away there is more of the same red.
    picture, truth = red_on_blue()
    picture[:, 1:2, 16:48, 32:70] += 0.5
    given = torch.where(truth > 0, 0.95, 0.02)
    given[..., 14:50, 18:32] = 0.6
    other = torch.rand(1, 3, 64, 400, generator=torch.Generator().manual_seed(3)) * 0.2
    other[:, 0] += 0.7
    beside = torch.cat([picture, other], dim=3)
    found = colour_models(beside, torch.cat([given, torch.full((1, 1, 64, 400), 0.02)], dim=3))
    assert ((found[..., :90] > 0.5) == (truth > 0.5)).float().mean() > 0.99
    assert float(found[..., 90:].max()) < 0.5


@pytest.mark.parametrize(("likely", "whole"), [(0.6, True), (0.3, False)])
def test_a_hole_by_colour_in_what_is_likely_whole_is_none(likely: float, whole: bool) -> None:
    # A blue label on a red cap, before blue.
    picture, truth = red_on_blue()
    given = torch.where(truth > 0, 0.95, 0.02)
    label = ..., slice(26, 36), slice(40, 54)
    picture[label] = picture[..., :10, :14]
    given[..., 24:38, 38:56] = likely
    found = colour_models(picture, given)
    assert bool((found[label] > 0.5).all()) == whole
    assert bool((found[label] < 0.5).all()) != whole


def test_without_an_uncertain_pixel_nothing_changes() -> None:
    picture, truth = red_on_blue()
    assert torch.equal(colour_models(picture, truth), truth)


def test_colours_are_not_asked_without_certain_pixels() -> None:
    picture, truth = red_on_blue()
    given = 0.3 + 0.4 * truth
    assert torch.equal(colour_models(picture, given), given)


def test_a_cut_that_leaves_nothing_is_none() -> None:
    # What is certainly outside is small, and what is uncertain looks like what is inside.
    picture = torch.rand(1, 3, 60, 80, generator=torch.Generator().manual_seed(0)) * 0.1 + 0.4
    picture[..., 72:] = 0.9
    probability = torch.full((1, 1, 60, 80), 0.95)
    probability[..., 30:] = 0.3
    probability[..., 76:] = 0.05
    assert torch.equal(colour_models(picture, probability), probability)
    # As much of it is cut where enough is left.
    probability[..., 40:] = 0.05
    assert not torch.equal(colour_models(picture, probability), probability)


def test_the_cut_of_a_large_picture_is_made_on_a_small_one() -> None:
    picture, truth = red_on_blue()
    given = 0.1 + 0.8 * truth
    given[..., 14:50, 18:24] = 0.5
    large = colour_models(picture, given, longest=45)
    assert large.shape == given.shape
    assert ((large > 0.5) == (truth > 0.5)).float().mean() > 0.97


def test_lines_found_on_a_small_picture_follow_the_large_ones_edge() -> None:
    truth = torch.zeros(1, 1, 256, 360)
    truth[..., 66:190, 81:279] = 1
    large = 0.1 + 0.2 * torch.rand(1, 3, 256, 360, generator=torch.Generator().manual_seed(4))
    large = large + 0.5 * torch.cat([truth, 1 - truth, truth], dim=1)
    small, mask = (F.avg_pool2d(values, 4) for values in (large, truth))
    blurred = F.avg_pool2d(mask, 5, 1, 2, count_include_pad=False)
    lines = guided_lines(small, blurred, 2, 1e-4)
    found = lines.enlarged(slice(0, 256), 256, 360).follow(large)
    plain = F.interpolate(blurred, (256, 360), mode="bilinear")
    wrong = [int(((values > 0.5) != (truth > 0.5)).sum()) for values in (found, plain)]
    assert wrong[0] <= 5
    assert wrong[1] > 100


def test_inverses_by_hand() -> None:
    # Determinant 8 - 2 = 6; cofactors 4, -2, 0; 4, 0; 3.
    matrix = torch.tensor([[2.0, 1, 0], [1, 2, 0], [0, 0, 2]])
    expected = torch.tensor([[2 / 3, -1 / 3, 0], [-1 / 3, 2 / 3, 0], [0, 0, 1 / 2]])
    for dtype in (torch.float32, torch.float64):
        found = inverse_of_symmetric(matrix.to(dtype).expand(2, 4, 3, 3))
        torch.testing.assert_close(found, expected.to(dtype).expand(2, 4, 3, 3))


@pytest.mark.parametrize("contrast", [1.0, 0.0])
def test_inverses_are_the_librarys(contrast: float) -> None:
    generator = torch.Generator().manual_seed(0)
    colours = torch.rand(5, 7, 3, 9, generator=generator, dtype=torch.float64)
    # Grey windows, whose matrices have an inverse by eps alone.
    colours = contrast * colours + (1 - contrast) * colours[..., :1, :]
    matrices = colours @ colours.mT / 9 + 1e-4 * torch.eye(3, dtype=torch.float64)
    expected = torch.linalg.inv(matrices)
    torch.testing.assert_close(inverse_of_symmetric(matrices), expected, rtol=1e-7, atol=1e-6)


def classes_of(labels: list[list[int]]) -> Tensor:
    """Probabilities that are sure of some labels' classes, (1, 4, H, W), eight pixels a label."""
    large = torch.tensor(labels).repeat_interleave(8, 0).repeat_interleave(8, 1)
    return F.one_hot(large, 4).permute(2, 0, 1)[None].float() * 0.9 + 0.025


# An object (1) and two scenes (2, 3) with plain background (0) between them, and at the right edge.
RINGED = classes_of(
    [
        [2, 2, 2, 2, 2, 0, 0, 0],
        [2, 0, 0, 0, 2, 0, 0, 0],
        [2, 0, 1, 0, 2, 0, 0, 0],
        [3, 0, 1, 0, 3, 0, 0, 0],
        [3, 3, 3, 3, 3, 0, 0, 0],
    ]
)


def test_scenes_reach_up_to_objects() -> None:
    found = without_rings(RINGED, {2, 3}, 12)
    torch.testing.assert_close(found.sum(1), RINGED.sum(1))
    labels, before = found.argmax(1)[0], RINGED.argmax(1)[0]
    ring = torch.zeros_like(before, dtype=torch.bool)
    ring[8:32, 8:32] = True
    ring &= before == 0
    assert (labels[ring] > 1).all()
    # Each to the nearer one; the object and what is far from it stay as they were.
    assert labels[10, 20] == 2
    assert labels[30, 12] == 3
    assert torch.equal(found[..., ~ring], RINGED[..., ~ring])


@pytest.mark.parametrize(
    ("scenes", "reach"),
    [(set(), 12), ({1}, 12), ({1, 2, 3}, 12), ({2, 3}, 0)],
    ids=["no scenes", "no scene is there", "no object", "no reach"],
)
def test_without_scenes_or_objects_there_are_no_rings(scenes: set[int], reach: float) -> None:
    shown = RINGED if scenes != {1} else classes_of([[0, 2], [3, 0]])
    assert torch.equal(without_rings(shown, scenes, reach), shown)


def test_before_plain_background_an_object_stays_as_it_is() -> None:
    # A scene is there, but far away: beyond the ring lies more of the same.
    room = classes_of([[0, 0, 0, 0, 0, 0, 2], [0, 0, 1, 0, 0, 0, 2], [0, 0, 0, 0, 0, 0, 2]])
    assert torch.equal(without_rings(room, {2, 3}, 4), room)


def with_a_hole(top: int, left: int, height: int, width: int, shows: int = 0) -> Tensor:
    """An object (1) of 60 x 80 pixels before a scene (2), and a hole in it that shows a class."""
    labels = torch.full((90, 120), 2)
    labels[15:75, 20:100] = 1
    labels[top : top + height, left : left + width] = shows
    return F.one_hot(labels, 4).permute(2, 0, 1)[None].float() * 0.9 + 0.025


@pytest.mark.parametrize("shows", [0, 2])
def test_an_island_deep_in_an_object_is_its_own(shows: int) -> None:
    # 8 pixels wide, and 25 from what surrounds the object.
    given = with_a_hole(40, 50, 8, 8, shows)
    found = without_islands(given, {2, 3})
    labels, before = found.argmax(1)[0], given.argmax(1)[0]
    assert (labels[40:48, 50:58] == 1).all()
    assert torch.equal(labels == 1, (before == 1) | (before == shows) & (labels == 1))
    assert (labels != before).sum() == 64
    torch.testing.assert_close(found.sum(1), given.sum(1))
    elsewhere = labels == before
    assert torch.equal(found[..., elsewhere], given[..., elsewhere])


@pytest.mark.parametrize(
    "given",
    [
        with_a_hole(18, 50, 8, 8),  # 3 pixels of the object around it, as of an arm
        with_a_hole(32, 40, 26, 40),  # 17 pixels, but 32 wide
        with_a_hole(40, 50, 8, 8, shows=3),  # another object
        with_a_hole(10, 50, 12, 8),  # open
    ],
    ids=["at the edge", "wide", "another object", "open"],
)
def test_what_is_seen_through_an_object_stays(given: Tensor) -> None:
    assert torch.equal(without_islands(given, {2}), given)


def test_an_object_that_fills_the_picture_ends_where_that_does() -> None:
    given = with_a_hole(40, 50, 8, 8)
    seen = given[:, :, 38:72, 25:95]  # nothing around the object
    assert torch.equal(without_islands(seen, {2}), seen)
    beside = given[:, :, 38:72, 10:95]  # a little
    assert (without_islands(beside, {2}).argmax(1)[0, :, 12:] == 1).all()
