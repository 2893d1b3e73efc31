"""A few steps of training on tiny pictures, and the crops they see."""

import itertools
import shutil
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

from pipeline.errors import UserError
from pipeline.networks import efficientnet_lite, weights
from pipeline.networks.efficientnet_lite import EfficientNetLite
from pipeline.training import pictures, segmenter
from pipeline.training.export import export
from pipeline.training.paste import PERSON
from pipeline.training.pictures import UNCERTAIN, Example
from pipeline.training.samples import Samples
from pipeline.training.segmenter import Settings
from tests.training.test_paste import CAT, example

WATER = 5


@pytest.fixture
def examples() -> list[Example]:
    cats = [example(f"cat_{seed}", seed) for seed in range(4)]
    return [*cats, example("person_0", 9, PERSON)]


def settings(tmp_path: Path, **changes: object) -> Settings:
    chosen = {
        "photos": "unused",
        "labels": "unused",
        "scenes": "unused",
        "crops": [32],
        "batch": 2,
        "steps": 6,
    }
    chosen |= {"output": str(tmp_path / "out.safetensors"), "device": "cpu"}
    return Settings(**(chosen | changes))  # type: ignore[arg-type]


def test_split_keeps_every_seventh_person_and_every_twentieth_other() -> None:
    people = [example(f"person_{number:02}", 0) for number in range(15)]
    others = [example(f"cat_{number:02}", 0) for number in range(22)]
    training, validation = segmenter.split([*reversed(people), *reversed(others)])
    assert [e.name for e in validation] == [
        "cat_00", "cat_20", "person_00", "person_07", "person_14",
    ]  # fmt: skip
    assert len(training) == 37 - 5
    scenes = [example(f"{kind}_{number:02}", 0) for kind in ("msrc", "sun") for number in range(21)]
    assert [e.name for e in segmenter.split(scenes)[1]] == [
        "msrc_00", "msrc_10", "msrc_20", "sun_00", "sun_20",
    ]  # fmt: skip
    assert not {e.name for e in training} & {e.name for e in validation}


def test_uncertain_pixels_do_not_count() -> None:
    scores = torch.randn(1, 21 + 8, 4, 4, generator=torch.Generator().manual_seed(0))
    labels, scenes = torch.full((1, 8, 8), CAT), torch.full((1, 8, 8), WATER)
    labels[:, :, 4:] = UNCERTAIN
    scenes[:, :4] = UNCERTAIN
    loss = segmenter.loss_function(scores, labels, scenes, smoothing=0.0)
    changed = scores.clone()
    changed[:, :21, :, 2:] = 50
    changed[:, 21:, :2] = 50
    assert float(segmenter.loss_function(changed, labels, scenes, 0.0)) == float(loss)
    by_hand = -scores[:, :21].log_softmax(1)[0, CAT, :, :2].mean()
    by_hand -= scores[:, 21:].log_softmax(1)[0, WATER, 2:].mean()
    assert float(loss) == pytest.approx(float(by_hand), rel=1e-5)
    changed[:, :21, :, 0] = 50
    assert float(segmenter.loss_function(changed, labels, scenes, 0.0)) != float(loss)


def test_a_batch_of_which_nothing_is_known_teaches_nothing() -> None:
    scores = torch.randn(1, 21 + 8, 4, 4)
    unknown = torch.full((1, 8, 8), UNCERTAIN)
    assert float(segmenter.loss_function(scores, unknown, unknown, 0.05)) == 0


def test_training_goes_on_from_weights_without_the_newer_layers(
    tmp_path: Path, examples: list[Example], caplog: pytest.LogCaptureFixture
) -> None:
    known = segmenter.train(settings(tmp_path, steps=1), examples).state_dict()
    newer = [name for name in known if "scenes" in name]
    older = {name: tensor for name, tensor in known.items() if name not in newer}
    export(older, tmp_path / "older.safetensors", {})
    network = segmenter.CompactSegmenter()
    with caplog.at_level("INFO"):
        segmenter._start_from(network, tmp_path / "older.safetensors")
    assert "classify_scenes" in caplog.text
    found = network.state_dict()
    first = "backbone.stem.0.weight"
    assert torch.equal(found[first], known[first].half().float())


