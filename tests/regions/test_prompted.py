"""Regions by a phrase: their masks, their mattes, and whole runs with small models."""

from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from pipeline.config.compose import compose_settings
from pipeline.errors import UserError
from pipeline.networks import text_prompts
from pipeline.regions.prompted import check_found, prompt_masks, prompt_outlines
from pipeline.regions.segment import Refinement, Segmentation, segment
from pipeline.run import stylize
from tests.networks import hub_models


def found_in(picture: Tensor, scores: Tensor, refinement: Refinement | None = None) -> Segmentation:
    """What `segment` makes of a phrase's scores."""

    class Phrase(nn.Module):
        def forward(self, seen: Tensor) -> Tensor:
            return torch.cat([torch.zeros_like(scores), scores], dim=1)

    classes = text_prompts.CLASSES
    return segment(picture, Phrase(), (83,), False, refinement, classes=classes)


def blurred(disc: Tensor) -> Tensor:
    """Scores of the disc as a network of few pixels has them."""
    coarse = nn.functional.avg_pool2d(disc, 9, 1, 4)
    return 6 * (2 * coarse - 1)


def test_a_phrases_mask_is_where_its_scores_are(content: Tensor, disc: Tensor) -> None:
    found = {"hat": found_in(content, 20 * (disc - 0.5))}
    assert torch.equal(prompt_masks(found, content)["hat"], disc)
    check_found(found, {"hat": "red hat"})


def test_the_guided_filter_sharpens_it(content: Tensor, disc: Tensor) -> None:
    plain, refined = (
        prompt_masks({"hat": found_in(content, blurred(disc), how)}, content)["hat"]
        for how in (None, Refinement(4, 1e-4))
    )
    assert (refined - disc).abs().sum() < 0.6 * (plain - disc).abs().sum()


def test_mattes_are_mixed_with_those_of_classes(content: Tensor, disc: Tensor) -> None:
    found = {"hat": found_in(content, blurred(disc))}
    masks, mixed = prompt_outlines(found, content, True, None)
    assert mixed is not None
    assert torch.equal(mixed, (masks["hat"] > 0) & (masks["hat"] < 1))
    assert (masks["hat"] - disc).abs().mean() < 0.03
    before = torch.zeros_like(mixed)
    before[..., 0, 0] = True
    _, both = prompt_outlines(found, content, True, before)
    assert both is not None
    assert torch.equal(both, mixed | before)
    masks, none = prompt_outlines(found, content, False, None)
    assert none is None
    assert torch.equal(masks["hat"], prompt_masks(found, content)["hat"])
    assert prompt_outlines({}, content, True, before) == ({}, before)


def test_a_phrase_that_nothing_looks_like_is_one_line(content: Tensor, disc: Tensor) -> None:
    found = {"hat": found_in(content, -9 * torch.ones_like(disc))}
    with pytest.raises(UserError, match=r"^regions.hat=text\(red hat\): nothing .* lower prompts"):
        check_found(found, {"hat": "red hat"})


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> Path:
    pytest.importorskip("transformers")
    root = tmp_path_factory.mktemp("models")
    for name in ("clipseg", "oneformer", "segformer"):
        hub_models.make(name, root / name)
    return root


TINY = ("size=96", "optimizer.iterations=1", "optimizer.scales=1", "encoder=compact", "device=cpu")


def test_a_run_with_a_phrase_needs_no_segmenter(folders: Path) -> None:
    words = (
        "prompts.text_model=clipseg",
        "prompts.text_threshold=0.5",
        "segmenter.min_share=0.001",
    )
    result = stylize(
        compose_settings(
            [*TINY, *words, "++regions.hat.source='text(a red hat)'", "+styles.hat=wave.jpg"]
        ),
        folders,
    )
    mask = result.region_masks["hat"]
    assert result.segmentation is None
    assert 0 < mask.mean() < 1
    assert result.painted is not None
    outside = (mask == 0).expand_as(result.content)
    assert torch.equal(result.painted[outside], result.content[outside])


def test_a_run_with_an_open_segmenter(folders: Path) -> None:
    words = ["segmenter=open", "segmenter.model=segformer", "segmenter.min_share=0.05"]
    shown = stylize(compose_settings([*TINY, *words]), folders)
    assert shown.summary["networks"]["segmenter"]["name"] == "segformer"
    masks = shown.shown
    # The model has no background; what is no object is.
    assert {*masks} == {"background", "wall", "tree", "house", "road", "hat"}
    around = sum(masks[name] for name in ("wall", "tree", "house", "road"))
    torch.testing.assert_close(masks["background"], around, atol=1e-5, rtol=0)
    torch.testing.assert_close(masks["background"], 1 - masks["hat"], atol=1e-5, rtol=0)
    assert shown.segmentation is not None
    assert shown.segmentation.labels.unique().numel() > 3
    styles = ["+styles.hat=wave.jpg", "+styles.ground=ink.jpg", "+styles.building=ink.jpg"]
    styles += ["+styles.background=night.jpg"]
    painted = stylize(compose_settings([*TINY, *words, *styles]), folders).region_masks
    # Over the background, which is named later.
    for name, found in {"hat": "hat", "ground": "road", "building": "house"}.items():
        torch.testing.assert_close(painted[name], masks[found], atol=0.01, rtol=0)
    together = sum(painted[name] for name in ("background", "ground", "building"))
    torch.testing.assert_close(together, masks["background"], atol=0.02, rtol=0)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("airplan", "no region 'airplan'; did you mean airplane"),
        ("bottle", "no region 'bottle';"),
        ("plane", "did you mean aeroplane"),
    ],
)
def test_errors_name_the_models_classes(folders: Path, name: str, message: str) -> None:
    words = ["segmenter=open", "segmenter.model=oneformer", f"+styles.{name}=wave.jpg"]
    with pytest.raises(UserError, match=message):
        stylize(compose_settings([*TINY, *words]), folders)
