"""Print the validation figures of the bundled networks, or of files in their place.

    python -m pipeline.training.evaluate --photos PHOTOS --labels LABELS --scenes SCENES
    python -m pipeline.training.evaluate --photos PHOTOS --teacher FILE

With ``--labels`` and ``--scenes`` the segmenter is scored, with ``--teacher`` the encoder; both on
photographs that the trainings set aside (`segmenter.split`, `encoder.split`), as the files are:
half precision.
"""

import argparse
from pathlib import Path

import torch

from pipeline.config.schema import RefineSettings
from pipeline.errors import fails_in_one_line
from pipeline.networks import encoders, segmenters
from pipeline.regions.segment import Refinement
from pipeline.training import encoder, pictures, segmenter
from pipeline.training.evaluate_encoder import describe, load_student
from pipeline.training.evaluate_encoder import evaluate as evaluate_encoder
from pipeline.training.evaluate_segmenter import as_network, as_pipeline
from pipeline.training.evaluate_segmenter import evaluate as evaluate_segmenter
from pipeline.training.teacher import load_teacher


def main(words: list[str] | None = None) -> None:
    """The command; exits with 2 where the user has to put something right."""
    parser = argparse.ArgumentParser(description="Validation figures of the bundled networks.")
    parser.add_argument("--photos", required=True, help="folder of photographs")
    parser.add_argument("--labels", help="folder of label maps; scores the segmenter")
    parser.add_argument("--scenes", help="folder of scene maps, with --labels")
    parser.add_argument("--teacher", help="VGG-19 weights, or official; scores the encoder")
    parser.add_argument("--deep-teacher", help="thin VGG-19 for relu4_1 and relu5_1")
    parser.add_argument("--paintings", nargs="*", default=[], help="as in the encoder's training")
    parser.add_argument("--segmenter", type=Path, default=segmenters.BUNDLED_FILE)
    parser.add_argument("--encoder", type=Path, default=encoders.BUNDLED_FILE)
    chosen = parser.parse_args(words)
    if bool(chosen.labels) != bool(chosen.scenes) or not (chosen.labels or chosen.teacher):
        parser.error(
            "give --labels and --scenes to score the segmenter, --teacher to score the encoder"
        )
    with fails_in_one_line():
        if chosen.labels:
            print(score_segmenter(chosen.segmenter, chosen.photos, chosen.labels, chosen.scenes))
        if chosen.teacher:
            teachers = chosen.teacher, chosen.deep_teacher
            print(score_encoder(chosen.encoder, chosen.photos, chosen.paintings, *teachers))


def score_segmenter(file: Path, photos: str, labels: str, scenes: str) -> str:
    """The segmenter's figures: one view, averaged with the mirrored one, and as a run uses it."""
    loaded = segmenters.load("compact", file, torch.device("cpu"))
    _, validation = segmenter.split(segmenter.load_examples(photos, labels, scenes))
    refine = RefineSettings()
    refinement = Refinement(refine.radius, refine.eps, tuple(refine.by_colour))
    ways = {
        "one view": as_network(loaded.module),
        "mirrored too": as_network(loaded.module, mirror=True),
        "as in a run": as_pipeline(loaded, refinement),
    }
    return "\n".join(
        f"segmenter, {len(validation)} photographs, {way}: {evaluate_segmenter(seen, validation)}"
        for way, seen in ways.items()
    )


def score_encoder(
    file: Path, photos: str, paintings: list[str], teacher: str, deep: str | None = None
) -> str:
    """The encoder's explained variance of the teacher's layers."""
    training, validation = encoder.split(pictures.list_pictures([photos]))
    settings = encoder.Settings(photos=[photos], paintings=paintings, teacher=teacher)
    network = load_teacher(teacher, deep)
    scales = encoder.training_scales(
        settings,
        [pictures.read_rgb(path) for path in training],
        [pictures.read_rgb(path) for path in pictures.list_pictures(paintings)],
        network,
    )
    figures = evaluate_encoder(
        load_student(file), network, scales, (pictures.read_rgb(path) for path in validation)
    )
    return f"encoder, {len(validation)} photographs, R^2: {describe(figures)}"


if __name__ == "__main__":
    main()
