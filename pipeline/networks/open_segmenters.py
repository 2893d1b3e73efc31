"""Open segmenters: semantic segmentation models of Hugging Face's hub, by name or folder.

With transformers' own classes, processors and post-processing. Models of masks with classes
(Mask2Former, Cheng et al. 2022; OneFormer, Jain et al. 2023; EoMT, Kerssies et al. 2025) and models
of class scores (SegFormer, Xie et al. 2021, and others).
"""

from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from pipeline.errors import UserError
from pipeline.networks import hub
from pipeline.networks.open_classes import classes_of, region_names
from pipeline.networks.segmenters import Classes

#: Scores of nothing, whose logarithm is none.
_LEAST = torch.finfo(torch.float32).tiny


class OpenSegmenter(nn.Module):
    """A model with its processor, as a segmenter.

    Args:
        model: of transformers' ``AutoModelForUniversalSegmentation`` or
            ``AutoModelForSemanticSegmentation``.
        processor: what the model sees of a picture, and how its outputs are read.
        of_masks: whether it is one of the first kind, a model of masks with classes.
    """

    def __init__(self, model: nn.Module, processor: Any, of_masks: bool) -> None:
        super().__init__()
        self.model = model
        self.processor = processor
        self._of_masks = of_masks
        self._names = region_names(labels_of(model.config))

    def forward(self, picture: Tensor) -> Tensor:
        """Class scores whose softmax are the shares of the model's soft scores.

        The post-processing's soft scores: of a model of masks, the sum over its masks of class
        probability times mask (the class "none" left out), of which this is the logarithm, so that
        shares add up to 1; of a model of class scores, these.

        Args:
            picture: (B, 3, H, W) in [0, 1]. The processor brings it to the model's own size.

        Returns:
            (B, K, H, W), the classes in the order of `classes_of`; -inf for a background that the
            model does not know.
        """
        # One by one: these models are large.
        return torch.cat([self._scores(one) for one in torch.split(picture, 1)])

    def _scores(self, picture: Tensor) -> Tensor:
        task = {"task_inputs": ["semantic"]} if hasattr(self.processor, "tokenizer") else {}
        inputs = self.processor(
            images=hub.levels(picture),
            return_tensors="pt",
            input_data_format="channels_last",
            **task,
        ).to(picture.device)
        outputs = self.model(**inputs)
        size = [(picture.shape[2], picture.shape[3])]
        found = self.processor.post_process_semantic_segmentation(
            outputs, target_sizes=size, return_segmentation_scores=True
        )
        scores: Tensor = found[0]["segmentation_scores"][None].to(picture)
        if scores.shape[1] != len(self._names):
            raise UserError(
                f"this model names {len(self._names)} classes and finds {scores.shape[1]}; "
                "name another with segmenter.model"
            )
        if self._of_masks:
            scores = scores.clamp_min(_LEAST).log()
        of = dict(zip(self._names, scores.unbind(1), strict=True))
        background = of.pop("background", torch.full_like(scores[:, 0], -torch.inf))
        return torch.stack([background, *of.values()], dim=1)


def labels_of(config: Any) -> list[str]:
    """A model's labels, in their order."""
    return [str(config.id2label[number]) for number in sorted(config.id2label)]


def classes(files: Path) -> Classes:
    """What a model in a folder finds, without loading its weights.

    Raises:
        UserError: the folder's model is none of transformers'.
    """
    package = hub.transformers()
    config = hub.loaded(
        lambda: package.AutoConfig.from_pretrained(files, local_files_only=True), files
    )
    return classes_of(labels_of(config))


def load(files: Path, device: torch.device) -> OpenSegmenter:
    """The model in a folder, ready to use.

    Raises:
        UserError: it cannot be loaded, or is not one that segments.
    """
    return hub.loaded(lambda: OpenSegmenter(*_parts(files)), files).eval().to(device)


def _parts(files: Path) -> tuple[nn.Module, Any, bool]:
    package = hub.transformers()
    config = package.AutoConfig.from_pretrained(files, local_files_only=True)
    of_masks = type(config) in package.MODEL_FOR_UNIVERSAL_SEGMENTATION_MAPPING
    if of_masks:
        build = package.AutoModelForUniversalSegmentation
    elif type(config) in package.MODEL_FOR_SEMANTIC_SEGMENTATION_MAPPING:
        build = package.AutoModelForSemanticSegmentation
    else:
        raise UserError(
            f"the model in {files}, a {config.model_type}, is not one of semantic segmentation; "
            "name one such as shi-labs/oneformer_ade20k_swin_tiny"
        )
    model = hub.pretrained(build, files)
    # OneFormer's file of classes lies in another repository, and nothing but training reads it.
    other = {"class_info_file": None} if config.model_type == "oneformer" else {}
    processor = package.AutoImageProcessor.from_pretrained(files, local_files_only=True, **other)
    if config.model_type == "oneformer":
        words = package.AutoTokenizer.from_pretrained(files, local_files_only=True)
        processor = package.OneFormerProcessor(
            processor, words, config.max_seq_len, config.task_seq_len
        )
    if not hasattr(processor, "post_process_semantic_segmentation"):
        raise UserError(
            f"the processor of the model in {files}, a {config.model_type}, does not read masks; "
            "name another model"
        )
    return model, processor, of_masks
