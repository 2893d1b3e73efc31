"""Colour cut: what a mask leaves open is decided by the colours of what it is sure of."""

import cv2
import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F
from torch import Tensor

from pipeline.pictures.boxes import surroundings

Places = npt.NDArray[np.bool_]

#: Probabilities above the second and below the first are certain.
UNCERTAIN = (0.15, 0.85)
# GrabCut fits its models to its own cut again and again; outlines of people do not gain by it.
_ROUNDS = 1
# OpenCV fits five Gaussians each; fewer pixels would not tell them apart.
_FEWEST_CERTAIN = 50
# How far around undecided pixels colours count, as a share of the picture's long side.
_SURROUNDINGS = 0.08
#: Share of a side under which a cut must not shrink it: colours that both sides have tell nothing.
_LEAST_KEPT = 0.25
# Mean probability of a hole's pixels above which it is none: a label on a cap before a white sky.
_WHOLE = 0.4


def colour_models(picture: Tensor, probability: Tensor, longest: int = 512) -> Tensor:
    """Decide where a mask is uncertain by the colours of where it is certain.

    GrabCut (Rother, Kolmogorov and Blake 2004): mixtures of Gaussians for the colours inside and
    outside, and a cut along the picture's edges, on the pixels between `UNCERTAIN`. What lies far
    from all of them has no say: its colours are those of other things.

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
    # The first clusters are drawn at random.
    cv2.setRNGSeed(0)
    models = np.zeros((1, 65)), np.zeros((1, 65))
    cv2.grabCut(
        np.ascontiguousarray(bgr.cpu().numpy()),
        trimap,
        (0, 0, 0, 0),
        *models,
        _ROUNDS,
        cv2.GC_INIT_WITH_MASK,
    )
    cut = np.isin(trimap, (cv2.GC_FGD, cv2.GC_PR_FGD)).astype(np.float32)
    had, kept = (inside >= 0.5).mean(), cut.mean()
    if kept < _LEAST_KEPT * had or 1 - kept < _LEAST_KEPT * (1 - had):
        return None
    cut[_likely_holes(cut > 0, inside)] = 1
    soft = torch.from_numpy(cv2.GaussianBlur(cut, (0, 0), 0.7))[None, None].to(probability)
    return F.interpolate(soft, picture.shape[2:], mode="bilinear").clamp(0, 1)


def _likely_holes(cut: Places, probability: npt.NDArray[np.float32]) -> Places:
    """Holes of a cut that its colours have torn into what is more likely whole, (H, W)."""
    count, parts = cv2.connectedComponents((~cut).astype(np.uint8), connectivity=4)
    border = np.concatenate([parts[[0, -1]].ravel(), parts[:, [0, -1]].ravel()])
    sizes = np.bincount(parts.ravel(), minlength=count)
    likely = np.bincount(parts.ravel(), probability.ravel(), count) > _WHOLE * sizes
    likely[border] = likely[0] = False
    holes: Places = likely[parts]
    return holes
