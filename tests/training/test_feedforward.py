"""Training for one style: it learns, the same way each time, also after an interruption."""

from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

from pipeline.config import schema
from pipeline.engine.objective import Style
from pipeline.errors import UserError
from pipeline.networks import feedforward as networks
from pipeline.networks.feedforward import FeedForward
from pipeline.pictures.read import array_to_tensor
from pipeline.training import feedforward
from pipeline.training.feedforward import Settings, backward, crops, losses, train
from tests.training.conftest import Interrupted
from tests.training.test_instant import PAINTINGS, PHOTOS

STYLE = array_to_tensor(PAINTINGS[0])
CPU = torch.device("cpu")


def settings(folder: Path, **changes: object) -> Settings:
    usual: dict[str, object] = {
        "style": "s.png",
        "photos": ["p"],
        "output": str(folder / "out.safetensors"),
        "checkpoint": str(folder / "state.pth"),
        "steps": 4,
        "batch": 2,
        "crop": 48,
        "width": 4,
        "device": "cpu",
    }
    return Settings(**{**usual, **changes})  # type: ignore[arg-type]


def test_the_same_seed_gives_the_same_weights_also_after_an_interruption(
    tmp_path: Path, interrupted: Interrupted
) -> None:
    whole = train(settings(tmp_path), PHOTOS, STYLE)
    with interrupted(2):
        train(settings(tmp_path), PHOTOS, STYLE)
    again = train(settings(tmp_path, resume=True), PHOTOS, STYLE)
    for name, value in whole.state_dict().items():
        assert torch.equal(again.state_dict()[name], value), name
    other = train(settings(tmp_path, seed=1), PHOTOS, STYLE)
    assert not torch.equal(other.last.weight, whole.last.weight)


def test_it_learns_the_style(tmp_path: Path) -> None:
    asked = settings(tmp_path, steps=30, average=0.5)
    engine, style = losses(asked, CPU), Style(STYLE)
    content = crops(asked, PHOTOS, STYLE, np.random.default_rng(5))
    torch.manual_seed(0)
    before = backward(FeedForward(4), engine, style, content)
    after = backward(train(asked, PHOTOS, STYLE), engine, style, content)
    assert after["loss"] < 0.6 * before["loss"]
    assert after["style"] < 0.6 * before["style"]


def test_crops_have_the_styles_tones(tmp_path: Path) -> None:
    dark = STYLE * 0.1
    found, plain = (
        crops(settings(tmp_path, tones=tones), PHOTOS, dark, np.random.default_rng(0))
        for tones in (0.7, 0.0)
    )
    assert found.shape == (2, 3, 48, 48)
    assert found.mean() < plain.mean() - 0.1


def test_in_bfloat16_it_learns_much_the_same(tmp_path: Path) -> None:
    # Not "auto", which is bfloat16 where that is fast.
    plain = settings(tmp_path, steps=3, precision=schema.Precision.float32)
    usual = train(plain, PHOTOS, STYLE).state_dict()
    low = settings(tmp_path, steps=3, precision=schema.Precision.bfloat16)
    found = train(low, PHOTOS, STYLE).state_dict()
    assert not torch.equal(found["last.weight"], usual["last.weight"])
    for name, value in usual.items():
        assert found[name].dtype == torch.float32
        torch.testing.assert_close(found[name], value, atol=0.02, rtol=0.05)


def test_the_losses_are_the_engines_with_what_is_asked_for(tmp_path: Path) -> None:
    asked = settings(tmp_path, style_layers=["relu2_1"], levels=1, content_weight=7.0, loss="gatys")
    objective = losses(asked, CPU).objective
    assert objective.content_weight == 7.0
    assert [*objective.style_layers] == ["relu2_1"]


def test_the_command_writes_a_network_and_previews(tmp_path: Path) -> None:
    (tmp_path / "photos").mkdir()
    for number, picture in enumerate(PHOTOS):
        cv2.imwrite(str(tmp_path / "photos" / f"{number}.png"), picture)
    cv2.imwrite(str(tmp_path / "s.png"), PAINTINGS[0])
    asked = settings(
        tmp_path,
        photos=[str(tmp_path / "photos")],
        style=str(tmp_path / "s.png"),
        previews=str(tmp_path / "shown"),
        curves=str(tmp_path / "curves"),
        start=None,
        steps=2,
    )
    feedforward.run(asked)
    file = tmp_path / "out.safetensors"
    assert networks.load(file, CPU).network.width == 4
    assert max(networks.style_picture(file).size) == 128
    preview = cv2.imread(str(tmp_path / "shown" / "preview.png"))
    assert preview is not None
    assert preview.shape[0] == 640
    assert [*(tmp_path / "curves").iterdir()]
    # A further round starts where this one ended.
    further = train(settings(tmp_path, start=str(file), steps=1, learning_rate=1e-6), PHOTOS, STYLE)
    started = networks.load(file, CPU).network.state_dict()
    for name, value in further.state_dict().items():
        torch.testing.assert_close(value, started[name], atol=1e-4, rtol=0)


def test_errors_are_one_line(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"style 'none.jpg' not found"):
        feedforward.run(settings(tmp_path, style="none.jpg"))
    with pytest.raises(UserError, match=r"leave out resume=true"):
        train(settings(tmp_path, resume=True), PHOTOS, STYLE)
