"""The painter: only what is named changes, as the command would paint it."""

from pathlib import Path

import pytest
import torch

from pipeline import stylize
from pipeline.errors import UserError
from pipeline.studio.edits import Drawn, Layer
from pipeline.studio.painter import Painter
from tests.studio.conftest import WORDS


def test_only_the_regions_with_a_style_change(tmp_path: Path) -> None:
    # At this size the helmet is found, too, though not as what it is.
    painter = Painter([*WORDS, "segmenter.min_share=0.1"], tmp_path)
    regions = painter.find("astronaut")
    assert regions.names == ["person", "background"]
    assert painter.paint(regions, []) is regions.content
    painted = painter.paint(regions, [Layer("person", "scream.jpg")])
    outside = (regions.masks["person"] == 0).expand_as(painted)
    assert outside.float().mean() > 0.3
    assert torch.equal(painted[outside], regions.content[outside])
    inside = (regions.masks["person"] == 1).expand_as(painted)
    assert (painted - regions.content)[inside].abs().mean() > 0.05
    bolder = painter.paint(regions, [Layer("person", "scream.jpg", strength=0.1)])
    assert (bolder - regions.content)[inside].abs().mean() < (
        (painted - regions.content)[inside].abs().mean()
    )


def test_networks_that_cannot_be_had_are_only_logged_before_somebody_waits(
    painter: Painter, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def missing(content: str) -> None:
        raise UserError("no weights; download them")

    monkeypatch.setattr(painter, "find", missing)
    painter.warm()
    assert caplog.messages == ["no weights; download them"]


def test_it_paints_what_the_instant_method_paints(tmp_path: Path) -> None:
    # But for the light of what is behind in pixels of an outline.
    painter = Painter([*WORDS, "matte=off"], tmp_path)
    regions = painter.find("astronaut")
    painted = painter.paint(regions, [Layer("person", "wave.jpg", scale=2.0)])
    words = dict(word.split("=") for word in WORDS[:3])
    done = stylize(
        "astronaut",
        {"person": {"image": "wave.jpg", "scale": 2.0}},
        size=192,
        preset="draft",
        matte="off",
        **words,
    )
    assert done.painted is not None
    assert torch.equal(painted, done.painted)


def test_a_swatch_shows_what_is_selected(painter: Painter) -> None:
    regions = painter.find("astronaut")
    one, other = (
        painter.swatch(regions, ["person"], Layer("selected", image)) for image in ("ink", "wave")
    )
    assert max(one.size) == 64
    assert one.tobytes() != other.tobytes()


def test_a_thing_is_drawn_at_the_same_size(painter: Painter) -> None:
    regions = painter.find("astronaut")
    mask = painter.draw("astronaut", Drawn("thing", "point(0.85,0.3)"))
    assert mask.shape == regions.content[:, :1].shape
    assert 0.002 < float(mask.mean()) < 0.6


def test_errors_are_the_commands(painter: Painter, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="not found"):
        painter.find("nobody.jpg")
    regions = painter.find("astronaut")
    with pytest.raises(UserError, match="not found"):
        painter.paint(regions, [Layer("person", "nobody.jpg")])
    with pytest.raises(UserError, match="outside"):
        painter.draw("astronaut", Drawn("thing", "point(4000,5)"))
