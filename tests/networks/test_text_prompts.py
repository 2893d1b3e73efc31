"""Text prompts: the real processor and CLIPSeg, small, with a tokenizer of single characters."""

from pathlib import Path

import pytest
import torch
from torch import Tensor

from pipeline.errors import UserError
from pipeline.networks import hub, text_prompts
from tests.networks import hub_models

pytest.importorskip("transformers")

CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return hub_models.make("clipseg", tmp_path_factory.mktemp("models") / "clipseg")


@pytest.fixture(scope="module")
def prompts(folder: Path) -> text_prompts.TextPrompts:
    return text_prompts.load("clipseg", folder.parent, CPU)


@torch.no_grad()
def test_a_phrase_has_clipsegs_probabilities(
    prompts: text_prompts.TextPrompts, content: Tensor
) -> None:
    found = prompts.segmenter("a hat", 0.5)(content).softmax(1)
    # Pictures are given at 64 x 64, twice the size that the positions are of.
    given = prompts.processor(text=["a hat"], images=hub.levels(content), return_tensors="pt")
    assert given["pixel_values"].shape == (1, 3, 64, 64)
    expected = prompts.model(**given, interpolate_pos_encoding=True).logits.sigmoid()
    torch.testing.assert_close(found[0, 1], expected.view(64, 64))
    assert found.shape == (1, 2, 64, 64)


@torch.no_grad()
def test_phrases_differ_and_long_ones_are_cut(
    prompts: text_prompts.TextPrompts, content: Tensor
) -> None:
    hat, dog = (prompts.segmenter(phrase, 0.5)(content) for phrase in ("a hat", "a dog"))
    assert (hat - dog).abs().max() > 0.1
    assert torch.isfinite(prompts.segmenter("word " * 100, 0.5)(content)).all()


@torch.no_grad()
def test_the_threshold_is_where_a_pixel_is_half(
    prompts: text_prompts.TextPrompts, content: Tensor
) -> None:
    plain = prompts.segmenter("a hat", 0.5)(content).softmax(1)[:, 1]
    lower = prompts.segmenter("a hat", 0.2)(content).softmax(1)[:, 1]
    assert torch.equal(lower > 0.5, plain > 0.2)
    assert (lower > 0.5).any()


def test_other_models_are_refused(folder: Path, tmp_path: Path) -> None:
    other = hub_models.make("segformer", tmp_path / "other")
    with pytest.raises(UserError) as caught:
        text_prompts.load(str(other), tmp_path, CPU)
    assert "\n" not in str(caught.value)


def test_the_default_is_the_settings() -> None:
    from pipeline.config.schema import PromptSettings

    assert PromptSettings().text_model == text_prompts.MODEL
