"""Training of the instant painter: draws, reproducibility, an interruption, the engine's losses."""

from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

from pipeline.config import schema
from pipeline.engine.engine import Engine
from pipeline.engine.tiles import WHOLE
from pipeline.errors import UserError
from pipeline.networks import instant, weights
from pipeline.training import instant as training
from pipeline.training import pictures
from pipeline.training.instant import Draws, Settings, Task, backward, draw, painted, train
from tests.training.conftest import Interrupted


def noise(height: int, width: int, seed: int) -> pictures.Array:
    rng = np.random.default_rng(seed)
    coarse = rng.integers(0, 256, (height // 8, width // 8, 3), dtype=np.uint8)
    return np.asarray(cv2.resize(coarse, (width, height)), np.uint8)


PHOTOS = [noise(96, 128, seed) for seed in range(3)]
PAINTINGS = [noise(128, 96, seed) for seed in range(5, 8)]
CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def engine() -> Engine:
    return training.losses(CPU)[0]


def settings(folder: Path, **changes: object) -> Settings:
    usual: dict[str, object] = {
        "photos": ["p"],
        "paintings": ["q"],
        "checkpoint": str(folder / "state.pth"),
        "steps": 4,
        "reconstruction": 1,
        "batch": 2,
        "crops": [64],
        "device": "cpu",
    }
    return Settings(**{**usual, **changes})  # type: ignore[arg-type]


def test_draws_are_of_every_kind() -> None:
    draws = Draws(PHOTOS, PAINTINGS, 0)
    tasks = [draw(draws, 32, False, 0.6) for _ in range(60)]
    plain = [task for task in tasks if task.strength == 0]
    two = [task for task in tasks if len(task.styles) == 2]
    assert 3 < len(plain) < 30
    assert 10 < len(two) < 50
    assert len({task.strength for task in tasks}) > 5
    for task in tasks:
        assert task.content.shape == (1, 3, 32, 32)
        assert task.content.min() >= 0
        assert task.content.max() <= 1
    for task in two:
        (_, mask), (_, other) = task.styles
        torch.testing.assert_close(mask + other, torch.ones(1, 1, 32, 32))
        assert mask.std() > 0
    assert all(draw(draws, 32, True, 0.6).strength == 0 for _ in range(10))


def test_the_same_seed_gives_the_same_weights_also_after_an_interruption(
    tmp_path: Path, interrupted: Interrupted
) -> None:
    whole = train(settings(tmp_path), PHOTOS, PAINTINGS)
    with interrupted(2):
        train(settings(tmp_path), PHOTOS, PAINTINGS)
    again = train(settings(tmp_path, resume=True), PHOTOS, PAINTINGS)
    for name, value in whole.state_dict().items():
        assert torch.equal(again.state_dict()[name], value), name
    other = train(settings(tmp_path, seed=1), PHOTOS, PAINTINGS)
    assert not torch.equal(other.last.weight, whole.last.weight)


def test_with_losses_in_bfloat16_it_learns_much_the_same(tmp_path: Path) -> None:
    usual, low = (
        train(settings(tmp_path, precision=precision), PHOTOS, PAINTINGS).state_dict()
        for precision in (schema.Precision.float32, schema.Precision.bfloat16)
    )
    assert not torch.equal(low["last.weight"], usual["last.weight"])
    for name, value in usual.items():
        assert low[name].dtype == torch.float32
        torch.testing.assert_close(low[name], value, atol=0.02, rtol=0.05)


def test_it_learns_to_give_back_what_it_is_shown(tmp_path: Path, engine: Engine) -> None:
    draws = Draws(PHOTOS, PAINTINGS, 1)
    tasks = [draw(draws, 64, True, 0.6) for _ in range(2)]
    encoder = instant.encoder_of(engine.encoder.encoder)

    def difference(painter: instant.InstantPainter) -> float:
        return backward(painter, encoder, engine, tasks, CPU)["difference"]

    torch.manual_seed(0)
    before = difference(instant.InstantPainter())
    trained = train(settings(tmp_path, steps=25, reconstruction=25), PHOTOS, PAINTINGS)
    assert difference(trained) < 0.6 * before


def test_the_gradient_is_that_of_the_engines_loss(engine: Engine) -> None:
    draws = Draws(PHOTOS, PAINTINGS, 2)
    style = draws.style(64), torch.ones(1, 1, 64, 64)
    task = Task(draws.content(64), [style], 1.0)
    encoder = instant.encoder_of(engine.encoder.encoder)
    torch.manual_seed(0)
    painter = instant.InstantPainter()
    found = backward(painter, encoder, engine, [task], CPU)
    bias = painter.last.bias
    assert bias is not None
    assert bias.grad is not None
    # Brighter or darker in red by a little.
    with torch.no_grad():
        evaluate, _, _ = engine._evaluation(
            [task.job], painted(painter, encoder, task), WHOLE, warn=False
        )
        totals = []
        for step in (1e-3, -2e-3):
            bias[0] += step
            totals.append(float(evaluate(painted(painter, encoder, task))[0][0, 0]))
    above, below = totals
    expected = (above - below) / 2e-3 / found["loss"]
    assert float(bias.grad[0]) == pytest.approx(expected, rel=0.02)


def test_a_file_of_another_network_is_one_line(tmp_path: Path) -> None:
    file = weights.BUNDLED / "compact_encoder.safetensors"
    with pytest.raises(UserError, match="does not hold an instant painter"):
        train(settings(tmp_path, start=str(file)), PHOTOS, PAINTINGS)
    with pytest.raises(UserError, match=r"no checkpoint .* leave out resume=true"):
        train(settings(tmp_path, resume=True), PHOTOS, PAINTINGS)


def test_the_command_writes_weights_and_previews(tmp_path: Path) -> None:
    for folder, found in (("photos", PHOTOS), ("paintings", PAINTINGS)):
        (tmp_path / folder).mkdir()
        for number, picture in enumerate(found):
            cv2.imwrite(str(tmp_path / folder / f"{number}.png"), picture)
    asked = settings(
        tmp_path,
        photos=[str(tmp_path / "photos")],
        paintings=[str(tmp_path / "paintings")],
        output=str(tmp_path / "out.safetensors"),
        previews=str(tmp_path / "shown"),
        steps=2,
    )
    training.run(asked)
    painter = instant.InstantPainter()
    instant.fill(painter, tmp_path / "out.safetensors")
    assert (tmp_path / "out.safetensors.sha256").is_file()
    preview = cv2.imread(str(tmp_path / "shown" / "preview.png"))
    assert preview is not None
    assert preview.shape == (256, 4 * 256, 3)


def test_a_further_round_for_one_style(tmp_path: Path) -> None:
    (tmp_path / "photos").mkdir()
    for number, picture in enumerate(PHOTOS):
        cv2.imwrite(str(tmp_path / "photos" / f"{number}.png"), picture)
    asked = settings(
        tmp_path,
        photos=[str(tmp_path / "photos")],
        paintings=[],
        styles=["scream"],
        start="bundled",
        output=str(tmp_path / "out.safetensors"),
        steps=1,
        reconstruction=0,
        learning_rate=1e-9,
    )
    training.run(asked)
    found, bundled = instant.InstantPainter(), instant.InstantPainter()
    instant.fill(found, tmp_path / "out.safetensors")
    instant.fill(bundled, instant.BUNDLED_FILE)
    for name, value in bundled.state_dict().items():
        torch.testing.assert_close(found.state_dict()[name], value, atol=1e-3, rtol=0)
    with pytest.raises(UserError, match=r"no paintings; .* or styles=\[PICTURE\]"):
        training.run(replace(asked, styles=[]))
    with pytest.raises(UserError, match=r"style 'nobody' not found"):
        training.run(replace(asked, styles=["nobody"]))
