"""Snap: the thing that points lie on, or that a shape is drawn around, with its outline.

A point on what the segmenter is sure of takes that part of its class. Any other thing is told from
what is around by colours, edges and what the segmenter finds probable: superpixels (Achanta et al.
2012, SLIC) are the nodes of a random walker with prior models (Grady 2005, Multilabel Random Walker
Image Segmentation Using Prior Models). Its priors are densities of the colours inside and outside,
found again after each walk. It starts from several extents around the points; the one with the
strongest edges along its outline is taken. A shape is cut by GrabCut (Rother, Kolmogorov and Blake
2004), unless it is drawn around a part of a class.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F
from torch import Tensor

from pipeline.errors import UserError
from pipeline.pictures.resize import fitted_size
from pipeline.regions.custom import shape_mask
from pipeline.regions.masks import object_masks
from pipeline.regions.matte import class_outlines
from pipeline.regions.refine import guided_lines, most_probable
from pipeline.regions.segment import Segmentation
from pipeline.request import Point, RegionChoice, Seeds

Values = npt.NDArray[np.float64]
Places = npt.NDArray[np.bool_]
Numbers = npt.NDArray[np.int64]
Trimap = npt.NDArray[np.uint8]
#: Column and row in pixels.
Pixel = tuple[int, int]
#: Finds a thing in a picture by points on it and points that are not, as fractions: a model in
#: place of colours and edges (`click_prompts.ClickPrompts.masks_of_points`).
Finder = Callable[
    [Tensor, Sequence[tuple[float, float]], Sequence[tuple[float, float]]],
    Tensor,
]

#: Long side in pixels at which things are found, and at which their outlines then are.
_FINDING_SIZE, _OUTLINE_SIZE = 384, 768
#: The segmenter is sure from this probability; a shape means what it overlaps so much (IoU).
_SURE, _OVERLAP = 0.6, 0.6
_SUPERPIXELS, _COMPACTNESS = 500, 0.2
#: What a probability counts beside CIE Lab's units.
_PROBABILITY = 60.0
#: Standard deviation of colour densities, and the difference that closes an edge, in these units.
_DENSITY, _EDGE = 12.0, 8.0
#: Weight of the prior of each pixel beside edges; of the frame, which shows no whole thing.
_PRIOR, _FRAME = 0.02, 0.5
#: What the points alone say of colours beside all that was found.
_OF_SEEDS = 0.3
#: How far a class's part, where a point lies in one, goes before the colours.
_CLASS = 0.8
#: Shares of the picture around the points where walks start, and the usual size of a thing as the
#: mean and standard deviation of a share's logarithm.
_EXTENTS, _ADDED, _USUAL = (0.1, 0.3), (0.03,), (np.log(0.2), 1.2)
_ROUNDS = 3
#: Parts under this share of what a shape holds are specks.
_SPECK = 0.05
#: Long side in pixels at which GrabCut cuts out of a shape, and how often.
_CUTTING_SIZE, _CUTS = 256, 5
#: Share of the long side by which a cut may leave what was found before.
_REACH, _CORE = 0.06, int(cv2.GC_FGD)
#: A cut of less than this share of the shape has lost the thing.
_LEAST = 0.1
# OpenCV fits five Gaussians each; fewer pixels would not tell them apart.
_FEWEST = 50
#: Window, in pixels of the finding size, and contrast of the guided filter that draws outlines.
_RADIUS, _EPS = 4, 1e-4


def snapped_masks(
    choices: Mapping[str, RegionChoice],
    segmentation: Segmentation | None,
    picture: Tensor,
    original: tuple[int, int],
    matte: bool,
    find: Finder | None = None,
) -> dict[str, Tensor]:
    """Masks of the regions that are given by `Seeds`.

    Args:
        choices: the user's own regions.
        segmentation: of the picture; None: colours and edges alone.
        picture: (1, 3, H, W) in [0, 1].
        original: width and height of the photograph in its file, for pixels.
        matte: whether outlines are mattes (`matte.class_mattes`) or plain.
        find: what finds the things at points that are on no class; None: colours and edges do.

    Returns:
        Name to (1, 1, H, W) in [0, 1].

    Raises:
        UserError: a point outside of the picture, or nothing found.
    """
    found = {}
    for name, choice in choices.items():
        if isinstance(choice.source, Seeds):
            thing = f"regions.{name}={choice.source}"
            inside = snap(picture, choice.source, segmentation, original, thing, find)
            alone = _two_classes(inside, picture)
            found[name] = class_outlines(alone, picture, matte)[0]["thing"]
    return found


def snap(
    picture: Tensor,
    seeds: Seeds,
    segmentation: Segmentation | None,
    original: tuple[int, int],
    name: str = "the region",
    find: Finder | None = None,
) -> Tensor:
    """How probable it is that a pixel belongs to the thing.

    Args:
        picture: (1, 3, H, W) in [0, 1].
        seeds: where it is.
        segmentation: of the picture; None: colours and edges alone.
        original: width and height of the photograph in its file, for pixels.
        name: of the region, for messages.
        find: as `snapped_masks`.

    Returns:
        (1, 1, h, w) in [0, 1], with a long side of at most `_FINDING_SIZE` or the segmentation's;
        of what ``find`` has found, of its own size.

    Raises:
        UserError: a point outside of the picture, or nothing found.
    """
    inside = [_fraction(point, seeds, original, name) for point in seeds.inside]
    outside = [_fraction(point, seeds, original, name) for point in seeds.outside]
    small = _at(picture, _FINDING_SIZE)
    size = small.shape[2], small.shape[3]
    around = None
    if seeds.around is not None:
        around = shape_mask(seeds.around, *size, original)[0, 0].numpy() >= 0.5
        if not around.any() or around.all():
            raise UserError(f"{name}: the shape should be around a part of the photograph")
    classes = [] if segmentation is None else _class_parts(segmentation, inside, outside, around)
    taken = [part for part in classes if part.whole]
    left = [point for point in inside if not any(_holds(part.probability, point) for part in taken)]
    found = [part.probability for part in taken]
    if around is not None and not taken:
        trimap = np.where(around, cv2.GC_PR_FGD, cv2.GC_BGD).astype(np.uint8)
        here = _cut_out(small, trimap, left, outside)
        found.append(torch.from_numpy(here.astype(np.float32))[None, None].to(picture))
    elif left and find is not None:
        found.append(find(picture, left, outside))
    elif left:
        parts = [part.probability for part in classes]
        here = _found_by_colours(small, segmentation, inside, outside, parts)
        found.append(torch.from_numpy(here.astype(np.float32))[None, None].to(picture))
    largest = max((one.shape[2:] for one in found), key=max)
    joined = torch.stack([F.interpolate(one, largest, mode="bilinear") for one in found]).amax(0)
    if float(joined.max()) < 0.5:
        raise UserError(f"{name}: nothing was found there; move the points, or add some")
    return joined


def _fraction(
    point: Point, seeds: Seeds, original: tuple[int, int], name: str
) -> tuple[float, float]:
    width, height = (1, 1) if seeds.in_fractions else original
    if not (point[0] <= width and point[1] <= height):
        raise UserError(
            f"{name}: {point[0]:g},{point[1]:g} lies outside of the photograph of {width} x "
            f"{height} pixels; points are pixels of it, or fractions if none is over 1"
        )
    return point[0] / width, point[1] / height


def _pixel(point: tuple[float, float], size: Sequence[int]) -> Pixel:
    height, width = size
    return min(int(point[0] * width), width - 1), min(int(point[1] * height), height - 1)


def _holds(mask: Tensor, point: tuple[float, float]) -> bool:
    column, row = _pixel(point, mask.shape[2:])
    return bool(mask[0, 0, row, column] >= 0.5)


def _at(picture: Tensor, longest: int) -> Tensor:
    size = fitted_size(picture.shape[2:], longest)
    return F.interpolate(picture, size, mode="bilinear", antialias=True)


def _two_classes(inside: Tensor, picture: Tensor) -> Segmentation:
    """A segmentation into a thing and its background, drawn along the picture's edges."""
    guide = _at(picture, _OUTLINE_SIZE)
    size = guide.shape[2], guide.shape[3]
    if max(inside.shape[2:]) < max(size):
        small = F.interpolate(guide, inside.shape[2:], mode="bilinear", antialias=True)
        lines = guided_lines(small, inside, _RADIUS, _EPS).enlarged(slice(0, size[0]), *size)
        inside = lines.follow(guide).to(guide).clamp(0, 1)
    elif inside.shape[2:] != guide.shape[2:]:
        inside = F.interpolate(inside, size, mode="bilinear", antialias=True)
    return Segmentation({"background": 1 - inside, "thing": inside})


