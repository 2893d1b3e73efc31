"""Styles: parts of style pictures, rounds and weights, colours and noise."""

import numpy as np
import pytest
import torch
from torch import Tensor

from pipeline.errors import UserError
from pipeline.regions.label_map import LabelMap
from pipeline.regions.segment import Segmentation
from pipeline.request import RegionChoice, StyleChoice
from pipeline.styles import (
    StylePicture,
    look_inside,
    match,
    match_labels,
    prepared_regions,
    style_of,
    weight_of,
    within_regions,
)


def look(picture: Tensor) -> Segmentation:
    """The left half of every picture is a person."""
    person = torch.zeros_like(picture[:, :1])
    person[..., : picture.shape[3] // 2] = 1
    return Segmentation({"background": 1 - person, "person": person})


def test_the_style_comes_from_a_region_of_its_picture(stripes: Tensor) -> None:
    seen = []

    def counted(picture: Tensor) -> Segmentation:
        seen.append(picture)
        return look(picture)

    choices = [StyleChoice("a.jpg", region="person"), StyleChoice("a.jpg"), StyleChoice("b.jpg")]
    pictures = {
        "cat": [StylePicture(choice, stripes) for choice in choices],
        "dog": [StylePicture(StyleChoice("a.jpg", region="background", weight=2), stripes)],
    }
    assert look_inside(pictures)
    found = within_regions(pictures, counted)
    restricted, plain, _ = found["cat"]
    assert plain.mask is None
    # 35 columns of person and 16 of surroundings.
    assert restricted.picture.shape == (1, 3, 50, 51)
    assert restricted.mask is not None
    assert restricted.mask.sum() == 50 * 35
    (other,) = found["dog"]
    assert other.mask is not None
    assert other.mask.sum() == 50 * 35
    # Once, however many regions of it are asked for.
    assert len(seen) == 1


def test_a_style_without_the_region_says_what_it_shows(stripes: Tensor) -> None:
    pictures = {"cat": [StylePicture(StyleChoice("a.jpg", region="horse"), stripes)]}
    with pytest.raises(UserError, match=r"style a.jpg: no horse.*background 50.0%, person 50.0%"):
        within_regions(pictures, look)


def test_each_class_is_matched_with_its_own(stripes: Tensor, content: Tensor) -> None:
    cat = torch.zeros_like(content[:, :1])
    cat[..., :20, :] = 1
    there = Segmentation({"background": 1 - cat, "cat": cat})
    found = match("a.jpg", stripes, look, there)
    regions = {name: own.choice.region for name, (own,) in found.items()}
    assert regions == {"background": "background", "cat": None}


def test_regions_are_prepared_with_their_styles(
    content: Tensor, disc: Tensor, stripes: Tensor
) -> None:
    styles = {
        "disc": [StylePicture(StyleChoice("a.jpg"), stripes)] * 2,
        "rest": [StylePicture(StyleChoice("b.jpg", color="luminance"), stripes)],
    }
    masks = {"disc": disc, "rest": 1 - disc}
    choices = {"disc": RegionChoice(feather=7.0)}
    first, rest = prepared_regions(styles, masks, choices, content, "style", 2.0, False)
    assert (first.name, first.feather, first.luminance) == ("disc", 7.0, False)
    assert [style.weight for style in first.styles] == [0.5, 0.5]
    assert [*first.images] == ["a.jpg", "a.jpg"]
    assert (rest.name, rest.feather, rest.luminance) == ("rest", 2.0, True)
    names = [style.name for region in (first, rest) for style in region.styles]
    assert len({*names}) == 3


@pytest.mark.parametrize(
    ("longest", "scale", "size"),
    [
        (35, 1.0, (25, 35)),  # the region's
        (35, 0.8, (20, 28)),
        (35, 4.0, (100, 140)),  # a scale enlarges
        (300, 1.0, (50, 70)),  # the region does not
        (300, 1.5, (75, 105)),
        (300, 0.1, (16, 16)),  # encoders need as many
    ],
)
def test_a_style_has_the_size_of_its_region(
    stripes: Tensor, longest: int, scale: float, size: tuple[int, int]
) -> None:
    found = StylePicture(StyleChoice("a", scale=scale), stripes, stripes[:, :1]).sized(longest)
    assert found.picture.shape == (1, 3, *size)
    assert found.mask is not None
    assert found.mask.shape == (1, 1, *size)


def test_styles_are_sized_by_the_regions_boxes(stripes: Tensor) -> None:
    content = torch.zeros(1, 3, 500, 600)
    masks = {name: torch.zeros(1, 1, 500, 600) for name in ("large", "small", "rest")}
    masks["large"][..., 10:210, 10:310] = 1
    masks["small"][..., 400:440, 400:480] = 1
    masks["rest"] = 1 - masks["large"] - masks["small"]
    style = [StylePicture(StyleChoice("a.jpg"), torch.rand(1, 3, 500, 1000))]
    styles = dict.fromkeys(masks, style)
    found = prepared_regions(styles, masks, {}, content, "style", 2.0, False)
    sizes = {region.name: tuple(region.styles[0].picture.shape[2:]) for region in found}
    # 40 x 80 pixels are enlarged so that they are 160 x 160.
    factor = (160**2 / 3200) ** 0.5
    assert [region.enlargement for region in found] == [1, pytest.approx(factor), 1]
    assert sizes == {"large": (150, 300), "small": (113, 226), "rest": (300, 600)}
    as_they_are = prepared_regions(styles, masks, {}, content, "style", 2.0, False, enlarge=False)
    assert [region.enlargement for region in as_they_are] == [1, 1, 1]
    assert as_they_are[1].styles[0].picture.shape[2:] == (40, 80)
    smaller = prepared_regions(styles, masks, {}, content, "style", 2.0, False, share=0.7)
    assert [region.styles[0].picture.shape[3] for region in smaller] == [210, 158, 420]


def test_strength_is_the_runs_unless_a_style_has_its_own(stripes: Tensor, content: Tensor) -> None:
    choices = StyleChoice("a"), StyleChoice("b", strength=0.8), StyleChoice("c", strength=0.0)
    styles = {
        "left": [StylePicture(choice, stripes) for choice in choices],
        "right": [StylePicture(choices[2], stripes)],
    }
    half = torch.ones_like(content[:, :1])
    half[..., 60:] = 0
    masks = {"left": half, "right": 1 - half}
    (left,) = prepared_regions(styles, masks, {}, content, "style", 0.0, False, strength=0.3)
    # A style of strength 0 takes no share of the weight, and a region without another is left out.
    assert [(style.strength, style.weight) for style in left.styles] == [(0.3, 0.5), (0.8, 0.5)]
    assert [*left.images] == ["a", "b"]
    assert prepared_regions(styles, masks, {}, content, "style", 0.0, False, strength=0.0) != []
    only = {"left": styles["left"][:1]}
    assert prepared_regions(only, masks, {}, content, "style", 0.0, False, strength=0.0) == []


def test_weights_share_one_unless_given() -> None:
    plain, own = StyleChoice("a"), StyleChoice("a", weight=3)
    assert weight_of(plain, 4, sequential=False) == 0.25
    assert weight_of(plain, 4, sequential=True) == 1
    assert weight_of(own, 4, sequential=False) == 3


@pytest.mark.parametrize("own", [None, "match"])
def test_a_styles_own_color_goes_before_the_runs(
    content: Tensor, disc: Tensor, stripes: Tensor, own: str | None
) -> None:
    picture = StylePicture(StyleChoice("a", color=own), stripes)
    found = style_of(picture, "a", 1.0, content, disc, "style")
    assert torch.equal(found.picture, stripes) == (own is None)


def test_labels_are_styled_by_the_same_labels(
    stripes: Tensor, caplog: pytest.LogCaptureFixture
) -> None:
    content = LabelMap(np.array([[0, 1, 2]], np.uint8), [("red",), ("blue",), ("sky", "label_4")])
    halves = np.zeros((50, 70), np.uint8)
    halves[:, 35:] = 1
    there = LabelMap(halves, [("red",), ("label_4",)])
    with caplog.at_level("INFO"):
        found = match_labels("art.jpg", stripes, there, content)
    assert list(found) == ["red", "blue", "sky"]
    (red,), (blue,), (sky,) = found.values()
    assert red.mask is not None
    assert sky.mask is not None
    assert red.mask.sum() == sky.mask.sum() == 35 * 50
    assert red.picture.shape[3] < 70
    assert blue.mask is None
    assert blue.picture is stripes
    assert "blue in the style of the whole reference" in caplog.text
    assert "sky in the style of the sky" in caplog.text


def test_a_style_within_a_mask_of_another_size(stripes: Tensor) -> None:
    mask = torch.zeros(1, 1, 100, 140)
    mask[..., :70] = 1
    found = StylePicture(StyleChoice("a"), stripes).within(mask)
    assert found.mask is not None
    assert found.mask.sum() == pytest.approx(35 * 50, abs=50)
    assert found.picture.shape[3] == found.mask.shape[3] < 70
