"""A few steps of training on tiny pictures with a random teacher."""

from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor

from pipeline.errors import UserError
from pipeline.networks import compact_encoder
from pipeline.networks.encoder import Encoder
from pipeline.training import encoder as training
from pipeline.training import evaluate_encoder, export, pictures
from pipeline.training.encoder import LAYERS, SHALLOW, Crops, Settings
from pipeline.training.teacher import Teacher, load_teacher
from tests.training.test_teacher import random_thin, random_vgg


def scene(seed: int, height: int, width: int) -> pictures.Array:
    """HWC uint8: coloured blotches on a gradient."""
    rng = np.random.default_rng(seed)
    coarse = rng.integers(0, 256, (5, 7, 3), dtype=np.uint8)
    return np.asarray(cv2.resize(coarse, (width, height)), dtype=np.uint8)


@pytest.fixture(scope="module")
def teacher_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A VGG-19 to relu3_1 with random weights."""
    return random_vgg(tmp_path_factory.mktemp("teacher") / "teacher.safetensors")


@pytest.fixture(scope="module")
def teacher(teacher_file: Path) -> Teacher:
    """That, and a thin VGG-19 with random weights for the deeper layers."""
    return load_teacher(
        str(teacher_file), str(random_thin(teacher_file.with_name("thin.safetensors")))
    )


@pytest.fixture
def photos() -> list[pictures.Array]:
    return [scene(seed, 40 + seed, 60 - seed) for seed in range(5)]


def settings(tmp_path: Path, **changes: object) -> Settings:
    chosen = {"photos": ["unused"], "output": str(tmp_path / "student.safetensors"), "steps": 12}
    sizes = {"batch": 2, "crop": 32, "deep_crop": 48, "deep_steps": 2, "device": "cpu"}
    return Settings(**(chosen | sizes | changes))  # type: ignore[arg-type]


def errors(
    features: torch.nn.Sequential, teacher: Teacher, photos: list[pictures.Array]
) -> dict[str, float]:
    crops = Crops(photos, [], 0.0, 48, 99)
    with torch.no_grad():
        scales = training.channel_scales(teacher, (crops.batch(2) for _ in range(3)))
        batch = crops.batch(8)
        student = Encoder(features, padding="replicate")(batch, LAYERS)
        wanted = teacher(batch, LAYERS)
        return {
            layer: float((student[layer] - wanted[layer] / scales[layer]).square().mean())
            for layer in LAYERS
        }


def test_losses_of_both_stages_fall(
    tmp_path: Path, teacher: Teacher, photos: list[pictures.Array]
) -> None:
    short = training.train(settings(tmp_path, steps=2, deep_steps=2), photos, [], teacher)
    longer = training.train(settings(tmp_path, steps=40, deep_steps=40), photos, [], teacher)
    before, after = (errors(features, teacher, photos) for features in (short, longer))
    for layers in (LAYERS[:3], LAYERS[3:]):
        assert sum(after[one] for one in layers) < 0.7 * sum(before[one] for one in layers)


def test_each_stage_has_curves_of_its_layers(
    tmp_path: Path, teacher: Teacher, photos: list[pictures.Array]
) -> None:
    pytest.importorskip("tensorboard")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    training.train(settings(tmp_path, steps=2, curves=str(tmp_path)), photos, [], teacher)
    for stage, layers in (("shallow", SHALLOW), ("deep", LAYERS[len(SHALLOW) :])):
        found = EventAccumulator(str(tmp_path / stage)).Reload()
        assert {*found.Tags()["scalars"]} == {*layers}
        assert [event.step for event in found.Scalars(layers[0])] == [1, 2]


def test_layers_of_a_start_are_kept_and_deeper_ones_trained_on_them(
    tmp_path: Path, teacher: Teacher, photos: list[pictures.Array]
) -> None:
    start = compact_encoder.features()
    training.initialise(start, seed=9)
    file = tmp_path / "start.safetensors"
    export.export(start.state_dict(), file, {})
    found = training.train(settings(tmp_path, start=str(file)), photos, [], teacher)
    last = Encoder(compact_encoder.features()).index[SHALLOW[-1]]
    for key, tensor in found.state_dict().items():
        kept = torch.equal(tensor, start.state_dict()[key].half().float())
        assert kept == (int(key.split(".")[0]) <= last), key


def test_training_goes_on_from_a_checkpoint_of_the_second_stage(
    tmp_path: Path, teacher: Teacher, photos: list[pictures.Array], monkeypatch: pytest.MonkeyPatch
) -> None:
    chosen = settings(tmp_path, steps=3, deep_steps=4)
    whole = training.train(chosen, photos, [], teacher)
    checkpoint = tmp_path / "on the way.pth"
    save = training._save

    def interrupt(path: Path, step: int, stage: training.Stage, *rest: object) -> None:
        save(path, step, stage, *rest)  # type: ignore[arg-type]
        if stage.layers != SHALLOW and step == 2:
            raise KeyboardInterrupt

    monkeypatch.setattr(training, "_save", interrupt)
    with pytest.raises(KeyboardInterrupt):
        training.train(chosen, photos, [], teacher, checkpoint)
    chosen.resume = True
    monkeypatch.setattr(training, "_save", save)
    again = training.train(chosen, photos, [], teacher, checkpoint)
    for key, tensor in whole.state_dict().items():
        assert torch.equal(tensor, again.state_dict()[key]), key


def test_same_seed_same_weights(
    tmp_path: Path, teacher: Teacher, photos: list[pictures.Array]
) -> None:
    first, again, other = (
        training.train(settings(tmp_path, steps=3, seed=seed), photos, photos[:1], teacher)
        for seed in (4, 4, 5)
    )
    for key, tensor in first.state_dict().items():
        assert torch.equal(tensor, again.state_dict()[key]), key
    assert not torch.equal(first[0].weight, other[0].weight)


def test_written_file_is_read_by_evaluate(
    tmp_path: Path, teacher: Teacher, photos: list[pictures.Array]
) -> None:
    features = training.train(settings(tmp_path, steps=2), photos, [], teacher)
    path = tmp_path / "student.safetensors"
    export.export(features.state_dict(), path, {"seed": "0"})
    student = evaluate_encoder.load_student(path)
    for key, tensor in student.features.state_dict().items():
        assert torch.equal(tensor, features.state_dict()[key].half().float()), key


def test_crops_are_reproducible_and_in_range(photos: list[pictures.Array]) -> None:
    batch = Crops(photos, photos[:2], 0.5, 24, 1).batch(16)
    assert batch.shape == (16, 3, 24, 24)
    assert 0 <= float(batch.min()) < float(batch.max()) <= 1
    assert torch.equal(batch, Crops(photos, photos[:2], 0.5, 24, 1).batch(16))


def test_painting_share_is_the_share_of_crops_from_paintings() -> None:
    black, white = (np.full((64, 64, 3), value, np.uint8) for value in (20, 235))
    bright = Crops([black], [white], 0.25, 8, 0).batch(400).mean((1, 2, 3)) > 0.5
    assert 0.18 < float(bright.float().mean()) < 0.32
    assert not (Crops([black], [], 0.25, 8, 0).batch(50).mean((1, 2, 3)) > 0.5).any()


def test_channel_scales_are_standard_deviations_with_a_floor() -> None:
    # relu1_1 of channels 0, 0, 1, 2, 1, 2 a pixel: deviations by hand, the dead one floored.
    class Constant:
        def __call__(self, picture: Tensor, layers: tuple[str, ...]) -> dict[str, Tensor]:
            values = torch.tensor([[0.0, 2, 0, 2], [5.0, 5, 5, 5]]).view(1, 2, 2, 2)
            return dict.fromkeys(layers, values)

    scales = training.channel_scales(Constant(), iter([torch.zeros(1, 3, 2, 2)]))  # type: ignore[arg-type]
    # Deviations 1 and 0; their mean is 0.5, a tenth of it 0.05.
    assert scales["relu1_1"].flatten().tolist() == pytest.approx([1, 0.05])


def test_every_twentieth_photograph_by_name_is_kept() -> None:
    paths = [Path("b") / f"{number:03}.jpg" for number in reversed(range(45))]
    kept_for_training, validation = training.split(paths)
    assert [path.stem for path in validation] == ["000", "020", "040"]
    assert len(kept_for_training) == 42
    assert not set(kept_for_training) & set(validation)


def test_training_scales_are_those_of_the_training(
    tmp_path: Path, teacher: Teacher, photos: list[pictures.Array]
) -> None:
    chosen = settings(tmp_path, crop=16, deep_crop=32, seed=7)
    found = training.training_scales(chosen, photos[:4], photos[4:], teacher)
    for side, layers in ((16, LAYERS[:3]), (32, LAYERS[3:])):
        crops = Crops(photos[:4], photos[4:], chosen.painting_share, side, 7)
        with torch.no_grad():
            wanted = training.channel_scales(teacher, (crops.batch(16) for _ in range(20)), layers)
        assert all(torch.equal(found[layer], wanted[layer]) for layer in layers)


def test_other_weights_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "other.safetensors"
    save_file({"0.weight": torch.zeros(2)}, path)
    with pytest.raises(UserError, match="does not hold a compact encoder"):
        evaluate_encoder.load_student(path)
