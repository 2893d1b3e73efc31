"""Regions at a point, their order, and how they are seen."""

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor

from pipeline.studio.regions import Regions, as_image


def box(rows: slice, columns: slice) -> Tensor:
    mask = torch.zeros(1, 1, 40, 60)
    mask[..., rows, columns] = 1
    return mask


@pytest.fixture
def regions() -> Regions:
    sky = box(slice(0, 20), slice(None))
    cats = box(slice(5, 35), slice(5, 20)) + box(slice(5, 25), slice(40, 50))
    content = torch.rand(1, 3, 40, 60, generator=torch.Generator().manual_seed(0))
    return Regions(
        content,
        {
            "background": 1 - cats,
            "sky": sky * (1 - cats),
            "cat": cats,
            "bird": box(slice(39, 40), slice(0, 2)),
        },
    )


def test_things_come_before_scenes_and_the_background_is_last(regions: Regions) -> None:
    # The bird is too small to be offered.
    assert regions.names == ["cat", "sky", "background"]
    tiny = regions.with_drawn("dot", box(slice(0, 1), slice(0, 1)))
    assert tiny.names == ["cat", "dot", "sky", "background"]


def test_there_are_no_objects_of_what_was_drawn(regions: Regions) -> None:
    assert regions.objects("cat") == ["cat.1", "cat.2"]
    assert regions.has("cat.2")
    assert not regions.has("cat.3")
    drawn = regions.with_drawn("cat", regions.masks["cat"]).with_drawn("dot", regions.masks["sky"])
    assert drawn.objects("cat") == []
    assert not drawn.has("cat.2")
    assert drawn.has("dot")


def test_what_lies_at_a_point(regions: Regions) -> None:
    assert regions.at(0.5, 0.1) == "sky"
    assert regions.at(10 / 60, 20 / 40) == "cat"
    assert regions.at(0.5, 0.9) is None
    assert regions.at(1.0, 1.0) is None
    assert regions.at(10 / 60, 20 / 40, objects=True) == "cat.1"
    assert regions.at(45 / 60, 20 / 40, objects=True) == "cat.2"
    assert regions.with_drawn("hat", box(slice(10, 30), slice(8, 12))).at(10 / 60, 0.5) == "hat"


def test_objects_of_things_alone(regions: Regions) -> None:
    assert regions.objects("cat") == ["cat.1", "cat.2"]
    assert regions.objects("sky") == regions.objects("background") == []
    assert torch.equal(regions.together(["cat.1", "cat.2"]), regions.mask("cat"))


def test_a_drawn_region_takes_the_place_of_a_class(regions: Regions) -> None:
    mended = regions.with_drawn("cat", box(slice(0, 40), slice(0, 30)))
    assert mended.at(0.1, 0.95) == "cat"
    assert [*regions.masks] == ["background", "sky", "cat", "bird"]
    assert [*mended.masks][-1] == "cat"


def test_what_is_selected_stays_bright(regions: Regions) -> None:
    picture = as_image(regions.content).resize((120, 80), Image.Resampling.NEAREST)
    assert regions.outlined(picture, []) is picture
    before = np.asarray(picture).astype(int)
    after = np.asarray(regions.outlined(picture, ["cat"])).astype(int)
    assert np.array_equal(after[30:40, 20:30], before[30:40, 20:30])
    assert np.allclose(after[70:, 60:], before[70:, 60:] * 0.55, atol=1)
    assert (after == 255).all(2).any()
    assert regions.overview().size == (60, 40)
