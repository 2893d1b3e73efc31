"""Clicks: the real processor and SAM 2.1, small, encoded once for many clicks."""

import importlib.util
from pathlib import Path

import pytest
import torch
from torch import Tensor

from pipeline.config.compose import compose_settings
from pipeline.errors import UserError
from pipeline.networks import click_prompts, hub
from pipeline.regions.snap import snapped_masks
from pipeline.request import RegionChoice, Seeds
from pipeline.run import stylize
from tests.networks import hub_models

pytest.importorskip("transformers")

CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return hub_models.make("sam2", tmp_path_factory.mktemp("models") / "sam2")


@pytest.fixture
def clicks(folder: Path) -> click_prompts.ClickPrompts:
    found = click_prompts.load(folder.parent, CPU, "sam2")
    assert found is not None
    return found


def logits(
    clicks: click_prompts.ClickPrompts,
    content: Tensor,
    places: list[list[float]],
    labels: list[int],
    several: bool,
) -> tuple[Tensor, Tensor]:
    """Straight through the model: masks (N, H, W) and what they are worth."""
    given = clicks.processor(
        images=hub.levels(content),
        input_points=[[places]],
        input_labels=[[labels]],
        return_tensors="pt",
    )
    sizes = given.pop("original_sizes")
    with torch.no_grad():
        found = clicks.model(**given, multimask_output=several)
    masks = clicks.processor.post_process_masks(found.pred_masks, sizes, binarize=False)
    return masks[0][0], found.iou_scores[0, 0]


def test_one_point_has_the_best_of_three_masks(
    clicks: click_prompts.ClickPrompts, content: Tensor
) -> None:
    found = clicks.masks_of_points(content, [(0.25, 0.75)])
    masks, worth = logits(clicks, content, [[0.25 * 83, 0.75 * 61]], [1], True)
    assert masks.shape == (3, 61, 83)
    torch.testing.assert_close(found[0, 0], masks[worth.argmax()].sigmoid())
    assert found.shape == (1, 1, 61, 83)


def test_several_points_and_excluded_ones_have_one(
    clicks: click_prompts.ClickPrompts, content: Tensor
) -> None:
    found = clicks.masks_of_points(content, [(0.25, 0.75), (0.5, 0.5)], [(0, 1)])
    places = [[0.25 * 83, 0.75 * 61], [41.5, 30.5], [0.0, 61.0]]
    masks, _ = logits(clicks, content, places, [1, 1, 0], False)
    assert len(masks) == 1
    torch.testing.assert_close(found[0], masks.sigmoid())
    other, _ = logits(clicks, content, places, [1, 1, 1], False)
    assert not torch.equal(other, masks)


def test_a_picture_is_encoded_once(
    clicks: click_prompts.ClickPrompts, content: Tensor, monkeypatch: pytest.MonkeyPatch
) -> None:
    encoded = []
    encode = clicks.model.get_image_embeddings
    monkeypatch.setattr(
        clicks.model, "get_image_embeddings", lambda values: encoded.append(1) or encode(values)
    )
    first = clicks.masks_of_points(content, [(0.5, 0.5)])
    clicks.masks_of_points(content, [(0.1, 0.9)])
    assert torch.equal(clicks.masks_of_points(content.clone(), [(0.5, 0.5)]), first)
    assert len(encoded) == 1
    clicks.masks_of_points(1 - content, [(0.5, 0.5)])
    assert len(encoded) == 2


def test_there_are_none_where_they_cannot_be_had(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(hub, "_snapshot", lambda model, cached: None)
    assert click_prompts.load(tmp_path, CPU) is None
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    assert click_prompts.load(folder.parent, CPU, "sam2") is None


def test_a_run_with_a_click_asks_the_model(folder: Path) -> None:
    words = (
        "size=96",
        "segmenter=compact",
        "device=cpu",
        f"prompts.click_model={folder.name}",
        "++regions.thing.source='point(0.9,0.1)'",
    )
    asked = stylize(compose_settings(words), folder.parent)
    found = click_prompts.load(folder.parent, CPU, folder.name)
    assert found is not None
    thing = snapped_masks(
        {"thing": RegionChoice(Seeds(((0.9, 0.1),)))},
        asked.segmentation,
        asked.content,
        (512, 512),
        True,
        found.masks_of_points,
    )
    torch.testing.assert_close(asked.shown["thing"], thing["thing"], atol=1e-3, rtol=0)
    without = stylize(compose_settings(words[:3] + words[4:]), folder.parent)
    assert float((without.shown["thing"] - asked.shown["thing"]).abs().mean()) > 0.01


def test_a_model_that_was_asked_for_and_is_not_there(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    words = (
        "size=96",
        "segmenter=compact",
        "device=cpu",
        "prompts.click_model=empty",
        "++regions.thing.source='point(0.9,0.1)'",
    )
    with pytest.raises(UserError, match=r"empty is not the folder .* prompts.click_model=FOLDER"):
        stylize(compose_settings(words), tmp_path)
