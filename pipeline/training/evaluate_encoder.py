"""How closely the compact encoder follows the VGG-19 it was trained to predict.

    python -m pipeline.training.evaluate_encoder photos=[PHOTOS] paintings=[PAINTINGS] teacher=FILE

The settings are those of the training (`pipeline.training.encoder`); ``output`` is the file to
evaluate, as it was written: half precision, computed in float32.
"""

import logging
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path

import hydra
import torch
from omegaconf import OmegaConf
from torch import Tensor

from pipeline.configuration import CONF
from pipeline.errors import UserError
from pipeline.networks import compact_encoder, weights
from pipeline.networks.encoder import Encoder
from pipeline.training import pictures
from pipeline.training.encoder import LAYERS, Crops, Settings, channel_scales, load_teacher, split

log = logging.getLogger(__name__)


def load_student(path: Path) -> Encoder:
    """The compact encoder from a file.

    Raises:
        UserError: no such file, or another network's weights.
    """
    features = compact_encoder.features()
    state = {key: tensor.float() for key, tensor in weights.read_state_dict(path).items()}
    try:
        features.load_state_dict(state)
    except RuntimeError:
        raise UserError(
            f"{path} does not hold a compact encoder; name the file that "
            "pipeline.training.encoder wrote"
        ) from None
    student: Encoder = Encoder(features).eval().requires_grad_(False)
    return student


def training_scales(
    settings: Settings, photos: Iterable[Path], paintings: Iterable[Path], teacher: Encoder
) -> dict[str, Tensor]:
    """What the training divided the teacher's channels by: the same seed draws the same crops.

    Returns:
        (1, N, 1, 1) a layer.
    """
    crops = Crops(
        [pictures.read_rgb(path) for path in photos],
        [pictures.read_rgb(path) for path in paintings],
        settings.painting_share,
        settings.crop,
        settings.seed,
    )
    with torch.no_grad():
        return channel_scales(teacher, (crops.batch(16) for _ in range(20)))


@torch.no_grad()
def evaluate(
    student: Encoder,
    teacher: Encoder,
    scales: Mapping[str, Tensor],
    photos: Iterable[pictures.Array],
    size: int = 256,
) -> dict[str, float]:
    """Explained variance R^2 of the student's layers over centre crops of photographs.

    Args:
        student, teacher: the encoders, on the CPU.
        scales: what the teacher's channels are divided by, (1, N, 1, 1) a layer.
        photos: HWC uint8 RGB.
        size: largest side of the crops.

    Returns:
        For each layer 1 - (sum of squared errors) / (sum of squared deviations from the channels'
        means), over all channels, places and photographs; 1 is perfect. Neither channels nor
        factors are chosen afterwards.
    """
    sums: dict[str, Tensor] = {}
    for photo in photos:
        height, width = (min(size, side) for side in photo.shape[:2])
        top, left = (photo.shape[0] - height) // 2, (photo.shape[1] - width) // 2
        crop = photo[top : top + height, left : left + width]
        picture = torch.from_numpy(crop.copy()).permute(2, 0, 1)[None].float() / 255
        predicted, wanted = student(picture, LAYERS), teacher(picture, LAYERS)
        for layer in LAYERS:
            target = (wanted[layer] / scales[layer])[0].flatten(1).double()  # (N, H*W)
            error = predicted[layer][0].flatten(1).double() - target
            count = torch.full((len(target),), float(target.shape[1]), dtype=torch.float64)
            row = torch.stack([error.square().sum(1), target.square().sum(1), target.sum(1), count])
            sums[layer] = sums.get(layer, torch.zeros_like(row)) + row
    found = {}
    for layer, (errors, squares, totals, count) in sums.items():
        deviations = squares - totals.square() / count
        found[layer] = float(1 - errors.sum() / deviations.sum())
    return found


def describe(figures: Mapping[str, float]) -> str:
    """The figures as one line."""
    return ", ".join(f"{layer} {value:.4f}" for layer, value in figures.items())


@hydra.main(version_base="1.3", config_path=str(CONF), config_name="training/encoder")
def main(configuration: object) -> None:
    """Log the figures of a file; exits with 2 where the user has to put something right."""
    settings = OmegaConf.to_object(OmegaConf.create(configuration))  # type: ignore[call-overload]
    assert isinstance(settings, Settings)
    try:
        student = load_student(Path(settings.output))
        teacher = load_teacher(settings.teacher)
        training, validation = split(pictures.list_pictures(settings.photos))
        paintings = pictures.list_pictures(settings.paintings)
        scales = training_scales(settings, training, paintings, teacher)
        photos = (pictures.read_rgb(path) for path in validation)
        figures = evaluate(student, teacher, scales, photos)
    except UserError as error:
        print(error, file=sys.stderr)
        sys.exit(2)
    log.info("R^2 on %d photographs: %s", len(validation), describe(figures))


if __name__ == "__main__":
    main()
