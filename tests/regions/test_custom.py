"""Own regions: what needs the segmenter, and what a source may be."""

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from pipeline.errors import UserError
from pipeline.regions import custom
from pipeline.regions.label_map import LabelMap
from pipeline.request import RegionChoice, Shape

LABELS = LabelMap(
    np.repeat([[0, 0, 1]], 4, axis=0), [("label_0", "background"), ("label_9", "sky", "person")]
)
CONTENT = torch.zeros(1, 3, 40, 60)


@pytest.mark.parametrize(
    ("names", "choices", "labels", "needed"),
    [
        (["person"], {}, None, True),
        (["person.2"], {}, None, True),
        (["background"], {}, None, True),
        (["all"], {}, None, False),
        (["rest", "logo"], {"logo": RegionChoice(Shape("box", (0, 0, 1, 1)))}, None, False),
        (["hero"], {"hero": RegionChoice("person.1", grow=3)}, None, True),
        (["person"], {"person": RegionChoice("mask.png")}, None, False),
        (["person"], {"person": RegionChoice(None, grow=3)}, None, True),
        (["person", "sky"], {}, LABELS, False),
        (["cat", "sky"], {}, LABELS, True),
    ],
)
def test_the_segmenter_runs_only_where_it_is_needed(
    names: list[str], choices: dict[str, RegionChoice], labels: LabelMap | None, needed: bool
) -> None:
    assert custom.needs_classes(names, labels, choices) == needed


def test_labels_have_all_their_names_and_show_one() -> None:
    masks = custom.label_masks(LABELS, CONTENT)
    assert torch.equal(masks["sky"], masks["label_9"])
    assert masks["sky"].shape == (1, 1, 40, 60)
    assert custom.aliases(LABELS) == {"background", "sky", "person"}
    assert custom.label_masks(None, CONTENT) == {}


def test_sources_of_every_kind(tmp_path: Path) -> None:
    array = np.zeros((80, 120), dtype=np.uint8)
    array[:, 60:] = 255
    Image.fromarray(array).save(tmp_path / "half.png")
    available = {"cat": torch.full((1, 1, 40, 60), 0.5)}
    choices = {
        "file": RegionChoice("half.png"),
        "held": RegionChoice("picture 1 in memory"),
        "shape": RegionChoice(Shape("box", (60, 0, 120, 80))),
        "other": RegionChoice("cat"),
        "changed": RegionChoice(None, grow=3),
    }
    held = {"picture 1 in memory": Image.fromarray(array)}
    masks = custom.own_masks(choices, available, CONTENT, (120, 80), tmp_path, held)
    assert set(masks) == {"file", "held", "shape", "other"}
    for name in ("file", "held", "shape"):
        assert masks[name][..., :29].max() < 0.02
        assert masks[name][..., 31:].min() > 0.98
    assert masks["other"] is available["cat"]


@pytest.mark.parametrize(
    ("source", "message"),
    [("no.png", "mask 'no.png' not found"), ("horse", "there is no horse in this photograph")],
)
def test_sources_that_are_not_there(source: str, message: str, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=message):
        custom.own_masks({"r": RegionChoice(source)}, {}, CONTENT, (60, 40), tmp_path, {})
