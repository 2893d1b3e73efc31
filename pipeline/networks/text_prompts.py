"""Text prompts: where a picture shows what a phrase says, by CLIPSeg (Lueddecke and Ecker 2022)."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from pipeline.networks import hub, weights
from pipeline.networks.segmenters import Classes

#: Refined weights, Apache-2.0.
MODEL = "CIDAS/clipseg-rd64-refined"
#: Long side in pixels of what CLIPSeg's own processor is given.
SIZES = (1024,)
#: What a phrase's segmenter tells apart.
CLASSES = Classes(("background", "it"))


class PhraseSegmenter(nn.Module):
    """CLIPSeg as a segmenter of two classes: what the phrase says, and the background.

    Args:
        model: transformers' ``CLIPSegForImageSegmentation``.
        processor: of its pictures and phrases.
        phrase: any.
        threshold: the probability from which on a pixel is more the phrase's than not. CLIPSeg's
            probabilities of small things stay under one half.
    """

    def __init__(self, model: nn.Module, processor: Any, phrase: str, threshold: float) -> None:
        super().__init__()
        # Any: nn.Module does not know of its configuration.
        self.model: Any = model
        self.processor = processor
        self.phrase = phrase
        config: Any = model.config
        self._longest = config.text_config.max_position_embeddings
        self._shift = torch.tensor(threshold).logit().item()

    def forward(self, picture: Tensor) -> Tensor:
        """Class scores, (1, 2, h, w), of (1, 3, H, W) in [0, 1]; h = w are the model's own."""
        given = self.processor(
            text=[self.phrase],
            images=hub.levels(picture),
            truncation=True,
            max_length=self._longest,
            return_tensors="pt",
            input_data_format="channels_last",
        )
        inputs = {name: values.to(picture.device) for name, values in given.items()}
        logits = self.model(**inputs, interpolate_pos_encoding=True).logits
        # One picture and phrase give (h, w).
        scores = logits.view(1, 1, *logits.shape[-2:]).to(picture) - self._shift
        return torch.cat([torch.zeros_like(scores), scores], dim=1)


@dataclass(frozen=True)
class TextPrompts:
    """CLIPSeg, ready to use.

    Attributes:
        model, processor: of transformers.
        source: the weights.
    """

    model: nn.Module
    processor: Any
    source: weights.Source

    def segmenter(self, phrase: str, threshold: float) -> PhraseSegmenter:
        """The segmenter of a phrase (`PhraseSegmenter`)."""
        return PhraseSegmenter(self.model, self.processor, phrase, threshold)


def load(model: str, start: Path, device: torch.device) -> TextPrompts:
    """Load CLIPSeg.

    Args:
        model: a folder, or a name on the hub.
        start: where a relative folder begins.
        device: where it runs.

    Raises:
        UserError: it cannot be had, or is another model.
    """
    files = hub.locate("a region of text(...)", model, "prompts.text_model", start)

    def parts() -> tuple[nn.Module, Any]:
        package = hub.transformers()
        processor = package.CLIPSegProcessor.from_pretrained(files, local_files_only=True)
        return hub.pretrained(package.CLIPSegForImageSegmentation, files), processor

    network, processor = hub.loaded(parts, files)
    return TextPrompts(network.to(device), processor, hub.source(model, files, model, start))