@dataclass(frozen=True)
class _Part:
    """A connected part of a class: its probability, (1, 1, h, w), and whether to take it whole."""

    probability: Tensor
    whole: bool


def _class_parts(
    segmentation: Segmentation,
    inside: Sequence[tuple[float, float]],
    outside: Sequence[tuple[float, float]],
    around: Places | None,
) -> list[_Part]:
    """The parts of classes that the points lie on, or that the shape is drawn around.

    A part on which a point lies that should be outside is not taken whole.
    """
    names = [*segmentation.probabilities]
    stacked = torch.cat([*segmentation.probabilities.values()], dim=1)
    best = most_probable(stacked)[:, None]
    parts: list[_Part] = []
    for number, name in enumerate(names):
        if name == "background" or not bool((best == number).any()):
            continue
        of_class = torch.where(best == number, stacked[:, number : number + 1].clamp_min(0.5), 0)
        for part in object_masks(of_class):
            near = part > 0
            probability = stacked[:, number : number + 1] * _nearest(near, of_class > 0)
            if around is not None:
                chosen = _overlap(near, around) >= _OVERLAP
            else:
                chosen = any(_holds(near.to(part), p) and _is_sure(part, p) for p in inside)
            if chosen:
                whole = not any(_holds(near.to(part), point) for point in outside)
                parts.append(_Part(probability, whole))
    return parts


