"""Open segmenters: the real loading, preprocessing and post-processing, with small models."""

import json
import logging
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from pipeline.errors import UserError
from pipeline.networks import hub, open_segmenters, segmenters
from pipeline.regions.masks import class_masks
from pipeline.regions.segment import segment
from tests.networks import hub_models

pytest.importorskip("transformers")

CPU = torch.device("cpu")
MODELS = ("segformer", "mask2former", "eomt", "oneformer")
NAMES = ("wall", "building", "sky", "tree", "road", "person", "house", "airplane", "hat")


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    root = tmp_path_factory.mktemp("models")
    return {name: hub_models.make(name, root / name) for name in MODELS}


@pytest.fixture
def picture() -> Tensor:
    levels = np.random.default_rng(0).integers(0, 256, (45, 70, 3))
    smooth = torch.from_numpy(levels).permute(2, 0, 1)[None].float() / 255
    return F.avg_pool2d(smooth, 9, 1, 4)


@pytest.mark.parametrize("name", MODELS)
@torch.no_grad()
def test_the_most_probable_class_is_transformers_own(
    name: str, folders: dict[str, Path], picture: Tensor
) -> None:
    loaded = segmenters.load("open", None, CPU, str(folders[name]))
    assert (loaded.source.kind, loaded.source.file.parent) == ("file", folders[name])
    assert loaded.classes.objects == ("background", *NAMES)
    scores = loaded.module(picture)
    assert scores.shape == (1, 10, 45, 70)
    assert (scores[:, 0] == -torch.inf).all()  # none of these models knows a background
    module = loaded.module
    task = {"task_inputs": ["semantic"]} if name == "oneformer" else {}
    inputs = module.processor(images=hub.levels(picture), return_tensors="pt", **task)
    expected = module.processor.post_process_semantic_segmentation(
        module.model(**inputs), target_sizes=[(45, 70)]
    )[0]
    assert len(expected.unique()) > 1
    # Random masks may be so far from a pixel that all its scores are nothing.
    known = scores[0, 1:].amax(0) > -60
    assert known.float().mean() > 0.5
    assert torch.equal(scores[0, 1:].argmax(0)[known], expected[known])


@torch.no_grad()
def test_shares_of_a_model_of_masks_by_hand(folders: dict[str, Path], picture: Tensor) -> None:
    module = open_segmenters.load(folders["oneformer"], CPU)
    inputs = module.processor(
        images=hub.levels(picture), task_inputs=["semantic"], return_tensors="pt"
    )
    outputs = module.model(**inputs)
    weights = outputs.class_queries_logits[0].softmax(-1)[:, :-1]  # (queries, classes)
    masks = outputs.masks_queries_logits[0].sigmoid()
    sums = sum(weights[q, :, None, None] * masks[q] for q in range(6))
    sums = F.interpolate(sums[None], (45, 70), mode="bilinear")[0]
    shares = module(picture).softmax(1)[0]
    torch.testing.assert_close(shares[1:], sums / sums.sum(0))
    assert shares[0].max() == 0


@torch.no_grad()
def test_shares_of_a_model_of_scores_by_hand(folders: dict[str, Path], picture: Tensor) -> None:
    module = open_segmenters.load(folders["segformer"], CPU)
    logits = module.model(**module.processor(hub.levels(picture), return_tensors="pt")).logits
    expected = F.interpolate(logits, (45, 70), mode="bilinear").softmax(1)
    torch.testing.assert_close(module(picture).softmax(1)[:, 1:], expected)


@torch.no_grad()
def test_a_background_of_the_models_own_comes_first(tmp_path: Path, picture: Tensor) -> None:
    labels = {0: "person", 1: "background", 2: "hat"}
    turned = {label: number for number, label in labels.items()}
    folder = hub_models.make("segformer", tmp_path / "a", id2label=labels, label2id=turned)
    module = open_segmenters.load(folder, CPU)
    logits = module.model(**module.processor(hub.levels(picture), return_tensors="pt")).logits
    expected = F.interpolate(logits, (45, 70), mode="bilinear")[:, [1, 0, 2]]
    torch.testing.assert_close(module(picture), expected)
    assert open_segmenters.classes(folder).objects == ("background", "person", "hat")


def test_a_picture_is_segmented_into_regions(folders: dict[str, Path], picture: Tensor) -> None:
    loaded = segmenters.load("open", None, CPU, "oneformer", folders["oneformer"].parent)
    found = segment(picture, loaded.module, loaded.sizes, classes=loaded.classes, min_share=0)
    total = torch.cat([*found.probabilities.values()], dim=1).sum(1)
    torch.testing.assert_close(total, torch.ones_like(total))
    masks = class_masks(found, picture)
    names = {*found.probabilities}
    assert {"building", "house", "person"} <= names
    for name in names - {"background", "building"}:
        assert masks[name].shape == (1, 1, 45, 70)
    objects = sum(masks[name] for name in ("person", "airplane", "hat") if name in names)
    torch.testing.assert_close(masks["background"], 1 - objects, atol=1e-5, rtol=0)
    plain = class_masks(
        segment(
            picture,
            loaded.module,
            loaded.sizes,
            min_share=0,
            classes=segmenters.Classes(loaded.classes.objects),
        ),
        picture,
    )
    torch.testing.assert_close(masks["building"], plain["building"] + plain["house"])


def test_transformers_says_nothing(
    folders: dict[str, Path], caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    from transformers.utils import logging as remarks

    before = remarks.get_verbosity()
    with caplog.at_level(logging.DEBUG):
        open_segmenters.load(folders["eomt"], CPU)
    assert [record for record in caplog.records if record.name.startswith("transformers")] == []
    assert capfd.readouterr() == ("", "")
    assert remarks.get_verbosity() == before


def test_other_models_are_refused(folders: dict[str, Path], tmp_path: Path) -> None:
    for file in folders["segformer"].iterdir():
        (tmp_path / file.name).write_bytes(file.read_bytes())
    settings = json.loads((tmp_path / "config.json").read_text())
    (tmp_path / "config.json").write_text(json.dumps(settings | {"decoder_hidden_size": 24}))
    with pytest.raises(UserError, match="is not one that segments: ") as caught:
        open_segmenters.load(tmp_path, CPU)
    assert "\n" not in str(caught.value)
    (tmp_path / "config.json").write_text('{"model_type": "bert"}')
    with pytest.raises(UserError, match="a bert, is not one of semantic segmentation"):
        open_segmenters.load(tmp_path, CPU)
    (tmp_path / "config.json").write_text('{"model_type": "no such type"}')
    with pytest.raises(UserError, match="cannot be loaded: ") as caught:
        open_segmenters.classes(tmp_path)
    assert "\n" not in str(caught.value)
