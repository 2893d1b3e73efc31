"""Segment: which class each pixel of the photograph shows."""

import functools
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

import cv2
import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from pipeline.networks.segmenters import Classes, LoadedSegmenter
from pipeline.pictures.resize import enlarged_rows, fitted_size, resize
from pipeline.pictures.strips import strips
from pipeline.regions.closer import look_closer
from pipeline.regions.colour_cut import colour_models
from pipeline.regions.names import BACKGROUND, CLASSES
from pipeline.regions.refine import (
    Lines,
    guided_filter,
    guided_lines,
    most_probable,
    with_class,
    without_islands,
    without_rings,
)
from pipeline.runtime import memory

#: Long side in pixels at which larger pictures are segmented; `Segmentation.strips` brings what
#: was found to their own size.
WORKING_SIZE = 1024
#: Radius of the guided filter's window that does so, in pixels of that size.
_ENLARGING_RADIUS = 2

#: Classes that segmenters take for each other within one object.
LOOKALIKES = (
    ("cat", "cow", "dog", "horse", "sheep"),
    ("bus", "car", "train"),
    ("bicycle", "motorbike"),
    ("chair", "sofa"),
)
#: Scenes share what is no object by this power of their probabilities, so that the most probable
#: one has nearly all of it: halves would lose to an object that is less probable than either.
_DECIDED = 4

#: Width of a ring of plain background between an object and a scene (`without_rings`), as a share
#: of the picture's long side.
_WIDEST_RING = 0.04

#: How far a part of an object may be from it, twice, as a share of the picture's long side.
_NEAR = 0.03

#: Share of an object's pixels at which one of its look-alike classes gets all of them.
_MAJORITY = 0.7


@dataclass(frozen=True)
class Refinement:
    """An edge-aware refinement of the masks.

    Attributes:
        radius: of the guided filter's window in pixels, for a picture with a long side of 512;
            scaled with the picture (`refine.guided_filter`).
        eps: how much contrast counts as an edge.
        by_colour: classes whose uncertain parts go where their colours fit
            (`colour_cut.colour_models`). It helps people; what has the colours of its surroundings,
            like the chrome and tyres of vehicles, loses parts to them.
    """

    radius: int
    eps: float
    by_colour: tuple[str, ...] = ()