def _is_sure(part: Tensor, point: tuple[float, float]) -> bool:
    column, row = _pixel(point, part.shape[2:])
    return bool(part[0, 0, row, column] >= _SURE)


def _nearest(part: Tensor, of_class: Tensor) -> Tensor:
    """Where a part is, or is nearer than its class's other parts; (1, 1, h, w)."""

    def far(places: Tensor) -> npt.NDArray[np.float32]:
        outside = (~places[0, 0]).cpu().numpy().astype(np.uint8)
        if outside.all():
            return np.full(outside.shape, np.inf, dtype=np.float32)
        return np.asarray(cv2.distanceTransform(outside, cv2.DIST_L2, cv2.DIST_MASK_PRECISE))

    nearer = far(part) <= far(of_class & ~part)
    return torch.from_numpy(nearer)[None, None].to(part.device)


def _overlap(part: Tensor, around: Places) -> float:
    """Intersection over union of the boxes around a part and around a shape."""
    places = F.interpolate(part.float(), around.shape)[0, 0].cpu().numpy() >= 0.5
    if not places.any():
        return 0.0
    one, other = (
        cv2.boundingRect(places.astype(np.uint8)),
        cv2.boundingRect(around.astype(np.uint8)),
    )
    width = min(one[0] + one[2], other[0] + other[2]) - max(one[0], other[0])
    height = min(one[1] + one[3], other[1] + other[3]) - max(one[1], other[1])
    both = max(0, width) * max(0, height)
    return float(both / (one[2] * one[3] + other[2] * other[3] - both))


