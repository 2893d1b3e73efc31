"""The schema refuses what is out of range, all at once."""

import hashlib
import json
import math
from dataclasses import asdict
from enum import StrEnum

import pytest
from omegaconf import OmegaConf

from pipeline.config import schema
from pipeline.config.schema import (
    EncoderSettings,
    LoggerName,
    LoggerSettings,
    LossSettings,
    MethodName,
    MethodSettings,
    OptimizerSettings,
    Range,
    SegmenterSettings,
    Settings,
    fingerprint,
)
from pipeline.errors import UserError
from pipeline.networks.segmenters import OPEN_MODELS
from pipeline.request import Color


def test_the_defaults_are_in_range() -> None:
    assert Settings().size == "auto"


def test_everything_wrong_is_said_at_once() -> None:
    with pytest.raises(UserError) as caught:
        Settings(
            size=5,
            feather=-1,
            method=MethodSettings(name="collage"),  # type: ignore[arg-type]
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


def test_the_papers_formulas_go_with_gram_matrices_alone() -> None:
    assert Settings(loss=LossSettings(style="wasserstein")).loss.style == "wasserstein"  # type: ignore[arg-type]
    with pytest.raises(UserError) as caught:
        Settings(loss=LossSettings(name="gatys", style="neighbours"))  # type: ignore[arg-type]
    assert str(caught.value) == (
        "loss.style=neighbours is not for the formulas of loss=gatys; "
        "use loss=balanced or loss.style=gram"
    )


def test_patches_have_a_unit_in_the_middle() -> None:
    assert Settings(loss=LossSettings(neighbour_patch=5)).loss.neighbour_patch == 5
    with pytest.raises(UserError) as caught:
        Settings(loss=LossSettings(neighbour_patch=4))
    assert str(caught.value) == (
        "loss.neighbour_patch=4 has no unit in the middle; take an odd number"
    )


def test_a_fingerprint_is_of_what_the_pictures_show() -> None:
    mark = fingerprint(Settings())
    assert len(mark) == 64
    assert fingerprint(Settings(resume=True, logger=LoggerSettings(LoggerName.tensorboard))) == mark
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
    [("fulll", "fulll"), (12.5, "12.5"), (True, "true"), (None, "null")],
)
def test_other_sizes_are_refused(size: object, written: str) -> None:
    with pytest.raises(UserError) as caught:
        Settings(size=size)
    assert str(caught.value) == (
        f"size={written} is neither auto nor full nor a whole number from 32 to 16384"
    )


@pytest.mark.parametrize("scales", ["full", 2.0, False, 9, 0])
def test_other_scales_are_refused(scales: object) -> None:
    with pytest.raises(UserError, match=r"optimizer\.scales="):
        Settings(optimizer=OptimizerSettings(scales=scales))


def test_a_fingerprint_is_of_plain_words() -> None:
    settings = Settings(method=MethodSettings(MethodName["global"]), color=Color.match)
    # As YAML would have them: neither enumerations nor classes.
    words = OmegaConf.create(OmegaConf.to_yaml(OmegaConf.create(asdict(settings))))
    plain = OmegaConf.to_container(words)
    assert isinstance(plain, dict)
    assert type(plain["color"]) is str
    kept = {
        key: value
        for key, value in plain.items()
        if key not in ("checkpoint", "distances", "logger", "preview", "resume", "share", "shares")
    }
    written = json.dumps(kept, sort_keys=True)
    assert fingerprint(settings) == hashlib.sha256(written.encode()).hexdigest()


def test_names_and_values_of_choices_are_the_same() -> None:
    kinds = [kind for kind in vars(schema).values() if isinstance(kind, type(StrEnum))]
    choices = [choice for kind in kinds for choice in kind]
    assert len(choices) > 30
    for choice in choices:
        assert choice.name == choice.value


@pytest.mark.parametrize(
    ("value", "written"),
    [
        (
            "stlye",
            "color=stlye is not one of style, luminance, match, histogram; did you mean style?",
        ),
        ("blue", "color=blue is not one of style, luminance, match, histogram"),
    ],
)
def test_other_choices_are_refused(value: str, written: str) -> None:
    with pytest.raises(UserError) as caught:
        Settings(color=value)  # type: ignore[arg-type]
    assert str(caught.value) == written


@pytest.mark.parametrize(
    ("taken", "value", "problem"),
    [
        (Range(0, 1), 0, ""),
        (Range(0, 1), 1, ""),
        (Range(0, 1), 1.01, "key=1.01 is outside 0 to 1"),
        (Range(0, 1), math.nan, "key=nan is outside 0 to 1"),
        (Range(0, 1), None, ""),
        (Range(2, 8, ("auto",)), "auto", ""),
        (Range(2, 8, ("auto",)), 8, ""),
        (Range(2, 8, ("auto",)), 9, "key=9 is outside 2 to 8"),
        (Range(2, 8, ("auto",)), None, "key=null is neither auto nor a whole number from 2 to 8"),
        (
            Range(2, 8, ("off", "auto")),
            "on",
            "key=on is neither off nor auto nor a whole number from 2 to 8",
        ),
    ],
)
def test_ranges(taken: Range, value: object, problem: str) -> None:
    assert taken.problem("key", value) == problem


def test_every_entry_of_a_list_is_checked() -> None:
    with pytest.raises(UserError) as caught:
        Settings(
            snapshots=[0, 5, 201],
            segmenter=SegmenterSettings(sizes=[63, 64]),
            encoder=EncoderSettings(levels=7, style_layers=[]),
        )
    assert str(caught.value) == (
        "snapshots=0 is outside 1 to 100000; segmenter.sizes=63 is outside 64 to 4096; "
        "encoder.levels=7 is outside 1 to 6; "
        "snapshots=201 is after the last of optimizer.iterations=100; "
        "encoder.style_layers is empty; name a layer or leave it null"
    )


def test_instant_makes_no_optimisation() -> None:
    feedforward = Settings(method=MethodSettings(MethodName.feedforward))
    assert feedforward.init == "content"
    instant = MethodSettings(MethodName.instant)
    Settings(method=instant)
    with pytest.raises(UserError) as caught:
        Settings(method=instant, init="noise", snapshots=[3])
    assert str(caught.value) == (
        "init=noise is where an optimisation starts; method=instant makes none; "
        "snapshots are taken of an optimisation; method=instant makes none"
    )


def test_a_painter_is_for_what_paints_with_it() -> None:
    Settings(method=MethodSettings(MethodName.instant, weights="a.safetensors"))
    Settings(method=MethodSettings(weights="a.safetensors"), init="instant")
    with pytest.raises(UserError, match=r"method.weights is a painter for .*, not for method=gui"):
        Settings(method=MethodSettings(weights="a.safetensors"))


def test_models_are_for_open_segmenters() -> None:
    with pytest.raises(UserError, match=r"segmenter.model=a/b is not for segmenter=auto; add"):
        Settings(segmenter=SegmenterSettings(model="a/b"))
    with pytest.raises(UserError, match=r"segmenter.weights is not for segmenter=eomt; name a"):
        Settings(segmenter=SegmenterSettings(name="eomt", weights="a.pth"))
    Settings(segmenter=SegmenterSettings(name="open", model="a/b"))
    assert {*schema.OPEN_SEGMENTERS} == {*OPEN_MODELS}
