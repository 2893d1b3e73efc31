"""How closely the compact encoder follows the VGG-19 it was trained to predict."""

from collections.abc import Iterable, Mapping
from pathlib import Path

import torch
from torch import Tensor, nn

from pipeline.errors import UserError
from pipeline.networks import compact_encoder, weights
from pipeline.networks.compact_encoder import LAYERS
from pipeline.networks.encoder import Encoder
from pipeline.pictures.read import array_to_tensor
from pipeline.training import pictures


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
    student: Encoder = Encoder(features, padding="replicate").eval().requires_grad_(False)
    return student


@torch.no_grad()
def evaluate(
    student: Encoder,
    teacher: nn.Module,
    scales: Mapping[str, Tensor],
    photos: Iterable[pictures.Array],
    size: int = 256,
) -> dict[str, float]:
    """Explained variance R^2 of the student's layers over centre crops of photographs.

    Args:
        student, teacher: the networks, on the CPU.
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
        picture = array_to_tensor(crop)
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