@dataclass(frozen=True)
class _Graph:
    """Superpixels and their borders.

    Attributes:
        index: (H, W), the superpixel of each pixel.
        areas: (N,), pixels.
        features: (N, C), mean CIE Lab, and probabilities in its units.
        ends: (2, E), the superpixels on either side of a border.
        lengths, contrast: (E,), its pixels, and the mean difference across them.
        frame: (N,), pixels along the picture's frame.
    """

    index: Numbers
    areas: Values
    features: Values
    ends: Numbers
    lengths: Values
    contrast: Values
    frame: Values

    def means(self, values: npt.NDArray[np.generic]) -> Values:
        """Of (H, W) over each superpixel, (N,)."""
        sums = np.bincount(self.index.ravel(), values.ravel(), len(self.areas))
        return np.asarray(sums / self.areas)

    def places(self, pixels: Sequence[Pixel]) -> Numbers:
        """The superpixels of some pixels."""
        return np.array(sorted({int(self.index[row, column]) for column, row in pixels}), int)


def _graph(picture: Tensor, probabilities: Tensor | None) -> _Graph:
    # Imported late: runs without seeds do without.
    from skimage.segmentation import slic

    rgb = np.ascontiguousarray(picture[0].permute(1, 2, 0).float().cpu().numpy())
    planes = cv2.cvtColor(rgb, cv2.COLOR_RGB2LAB)
    index = slic(
        planes,
        n_segments=_SUPERPIXELS,
        compactness=_COMPACTNESS,
        max_num_iter=5,
        convert2lab=False,
        start_label=0,
    )
    if probabilities is not None:
        scaled = _PROBABILITY * probabilities[0].permute(1, 2, 0).float().cpu().numpy()
        planes = np.concatenate([planes, scaled], axis=-1)
    count = int(index.max()) + 1
    areas = np.bincount(index.ravel(), minlength=count).astype(np.float64)
    features = np.stack(
        [
            np.bincount(index.ravel(), plane.ravel(), count) / areas
            for plane in planes.transpose(2, 0, 1)
        ],
        axis=1,
    )
    smooth = np.stack(
        [cv2.GaussianBlur(np.ascontiguousarray(p), (0, 0), 1) for p in planes.transpose(2, 0, 1)],
        -1,
    )
    pairs, steps = [], []
    for here, there in ((np.s_[:, 2:], np.s_[:, :-2]), (np.s_[2:], np.s_[:-2])):
        low, high = np.minimum(index[here], index[there]), np.maximum(index[here], index[there])
        across = low != high
        pairs.append(low[across].astype(np.int64) * count + high[across])
        steps.append(np.linalg.norm((smooth[here] - smooth[there])[across], axis=-1))
    borders, which = np.unique(np.concatenate(pairs), return_inverse=True)
    lengths = np.bincount(which).astype(np.float64)
    contrast = np.bincount(which, np.concatenate(steps)) / lengths
    edge = np.zeros(index.shape)
    edge[[0, -1]] = edge[:, [0, -1]] = 1
    frame = np.bincount(index.ravel(), edge.ravel(), count).astype(np.float64)
    ends = np.stack([borders // count, borders % count])
    return _Graph(index, areas, features, ends, lengths, contrast, frame)


def _found_by_colours(
    picture: Tensor,
    segmentation: Segmentation | None,
    inside: Sequence[tuple[float, float]],
    outside: Sequence[tuple[float, float]],
    parts: Sequence[Tensor],
) -> Places:
    """(H, W): the thing at the points.

    Args:
        picture: (1, 3, H, W) in [0, 1], small.
        segmentation: of it; None: colours and edges alone.
        inside, outside: points in fractions.
        parts: (1, 1, h, w) each, where the segmenter supposes it.
    """
    size = picture.shape[2], picture.shape[3]
    probabilities = None
    if segmentation is not None:
        stacked = torch.cat([*segmentation.probabilities.values()], dim=1)
        probabilities = F.interpolate(stacked, size, mode="bilinear", antialias=True)
    graph = _graph(picture, probabilities)
    sure = graph.places([_pixel(point, size) for point in inside])
    never = graph.places([_pixel(point, size) for point in outside])
    never = np.setdiff1d(never, sure)
    supposed = np.zeros(len(graph.areas))
    for part in parts:
        there = F.interpolate(part, size, mode="bilinear", antialias=True)[0, 0] >= 0.5
        supposed = np.maximum(supposed, graph.means(there.cpu().numpy()))
    chosen = _connected(
        _walked(graph, sure, never, supposed)[graph.index],
        [_pixel(point, size) for point in inside],
    )
    reach = round(_REACH * max(size))
    disc = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * reach + 1, 2 * reach + 1))
    trimap = np.full(size, cv2.GC_BGD, dtype=np.uint8)
    trimap[cv2.dilate(chosen.astype(np.uint8), disc) > 0] = cv2.GC_PR_BGD
    trimap[chosen] = cv2.GC_PR_FGD
    trimap[cv2.erode(chosen.astype(np.uint8), disc) > 0] = _CORE
    return _cut_out(picture, trimap, inside, outside)


