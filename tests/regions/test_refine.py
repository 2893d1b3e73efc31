"""The guided filter follows the picture's edges, the colour models its colours."""

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from pipeline.regions.refine import (
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
