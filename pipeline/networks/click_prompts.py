"""Click prompts: the thing that one points at, by SAM 2.1 (Ravi et al. 2024)."""

import importlib.util
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from pipeline.networks import hub, weights
from pipeline.runtime.cache import Store, digest

#: The smallest weights, Apache-2.0.
MODEL = "facebook/sam2.1-hiera-tiny"
#: Places in a picture: x and y, fractions of its width and height.
Points = Sequence[tuple[float, float]]

_FEATURES = 64 * 2**20


@dataclass(frozen=True)
class ClickPrompts:
    """SAM 2.1, ready to use; a picture is encoded once for all clicks on it.

    Attributes:
        model, processor: of transformers.
        source: the weights.
    """

    model: nn.Module
    processor: Any
    source: weights.Source
    _encoded: Store = field(default_factory=lambda: Store(_FEATURES), repr=False, compare=False)

    @torch.no_grad()
    def masks_of_points(self, picture: Tensor, points: Points, excluded: Points = ()) -> Tensor:
        """The thing that some points lie on.

        With a single point the best of three masks, by the model's own estimate of their IoU: a
        point may mean a part, a thing or all of it. With several, the one mask of all (as in the
        paper).

        Args:
            picture: (1, 3, H, W) in [0, 1].
            points: at least one, on the thing.
            excluded: not on it.

        Returns:
            Probabilities, (1, 1, H, W) in [0, 1].
        """
        height, width = picture.shape[2:]
        places = [[x * width, y * height] for x, y in (*points, *excluded)]
        labels = [1] * len(points) + [0] * len(excluded)
        features = self._features(picture)
        given = self.processor(
            original_sizes=[[height, width]],
            input_points=[[places]],
            input_labels=[[labels]],
            return_tensors="pt",
        )
        found = self.model(
            image_embeddings=features,
            input_points=given["input_points"].to(picture.device),
            input_labels=given["input_labels"].to(picture.device),
            multimask_output=len(places) == 1,
        )
        best = found.iou_scores[0, 0].argmax()
        logits: Tensor = self.processor.post_process_masks(
            found.pred_masks[:, :, best : best + 1], [[height, width]], binarize=False
        )[0]
        return logits.sigmoid().to(picture)

    def _features(self, picture: Tensor) -> list[Tensor]:
        def encode() -> list[Tensor]:
            seen = self.processor(
                images=hub.levels(picture), return_tensors="pt", input_data_format="channels_last"
            )
            values = seen["pixel_values"].to(picture.device)
            return list(self.model.get_image_embeddings(values))  # type: ignore[operator]

        return self._encoded.get((digest(picture), str(picture.device)), encode)


def load(start: Path, device: torch.device, model: str = MODEL) -> ClickPrompts | None:
    """Load SAM 2.1 where it can be had.

    That is where the extra is installed, and the model is a folder, in the hub's cache, or (on
    CUDA) can be downloaded. Elsewhere None.

    Args:
        start: where a relative folder begins.
        device: where it runs.
        model: a folder, or a name on the hub.

    Raises:
        UserError: it is there, but cannot be loaded.
    """
    if importlib.util.find_spec("transformers") is None:
        return None
    files = hub.folder(model, start, may_download=device.type == "cuda")
    if files is None:
        return None

    def parts() -> tuple[nn.Module, Any]:
        package = hub.transformers()
        processor = package.Sam2Processor.from_pretrained(files, local_files_only=True)
        return hub.pretrained(package.Sam2Model, files), processor

    network, processor = hub.loaded(parts, files)
    return ClickPrompts(network.to(device), processor, hub.source(model, files, model, start))
