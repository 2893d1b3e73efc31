"""From what was found in a photograph to the masks of regions."""

import pytest
import torch
from torch import Tensor
from torchvision.transforms.functional import to_pil_image

from pipeline.errors import UserError
from pipeline.fit import Room
from pipeline.inputs import Inputs
from pipeline.mask import Masked, mask
from pipeline.pictures.read import Photograph
from pipeline.regions.segment import Segmentation
from pipeline.request import Prompt, RegionChoice, Request, Shape

HEIGHT, WIDTH = 60, 80
LEFT = torch.zeros(1, 1, HEIGHT, WIDTH)
LEFT[..., :20] = 1
CORNER = RegionChoice(Shape("box", (0.5, 0.5, 1.0, 1.0)))


@pytest.fixture
def content() -> Tensor:
    """Grey, but red where the cat is."""
    return torch.where(LEFT > 0, torch.tensor([0.9, 0.1, 0.1]).view(1, 3, 1, 1), 0.5)


@pytest.fixture
def found() -> Segmentation:
    return Segmentation({"background": 1 - LEFT, "cat": LEFT})


def masked(
    content: Tensor,
    found: Segmentation | None,
    styled: list[str],
    room: Room | None = None,
    matte: bool = False,
    phrases: dict[str, Segmentation] | None = None,
) -> Masked:
    file = to_pil_image(content[0])
    inputs = Inputs(Photograph(content, file.size, file), {}, None, None, {}, None)
    phrases = phrases or {}
    named = {name: RegionChoice(Prompt(f"a {name}")) for name in phrases}
    asked = Request("photo", regions={"corner": CORNER, **named})
    return mask(asked, inputs, content, found, phrases, styled, room, matte)


def test_all_regions_are_shown_and_those_with_a_style_wanted(
    content: Tensor, found: Segmentation
) -> None:
    seen = masked(content, found, ["cat", "corner"])
    assert {*seen.shown} == {"background", "cat", "corner"}
    assert [*seen.wanted] == ["cat", "corner"]
    assert torch.equal(seen.wanted["cat"], LEFT)
    assert float(seen.wanted["corner"].mean()) == pytest.approx(1 / 4, abs=0.01)
    assert seen.mixed is None
    assert torch.equal(seen.content, content)


def test_what_a_phrase_found_is_a_region_too(content: Tensor, found: Segmentation) -> None:
    asked = {"hat": Segmentation({"background": LEFT, "hat": 1 - LEFT})}
    seen = masked(content, found, ["hat"], phrases=asked)
    assert torch.equal(seen.wanted["hat"], 1 - LEFT)
    assert {"hat", "cat"} <= {*seen.shown}


def test_mattes_tell_where_pixels_are_mixed(content: Tensor, found: Segmentation) -> None:
    seen = masked(content, found, ["cat"], matte=True)
    assert seen.mixed is not None
    assert seen.mixed.shape == LEFT.shape
    assert float((seen.wanted["cat"] - LEFT).abs().mean()) < 0.02


@pytest.mark.parametrize(
    ("styled", "source", "mixed"),
    [
        (["cat"], None, {"cat"}),
        (["cat.1"], None, {"cat"}),
        (["own"], "dog", {"dog"}),
        (["animals"], None, {"cat", "dog"}),
        (["all"], None, set()),
    ],
)
def test_only_what_is_painted_has_a_matte(
    content: Tensor, styled: list[str], source: str | None, mixed: set[str]
) -> None:
    right = LEFT.flip(3)
    found = Segmentation(
        {"background": 1 - LEFT - right, "cat": LEFT, "dog": right},
        unions={"animals": ("cat", "dog")},
    )
    # Both have soft edges in the picture.
    seen = torch.nn.functional.avg_pool2d(content + 0.3 * right, 5, 1, 2, count_include_pad=False)
    own = {} if source is None else {"own": RegionChoice(source)}
    file = to_pil_image(seen[0])
    inputs = Inputs(Photograph(seen, file.size, file), {}, None, None, {}, None)
    asked = Request("photo", regions=own)
    masked = mask(asked, inputs, seen, found, {}, styled, None, True)
    soft = {name for name, one in masked.shown.items() if bool(((one > 0.05) & (one < 0.95)).any())}
    assert soft - {"background", "animals", "own"} == mixed


def test_masks_and_photograph_have_the_size_that_has_room(
    content: Tensor, found: Segmentation
) -> None:
    large = content.repeat_interleave(10, 2).repeat_interleave(10, 3)
    seen = masked(large, found, ["cat"], Room(450 * 600, 0, together=True, whole=True))
    assert seen.content.shape == (1, 3, 450, 600)
    assert torch.equal(seen.inputs.photograph.picture, seen.content)
    assert all(one.shape == (1, 1, 450, 600) for one in seen.shown.values())


def test_without_classes_own_regions_are_enough(content: Tensor) -> None:
    assert [*masked(content, None, ["corner"]).wanted] == ["corner"]


def test_a_region_that_is_not_there(content: Tensor, found: Segmentation) -> None:
    with pytest.raises(UserError, match="dog"):
        masked(content, found, ["dog"])
