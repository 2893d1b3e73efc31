"""What the segmenter is trained on: crops of photographs, changed at random."""

from collections.abc import Sequence

import cv2
import numpy as np
import torch
from torch import Tensor

from pipeline.networks.compact_segmenter import CLASSES, SCENES
from pipeline.training import paste, pictures
from pipeline.training.paste import PERSON, Layers, warp
from pipeline.training.pictures import Example
from pipeline.training.reflection import reflect

#: Names of photographs whose people are exact masks start so.
EXACT = "person_"
#: How much more often to draw photographs with exact masks than those labelled by a network, by
#: the first word of their names.
_EXACTNESS = {"scene": 4.0, "person": 1.5, "msrc": 3.0}


def repeat_factors(examples: Sequence[Example], threshold: float = 0.1) -> np.ndarray:
    """How often to draw each photograph, relative to the others (Gupta et al. 2019).

    ``max_c sqrt(threshold / share of photographs with class c)`` over the objects and scenes that
    cover at least 2% of it, at least 1; half for a photograph of nothing that is known; times
    `_EXACTNESS`.
    """
    shares = np.concatenate(
        [
            np.stack([_class_shares(example.labels, CLASSES) >= 0.02 for example in examples]),
            np.stack([_class_shares(example.scenes, SCENES) >= 0.02 for example in examples]),
        ],
        axis=1,
    )
    frequency = shares.mean(0).clip(1e-6)
    factors = np.sqrt(threshold / frequency).clip(1, 6)
    factors[[0, CLASSES]] = 0.5
    found: np.ndarray = np.where(shares, factors, 0.5).max(1)
    exact = [_EXACTNESS.get(example.name.split("_")[0], 1.0) for example in examples]
    found *= np.array(exact)
    return found


def _class_shares(labels: pictures.Array, classes: int) -> np.ndarray:
    return np.bincount(labels.ravel(), minlength=256)[:classes] / labels.size


class Samples:
    """An endless, seeded sequence of augmented crops.

    Args:
        examples: the photographs.
        share: of the crops on which a cut-out person (every second time) or whatever a photograph
            shows is pasted.
        seed: of the sequence.
        water: share of the crops under which water is laid, if it can be.
    """

    def __init__(
        self, examples: Sequence[Example], share: float, seed: int, water: float = 0.0
    ) -> None:
        self.examples = examples
        self.water = water
        factors = repeat_factors(examples)
        self.probabilities = factors / factors.sum()
        self.people = [
            e for e in examples if e.name.startswith(EXACT) and (e.labels == PERSON).mean() > 0.02
        ]
        self.objects = [e for e in examples if 0.03 < paste.objects(e.labels).mean() < 0.6]
        self.things = [e for e in examples if paste.without_people(e)]
        self.paste = share if self.people and self.objects else 0.0
        factors = repeat_factors(self.objects) if self.objects else np.ones(0)
        self.object_probabilities = factors / factors.sum() if self.objects else factors
        self.rng = np.random.default_rng(seed)

    def batch(self, count: int, size: int) -> tuple[Tensor, Tensor, Tensor]:
        """Crops (count, 3, size, size) in [0, 1]; objects and scenes (count, size, size), int64."""
        drawn = [self._sample(size) for _ in range(count)]
        crops = torch.from_numpy(np.stack([layers.picture for layers in drawn]))
        labels = torch.from_numpy(np.stack([layers.labels for layers in drawn]))
        scenes = torch.from_numpy(np.stack([layers.scenes for layers in drawn]))
        return crops.permute(0, 3, 1, 2).float() / 255, labels.long(), scenes.long()

    def _sample(self, size: int) -> Layers:
        rng = self.rng
        example = self.examples[rng.choice(len(self.examples), p=self.probabilities)]
        if rng.random() >= self.paste:
            layers = warp(example, size, paste.random_view(example, size, rng))
        elif rng.random() < 0.5:
            layers = self._person_among_things(example, size)
        else:
            layers = warp(example, size, paste.random_view(example, size, rng))
            cut = self.objects[rng.choice(len(self.objects), p=self.object_probabilities)]
            layers = paste.paste_objects(layers, cut, rng)
        if self.water > 0 and rng.random() < self.water:
            layers = reflect(layers, rng)
        return Layers(_spoiled(layers.picture, rng), layers.labels, layers.scenes)

    def _person_among_things(self, example: Example, size: int) -> Layers:
        """A person before something else than people, sometimes a flag, or behind things."""
        rng = self.rng
        person = self.people[rng.integers(len(self.people))]
        if self.things and rng.random() < 0.5:
            example = self.things[rng.integers(len(self.things))]
        layers = warp(example, size, paste.random_view(example, size, rng))
        if rng.random() < 0.5:
            layers = paste.paste_flag(layers, rng)
        layers = paste.paste_objects(layers, person, rng)
        if self.things and rng.random() < 0.3:
            thing = self.things[rng.integers(len(self.things))]
            layers = paste.paste_thing(layers, thing, rng)
        if rng.random() < 0.15:
            layers = paste.paste_smooth_thing(layers, rng)
        return layers


def _spoiled(crop: pictures.Array, rng: np.random.Generator) -> pictures.Array:
    """A crop with its colours changed, sometimes grey, blurred or noisy."""
    crop = pictures.jitter_colour(crop, rng, rng.uniform(0, 1))
    if rng.random() < 0.1:
        grey = cv2.cvtColor(crop, cv2.COLOR_RGB2GRAY)
        crop = np.asarray(cv2.cvtColor(grey, cv2.COLOR_GRAY2RGB), np.uint8)
    if rng.random() < 0.2:
        crop = np.asarray(cv2.GaussianBlur(crop, (0, 0), rng.uniform(0.4, 1.5)), np.uint8)
    if rng.random() < 0.2:
        noise = rng.normal(0, rng.uniform(2, 15), crop.shape)
        crop = np.clip(crop + noise, 0, 255).astype(np.uint8)
    return crop