def _cut_out(
    picture: Tensor,
    trimap: Trimap,
    inside: Sequence[tuple[float, float]],
    outside: Sequence[tuple[float, float]],
) -> Places:
    """(H, W): what stands out by its colours (GrabCut).

    Args:
        picture: (1, 3, H, W) in [0, 1], small.
        trimap: (H, W), of OpenCV's four kinds, where it is looked for.
        inside, outside: points in fractions.
    """
    size = fitted_size(picture.shape[2:], _CUTTING_SIZE)
    small = F.interpolate(picture, size, mode="bilinear", antialias=True)
    levels = (small[0].flip(0) * 255).round().clamp(0, 255).byte().permute(1, 2, 0)
    bgr = np.ascontiguousarray(levels.cpu().numpy())
    places = np.asarray(cv2.resize(trimap, size[::-1], interpolation=cv2.INTER_NEAREST), np.uint8)
    for points, kind in ((inside, cv2.GC_FGD), (outside, cv2.GC_BGD)):
        for point in points:
            cv2.circle(places, _pixel(point, size), max(size) // 80, kind, -1)
    cut, allowed = _grab(bgr, places), places != cv2.GC_BGD
    if cut.sum() < _LEAST * allowed.sum() and not inside:
        # All of it has colours of what is around: hold on to the middle.
        left, top, width, height = cv2.boundingRect(allowed.astype(np.uint8))
        middle = left + width // 2, top + height // 2
        cv2.ellipse(places, middle, (width // 4, height // 4), 0, 0, 360, cv2.GC_FGD, -1)
        cut = _grab(bgr, places)
    kept = _connected(cut, [_pixel(point, size) for point in inside])
    large = cv2.resize(kept.astype(np.float32), trimap.shape[::-1], interpolation=cv2.INTER_LINEAR)
    return np.asarray((np.asarray(large) >= 0.5) & (trimap != cv2.GC_BGD))


def _grab(bgr: npt.NDArray[np.uint8], trimap: Trimap) -> Places:
    """(H, W): what GrabCut holds for the foreground; a trimap without one of the sides stays."""
    if min((trimap == cv2.GC_BGD).sum(), (trimap != cv2.GC_BGD).sum()) < _FEWEST:
        return np.asarray(trimap != cv2.GC_BGD)
    # The first clusters are drawn at random.
    cv2.setRNGSeed(0)
    models = np.zeros((1, 65)), np.zeros((1, 65))
    found = trimap.copy()
    cv2.grabCut(bgr, found, (0, 0, 0, 0), *models, _CUTS, cv2.GC_INIT_WITH_MASK)
    return np.isin(found, (cv2.GC_FGD, cv2.GC_PR_FGD))


def _walked(graph: _Graph, sure: Numbers, never: Numbers, supposed: Values) -> Places:
    """(N,): the superpixels of the thing; arguments as numbers of superpixels."""
    count, (first, second) = len(graph.areas), graph.ends
    apart = np.linalg.norm(graph.features[first] - graph.features[second], axis=1)
    apart = (apart + graph.contrast) / 2
    weights = np.zeros((count, count))
    weights[first, second] = weights[second, first] = graph.lengths * np.exp(-apart / _EDGE)
    laplacian = np.diag(weights.sum(0)) - weights
    squared = (graph.features**2).sum(1)
    distance = squared[:, None] + squared - 2 * graph.features @ graph.features.T
    kernel = np.exp(-distance.clip(0) / (2 * _DENSITY**2))
    frame = _PRIOR * 4 * _FRAME * graph.frame * (1 - supposed)
    fixed = np.zeros(count)
    fixed[sure] = fixed[never] = 1e6
    wanted = np.zeros(count)
    wanted[sure] = 1e6
    usual = np.sqrt(graph.areas.sum()) / 10
    best, strongest = np.zeros(count, dtype=np.bool_), -1.0
    for start in _starts(graph, apart, sure, never, supposed):
        inside = start
        for _ in range(_ROUNDS):
            beyond = (1 - inside) * (graph.areas + _FRAME * usual * graph.frame)
            of_thing = _density(kernel, inside * graph.areas, sure)
            of_rest = _density(kernel, beyond, never)
            prior = of_thing / (of_thing + of_rest + 1e-12)
            prior = supposed * _CLASS + (1 - supposed * _CLASS) * prior
            pull = _PRIOR * graph.areas
            system = laplacian + np.diag(pull + fixed + frame)
            inside = np.linalg.solve(system, pull * prior + wanted).clip(0, 1)
        chosen = inside > 0.5
        strength = _edges_along(graph, chosen)
        if strength > strongest:
            best, strongest = chosen, strength
    return best


def _density(kernel: Values, weights: Values, seeds: Numbers) -> Values:
    """(N,): how usual each superpixel's colours are among weighted ones and the seeds."""
    usual = kernel @ weights / max(weights.sum(), 1e-9)
    if not len(seeds):
        return np.asarray(usual)
    return np.asarray((1 - _OF_SEEDS) * usual + _OF_SEEDS * kernel[:, seeds].mean(1))


def _starts(
    graph: _Graph, apart: Values, sure: Numbers, never: Numbers, supposed: Values
) -> list[Values]:
    """(N,) in [0, 1] each: where the thing is before anything is known of its colours."""
    from scipy.sparse import csr_matrix
    from scipy.sparse.csgraph import dijkstra

    count = len(graph.areas)
    ways = csr_matrix((apart + 0.5, (graph.ends[0], graph.ends[1])), (count, count))
    far = dijkstra(ways, directed=False, indices=sure, min_only=True)
    nearer = np.ones(count)
    if len(never):
        other = dijkstra(ways, directed=False, indices=never, min_only=True)
        nearer = (1.3 * other / (other + far + 1e-9)).clip(0, 1)
    order = np.argsort(far)
    shares = np.cumsum(graph.areas[order]) / graph.areas.sum()
    starts = []
    # Beside a class's part a point only adds to it.
    for extent in _ADDED if supposed.any() else _EXTENTS:
        reach = far[order[min(count - 1, int(np.searchsorted(shares, extent)))]] + 1e-6
        start = np.maximum(np.exp(-0.7 * (far / reach) ** 2), supposed)
        starts.append(np.minimum(start, nearer))
    return starts


def _edges_along(graph: _Graph, chosen: Places) -> float:
    """How strong the edges along an outline are, less for things of unusual size."""
    cut = chosen[graph.ends[0]] != chosen[graph.ends[1]]
    share = graph.areas[chosen].sum() / graph.areas.sum()
    if not cut.any() or share == 0:
        return 0.0
    contrast = (graph.lengths * graph.contrast)[cut].sum() / graph.lengths[cut].sum()
    return float(contrast * np.exp(-0.5 * ((np.log(share) - _USUAL[0]) / _USUAL[1]) ** 2))


def _connected(mask: Places, points: Sequence[Pixel]) -> Places:
    """The parts that hold a point; without points all but specks."""
    count, parts, statistics, _ = cv2.connectedComponentsWithStats(
        mask.astype(np.uint8), connectivity=4
    )
    if points:
        kept = {int(parts[row, column]) for column, row in points} - {0}
    else:
        areas = statistics[:, cv2.CC_STAT_AREA]
        kept = {part for part in range(1, count) if areas[part] >= _SPECK * areas[1:].sum()}
    return np.isin(parts, [*kept])
