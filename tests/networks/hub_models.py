"""Small models of transformers' classes with seeded random weights, saved as the hub's are."""

import json
from pathlib import Path
from typing import Any

import torch

LABELS = (
    "wall",
    "building, edifice",
    "sky",
    "tree",
    "road, route",
    "person, individual",
    "house",
    "airplane, plane",
    "hat",
)


def _package() -> Any:
    import transformers

    return transformers


def _save(model: Any, folder: Path) -> None:
    """Spread out, so that random scores differ from pixel to pixel."""
    with torch.no_grad():
        for name, values in model.named_parameters():
            if values.ndim > 1 and "norm" not in name:
                values.mul_(10 if "class_predictor" in name or "mask_embedder" in name else 3)
    model.save_pretrained(folder)


def _labels() -> dict[str, Any]:
    return {
        "id2label": dict(enumerate(LABELS)),
        "label2id": {label: number for number, label in enumerate(LABELS)},
    }


def tokenizer(folder: Path) -> Any:
    """CLIP's, with single characters for words."""
    letters = [chr(code) for code in range(33, 127)]
    words = [*letters, *(f"{letter}</w>" for letter in letters), "<|startoftext|>", "<|endoftext|>"]
    vocabulary = {word: number for number, word in enumerate(words)}
    (folder / "vocab.json").write_text(json.dumps(vocabulary))
    (folder / "merges.txt").write_text("#version: 0.2\n")
    return _package().CLIPTokenizer(str(folder / "vocab.json"), str(folder / "merges.txt"))


def _swin() -> Any:
    return _package().SwinConfig(
        image_size=64,
        embed_dim=8,
        depths=[1, 1, 1, 1],
        num_heads=[1, 1, 2, 2],
        window_size=4,
        out_features=["stage1", "stage2", "stage3", "stage4"],
    )


_OF_MASKS = {
    "num_queries": 6,
    "hidden_dim": 32,
    "encoder_feedforward_dim": 16,
    "encoder_layers": 1,
    "decoder_layers": 2,
    "num_attention_heads": 2,
    "dim_feedforward": 16,
}


def segformer(folder: Path, **more: Any) -> None:
    package = _package()
    config = package.SegformerConfig(
        depths=[1, 1, 1, 1],
        hidden_sizes=[8, 8, 16, 16],
        num_attention_heads=[1, 1, 2, 2],
        decoder_hidden_size=16,
        **{**_labels(), **more},
    )
    _save(package.SegformerForSemanticSegmentation(config), folder)
    package.SegformerImageProcessor(size={"height": 64, "width": 64}).save_pretrained(folder)


def mask2former(folder: Path) -> None:
    package = _package()
    config = package.Mask2FormerConfig(
        backbone_config=_swin(), feature_size=32, mask_feature_size=32, **_OF_MASKS, **_labels()
    )
    _save(package.Mask2FormerForUniversalSegmentation(config), folder)
    size = {"shortest_edge": 64, "longest_edge": 128}
    package.Mask2FormerImageProcessor(size=size).save_pretrained(folder)


def eomt(folder: Path) -> None:
    """As for ADE20K: it looks at squares along the picture's long side."""
    package = _package()
    config = package.EomtConfig(
        hidden_size=16,
        num_hidden_layers=3,
        num_attention_heads=2,
        intermediate_size=16,
        image_size=64,
        patch_size=8,
        num_blocks=1,
        num_queries=6,
        num_upscale_blocks=1,
        num_register_tokens=1,
        **_labels(),
    )
    _save(package.EomtForUniversalSegmentation(config), folder)
    size = {"shortest_edge": 64, "longest_edge": None}
    package.EomtImageProcessor(size=size, do_split_image=True).save_pretrained(folder)


def oneformer(folder: Path) -> None:
    """With the files of the hub's: settings of the processor that name a file elsewhere."""
    package = _package()
    config = package.OneFormerConfig(
        backbone_config=_swin(),
        strides=[4, 8, 16, 32],
        task_seq_len=77,
        max_seq_len=77,
        text_encoder_width=16,
        text_encoder_context_length=77,
        text_encoder_num_layers=1,
        text_encoder_vocab_size=200,
        text_encoder_n_ctx=2,
        text_encoder_proj_layers=1,
        conv_dim=32,
        mask_dim=32,
        query_dec_layers=1,
        is_training=False,
        use_auxiliary_loss=False,
        **_OF_MASKS,
        **_labels(),
    )
    _save(package.OneFormerForUniversalSegmentation(config), folder)
    size = {"shortest_edge": 64, "longest_edge": 128}
    package.OneFormerImageProcessor(size=size).save_pretrained(folder)
    settings = json.loads((folder / "preprocessor_config.json").read_text())
    settings |= {"class_info_file": "ade20k_panoptic.json", "repo_path": "shi-labs/oneformer_demo"}
    (folder / "preprocessor_config.json").write_text(json.dumps(settings))
    tokenizer(folder).save_pretrained(folder)


def clipseg(folder: Path) -> None:
    package = _package()
    words = tokenizer(folder)
    small = {
        "hidden_size": 16,
        "intermediate_size": 16,
        "num_hidden_layers": 3,
        "num_attention_heads": 2,
    }
    text = {
        "vocab_size": len(words),
        "eos_token_id": words.eos_token_id,
        "bos_token_id": words.bos_token_id,
        "pad_token_id": words.eos_token_id,
    }
    config = package.CLIPSegConfig(
        text_config={**small, **text},
        vision_config={**small, "image_size": 32, "patch_size": 16},
        projection_dim=16,
        extract_layers=[0, 1, 2],
        reduce_dim=8,
        decoder_num_attention_heads=2,
        decoder_intermediate_size=16,
        use_complex_transposed_convolution=True,
    )
    _save(package.CLIPSegForImageSegmentation(config), folder)
    pictures = package.ViTImageProcessor(size={"height": 64, "width": 64})
    package.CLIPSegProcessor(pictures, words).save_pretrained(folder)


def sam2(folder: Path) -> None:
    package = _package()
    backbone = package.Sam2HieraDetConfig(
        hidden_size=8,
        num_attention_heads=1,
        image_size=[64, 64],
        blocks_per_stage=[1, 1, 1, 1],
        embed_dim_per_stage=[8, 16, 32, 64],
        num_attention_heads_per_stage=[1, 1, 2, 2],
        window_size_per_stage=[4, 2, 2, 2],
        global_attention_blocks=[],
        window_positional_embedding_background_size=[2, 2],
    )
    config = package.Sam2Config(
        vision_config=package.Sam2VisionConfig(
            backbone_config=backbone,
            backbone_channel_list=[64, 32, 16, 8],
            backbone_feature_sizes=[[16, 16], [8, 8], [4, 4]],
            fpn_hidden_size=16,
        ),
        prompt_encoder_config=package.Sam2PromptEncoderConfig(
            hidden_size=16, image_size=64, mask_input_channels=4
        ),
        mask_decoder_config=package.Sam2MaskDecoderConfig(
            hidden_size=16, mlp_dim=16, iou_head_hidden_dim=16, num_attention_heads=2
        ),
    )
    _save(package.Sam2Model(config), folder)
    pictures = package.Sam2ImageProcessor(
        size={"height": 64, "width": 64}, mask_size={"height": 16, "width": 16}
    )
    package.Sam2Processor(pictures).save_pretrained(folder)


def make(name: str, folder: Path, **more: Any) -> Path:
    """A model's folder."""
    folder.mkdir(parents=True)
    torch.manual_seed(0)
    globals()[name](folder, **more)
    return folder
