"""Paint: rounds, greys and noise."""

from typing import cast

import pytest
import torch
from torch import Tensor

from pipeline.engine.engine import Engine
from pipeline.engine.objective import Style
from pipeline.engine.progress import Progress
from pipeline.methods import Region, Scene, Stylized
from pipeline.methods.stitch import style_canvas
from pipeline.paint import (
    beginning,
    content_with_noise,
    grey_inside,
    in_tones_of_styles,
    noise_picture,
    painted_instantly,
    rounds,
)
from pipeline.pictures.layers import widened


def test_rounds(stripes: Tensor, disc: Tensor) -> None:
    first, second, other = Style(stripes), Style(stripes.flip(1)), Style(stripes.flip(2))
    regions = [Region("a", disc, [first, second], 3.0), Region("b", 1 - disc, [other])]
    assert rounds(regions, sequential=False) == [regions]
    found = rounds(regions, sequential=True)
    names = [[(region.name, region.styles, region.feather) for region in turn] for turn in found]
    assert names == [[("a", [first], 3.0), ("b", [other], 0.0)], [("a", [second], 3.0)]]


@pytest.mark.parametrize("kind", ["content", "noise", "content+noise", "style", "a.jpg"])
def test_where_the_optimisation_starts(
    kind: str, content: Tensor, disc: Tensor, stripes: Tensor
) -> None:
    regions = [Region("disc", disc, [Style(stripes)])]
    picture = stripes if kind == "a.jpg" else None
    found = beginning(kind, picture, content, regions, 0.1, 3)
    if kind == "content":
        assert found is None
        return
    assert found is not None
    assert found.shape == content.shape
    expected = {
        "noise": noise_picture(content, 3),
        "content+noise": content_with_noise(content, 0.1, 3),
        "style": style_canvas(content, regions).picture,
    }
    if kind in expected:
        assert torch.equal(found, expected[kind])
    else:
        assert found.mean((2, 3)) == pytest.approx(stripes.mean((2, 3)), abs=0.02)


def test_where_a_method_without_optimisation_lets_it_start(
    content: Tensor, disc: Tensor, stripes: Tensor
) -> None:
    regions = [Region("disc", disc, [Style(stripes)])]

    def white(scene: Scene, engine: Engine, progress: Progress) -> Stylized:
        assert scene.start is None
        return Stylized({"disc": torch.ones_like(scene.content)}, [], {"disc": 0.0})

    found = painted_instantly(content, regions, white, cast(Engine, None), False)
    # Under all of a soft edge, and a little beyond it.
    painted = (widened(disc) > 0).expand_as(content)
    assert bool((found[painted] == 1).all())
    assert torch.equal(found[~painted], content[~painted])


def test_grey_inside(content: Tensor, disc: Tensor) -> None:
    grey = grey_inside(content, [disc])
    outside = (disc == 0).expand_as(content)
    assert torch.equal(grey[outside], content[outside])
    inside = grey[:, :, disc[0, 0] == 1]
    torch.testing.assert_close(inside[:, 0], inside[:, 2])


def test_regions_take_the_tones_of_their_styles(
    content: Tensor, disc: Tensor, stripes: Tensor
) -> None:
    region = Region("disc", disc, [Style(stripes)])
    assert in_tones_of_styles(content, [region], 0.0) is content
    toned = in_tones_of_styles(content, [region], 1.0)
    outside = (disc == 0).expand_as(content)
    assert torch.equal(toned[outside], content[outside])
    inside = disc[0, 0] == 1
    wanted = stripes.mean((2, 3))

    def distance(picture: Tensor) -> float:
        return float((picture[:, :, inside].mean(2) - wanted).norm())

    assert distance(toned) < 0.5 * distance(content)
    timid = [Region("disc", disc, [Style(stripes, strength=0.25)])]
    halved = in_tones_of_styles(content, timid, 1.0)
    # But for what is cut off at 0 and 1.
    torch.testing.assert_close(halved, (content + toned) / 2, atol=0.01, rtol=0)
    torch.testing.assert_close(
        in_tones_of_styles(content, [Region("disc", disc, [Style(stripes, strength=0)])], 1.0),
        content,
    )


def test_noise_has_a_seed_and_stays_in_range(content: Tensor) -> None:
    noise = noise_picture(content, 3)
    assert torch.equal(noise, noise_picture(content, 3))
    assert not torch.equal(noise, noise_picture(content, 4))
    assert noise.mean().item() == pytest.approx(0.5, abs=0.02)
    noisy = content_with_noise(torch.full_like(content, 0.5), 0.1, 0)
    assert noisy.std().item() == pytest.approx(0.1, rel=0.05)
    assert content_with_noise(content, 5.0, 0).min() >= 0