def test_the_backbone_starts_from_published_weights_and_changes_less(
    tmp_path: Path, examples: list[Example], monkeypatch: pytest.MonkeyPatch
) -> None:
    published = {name: p.clone() for name, p in EfficientNetLite().state_dict().items()}
    monkeypatch.setattr(efficientnet_lite, "from_published", lambda state: published)
    file = tmp_path / "published.safetensors"
    export({"any": torch.zeros(1)}, file, {})

    def change(**changed: object) -> float:
        chosen = settings(tmp_path, steps=1, backbone=str(file), average=0.0, **changed)
        state = segmenter.train(chosen, examples).state_dict()
        name = "stages.3.1.project.0.weight"
        return float((state[f"backbone.{name}"] - published[name]).abs().max())

    # Adam's first step is the learning rate, whatever the gradient.
    assert 0 < change(backbone_rate=0.1) < 0.11 * change(backbone_rate=1.0)
    assert change(backbone_rate=0.0) == 0


def test_a_backbone_of_another_network_is_refused(tmp_path: Path, examples: list[Example]) -> None:
    file = tmp_path / "other.safetensors"
    export({"_blocks.99._se_reduce.weight": torch.zeros(1)}, file, {})
    with pytest.raises(UserError, match=r"other.safetensors does not fit .* tensors missing"):
        segmenter.train(settings(tmp_path, backbone=str(file)), examples)


def test_training_one_head_leaves_all_else_as_it_was(
    tmp_path: Path, examples: list[Example]
) -> None:
    start = tmp_path / "start.safetensors"
    export(segmenter.CompactSegmenter().state_dict(), start, {})
    before = weights.read_state_dict(start)
    head = ["scenes_at_quarter", "classify_scenes"]
    trained = segmenter.train(settings(tmp_path, start=str(start), layers=head), examples)
    changed = {
        name.split(".")[0]
        for name, tensor in trained.state_dict().items()
        if name in before and not torch.equal(tensor, before[name].to(tensor))
    }
    assert changed == {*head}


def test_layers_that_it_does_not_have_are_refused(tmp_path: Path, examples: list[Example]) -> None:
    with pytest.raises(UserError, match=r"no head; there are backbone, .* classify_scenes"):
        segmenter.train(settings(tmp_path, layers=["head"]), examples)


def test_learning_rate_rises_and_falls_to_zero() -> None:
    shares = [segmenter._schedule(step, 100) for step in range(100)]
    assert shares[:3] == pytest.approx([0.5, 1.0, 1.0])
    assert shares[51] == pytest.approx(0.5, abs=0.02)
    assert 0 < shares[99] < 0.001
    assert all(late <= early for early, late in itertools.pairwise(shares[1:]))


def test_loss_falls(tmp_path: Path, examples: list[Example]) -> None:
    def error(steps: int) -> float:
        chosen = settings(tmp_path, steps=steps, batch=4, paste=0.0, average=0.8)
        network = segmenter.train(chosen, examples[:4])
        crops, labels, scenes = Samples(examples[:4], 0.0, 99).batch(8, 32)
        with torch.no_grad():
            return float(segmenter.loss_function(network(crops), labels, scenes, 0.0))

    assert error(40) < 0.6 * error(2)


def test_its_curve_is_the_losss(tmp_path: Path, examples: list[Example]) -> None:
    pytest.importorskip("tensorboard")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    segmenter.train(settings(tmp_path, steps=2, curves=str(tmp_path)), examples)
    found = EventAccumulator(str(tmp_path)).Reload()
    assert [event.step for event in found.Scalars("loss")] == [1, 2]


def test_same_seed_same_weights(tmp_path: Path, examples: list[Example]) -> None:
    first, again, other = (
        segmenter.train(settings(tmp_path, steps=2, seed=seed), examples).state_dict()
        for seed in (4, 4, 5)
    )
    assert all(torch.equal(tensor, again[name]) for name, tensor in first.items())
    assert not torch.equal(first["backbone.stem.0.weight"], other["backbone.stem.0.weight"])


