"""Viewers are shown the picture on its way: whole, at full size, of every method."""

import functools

import pytest
import torch
from torch import Tensor

from pipeline.engine.engine import Descent, Engine
from pipeline.engine.objective import Objective, Style
from pipeline.engine.progress import Placed
from pipeline.methods import Method, Region, Scene
from pipeline.methods.composite import composite
from pipeline.methods.guided import guided
from pipeline.methods.stitch import stitch
from pipeline.methods.whole import whole
from pipeline.methods.working_size import at_working_size
from pipeline.networks.pyramid import PyramidEncoder

METHODS: dict[str, Method] = {
    "stitch": functools.partial(stitch, gram="masked", margin=4),
    "guided": functools.partial(guided, margin=4),
    "composite": functools.partial(composite, gram="masked", margin=4),
}


class Seen:
    """Keeps what it is shown, after every second iteration."""

    def __init__(self) -> None:
        self.shown: list[tuple[Tensor, Tensor]] = []
        self.asked = 0

    def is_due(self) -> bool:
        self.asked += 1
        return self.asked % 2 == 0

    def show(self, picture: Tensor, mask: Tensor) -> None:
        self.shown.append((picture.clone(), mask.clone()))


def test_a_part_is_shown_in_its_place() -> None:
    seen, whole = Seen(), torch.zeros(1, 3, 4, 6)

    def put(part: Tensor, picture: Tensor) -> Tensor:
        return torch.cat([part, picture[..., part.shape[3] :]], dim=3)

    placed = Placed(seen, put, whole)
    assert [placed.is_due() for _ in range(2)] == [False, True]
    placed.show(torch.ones(1, 3, 4, 2), torch.full((1, 1, 4, 2), 0.5))
    [(picture, mask)] = seen.shown
    assert picture.shape == whole.shape
    assert picture[0, :, 0].tolist() == 3 * [[1, 1, 0, 0, 0, 0]]
    assert mask[0, 0, 0].tolist() == [0.5, 0.5, 0, 0, 0, 0]


@pytest.mark.parametrize("enlargement", [1.0, 2.0])
@pytest.mark.parametrize("name", [*METHODS, "global"])
def test_every_method_shows_the_whole_picture(
    name: str, enlargement: float, encoder: PyramidEncoder, content: Tensor, stripes: Tensor
) -> None:
    objective = Objective("balanced", 1.0, 1e3, 0.0, {"relu1_1": 1.0}, ["relu2_1"])
    engine = Engine(encoder, objective, Descent("lbfgs", 8, 2, 1.0))
    height, width = content.shape[2:]
    if name == "global":
        regions = [Region("all", torch.ones(1, 1, height, width), [Style(stripes)])]
        method: Method = whole
    else:
        left = torch.zeros(1, 1, height, width)
        left[..., : width // 2] = 1
        masks = {"left": left, "right": 1 - left}
        regions = [
            Region(region, mask, [Style(stripes, name=region)], enlargement=enlargement)
            for region, mask in masks.items()
        ]
        method = functools.partial(at_working_size, method=METHODS[name], margin=4)
    seen = Seen()
    done = method(Scene(content, regions, viewer=seen), engine, lambda row: None)
    assert len(seen.shown) >= 2
    painted = torch.zeros(1, 1, height, width)
    for picture, mask in seen.shown:
        assert picture.shape == content.shape
        assert mask.shape == painted.shape
        # Nothing but the mask has changed; what is enlarged is resampled around it.
        outside = mask.expand_as(picture) == 0
        assert enlargement > 1 or torch.equal(picture[outside], content[outside])
        painted = torch.maximum(painted, mask)
    assert float(painted.min()) > 0.5
    # To look changes nothing.
    unseen = method(Scene(content, regions), engine, lambda row: None)
    assert all(torch.equal(done.pictures[r], unseen.pictures[r]) for r in done.pictures)
    # What was seen last is near what has become of it.
    region = regions[-1]
    last = seen.shown[-1][0]
    far = (content - done.pictures[region.name]).abs() * region.mask
    near = (last - done.pictures[region.name]).abs() * region.mask
    assert near.mean() < 0.5 * far.mean()
