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
from pipeline.networks.weights import sha256
from pipeline.pictures.read import array_to_tensor, large_pictures, open_picture
from pipeline.runtime.cache import Store

#: Larger pictures are shrunk to this long side, and styles with them, before the encoder sees them.
LARGEST = 1024

#: Bytes of styles' Gram matrices that are kept; a style's take 1 MB under the bundled encoder.
MOST_KEPT = 64 * 2**20


def load_encoder() -> encoders.LoadedEncoder:
    """The encoder all runs are measured with: the bundled one, on the CPU, whatever painted them.

    It comes with the package, so that figures taken on different machines compare.
    """
    return encoders.load("compact", None, torch.device("cpu"), padding="reflect")


class Evaluator:
    """Measures runs, all with the same encoder."""

    def __init__(self, encoder: encoders.LoadedEncoder) -> None:
        """Nothing is measured yet.

        Args:
            encoder: of `load_encoder`.
        """
        self._encoder = encoder
        self._layers = [
            layer for name in encoder.style_layers for layer in encoder.module.layers(name)
        ]
        # Runs of many photographs or settings share their styles, and reading these takes longest.
        self._grams = Store(MOST_KEPT)

    @torch.no_grad()
    def evaluate(self, run: Run, *, pictures: bool = True) -> dict[str, float]:
        """All measures of a run, by the keys of `columns`.

        Args:
            run: not failed; one that has only shown the regions has times and memory.
            pictures: False: only what its summary says, in no time.

        Returns:
            Measures; NaN or missing where a run does not have them, such as distances to styles
            that it has not kept.

        Raises:
            UserError: a picture is missing or broken.
        """
        summary = run.summary
        seconds = {str(stage): float(spent) for stage, spent in summary.get("seconds", {}).items()}
        found = {"seconds": sum(seconds.values())} if seconds else {}
        found |= {f"seconds.{stage}": spent for stage, spent in seconds.items()}
        found |= {
            key: float(summary[key])
            for key in ("iterations", "peak_memory_mib")
            if summary.get(key)
        }
        if pictures and run.status == "finished":
            found |= self._picture_measures(run)
        return found

    def _picture_measures(self, run: Run) -> dict[str, float]:
        content = _read(run.folder / "content.png")
        result = _read(run.folder / "result.png")
        files = {name: run.file_of(name) for name in run.styled}
        masks = {name: _read_mask(run.folder / "masks" / f"{files[name]}.png") for name in files}
        for name, array in {"result.png": result, **masks}.items():
            if array.shape[:2] != content.shape[:2]:
                raise UserError(f"{run.folder}: {name} has another size than content.png")
        styled = np.max(list(masks.values()), axis=0)
        found = {
            "outside_difference": measures.outside_difference(
                content, result, list(masks.values())
            ),
            "content_similarity": measures.content_similarity(content, result, styled),
            "seam": measures.seam(result, list(masks.values())),
        }
        scale = min(1.0, LARGEST / max(content.shape[:2]))
        content_layers = [Layer(name) for name in self._encoder.content_layers]
        features = self._features(result, scale)
        found["perceptual_distance"] = measures.perceptual_distance(
            features, self._features(content, scale), self._masks(styled, scale, content_layers)
        )
        styles = {
            name: [self._style_grams(file, scale) for file in _style_files(run.folder, files[name])]
            for name in masks
        }
        for name, mask in masks.items():
            seen = drop_vanishing(self._masks(mask, scale, self._layers), name, warn=False)
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

    def _features(self, picture: measures.Pixels, scale: float) -> dict[Layer, Tensor]:
        layers = {*self._layers, *(Layer(name) for name in self._encoder.content_layers)}
        small = _shrink(array_to_tensor(picture), scale)
        found: dict[Layer, Tensor] = self._encoder.module(small, layers)
        return found

    def _style_grams(self, file: Path, scale: float) -> dict[Layer, Tensor]:
        def read() -> dict[Layer, Tensor]:
            features = self._features(_read(file), scale)
            return {layer: gram_matrix(found) for layer, found in features.items()}

        return self._grams.get((sha256(file), scale), read)

    def _masks(
        self, mask: measures.Mask, scale: float, layers: Sequence[Layer]
    ) -> dict[Layer, Tensor]:
        whole = _shrink(torch.from_numpy(mask)[None, None], scale)
        return {layer: layer_mask(whole, self._encoder.module.windows(layer)) for layer in layers}


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
