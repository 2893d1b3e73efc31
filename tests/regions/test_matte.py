"""Mattes: known shares are found again, and nothing changes away from borders."""

import numpy as np
import pytest
import torch
from torch import Tensor

from pipeline.pictures.strips import strips
from pipeline.regions import matte
from pipeline.regions.matte import (
    class_mattes,
    matting_laplacian,
    mixed_pixels,
    shares_of,
    solve,
)
from pipeline.regions.segment import Segmentation

SIZE = (60, 90)


def distance(size: tuple[int, int] = SIZE) -> matte.Values:
    """Pixels from a circle around the middle, positive inside."""
    rows, columns = np.mgrid[: size[0], : size[1]]
    return size[0] / 3 - np.hypot(rows - size[0] / 2 + 0.5, columns - size[1] / 2 + 0.5)


def composite(share: matte.Values, noise: float = 0.01) -> matte.Values:
    """A brown disc over a grey wall, both with a little texture."""
    texture = np.random.default_rng(0).normal(0, noise, (2, *share.shape, 3))
    figure, wall = np.array([0.4, 0.25, 0.1]) + texture[0], np.array([0.7, 0.72, 0.75]) + texture[1]
    return np.clip(share[..., None] * figure + (1 - share[..., None]) * wall, 0, 1)


def two(inside: matte.Values) -> matte.Values:
    return np.stack([1 - inside, inside], axis=-1)


@pytest.mark.parametrize("moved", [-1.5, 0, 1.5])
def test_a_soft_edge_is_found_again_by_a_hard_mask_that_misses_it(moved: float) -> None:
    true = (distance() / 4 + 0.5).clip(0, 1)
    found, band = shares_of(composite(true), two((distance() + moved > 0).astype(float)))
    error = np.abs(found[..., 1] - true)
    assert error[band].mean() < 0.05
    assert error.max() < 0.3
    hard = np.abs((distance() + moved > 0) - true)
    assert error[band].mean() < 0.5 * hard[band].mean()


def test_outside_of_the_band_shares_are_0_or_1_and_they_add_up() -> None:
    columns = np.arange(SIZE[1])
    labels = np.where(distance() > 0, 2, np.where(columns < 45, 0, 1))
    picture = np.array([[0.1, 0.2, 0.3], [0.8, 0.8, 0.5], [0.5, 0.1, 0.1]])[labels]
    shares, band = shares_of(picture, np.eye(3)[labels])
    np.testing.assert_allclose(shares.sum(-1), 1, atol=1e-12)
    np.testing.assert_array_equal(shares[~band], np.eye(3)[labels][~band])
    assert shares.min() >= 0
    far = np.minimum(np.abs(distance()), np.abs(columns - 44.5)) > 2 * matte.BAND
    assert not band[far].any()


def test_a_part_narrower_than_the_band_is_not_lost() -> None:
    line = np.zeros(SIZE)
    line[29:31] = 1
    shares, band = shares_of(composite(line), two(line))
    assert band[29:31].all()
    assert shares[29:31, 5:-5, 1].min() > 0.8
    assert shares[:26, 5:-5, 1].max() < 0.2


def test_a_single_class_has_no_border() -> None:
    shares, band = shares_of(composite(np.ones(SIZE)), np.ones((*SIZE, 1)))
    assert not band.any()
    assert (shares == 1).all()


def test_the_laplacian_of_a_flat_window_compares_with_the_mean() -> None:
    # One window, no colours: L = I - 1 1' / 9.
    found, places = matting_laplacian(np.full((3, 3, 3), 0.5), np.ones((3, 3), bool))
    np.testing.assert_array_equal(places, np.arange(9))
    np.testing.assert_allclose(found.toarray(), np.eye(9) - 1 / 9, atol=1e-12)


