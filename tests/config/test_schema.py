"""The schema refuses what is out of range, all at once."""

import math

import pytest

from pipeline.config.schema import (
    LoggerSettings,
    LossSettings,
    MethodSettings,
    OptimizerSettings,
    Settings,
    fingerprint,
)
from pipeline.errors import UserError


def test_the_defaults_are_in_range() -> None:
    assert Settings().size == 512


def test_everything_wrong_is_said_at_once() -> None:
    with pytest.raises(UserError) as caught:
        Settings(
            size=5,
            feather=-1,
            method=MethodSettings(name="collage"),
            optimizer=OptimizerSettings(iterations=0, learning_rate=math.nan),
            loss=LossSettings(layer_weights=[0, 0]),
            styles={"person": 3},
        )
    message = str(caught.value)
    for part in (
        "size=5 is outside 32 to 16384",
        "feather=-1 is outside",
        "method.name=collage is not one of stitch, composite",
        "optimizer.iterations=0 is outside",
        "optimizer.learning_rate=nan is outside",
        "loss.layer_weights are all 0",
        "styles.person=3 is not the path or name of a picture",
    ):
        assert part in message
    assert "\n" not in message


def test_a_fingerprint_is_of_what_the_pictures_show() -> None:
    mark = fingerprint(Settings())
    assert len(mark) == 64
    assert fingerprint(Settings(resume=True, logger=LoggerSettings("tensorboard"))) == mark
    assert fingerprint(Settings(size=511)) != mark
    assert fingerprint(Settings(loss=LossSettings(style_weight=31))) != mark
    assert fingerprint(Settings(styles={"person": "ink.jpg"})) != mark


def test_size_and_scales_are_a_number_or_a_word() -> None:
    settings = Settings(size="full", optimizer=OptimizerSettings(scales="auto"))
    assert settings.size == "full"
    assert fingerprint(settings) != fingerprint(Settings())
    # Hydra leaves numbers in quotes as they are.
    quoted = Settings(size="256", optimizer=OptimizerSettings(scales="2"))
    assert (quoted.size, quoted.optimizer.scales) == (256, 2)


@pytest.mark.parametrize(
    ("size", "written"),
    [("fulll", "fulll"), (12.5, "12.5"), (True, "true"), (None, "null"), ("auto", "auto")],
)
def test_other_sizes_are_refused(size: object, written: str) -> None:
    with pytest.raises(UserError) as caught:
        Settings(size=size)
    assert str(caught.value) == (
        f"size={written} is neither full nor a whole number from 32 to 16384"
    )


@pytest.mark.parametrize("scales", ["full", 2.0, False, 9, 0])
def test_other_scales_are_refused(scales: object) -> None:
    with pytest.raises(UserError, match=r"optimizer\.scales="):
        Settings(optimizer=OptimizerSettings(scales=scales))
