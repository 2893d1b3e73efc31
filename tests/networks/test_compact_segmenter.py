"""The compact segmenter takes any size, and its bundled weights find what they should."""

from pathlib import Path

import cv2
import numpy as np
import pytest
import skimage.data
import torch
from torch import Tensor, nn

from pipeline.networks import segmenters, weights
from pipeline.networks.compact_segmenter import CLASSES, SCENES, CompactSegmenter
from pipeline.regions import names
from pipeline.regions.segment import Refinement, Segmentation, segment

BY_HAND = Path(__file__).parents[1] / "regions" / "astronaut_person.png"
FILE = weights.BUNDLED / "compact_segmenter.safetensors"


@pytest.fixture
def network() -> CompactSegmenter:
    """Random weights, batch norm's statistics those of noise."""
    torch.manual_seed(0)
    network = CompactSegmenter()
    with torch.no_grad():
        for _ in range(20):
            network(torch.rand(2, 3, 48, 64))
    return network.eval().requires_grad_(False)


@pytest.mark.parametrize("size", [(64, 96), (61, 83), (97, 33), (17, 130), (5, 7)])
def test_scores_are_at_a_quarter_rounded_up(
    network: CompactSegmenter, size: tuple[int, int]
) -> None:
    height, width = size
    scores = network(torch.rand(2, 3, height, width))
    assert scores.shape == (2, CLASSES + SCENES, -(-height // 4), -(-width // 4))
    assert torch.isfinite(scores).all()


def test_pictures_of_a_batch_do_not_mix(network: CompactSegmenter) -> None:
    pictures = torch.rand(2, 3, 41, 59)
    alone = torch.cat([network(picture[None]) for picture in pictures])
    assert torch.allclose(network(pictures), alone, atol=1e-4)
    assert not torch.allclose(alone[0], alone[1], atol=1e-2)


def test_its_layers_see_colours_from_minus_one_to_one(network: CompactSegmenter) -> None:
    seen: list[Tensor] = []
    hook = network.backbone.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0]))
    picture = torch.tensor([0.2, 0.5, 1.0]).view(1, 3, 1, 1).expand(1, 3, 20, 24)
    network(picture)
    hook.remove()
    assert seen[0][0, :, 3, 5].tolist() == pytest.approx([-0.6, 0.0, 1.0], abs=1e-6)


def test_the_whole_picture_is_seen(network: CompactSegmenter) -> None:
    # Image pooling: a change in one corner reaches the scores of the other.
    picture = torch.rand(1, 3, 160, 240)
    changed = picture.clone()
    changed[..., :40, :40] = 1
    difference = (network(changed) - network(picture)).abs()
    assert float(difference[..., -1, -1].max()) > 0


def test_weights_follow_the_learning(network: CompactSegmenter) -> None:
    trained = CompactSegmenter().train()
    trained(torch.rand(2, 3, 32, 48)).square().mean().backward()
    idle = [name for name, p in trained.named_parameters() if p.grad is None]
    assert idle == []


def test_is_small() -> None:
    network = CompactSegmenter()
    assert sum(parameter.numel() for parameter in network.parameters()) < 4_000_000
    dilations = {m.dilation for m in network.modules() if isinstance(m, nn.Conv2d)}
    assert dilations == {(1, 1), (2, 2), (3, 3), (6, 6)}


def test_bundled_file_is_half_precision_and_loads() -> None:
    state = weights.read_state_dict(FILE)
    wanted = {
        name: tensor.shape
        for name, tensor in CompactSegmenter().state_dict().items()
        if not name.endswith("num_batches_tracked")
    }
    assert {name: tensor.shape for name, tensor in state.items()} == wanted
    assert {tensor.dtype for tensor in state.values()} == {torch.float16}
    assert all(torch.isfinite(tensor).all() for tensor in state.values())
    assert FILE.stat().st_size < 8_000_000
    loaded = segmenters.load("compact", None, torch.device("cpu"))
    assert loaded.source.kind == "bundled"
    assert next(loaded.module.parameters()).dtype == torch.float32
    assert torch.equal(loaded.module.classify.weight, state["classify.weight"].float())


