"""Feedforward: each region by the networks of its styles."""

from collections.abc import Callable
from typing import cast

import pytest
import torch
from torch import Tensor

from pipeline.engine.engine import Engine
from pipeline.engine.objective import Style
from pipeline.methods import Region, Scene, Stylized
from pipeline.methods.feedforward import feedforward
from pipeline.networks.feedforward import FeedForward


class Constant(FeedForward):
    """Paints one grey, and keeps what it was shown."""

    def __init__(self, value: float) -> None:
        super().__init__(1)
        self.value = value
        self.seen: list[Tensor] = []

    def forward(self, picture: Tensor) -> Tensor:
        self.seen.append(picture)
        return torch.full_like(picture, self.value)


Paint = Callable[..., Stylized]


@pytest.fixture
def networks() -> dict[str, FeedForward]:
    return {"black": Constant(0.0), "white": Constant(1.5)}


@pytest.fixture
def paint(networks: dict[str, FeedForward]) -> Paint:
    def painted(scene: Scene) -> Stylized:
        engine = cast(Engine, None)
        return feedforward(scene, engine, lambda row: None, networks=networks, margin=4)

    return painted


def spot(content: Tensor, styles: list[Style], images: list[str]) -> Scene:
    mask = torch.zeros(1, 1, *content.shape[2:])
    mask[..., 20:40, 30:50] = 1
    return Scene(content, [Region("spot", mask, styles, images=images)])


def test_the_box_of_a_region_is_painted(
    content: Tensor, stripes: Tensor, networks: dict[str, FeedForward], paint: Paint
) -> None:
    done = paint(spot(content, [Style(stripes)], ["white"]))
    (seen,) = cast(Constant, networks["white"]).seen
    assert seen.shape == (1, 3, 32, 32)
    # Beyond [0, 1] there is no colour.
    assert bool((done.pictures["spot"][..., 20:40, 30:50] == 1).all())
    assert torch.equal(done.pictures["spot"][..., :10, :], content[..., :10, :])
    assert done.curve == []
    assert done.seconds["spot"] >= 0


def test_several_styles_are_mixed_by_weight_and_strength(
    content: Tensor, stripes: Tensor, paint: Paint
) -> None:
    styles = [Style(stripes, weight=3.0), Style(stripes, weight=1.0, strength=0.25)]
    done = paint(spot(content, styles, ["white", "black"]))
    inside = content[..., 20:40, 30:50]
    expected = 0.75 * torch.ones_like(inside) + 0.25 * 0.5 * inside
    torch.testing.assert_close(done.pictures["spot"][..., 20:40, 30:50], expected)
