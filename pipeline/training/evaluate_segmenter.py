"""How well a segmenter does on labelled photographs."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from pipeline.networks.segmenters import LoadedSegmenter
from pipeline.pictures.read import array_to_tensor
from pipeline.regions.names import SCENE_CLASSES, VOC_CLASSES
from pipeline.regions.segment import Refinement, Segmentation, segment
from pipeline.training.pictures import UNCERTAIN, Example

_PERSON = VOC_CLASSES.index("person")
#: How the names of photographs with exact scenes start.
EXACT_SCENES = ("msrc_", "facade_")
#: A photograph, (1, 3, H, W) in [0, 1], to the numbers of its objects and of its scenes, (H, W).
Seen = Callable[[Tensor], tuple[np.ndarray, np.ndarray]]


@dataclass(frozen=True)
class Figures:
    """Intersection over union, as shares.

    Attributes:
        person: of the class person, mean over the photographs with exact masks of people.
        classes: over all photographs together, of each class that at least ten of them hold.
        scenes: over the photographs with exact scenes together, of each scene class.
    """

    person: float
    classes: dict[str, float]
    scenes: dict[str, float] = field(default_factory=dict)

    @property
    def mean(self) -> float:
        """Mean over ``classes``."""
        return float(np.mean(list(self.classes.values()))) if self.classes else float("nan")

    def __str__(self) -> str:
        def listed(figures: dict[str, float]) -> str:
            return ", ".join(f"{name} {value:.2f}" for name, value in figures.items())

        scenes = f"; scenes: {listed(self.scenes)}" if self.scenes else ""
        return (
            f"person IoU {self.person:.3f}, mean IoU {self.mean:.3f} "
            f"({listed(self.classes)}){scenes}"
        )


class _Overlaps:
    """Intersections and unions of each class, over photographs."""

    def __init__(self, classes: int) -> None:
        self.both, self.either = np.zeros(classes), np.zeros(classes)
        self.holding = np.zeros(classes, dtype=int)

    def add(self, predicted: np.ndarray, labels: np.ndarray) -> None:
        known = labels != UNCERTAIN
        for number in range(len(self.both)):
            here, wanted = (predicted == number) & known, labels == number
            self.both[number] += (here & wanted).sum()
            self.either[number] += (here | wanted).sum()
            self.holding[number] += wanted.mean() >= 0.02

    def share(self, number: int) -> float:
        return float(self.both[number] / max(1, self.either[number]))


@torch.no_grad()
def evaluate(seen: Seen, examples: Sequence[Example], exact: str = "person_") -> Figures:
    """Score on photographs at their own size; uncertain pixels (255) do not count.

    Args:
        seen: finds objects, VOC's numbers, and scenes, 0 for none of them (`as_network`,
            `as_pipeline`).
        examples: the labelled photographs.
        exact: how the names of photographs with exact masks of people start.
    """
    people = []
    objects, scenes = _Overlaps(len(VOC_CLASSES)), _Overlaps(1 + len(SCENE_CLASSES))
    for example in examples:
        picture = array_to_tensor(example.picture)
        found, found_scenes = seen(picture)
        objects.add(found, example.labels)
        if example.name.startswith(EXACT_SCENES):
            scenes.add(found_scenes, example.scenes)
        if example.name.startswith(exact) and (example.labels == _PERSON).any():
            known = example.labels != UNCERTAIN
            here, wanted = (found == _PERSON) & known, example.labels == _PERSON
            people.append((here & wanted).sum() / max(1, (here | wanted).sum()))
    return Figures(
        float(np.mean(people)) if people else float("nan"),
        {
            name: objects.share(number)
            for number, name in enumerate(VOC_CLASSES)
            if objects.holding[number] >= 10
        },
        {
            name: scenes.share(number)
            for number, name in enumerate(SCENE_CLASSES, start=1)
            if scenes.holding[number]
        },
    )


def as_network(network: nn.Module, mirror: bool = False) -> Seen:
    """What a network says of one view at the photograph's own size.

    Args:
        network: (1, 3, H, W) in [0, 1] to scores (1, 21 + 8, h, w), in evaluation mode.
        mirror: average with the mirrored photograph.
    """

    def probabilities(picture: Tensor) -> Tensor:
        sizes = [len(VOC_CLASSES), 1 + len(SCENE_CLASSES)]
        objects, scenes = torch.split(network(picture), sizes, dim=1)
        return torch.cat([objects.softmax(1), scenes.softmax(1)], dim=1)

    def seen(picture: Tensor) -> tuple[np.ndarray, np.ndarray]:
        found = probabilities(picture)
        if mirror:
            found = found + probabilities(picture.flip(3)).flip(3)
        found = F.interpolate(found, picture.shape[2:], mode="bilinear")[0]
        objects, scenes = torch.split(found, [len(VOC_CLASSES), 1 + len(SCENE_CLASSES)])
        # Objects lie over scenes.
        numbers = objects.argmax(0)
        return numbers.numpy(), scenes.argmax(0).where(numbers == 0, 0).numpy()

    return seen


def as_pipeline(loaded: LoadedSegmenter, refinement: Refinement) -> Seen:
    """What a run finds: at several sizes, mirrored, refined."""

    def seen(picture: Tensor) -> tuple[np.ndarray, np.ndarray]:
        found: Segmentation = segment(
            picture,
            loaded.module,
            loaded.sizes,
            refinement=refinement,
            classes=loaded.classes,
            closer=loaded.closer,
        )
        labels = found.labels.numpy().astype(np.int64)
        scenes = np.where(labels >= len(VOC_CLASSES), labels - len(VOC_CLASSES) + 1, 0)
        return np.where(labels < len(VOC_CLASSES), labels, 0), scenes

    return seen
