"""Own regions: what needs the segmenter, and what a source may be."""

import numpy as np
import pytest
import torch

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


def test_sources_of_every_kind() -> None:
    two = torch.zeros(1, 1, 40, 60)
    two[..., 5:30, 5:30] = 1
    two[..., 5:15, 40:50] = 1
    available = {"cat": two}
    drawn = torch.rand(1, 1, 40, 60)
    choices = {
        "file": RegionChoice("half.png"),
        "shape": RegionChoice(Shape("box", (60, 0, 120, 80))),
        "other": RegionChoice("cat"),
        "second": RegionChoice("cat.2"),
        "changed": RegionChoice(None, grow=3),
    }
    masks = custom.own_masks(choices, available, {"file": drawn}, CONTENT, (120, 80))
    assert set(masks) == {"file", "shape", "other", "second"}
    assert masks["shape"][..., :29].max() < 0.02
    assert masks["shape"][..., 31:].min() > 0.98
    assert masks["other"] is available["cat"]
    assert torch.equal(masks["file"], drawn)
    assert masks["second"].sum() == 100


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("horse", "there is no horse in this photograph"),
        ("cat.9", "no cat.9; there is one object"),
    ],
)
def test_sources_that_are_not_there(source: str, message: str) -> None:
    available = {"cat": torch.ones(1, 1, 40, 60)}
    with pytest.raises(UserError, match=message):
        custom.own_masks({"r": RegionChoice(source)}, available, {}, CONTENT, (60, 40))