def test_the_laplacian_is_that_of_the_paper() -> None:
    picture = np.random.default_rng(0).random((4, 5, 3))
    expected = np.zeros((20, 20))
    for y in (1, 2):
        for x in (1, 2, 3):
            window = [5 * (y + dy) + x + dx for dy in (-1, 0, 1) for dx in (-1, 0, 1)]
            colours = picture.reshape(-1, 3)[window]
            away = colours - colours.mean(0)
            inverse = np.linalg.inv(away.T @ away / 9 + 1e-5 / 9 * np.eye(3))
            expected[np.ix_(window, window)] += np.eye(9) - (1 + away @ inverse @ away.T) / 9
    found, _ = matting_laplacian(picture, np.ones((4, 5), bool))
    np.testing.assert_allclose(found.toarray(), expected, atol=1e-8)
    # Linear functions of the colours cost nothing but the noise.
    linear = (picture @ [0.2, -0.5, 0.3] + 0.4).ravel()
    assert linear @ expected @ linear < 1e-4


def test_known_pixels_stay_as_they_are() -> None:
    unknown = np.abs(distance()) < 3
    shares = two((distance() > 0).astype(float))
    weights = np.where(unknown, 1e-3, 100.0)
    found = solve(composite(shares[..., 1]), shares, weights, unknown)
    np.testing.assert_array_equal(found[~unknown], shares[~unknown])


def segmentation(inside: Tensor) -> Segmentation:
    return Segmentation({"background": 1 - inside, "cat": inside})


@pytest.mark.parametrize("pixels", [2**20, 160 * 7])
def test_a_large_pictures_matte_is_brought_to_its_size(
    pixels: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(strips, "__defaults__", (pixels,))
    monkeypatch.setattr(matte, "_SOLVING_SIZE", 80)
    size = (120, 160)
    true = (distance(size) / 3 + 0.5).clip(0, 1)
    picture = torch.from_numpy(composite(true)).float().permute(2, 0, 1)[None]
    small = torch.from_numpy(distance((60, 80)) > 0).float()[None, None]
    found = class_mattes(segmentation(small), picture)
    assert found["cat"].shape == (1, 1, *size)
    torch.testing.assert_close(found["cat"] + found["background"], torch.ones(1, 1, *size))
    error = (found["cat"][0, 0].numpy() - true).__abs__()
    assert error.mean() < 0.01
    far = np.abs(distance(size)) > 40
    assert (found["cat"][0, 0].numpy()[far] == true[far]).all()


@pytest.mark.parametrize("size", [SIZE, (120, 180)])
def test_classes_that_are_not_painted_have_plain_borders_with_each_other(
    size: tuple[int, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(matte, "_SOLVING_SIZE", 90)
    true = (distance(size) / 4 + 0.5).clip(0, 1)
    picture = torch.from_numpy(composite(true)).float().permute(2, 0, 1)[None]
    inside = torch.from_numpy(distance() > 0).float()[None, None]
    left = (torch.arange(90) < 45).float().expand(1, 1, *SIZE)
    three = Segmentation(
        {"background": (1 - inside) * left, "cat": inside, "sky": (1 - inside) * (1 - left)},
        unions={"background": ("background", "sky")},
    )
    found = class_mattes(three, picture, {"cat"})
    assert [*found] == ["background", "cat", "sky"]
    # The cat is what it is before one background.
    together = class_mattes(segmentation(inside), picture)
    torch.testing.assert_close(found["cat"], together["cat"])
    torch.testing.assert_close(found["background"], 1 - found["cat"])
    sky, plain = found["sky"], (found["cat"] == 0)
    assert {*sky[plain].unique().tolist()} == {0.0, 1.0}
    assert float(sky[..., -1].min()) == 1
    assert float(sky[..., 0].max()) == 0
    # Asked for all of them, what two of them share is found as well.
    assert not torch.equal(class_mattes(three, picture)["sky"], sky)


def test_mixed_pixels_are_those_of_no_one_class() -> None:
    cat, like = torch.tensor([[[[0.0, 0.3, 1.0]]]]), torch.zeros(1, 3, 1, 3)
    found = mixed_pixels({"cat": cat, "background": 1 - cat}, like)
    assert found[0, 0, 0].tolist() == [False, True, False]
    assert not mixed_pixels({}, like).any()
