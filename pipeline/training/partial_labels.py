"""Scene maps that say what an uncertain pixel cannot be.

Two large networks that disagree about sand leave it uncertain; that it is not water is known from
what kind of photograph it is. Such a pixel has a set of candidates instead of one label (partial
labels: Cour et al. 2011, "Learning from partial labels"), and its loss is minus the logarithm of
what the candidates are given together.

In a map, 0 to 7 are none and the seven scene classes, and 128 to 255 are sets: 128 and a bit for
every class that is possible, the first for class 1. "None of them" always is. So 255, what a map
has for uncertain, is the set of all.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace

import numpy as np
import torch
from torch import Tensor

from pipeline.errors import UserError
from pipeline.regions.names import SCENE_CLASSES
from pipeline.training.pictures import UNCERTAIN, Array, Example

_SET = 128


def rule_out(examples: Sequence[Example], impossible: Mapping[str, Iterable[str]]) -> list[Example]:
    """Photographs whose uncertain pixels are known not to be some classes.

    Args:
        examples: the photographs.
        impossible: names of scene classes, by how names of photographs start.

    Raises:
        UserError: there is no such class.
    """
    bits = {start: _bits(names) for start, names in impossible.items()}
    return [
        replace(
            example,
            scenes=_without(
                example.scenes, [b for start, b in bits.items() if example.name.startswith(start)]
            ),
        )
        for example in examples
    ]


def _bits(names: Iterable[str]) -> int:
    unknown = sorted(set(names) - set(SCENE_CLASSES))
    if unknown:
        raise UserError(
            f"impossible: there is no scene class {unknown[0]!r}; there are "
            f"{', '.join(SCENE_CLASSES)}"
        )
    return sum(1 << SCENE_CLASSES.index(name) for name in set(names))


def _without(scenes: Array, bits: Sequence[int]) -> Array:
    ruled_out = int(np.bitwise_or.reduce(np.array([0, *bits])))
    return np.where(scenes == UNCERTAIN, np.uint8(UNCERTAIN - ruled_out), scenes)


def is_set(labels: Tensor) -> Tensor:
    """Where a map holds sets of candidates that leave something out, (...) bool."""
    return (labels >= _SET) & (labels != UNCERTAIN)


def loss(scores: Tensor, labels: Tensor) -> Tensor:
    """Summed over the pixels that have a set: minus the log probability of its candidates.

    Args:
        scores: (B, 8, H, W), before the softmax.
        labels: (B, H, W), as the module says.
    """
    where = is_set(labels)
    found = scores.permute(0, 2, 3, 1)[where]
    classes = torch.arange(len(SCENE_CLASSES), device=labels.device)
    possible = ((labels[where] - _SET)[:, None] >> classes) & 1 > 0
    candidates = torch.cat([torch.ones_like(possible[:, :1]), possible], 1)
    inside = found.masked_fill(~candidates, -torch.inf).logsumexp(1)
    return (found.logsumexp(1) - inside).sum()
