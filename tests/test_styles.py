"""Styling: parts of style pictures, rounds and weights, colours and noise."""

import pytest
import torch
from torch import Tensor

from pipeline.engine.objective import Style
from pipeline.errors import UserError
from pipeline.regions.segment import Segmentation
from pipeline.request import StyleChoice
from pipeline.styles import (
    StylePicture,
    coloured,
    content_with_noise,
    grey_inside,
    looks_into_styles,
    noise_picture,
    rounds,
    weight_of,
    within_regions,
)


def look(picture: Tensor) -> Segmentation:
    """The left half of every picture is a person."""
    person = torch.zeros_like(picture[:, :1])
    person[..., : picture.shape[3] // 2] = 1
    return Segmentation({"background": 1 - person, "person": person})


def test_the_style_comes_from_a_region_of_its_picture(stripes: Tensor) -> None:
    styles = {"cat": [StyleChoice("a.jpg", region="person"), StyleChoice("a.jpg")]}
    assert looks_into_styles(styles)
    pictures = {"cat": [StylePicture(stripes), StylePicture(stripes)]}
    restricted, plain = within_regions(styles, pictures, look)["cat"]
    assert plain.mask is None
    # 35 columns of person and 16 of surroundings.
    assert restricted.picture.shape == (1, 3, 50, 51)
    assert restricted.mask is not None
    assert restricted.mask.sum() == 50 * 35


def test_a_style_without_the_region_says_what_it_shows(stripes: Tensor) -> None:
    styles = {"cat": [StyleChoice("a.jpg", region="horse")]}
    with pytest.raises(UserError, match=r"style a.jpg: no horse.*background 50.0%, person 50.0%"):
        within_regions(styles, {"cat": [StylePicture(stripes)]}, look)


def test_rounds(stripes: Tensor) -> None:
    first, second, other = Style(stripes), Style(stripes.flip(1)), Style(stripes.flip(2))
    styles = {"a": [first, second], "b": [other]}
    assert rounds(styles, sequential=False) == [styles]
    assert rounds(styles, sequential=True) == [
        {"a": [first], "b": [other]},
        {"a": [second]},
    ]


def test_weights_share_one_unless_given() -> None:
    plain, own = StyleChoice("a"), StyleChoice("a", weight=3)
    assert weight_of(plain, 4, sequential=False) == 0.25
    assert weight_of(plain, 4, sequential=True) == 1
    assert weight_of(own, 4, sequential=False) == 3


@pytest.mark.parametrize("own", [None, "match"])
def test_a_styles_own_color_goes_before_the_runs(
    content: Tensor, disc: Tensor, stripes: Tensor, own: str | None
) -> None:
    found = coloured(
        StylePicture(stripes), StyleChoice("a", color=own), 1.0, content, disc, "style"
    )
    assert torch.equal(found.picture, stripes) == (own is None)


def test_grey_inside(content: Tensor, disc: Tensor) -> None:
    grey = grey_inside(content, [disc])
    outside = (disc == 0).expand_as(content)
    assert torch.equal(grey[outside], content[outside])
    inside = grey[:, :, disc[0, 0] == 1]
    torch.testing.assert_close(inside[:, 0], inside[:, 2])


def test_noise_has_a_seed_and_stays_in_range(content: Tensor) -> None:
    noise = noise_picture(content, 3)
    assert torch.equal(noise, noise_picture(content, 3))
    assert not torch.equal(noise, noise_picture(content, 4))
    assert noise.mean().item() == pytest.approx(0.5, abs=0.02)
    noisy = content_with_noise(torch.full_like(content, 0.5), 0.1, 0)
    assert noisy.std().item() == pytest.approx(0.1, rel=0.05)
    assert content_with_noise(content, 5.0, 0).min() >= 0