@dataclass(frozen=True)
class Segmentation:
    """Class probabilities of every pixel.

    Attributes:
        probabilities: class name to (1, 1, H, W) in [0, 1]; they add up to 1. Only classes that
            were found have an entry; ``background`` always has. H and W are the picture's, or
            those of a smaller one with a long side of `WORKING_SIZE`.
        lines: the probabilities as functions of that smaller picture's colours; None where the
            picture is not larger, or was not to be refined.
        unions: name to the classes that were found and that it stands for, all together; such as
            ``background``, where classes lie in it.
    """

    probabilities: dict[str, Tensor]
    lines: Lines | None = None
    unions: Mapping[str, tuple[str, ...]] = field(default_factory=dict)

    @property
    def hidden(self) -> set[str]:
        """Names that stand for classes which have names of their own."""
        return {*self.unions} - {*self.probabilities}

    def with_unions(self, masks: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """The masks of the classes, and first, as others lie in them, those of `unions`."""
        united = {
            name: torch.stack([masks[part] for part in parts]).sum(0).clamp(0, 1)
            for name, parts in self.unions.items()
        }
        return united | {name: mask for name, mask in masks.items() if name not in united}

    @property
    def labels(self) -> Tensor:
        """(H, W) uint8, the number of each pixel's most probable class (`numbers`)."""
        return self._numbers(torch.cat([*self.probabilities.values()], dim=1))

    def labels_of(self, picture: Tensor) -> Tensor:
        """`labels` at the size of the picture that was segmented, (1, 3, H, W)."""
        return torch.cat([self._numbers(found) for _, found in self.strips(picture)])

    def strips(self, picture: Tensor) -> Iterator[tuple[slice, Tensor]]:
        """The probabilities at a picture's own size, which as a whole might not fit into memory.

        Args:
            picture: (1, 3, H, W) in [0, 1], which was segmented, or the same at another size.

        Yields:
            Rows from the top, and (1, K, rows, W) in [0, 1], which add up to 1.
        """
        stacked = torch.cat([*self.probabilities.values()], dim=1)
        size = picture.shape[2:]
        if max(size) < max(stacked.shape[2:]):
            stacked = resize(stacked, size)
        for rows in strips(*size):
            if stacked.shape[2:] == size:
                yield rows, stacked[:, :, rows]
            elif self.lines is None:
                yield rows, enlarged_rows(stacked, rows, *size)
            else:
                found = self.lines.enlarged(rows, *size).follow(picture[:, :, rows])
                yield rows, _normalise(found.clamp(0, 1))

    def _numbers(self, stacked: Tensor) -> Tensor:
        numbers = torch.tensor([*self.numbers.values()])
        return numbers.to(stacked.device, torch.uint8)[most_probable(stacked)[0]]

    @property
    def numbers(self) -> dict[str, int]:
        """Each class's number in `labels`: as in `CLASSES`, the others' after these in order."""
        known = (*CLASSES, *(name for name in self.probabilities if name not in CLASSES))
        return {name: known.index(name) for name in self.probabilities}

    @property
    def shares(self) -> dict[str, float]:
        """Each class's share of the picture by `labels`, largest first."""
        found = _shares(torch.cat([*self.probabilities.values()], dim=1)).tolist()
        named = zip(self.probabilities, found, strict=True)
        return dict(sorted(named, key=lambda entry: -entry[1]))


@torch.no_grad()
@memory.keeping_freed()
def segment(
    picture: Tensor,
    segmenter: nn.Module,
    sizes: Sequence[int] = (512,),
    mirror: bool = True,
    refinement: Refinement | None = None,
    min_share: float = 0.005,
    min_part: float = 0.002,
    classes: Classes | None = None,
    scenes_by: LoadedSegmenter | None = None,
    closer: int = 0,
) -> Segmentation:
    """Segment a photograph, at a long side of `WORKING_SIZE` pixels if it is larger.

    Args:
        picture: (1, 3, H, W) in [0, 1].
        segmenter: (B, 3, h, w) in [0, 1] to class scores (B, K, h', w').
        sizes: long sides in pixels at which the network sees the picture; what it says is
            averaged. Pictures are not enlarged beyond the smallest.
        mirror: average with what it says of the mirrored picture.
        refinement: None leaves the upsampled probabilities as they are.
        min_share: classes under this share of the picture count as not found; their pixels go to
            the next probable class.
        min_part: so do specks and holes, connected parts under this share of the picture.
        classes: what the scores are of; None: VOC's classes. The first is the background.
        scenes_by: another segmenter, for the scenes alone, where the first knows none.
        closer: how many small objects are seen a second time (`regions.closer`).
    """
    classes = classes or Classes()
    whole = picture
    if max(picture.shape[2:]) > WORKING_SIZE:
        picture = _at_size(picture, WORKING_SIZE)
    looks = [_seen(picture, segmenter, classes, sizes, mirror)]
    closer_at: set[int] = set()
    if closer:
        see = functools.partial(_averaged, segmenter=segmenter, classes=classes, mirror=mirror)
        # An object fills its cut: the largest size shows no more of it.
        lower = sorted(sizes)[:-1] or sizes
        under = {BACKGROUND, *classes.under}
        nearer, closer_at = look_closer(
            picture, looks[0], see, lower, classes.objects, under, closer
        )
        looks += [nearer] if closer_at else []
    if scenes_by is not None:
        other = scenes_by.classes
        beside = _seen(picture, scenes_by.module, other, scenes_by.sizes, mirror)
        looks = [torch.cat([look, beside[:, len(other.objects) :]], dim=1) for look in looks]
        classes = replace(classes, scenes=other.scenes)
    # Objects come first, in their order.
    every = _names(classes)
    looks = [_partition(look, classes) for look in looks]
    shares = torch.stack([_shares(look) for look in looks]).amax(0)
    found = [number for number, share in enumerate(shares) if number == 0 or share >= min_share]
    names = [every[number] for number in found]
    outlined = [_outlined(picture, look[:, found], names, min_part, refinement) for look in looks]
    kept = outlined[0]
    # What was found by either look: colours can turn against what one of them was sure of.
    for k in [k for k, number in enumerate(found) if number in closer_at]:
        either = torch.maximum(kept[:, k : k + 1], outlined[1][:, k : k + 1])
        kept = _normalise(with_class(kept, k, either))
    if closer_at:
        kept = _without_specks(kept, min_part)
    behind = {k for k, name in enumerate(names) if name in {*classes.scenes[1:], *classes.under}}
    kept = without_rings(kept, behind, _WIDEST_RING * max(picture.shape[2:]))
    if refinement is not None:
        kept = without_islands(kept, behind)
    # A class can lose all but specks to one that looks like it.
    least = min(min_share, min_part)
    left = [k for k, share in enumerate(_shares(kept)) if k == 0 or share >= least]
    names, kept = [names[k] for k in left], _normalise(kept[:, left])
    lines = None
    if refinement is not None and picture is not whole:
        found_lines = guided_lines(picture, kept, _ENLARGING_RADIUS, refinement.eps)
        lines = Lines(found_lines.slope.float(), found_lines.offset.float())
    probabilities = {name: kept[:, k : k + 1] for k, name in enumerate(names)}
    return Segmentation(probabilities, lines, _unions(classes, names))


def _shares(probabilities: Tensor) -> Tensor:
    """(K,), the share of the pixels whose most probable class each is, of (1, K, H, W)."""
    labels = most_probable(probabilities).flatten()
    return torch.bincount(labels, minlength=probabilities.shape[1]) / len(labels)


def _outlined(
    picture: Tensor,
    probabilities: Tensor,
    names: Sequence[str],
    min_part: float,
    refinement: Refinement | None,
) -> Tensor:
    """Probabilities of the classes that were found, without specks, along the picture's edges."""
    kept = _without_specks(_unite_lookalikes(_normalise(probabilities), names), min_part)
    if refinement is None:
        return kept
    radius = max(1, round(refinement.radius * max(picture.shape[2:]) / 512))
    kept = _filtered(picture, kept, radius, refinement.eps)
    decided = [k for k, name in enumerate(names) if name in refinement.by_colour]
    for number in decided:
        after = colour_models(picture, kept[:, number : number + 1])
        kept = _normalise(with_class(kept, number, after))
    if decided:
        # A cut leaves stairs for edges, and parts of its own that are specks.
        fine = max(1, radius // 2)
        kept = _without_specks(_filtered(picture, kept, fine, refinement.eps), min_part)
    return kept


def _filtered(picture: Tensor, probabilities: Tensor, radius: int, eps: float) -> Tensor:
    """`refine.guided_filter` of probabilities that add up to 1, and do so afterwards."""
    if probabilities.shape[1] == 1:
        return probabilities
    # The filter keeps their sum: the first class has what the others leave.
    others = guided_filter(picture, probabilities[:, 1:], radius, eps)
    found = torch.cat([1 - others.sum(1, keepdim=True), others], dim=1)
    return _normalise(found.clamp(0, 1))


def _seen(
    picture: Tensor, segmenter: nn.Module, classes: Classes, sizes: Sequence[int], mirror: bool
) -> Tensor:
    """The probabilities of each head's classes, averaged over the sizes, (1, K, H, W)."""
    # Nothing is enlarged, but for a picture smaller than the smallest size: to that.
    longest = max(max(picture.shape[2:]), min(sizes))
    return _averaged(picture, [min(size, longest) for size in sizes], segmenter, classes, mirror)


def _averaged(
    picture: Tensor, sizes: Sequence[int], segmenter: nn.Module, classes: Classes, mirror: bool
) -> Tensor:
    # Probabilities, not labels, are brought up: labels would give steps for edges.
    total: Tensor | None = None
    for size, count in Counter(sizes).items():
        seen = _probabilities(segmenter, classes, _at_size(picture, size), picture, mirror)
        total = seen.mul_(count) if total is None else total.add_(seen, alpha=count)
    assert total is not None
    return total.div_(len(sizes))


def _names(classes: Classes) -> list[str]:
    """Of what `_partition` tells apart."""
    return [*classes.objects, *classes.scenes[1:]]


def _partition(probabilities: Tensor, classes: Classes) -> Tensor:
    """Both heads' probabilities to those of classes of which every pixel shows one.

    Scenes share what the objects leave, so that a person before the sky is told from it by the
    same measure as from any background.

    Args:
        probabilities: (1, K, H, W), by head.
        classes: what they are of.

    Returns:
        (1, L, H, W), which add up to 1, ``background`` first; L as `_names`.
    """
    count = len(classes.objects)
    objects, scenes = probabilities[:, :count], probabilities[:, count:]
    if not classes.scenes:
        return objects
    shares = scenes**_DECIDED
    shares = objects[:, :1] * shares / shares.sum(1, keepdim=True)
    return torch.cat([shares[:, :1], objects[:, 1:], shares[:, 1:]], dim=1)


def _unions(classes: Classes, names: Sequence[str]) -> dict[str, tuple[str, ...]]:
    """What stands for several of the classes that were found, the background among them."""
    below = tuple(name for name in names[1:] if name in classes.under or name in classes.scenes)
    unions = {BACKGROUND: (BACKGROUND, *below)} if below else {}
    for name, parts in classes.unions.items():
        if found := tuple(part for part in parts if part in names):
            unions[name] = found
    return unions


def _at_size(picture: Tensor, size: int) -> Tensor:
    longest = max(picture.shape[2:])
    if longest == size:
        return picture
    sides = fitted_size(picture.shape[2:], size, enlarge=True)
    return F.interpolate(picture, sides, mode="bilinear", antialias=size < longest)


def _probabilities(
    segmenter: nn.Module, classes: Classes, seen: Tensor, picture: Tensor, mirror: bool
) -> Tensor:
    def by_head(scores: Tensor) -> Tensor:
        heads = torch.split(scores, [len(classes.objects), len(classes.scenes)], dim=1)
        return torch.cat([head.softmax(1) for head in heads if head.shape[1]], dim=1)

    if mirror:
        # Both at once take a fifth less time than one after the other.
        both = by_head(segmenter(torch.cat([seen, seen.flip(3)])))
        low = (both[:1] + both[1:].flip(3)) / 2
    else:
        low = by_head(segmenter(seen))
    return F.interpolate(low, picture.shape[2:], mode="bilinear").clamp_(0, 1)


def _unite_lookalikes(probabilities: Tensor, names: Sequence[str]) -> Tensor:
    """A cat with the forehead of a dog is a cat: majorities among look-alikes take all.

    Args:
        probabilities: (1, K, H, W).
        names: the K classes.
    """
    united = probabilities.clone()
    for group in LOOKALIKES:
        members = [k for k, name in enumerate(names) if name in group]
        if len(members) < 2:
            continue
        labels = most_probable(united)[0].cpu().numpy()
        inside = np.isin(labels, members).astype(np.uint8)
        count, parts = cv2.connectedComponents(inside, connectivity=8)
        for part in range(1, count):
            areas = np.bincount(labels[parts == part], minlength=len(names))
            winner = int(areas.argmax())
            if areas[winner] < _MAJORITY * areas.sum():
                continue
            here = torch.from_numpy(parts == part).to(united.device)
            together = united[0, members][:, here].sum(0)
            for member in members:
                united[0, member, here] = together if member == winner else 0.0
    return united


def _without_specks(probabilities: Tensor, min_part: float) -> Tensor:
    """Give parts under ``min_part`` of the picture to the next probable class.

    Parts are connected, or near each other: a hand beyond a sleeve that was not found is no speck.
    """
    labels = most_probable(probabilities)[0].cpu().numpy()
    allowed = np.ones((probabilities.shape[1], *labels.shape), dtype=np.float32)
    for number in range(len(allowed)):
        own = labels == number
        areas, parts = _parts(own, _NEAR * max(own.shape) if number else 0)
        small = np.flatnonzero(areas < min_part * labels.size)
        allowed[number][np.isin(parts, small) & own] = 0
    # Where nothing else is probable at all the part stays what it is.
    remaining = probabilities * torch.from_numpy(allowed).to(probabilities)[None]
    enough = remaining.sum(1, keepdim=True) > 0.01
    return _normalise(torch.where(enough, remaining, probabilities))


def _parts(
    inside: npt.NDArray[np.bool_], reach: float
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int32]]:
    """Pixels of each part, and (H, W) its number; each reaches so many pixels to the next one."""
    around = inside.astype(np.uint8)
    if reach and inside.any():
        away = cv2.distanceTransform(1 - around, cv2.DIST_L2, cv2.DIST_MASK_3)
        around = (np.asarray(away) <= reach).astype(np.uint8)
    _, parts = cv2.connectedComponents(around, connectivity=4)
    return np.bincount(parts[inside], minlength=int(parts.max()) + 1), np.asarray(parts)


def _normalise(probabilities: Tensor) -> Tensor:
    total = probabilities.sum(1, keepdim=True)
    # Where every class that was found has probability 0, the background has it all.
    background = torch.zeros_like(probabilities)
    background[:, 0] = 1
    return torch.where(total > 1e-6, probabilities / total.clamp_min(1e-6), background)