@pytest.mark.parametrize(("dtype", "apart"), [(torch.float32, 1e-4), (torch.bfloat16, 0.5)])
def test_it_finds_the_same_when_prepared(dtype: torch.dtype, apart: float) -> None:
    network = CompactSegmenter()
    segmenters.fill(network, FILE)
    network.eval().requires_grad_(False)
    photograph = torch.from_numpy(skimage.data.chelsea()).permute(2, 0, 1)[None] / 255  # type: ignore[no-untyped-call]
    before = network(photograph)
    network.prepare(dtype)
    after = network(photograph)
    assert not [part for part in network.modules() if isinstance(part, nn.BatchNorm2d)]
    assert {parameter.dtype for parameter in network.parameters()} == {dtype}
    assert after.dtype == torch.float32
    assert (after - before).abs().max() < apart
    assert (after[:, :CLASSES].argmax(1) == before[:, :CLASSES].argmax(1)).float().mean() > 0.99


def segment_sample(photograph: np.ndarray, size: int) -> Segmentation:
    picture = torch.from_numpy(photograph.copy()).permute(2, 0, 1)[None].float() / 255
    loaded = segmenters.load("compact", None, torch.device("cpu"))
    return segment(picture, loaded.module, sizes=[size], classes=loaded.classes)


# These photographs were never trained on.
@pytest.mark.parametrize("size", [320, 384])
def test_finds_the_astronaut(size: int) -> None:
    found = segment_sample(skimage.data.astronaut(), size)  # type: ignore[no-untyped-call]
    person = names.VOC_CLASSES.index("person")
    assert found.labels[130, 225] == person  # the face
    assert found.labels[330, 130] == person  # the suit
    assert found.labels[60, 330] != person  # the wall behind
    assert found.labels[450, 420] != person  # the helmet
    assert max(found.shares, key=lambda name: found.shares[name] * (name != "background")) == (
        "person"
    )


def test_the_astronauts_outline_is_nearly_that_drawn_by_hand() -> None:
    loaded = segmenters.load("compact", None, torch.device("cpu"))
    photograph = skimage.data.astronaut()  # type: ignore[no-untyped-call]
    picture = torch.from_numpy(photograph).permute(2, 0, 1)[None].float() / 255
    refinement = Refinement(8, 1e-4, ("person",))
    found = segment(
        picture, loaded.module, loaded.sizes, refinement=refinement, classes=loaded.classes
    )
    person = (found.labels == names.VOC_CLASSES.index("person")).numpy()
    drawn = cv2.imread(str(BY_HAND), cv2.IMREAD_GRAYSCALE) > 127
    # A little of the flag's lowest stripe is taken for the person: 0.931.
    assert (person & drawn).sum() / (person | drawn).sum() > 0.92
    assert person[300:, 380:].mean() < 0.004  # the helmet: a little of its rim
    assert not person[360:, 380:].any()
    assert set(found.shares) == {"person", "background"}
    assert person[:150, :100].mean() < 0.1  # the upper part of the flag


@pytest.mark.parametrize("size", [320, 384])
def test_finds_a_cat_and_no_dog(size: int) -> None:
    shares = segment_sample(skimage.data.chelsea(), size).shares  # type: ignore[no-untyped-call]
    assert shares["cat"] > 0.5
    assert shares.get("dog", 0) < shares["cat"] / 5


@pytest.mark.parametrize("size", [320, 384])
def test_finds_the_motorbike(size: int) -> None:
    found = segment_sample(skimage.data.stereo_motorcycle()[0][::2, ::2], size)  # type: ignore[no-untyped-call]
    assert 0.1 < found.shares["motorbike"] < 0.4
    assert found.labels[165, 100] == names.VOC_CLASSES.index("motorbike")  # the wheel
    assert found.labels[230, 40] != names.VOC_CLASSES.index("motorbike")  # the floor
