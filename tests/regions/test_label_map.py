"""Masks and label maps of the kinds that other tools write."""

from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from pipeline.regions import label_map


def halves(left: int, right: int) -> np.ndarray:
    array = np.full((20, 30), left, dtype=np.uint8)
    array[:, 15:] = right
    return array


@pytest.mark.parametrize(
    ("picture", "inside"),
    [
        (Image.fromarray(halves(0, 255)), 1.0),
        (Image.fromarray(halves(0, 1)), 1.0),
        (Image.fromarray(halves(0, 128)), 128 / 255),
        (Image.fromarray(halves(0, 255)).convert("RGB"), 1.0),
        (Image.fromarray(halves(0, 255)).convert("P"), 1.0),
        (Image.fromarray(halves(0, 255)).convert("1"), 1.0),
        (Image.fromarray(halves(0, 255).astype(np.uint16) * 257), 1.0),
    ],
    ids=["grey", "zeros and ones", "half", "colour", "palette", "bits", "16 bits"],
)
def test_white_is_inside(picture: Image.Image, inside: float) -> None:
    values = label_map.mask_values(picture)
    assert values.shape == (20, 30)
    assert values[:, :15].max() == 0
    assert values[:, 15:] == pytest.approx(inside, abs=0.005)


def test_what_is_opaque_is_inside() -> None:
    picture = Image.new("RGB", (30, 20), "black")
    picture.putalpha(Image.fromarray(halves(0, 255)))
    assert label_map.mask_values(picture)[:, 15:].min() == 1
    opaque = Image.fromarray(halves(0, 255)).convert("RGBA")
    assert label_map.mask_values(opaque)[:, :15].max() == 0


def test_vocs_palette_has_vocs_names() -> None:
    picture = Image.fromarray(halves(0, 15))
    picture.putpalette(label_map.voc_palette().tobytes())
    masks = label_map.label_map(picture).masks(20, 30)
    assert set(masks) == {"background", "label_0", "person", "label_15"}
    assert masks["person"][0, 0, :, 15:].min() == 1
    assert masks["person"][0, 0, :, :15].max() == 0


def test_another_palette_has_numbers_and_colours() -> None:
    picture = Image.fromarray(halves(0, 1))
    picture.putpalette([0, 0, 255, 255, 128, 0])
    assert label_map.label_map(picture).names == [
        ("label_0", "blue", "rgb_0000ff"),
        ("label_1", "rgb_ff8000"),
    ]


def test_grey_labels_have_numbers() -> None:
    assert label_map.label_map(Image.fromarray(halves(3, 17))).names == [
        ("label_3",),
        ("label_17",),
    ]


def test_black_and_white_are_colours_too() -> None:
    names = label_map.label_map(Image.fromarray(halves(0, 255))).names
    assert names[0] == ("label_0", "black", "rgb_000000")
    assert names[1] == ("label_255", "white", "rgb_ffffff")


def test_colour_codes_with_the_noise_of_jpeg() -> None:
    rng = np.random.default_rng(0)
    array = np.zeros((40, 60, 3))
    array[:, :30] = (0, 0, 255)
    array[:, 30:] = (0, 255, 0)
    noisy = np.clip(array + rng.normal(0, 20, array.shape), 0, 255).astype(np.uint8)
    found = label_map.label_map(Image.fromarray(noisy))
    masks = found.masks(40, 60)
    assert set(masks) == {"green", "blue"}
    assert masks["blue"][..., :30].mean() > 0.99


def test_masks_have_any_size_and_add_up() -> None:
    found = label_map.label_map(Image.fromarray(halves(3, 17)))
    masks = found.masks(41, 59)
    total = masks["label_3"] + masks["label_17"]
    torch.testing.assert_close(total, torch.ones(1, 1, 41, 59))


RED, BLUE, TEAL = (255, 0, 0), (0, 0, 255), (0, 120, 120)


def coloured(left: tuple[int, int, int], right: tuple[int, int, int]) -> Image.Image:
    array = np.zeros((40, 60, 3), dtype=np.uint8)
    array[:, :30], array[:, 30:] = left, right
    return Image.fromarray(array)


def compressed(picture: Image.Image) -> Image.Image:
    """With more colours than labels, as JPEG leaves it."""
    noise = np.random.default_rng(0).integers(-12, 13, (picture.height, picture.width, 3))
    return Image.fromarray((np.asarray(picture) + noise).clip(0, 255).astype(np.uint8))


def test_maps_alone_are_read_as_they_are() -> None:
    red = coloured(RED, BLUE)
    assert label_map.label_maps(None, None) == (None, None)
    alone, nothing = label_map.label_maps(red, None)
    assert nothing is None
    assert alone is not None
    assert alone.names == label_map.label_map(red).names


@pytest.mark.parametrize("first", [lambda picture: picture, compressed], ids=["exact", "JPEG"])
@pytest.mark.parametrize("second", [lambda picture: picture, compressed], ids=["exact", "JPEG"])
def test_named_colours_pair(first: Any, second: Any) -> None:
    content, reference = label_map.label_maps(
        first(coloured(RED, BLUE)), second(coloured(BLUE, RED))
    )
    assert content is not None
    assert reference is not None
    assert {names[0] for names in content.names} == {"red", "blue"}
    there, here = reference.masks(40, 60), content.masks(40, 60)
    for name in ("red", "blue"):
        assert torch.equal(there[name], here[name].flip(3))


def test_what_a_compressed_map_shows_goes_to_the_colours_of_the_other() -> None:
    content, reference = label_map.label_maps(
        coloured(TEAL, BLUE), compressed(coloured(BLUE, TEAL))
    )
    assert content is not None
    assert reference is not None
    assert content.names == [("blue", "rgb_0000ff"), ("rgb_007878",)] or content.names == [
        ("rgb_007878",),
        ("blue", "rgb_0000ff"),
    ]
    assert torch.equal(
        reference.masks(40, 60)["rgb_007878"].flip(3), content.masks(40, 60)["rgb_007878"]
    )
    # The other way round, too.
    content, _ = label_map.label_maps(compressed(coloured(TEAL, BLUE)), coloured(BLUE, TEAL))
    assert content is not None
    assert {names[0] for names in content.names} == {"blue", "rgb_007878"}


def test_nearly_the_same_colour_is_the_same_and_another_is_not() -> None:
    _, reference = label_map.label_maps(
        coloured(TEAL, RED), coloured((10, 110, 125), (90, 20, 200))
    )
    assert reference is not None
    assert sorted(names[0] for names in reference.names) == ["rgb_007878", "rgb_5a14c8"]


def test_smoothed_edges_are_no_labels_of_their_own() -> None:
    smooth = np.array(coloured(RED, BLUE))
    smooth[4:9, 29:31] = (170, 0, 85)
    _, reference = label_map.label_maps(coloured(RED, BLUE), Image.fromarray(smooth))
    assert reference is not None
    assert [names[0] for names in reference.names] == ["blue", "red"]
    # It is nearer to red.
    assert reference.masks(40, 60)["red"][0, 0, 8, 30] == 1


def test_numbered_labels_pair_by_number_however_few_their_pixels() -> None:
    numbers = np.zeros((40, 60), dtype=np.uint8)
    numbers[0, 0] = 7
    content, reference = label_map.label_maps(
        Image.fromarray(numbers), Image.fromarray(numbers[::-1].copy())
    )
    assert content is not None
    assert reference is not None
    assert reference.masks(40, 60)["label_7"][0, 0, 39, 0] == 1
    assert [names[0] for names in content.names] == ["label_0", "label_7"]
