"""How well a segmenter does on labelled photographs."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn

from pipeline.regions.names import VOC_CLASSES
from pipeline.training.pictures import Example

_PERSON = VOC_CLASSES.index("person")


@dataclass(frozen=True)
class Figures:
    """Intersection over union, as shares.

    Attributes:
        person: of the class person, mean over the photographs with exact masks of people.
        classes: over all photographs together, of each class that at least ten of them hold.
    """

    person: float
    classes: dict[str, float]

    @property
    def mean(self) -> float:
        """Mean over ``classes``."""
        return float(np.mean(list(self.classes.values()))) if self.classes else float("nan")

    def __str__(self) -> str:
        listed = ", ".join(f"{name} {value:.2f}" for name, value in self.classes.items())
        return f"person IoU {self.person:.3f}, mean IoU {self.mean:.3f} ({listed})"


@torch.no_grad()
def evaluate(
    network: nn.Module,
    examples: Sequence[Example],
    mirror: bool = False,
    exact: str = "person_",
) -> Figures:
    """Score a network on photographs at their own size; uncertain pixels (255) do not count.

    Args:
        network: (1, 3, H, W) in [0, 1] to scores (1, 21, h, w), in evaluation mode.
        examples: the labelled photographs.
        mirror: average with the mirrored photograph.
        exact: how the names of photographs with exact masks of people start.
    """
    people = []
    both, either = np.zeros(len(VOC_CLASSES)), np.zeros(len(VOC_CLASSES))
    holding = np.zeros(len(VOC_CLASSES), dtype=int)
    for example in examples:
        picture = torch.from_numpy(example.picture).permute(2, 0, 1)[None].float() / 255
        probabilities = network(picture).softmax(1)
        if mirror:
            probabilities = probabilities + network(picture.flip(3)).softmax(1).flip(3)
        size = example.labels.shape
        predicted = F.interpolate(probabilities, size, mode="bilinear").argmax(1)[0].numpy()
        known = example.labels != 255
        for number in range(len(VOC_CLASSES)):
            here, wanted = (predicted == number) & known, example.labels == number
            both[number] += (here & wanted).sum()
            either[number] += (here | wanted).sum()
            holding[number] += wanted.mean() >= 0.02
        if example.name.startswith(exact) and (example.labels == _PERSON).any():
            here, wanted = (predicted == _PERSON) & known, example.labels == _PERSON
            people.append((here & wanted).sum() / max(1, (here | wanted).sum()))
    classes = {
        name: float(both[number] / max(1, either[number]))
        for number, name in enumerate(VOC_CLASSES)
        if holding[number] >= 10
    }
    return Figures(float(np.mean(people)) if people else float("nan"), classes)
