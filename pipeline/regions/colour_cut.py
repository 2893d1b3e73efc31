"""Colour cut: what a mask leaves open is decided by the colours of what it is sure of."""

import itertools
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import cv2
import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F
from torch import Tensor

from pipeline.pictures.boxes import surroundings

Places = npt.NDArray[np.bool_]
Values = npt.NDArray[np.uint8]

#: Probabilities above the second and below the first are certain.
UNCERTAIN = (0.15, 0.85)
# OpenCV fits five Gaussians each; fewer pixels would not tell them apart.
_FEWEST_CERTAIN = 50
# How far around undecided pixels colours count, as a share of the picture's long side.
_SURROUNDINGS = 0.04
#: Share of a side under which a cut must not shrink it: colours that both sides have tell nothing.
_LEAST_KEPT = 0.25
# Mean probability of a hole's pixels above which it is none: a label on a cap before a white sky.
_WHOLE = 0.4
# Sides of the blocks that are cut one by one, and what each sees around it, in pixels. What counts
# as an edge is a matter of the contrasts nearby, and small cuts take less time than a large one.
_BLOCK, _AROUND = 128, 24


def colour_models(picture: Tensor, probability: Tensor, longest: int = 512) -> Tensor:
    """Decide where a mask is uncertain by the colours of where it is certain.

    GrabCut (Rother, Kolmogorov and Blake 2004): mixtures of Gaussians for the colours inside and
    outside, and a cut along the picture's edges, on the pixels between `UNCERTAIN`, block by block.
    What lies far from all of them has no say: its colours are those of other things.

    Args:
        picture: (1, 3, H, W) in [0, 1].
        probability: (1, 1, H, W) in [0, 1].
        longest: a larger picture is cut as if it had this long side in pixels.

    Returns:
        (1, 1, H, W) in [0, 1]: as given where it was certain, else 0 or 1 with an edge of about a
        pixel. As given, too, where nothing is certainly inside or outside, or where a cut would
        take nearly all of what is inside, or outside, away.
    """
    low, high = UNCERTAIN
    undecided = (probability > low) & (probability < high)
    if not undecided.any():
        return probability
    longest_side = max(picture.shape[2:])
    box = surroundings(undecided, round(_SURROUNDINGS * longest_side))
    scale = min(1.0, longest / longest_side)
    size = max(1, round(scale * box.height)), max(1, round(scale * box.width))
    cut = _cut(box.cut(picture), box.cut(probability), size)
    if cut is None:
        return probability
    decided = torch.where(box.cut(undecided), cut, box.cut(probability))
    return box.put(decided, probability)


def _cut(picture: Tensor, probability: Tensor, size: tuple[int, int]) -> Tensor | None:
    """`colour_models` of a whole picture, made at some size; None where it tells nothing."""
    low, high = UNCERTAIN
    small = F.interpolate(picture, size, mode="bilinear", antialias=True)
    inside = F.interpolate(probability, size, mode="bilinear")[0, 0].cpu().numpy()
    bgr = (small[0].flip(0) * 255).round().clamp(0, 255).byte().permute(1, 2, 0)
    trimap = np.where(inside >= 0.5, cv2.GC_PR_FGD, cv2.GC_PR_BGD).astype(np.uint8)
    trimap[inside > high] = cv2.GC_FGD
    trimap[inside < low] = cv2.GC_BGD
    certain = [(trimap == kind).sum() for kind in (cv2.GC_FGD, cv2.GC_BGD)]
    if min(certain) < _FEWEST_CERTAIN:
        return None
    cut = _cut_in_blocks(np.ascontiguousarray(bgr.cpu().numpy()), trimap).astype(np.float32)
    had, kept = (inside >= 0.5).mean(), cut.mean()
    if kept < _LEAST_KEPT * had or 1 - kept < _LEAST_KEPT * (1 - had):
        return None
    cut[_likely_holes(cut > 0, inside)] = 1
    soft = torch.from_numpy(cv2.GaussianBlur(cut, (0, 0), 0.7))[None, None].to(probability)
    return F.interpolate(soft, picture.shape[2:], mode="bilinear").clamp(0, 1)


def _cut_in_blocks(picture: Values, trimap: Values) -> Places:
    """What is inside, by colour models of all of a picture and a cut of each block with them.

    Args:
        picture: (H, W, 3).
        trimap: (H, W), GrabCut's four kinds of pixels.

    Returns:
        (H, W).
    """
    # The first clusters are drawn at random.
    cv2.setRNGSeed(0)
    outside, inside = np.zeros((1, 65)), np.zeros((1, 65))
    nowhere = (0, 0, 0, 0)
    cv2.grabCut(picture, trimap.copy(), nowhere, outside, inside, 0, cv2.GC_INIT_WITH_MASK)

    def cut(block: tuple[slice, slice]) -> Values:
        rows, columns = block
        above, left = max(0, rows.start - _AROUND), max(0, columns.start - _AROUND)
        seen = slice(above, rows.stop + _AROUND), slice(left, columns.stop + _AROUND)
        part, found = picture[seen].copy(), trimap[seen].copy()
        models = outside.copy(), inside.copy()
        cv2.grabCut(part, found, nowhere, *models, 1, cv2.GC_EVAL_FREEZE_MODEL)
        return found[
            rows.start - above : rows.stop - above, columns.start - left : columns.stop - left
        ]

    blocks, after = [*_blocks(trimap)], trimap.copy()
    with ThreadPoolExecutor(torch.get_num_threads()) as cores:
        for block, found in zip(blocks, cores.map(cut, blocks), strict=True):
            after[block] = found
    return np.isin(after, (cv2.GC_FGD, cv2.GC_PR_FGD))


def _blocks(trimap: Values) -> Iterator[tuple[slice, slice]]:
    """The rows and columns of what is undecided, in blocks of about the same size."""
    undecided = np.isin(trimap, (cv2.GC_PR_FGD, cv2.GC_PR_BGD))
    down, across = (
        np.linspace(0, length, max(1, round(length / _BLOCK)) + 1).astype(int)
        for length in trimap.shape
    )
    for top, bottom in itertools.pairwise(down.tolist()):
        for left, right in itertools.pairwise(across.tolist()):
            here = undecided[top:bottom, left:right]
            rows, columns = (np.flatnonzero(here.any(axis)) for axis in (1, 0))
            if len(rows):
                yield (
                    slice(top + int(rows[0]), top + int(rows[-1]) + 1),
                    slice(left + int(columns[0]), left + int(columns[-1]) + 1),
                )


def _likely_holes(cut: Places, probability: npt.NDArray[np.float32]) -> Places:
    """Holes of a cut that its colours have torn into what is more likely whole, (H, W)."""
    count, parts = cv2.connectedComponents((~cut).astype(np.uint8), connectivity=4)
    border = np.concatenate([parts[[0, -1]].ravel(), parts[:, [0, -1]].ravel()])
    sizes = np.bincount(parts.ravel(), minlength=count)
    likely = np.bincount(parts.ravel(), probability.ravel(), count) > _WHOLE * sizes
    likely[[0, *border]] = False
    holes: Places = likely[parts]
    return holes