@pytest.mark.parametrize("painted", [0.0, 0.5])
def test_resumed_training_is_the_same_as_uninterrupted(
    tmp_path: Path, examples: list[Example], monkeypatch: pytest.MonkeyPatch, painted: float
) -> None:
    chosen = settings(tmp_path, crops=[32, 48], painted=painted)
    paintings = [examples[0].picture]
    half_way = tmp_path / "half_way.pth"
    save = segmenter._save

    def save_and_keep(path: Path, step: int, *rest: object) -> None:
        save(path, step, *rest)  # type: ignore[arg-type]
        if step == 3:
            shutil.copy(path, half_way)

    monkeypatch.setattr(segmenter, "_save", save_and_keep)
    whole = segmenter.train(
        chosen, examples, tmp_path / "whole" / "checkpoint.pth", paintings
    ).state_dict()
    assert torch.load(half_way, weights_only=True)["step"] == 3
    torch.manual_seed(1234)
    resumed = segmenter.train(
        replace(chosen, resume=True), examples, half_way, paintings
    ).state_dict()
    assert all(torch.equal(tensor, resumed[name]) for name, tensor in whole.items())
    fresh = segmenter.train(replace(chosen, seed=1), examples).state_dict()
    assert not torch.equal(whole["backbone.stem.0.weight"], fresh["backbone.stem.0.weight"])


def test_painted_crops_are_what_it_learns_from(tmp_path: Path, examples: list[Example]) -> None:
    chosen = settings(tmp_path, steps=1)
    plain, painted, none = (
        segmenter.train(replace(chosen, painted=share), examples, None, paintings).state_dict()
        for share, paintings in (
            (0.0, [examples[0].picture]),
            (1.0, [examples[0].picture]),
            (1.0, []),
        )
    )
    assert torch.equal(plain["backbone.stem.0.weight"], none["backbone.stem.0.weight"])
    assert not torch.equal(plain["backbone.stem.0.weight"], painted["backbone.stem.0.weight"])


def test_crops_that_the_painter_cannot_paint_are_refused(
    tmp_path: Path, examples: list[Example]
) -> None:
    chosen = settings(tmp_path, crops=[32, 40], painted=0.5)
    with pytest.raises(UserError, match=r"crops: 40 .* multiples of 16"):
        segmenter.train(chosen, examples, None, [examples[0].picture])
    assert segmenter.train(replace(chosen, steps=1), examples) is not None


def test_written_file_holds_the_trained_network(tmp_path: Path, examples: list[Example]) -> None:
    network = segmenter.train(settings(tmp_path, steps=1), examples)
    assert not network.training
    path = tmp_path / "a" / "b.safetensors"
    export(network.state_dict(), path, {"steps": "1"})
    state = weights.read_state_dict(path)
    wanted = network.state_dict()
    assert all(torch.equal(tensor, wanted[name].half()) for name, tensor in state.items())
    assert {n for n in wanted if not n.endswith("num_batches_tracked")} == set(state)


def test_photographs_and_label_maps_are_paired_by_name(tmp_path: Path) -> None:
    photos, labels, scenes = (tmp_path / name for name in ("photos", "labels", "scenes"))
    for folder in (photos, labels, scenes):
        folder.mkdir()
    for number, name in enumerate(("cat_1", "person_2")):
        picture = np.full((6, 9, 3), (10 + number, 20, 30), np.uint8)
        cv2.imwrite(str(photos / f"{name}.png"), picture)
        cv2.imwrite(str(labels / f"{name}.png"), np.full((6, 9), number, np.uint8))
        cv2.imwrite(str(scenes / f"{name}.png"), np.full((6, 9), 3 + number, np.uint8))
    loaded = segmenter.load_examples(str(photos), str(labels), str(scenes))
    assert [e.name for e in loaded] == ["cat_1", "person_2"]
    assert [int(e.labels.max()) for e in loaded] == [0, 1]
    assert [int(e.scenes.max()) for e in loaded] == [3, 4]
    assert loaded[1].picture[0, 0].tolist() == [30, 20, 11]  # RGB
    (labels / "cat_1.png").unlink()
    with pytest.raises(UserError, match=r"cat_1\.png is missing"):
        segmenter.load_examples(str(photos), str(labels), str(scenes))
    with pytest.raises(UserError, match="no pictures in"):
        segmenter.load_examples(str(tmp_path / "none"), str(labels), str(scenes))


def test_colours_stay_in_range_and_change() -> None:
    picture = np.random.default_rng(0).integers(0, 256, (20, 30, 3)).astype(np.uint8)
    rng = np.random.default_rng(0)
    assert np.array_equal(pictures.jitter_colour(picture, rng, 0.0), picture)
    changed = pictures.jitter_colour(picture, rng, 1.0)
    assert changed.shape == picture.shape
    assert changed.dtype == np.uint8
    assert not np.array_equal(changed, picture)
