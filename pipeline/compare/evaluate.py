"""Evaluate: a run's measures, computed from the files in its folder."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor

from pipeline.compare import measures
from pipeline.compare.runs import Run
from pipeline.engine.guides import drop_vanishing, layer_mask
from pipeline.engine.losses import gram_matrix
from pipeline.errors import UserError
from pipeline.networks import encoders
from pipeline.networks.pyramid import Layer
from pipeline.pictures.read import array_to_tensor, large_pictures, open_picture

#: Larger pictures are shrunk to this long side, and styles with them, before the encoder sees them.
LARGEST = 1024


def load_encoder() -> encoders.LoadedEncoder:
    """The encoder all runs are measured with: the bundled one, on the CPU, whatever painted them.

    It comes with the package, so that figures taken on different machines compare.
    """
    return encoders.load("compact", None, torch.device("cpu"), padding="reflect")


@torch.no_grad()
def evaluate(run: Run, encoder: encoders.LoadedEncoder) -> dict[str, float]:
    """All measures of a run, by the keys of `columns`.

    Args:
        run: not failed; one that has only shown the regions has times and memory.
        encoder: of `load_encoder`.

    Returns:
        Measures; NaN or missing where a run does not have them, such as distances to styles that
        it has not kept.

    Raises:
        UserError: a picture is missing or broken.
    """
    summary = run.summary
    seconds = {str(stage): float(spent) for stage, spent in summary.get("seconds", {}).items()}
    found = {"seconds": sum(seconds.values())} if seconds else {}
    found |= {f"seconds.{stage}": spent for stage, spent in seconds.items()}
    found |= {
        key: float(summary[key]) for key in ("iterations", "peak_memory_mib") if summary.get(key)
    }
    if run.status == "finished":
        found |= _picture_measures(run, encoder)
    return found


def _picture_measures(run: Run, encoder: encoders.LoadedEncoder) -> dict[str, float]:
    content = _read(run.folder / "content.png")
    result = _read(run.folder / "result.png")
    files = {name: run.file_of(name) for name in run.styled}
    masks = {name: _read_mask(run.folder / "masks" / f"{files[name]}.png") for name in files}
    for name, array in {"result.png": result, **masks}.items():
        if array.shape[:2] != content.shape[:2]:
            raise UserError(f"{run.folder}: {name} has another size than content.png")
    styled = np.max(list(masks.values()), axis=0)
    found = {
        "outside_difference": measures.outside_difference(content, result, list(masks.values())),
        "content_similarity": measures.content_similarity(content, result, styled),
        "seam": measures.seam(result, list(masks.values())),
    }
    scale = min(1.0, LARGEST / max(content.shape[:2]))
    layers = [layer for name in encoder.style_layers for layer in encoder.module.layers(name)]

    content_layers = [Layer(name) for name in encoder.content_layers]

    def features_of(picture: measures.Pixels) -> dict[Layer, Tensor]:
        small = _shrink(array_to_tensor(picture), scale)
        found: dict[Layer, Tensor] = encoder.module(small, {*layers, *content_layers})
        return found

    def style_grams(file: Path) -> dict[Layer, Tensor]:
        return {layer: gram_matrix(found) for layer, found in features_of(_read(file)).items()}

    features = features_of(result)
    found["perceptual_distance"] = measures.perceptual_distance(
        features,
        features_of(content),
        _layer_masks(encoder, styled, scale, content_layers),
    )
    styles = {
        name: [style_grams(file) for file in _style_files(run.folder, files[name])]
        for name in masks
    }
    for name, mask in masks.items():
        seen = drop_vanishing(_layer_masks(encoder, mask, scale, layers), name, warn=False)
        own = [measures.style_distance(features, style, seen) for style in styles[name]]
        others = [
            measures.style_distance(features, style, seen)
            for other in masks
            if other != name
            for style in styles[other]
        ]
        for key, distances in (("style_distance", own), ("other_styles", others)):
            if distances:
                found[f"{key}.{name}"] = float(np.mean(distances))
    return found


def _layer_masks(
    encoder: encoders.LoadedEncoder, mask: measures.Mask, scale: float, layers: Sequence[Layer]
) -> dict[Layer, Tensor]:
    whole = _shrink(torch.from_numpy(mask)[None, None], scale)
    return {layer: layer_mask(whole, encoder.module.windows(layer)) for layer in layers}


def _style_files(folder: Path, file: str) -> list[Path]:
    """``styles/FILE.png``, ``styles/FILE-2.png`` and so on, as far as there are any."""
    files = [folder / "styles" / f"{file}.png"]
    while files[-1].exists():
        files.append(folder / "styles" / f"{file}-{len(files) + 1}.png")
    return files[:-1]


def _shrink(picture: Tensor, scale: float) -> Tensor:
    if scale == 1:
        return picture
    size = [max(16, round(side * scale)) for side in picture.shape[2:]]
    return F.interpolate(picture, size, mode="bilinear", antialias=True).clamp(0, 1)


def _read(path: Path) -> measures.Pixels:
    if not path.exists():
        raise UserError(f"{path} is missing")
    return np.asarray(open_picture(path))


def _read_mask(path: Path) -> measures.Mask:
    if not path.exists():
        raise UserError(f"{path} is missing")
    with large_pictures(), Image.open(path) as opened:
        return np.asarray(opened.convert("L"), dtype=np.float32) / 255
