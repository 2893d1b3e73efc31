"""Crops painted by the instant painter, so that a segmenter learns shapes and not only textures.

Geirhos et al. 2019 (ImageNet-trained CNNs are biased towards texture) train on photographs that
style transfer has given the texture of a painting; Kamann and Rother 2020 (Increasing the
Robustness of Semantic Segmentation Models with Painting-by-Numbers) do so for segmentation. What a
crop shows, and where, stays as it was, and so do its labels.
"""

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from pipeline.networks import instant
from pipeline.pictures.read import array_to_tensor
from pipeline.training import pictures
from pipeline.training.instant import painted_whole

#: The strengths that are drawn: from faint to what the painter paints as its usual one.
_FAINTEST, _BOLDEST = 0.4, 1.0


class Repainter:
    """Paints some crops of each batch.

    Args:
        paintings: HWC uint8 RGB; of each crop's style a part of one of them is shown.
        share: of a batch's crops that are painted, in [0, 1]; whole crops, chance decides on the
            last one.
        tones: share of a style's tones that a crop is given before (`pictures.tones`).
        device: where the painter runs.

    Raises:
        UserError: the painter's weights cannot be read.
    """

    def __init__(
        self,
        paintings: Sequence[pictures.Array],
        share: float,
        tones: float,
        device: torch.device,
    ) -> None:
        self.paintings, self.share, self.tones, self.device = paintings, share, tones, device
        self.painter = instant.load(device)

    @torch.no_grad()
    def __call__(self, crops: Tensor, rng: np.random.Generator) -> Tensor:
        """Paint the first crops of a batch, each in the style of a part of a painting.

        Args:
            crops: (B, 3, H, W) in [0, 1]; H and W are multiples of `instant.MULTIPLE`.
            rng: source of chance.

        Returns:
            (B, 3, H, W) in [0, 1].
        """
        count = int(self.share * len(crops) + rng.random())
        found = crops.clone()
        for number in range(count):
            part = pictures.random_crop(self.paintings, crops.shape[-1], 0.4, rng)
            strength = float(rng.uniform(_FAINTEST, _BOLDEST))
            shown = painted_whole(
                self.painter.network,
                self.painter.encoder,
                crops[number : number + 1].to(self.device),
                array_to_tensor(part).to(self.device),
                self.tones,
                strength,
            )
            found[number] = shown[0].clamp(0, 1).cpu()
        return found
