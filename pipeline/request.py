"""Request: what a run is to paint, and from which files, as dataclasses.

Nothing here needs torch or opens a file, so that mistakes are answered first.
"""

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Any, Literal

from pipeline.errors import UserError, not_one_of

#: What becomes of a region's colours; see `pipeline.pictures.color`.
Color = StrEnum("Color", ["style", "luminance", "match", "histogram"])

_SHAPE = re.compile(r"\s*(box|circle|polygon)\s*\(([^()]*)\)\s*")
_SEED = re.compile(r"\s*(box|circle|polygon|point|not)\s*\(([^()]*)\)\s*,?")

#: A place in a picture, x and y.
Point = tuple[float, float]


@dataclass(frozen=True)
class Shape:
    """A box, circle or polygon.

    Attributes:
        kind: which of them.
        numbers: box: left, top, right, bottom; circle: centre x, y, radius; polygon: x, y of three
            corners or more. Pixels from the top left corner of the upright picture as it is in
            its file; if all are at most 1, fractions of width and height (a radius: of the shorter
            side).
    """

    kind: Literal["box", "circle", "polygon"]
    numbers: tuple[float, ...]

    @property
    def in_fractions(self) -> bool:
        """Whether the numbers are fractions of the picture's sides."""
        return all(number <= 1 for number in self.numbers)


@dataclass(frozen=True)
class Seeds:
    """Where a thing is whose outline is to be found: points, a shape around it, or both.

    Attributes:
        inside: points on it.
        outside: points that are not.
        around: nothing of it is outside.

    Coordinates as in `Shape`; they are fractions if all of them, and the shape's, are at most 1.
    """

    inside: tuple[Point, ...] = ()
    outside: tuple[Point, ...] = ()
    around: Shape | None = None

    @property
    def in_fractions(self) -> bool:
        """Whether the coordinates are fractions of the picture's sides."""
        points = (*self.inside, *self.outside)
        shape = self.around is None or self.around.in_fractions
        return shape and all(number <= 1 for point in points for number in point)

    def __str__(self) -> str:
        shape = self.around
        parts: list[tuple[str, tuple[float, ...]]] = []
        parts += [] if shape is None else [(shape.kind, shape.numbers)]
        parts += [("point", point) for point in self.inside]
        parts += [("not", point) for point in self.outside]
        return " ".join(
            f"{kind}({','.join(f'{number:g}' for number in numbers)})" for kind, numbers in parts
        )


@dataclass(frozen=True)
class StyleChoice:
    """One style of a region.

    Attributes:
        image: path or name of the picture.
        weight: of its loss; None: 1, shared equally by several styles that are pursued at once.
        scale: of the brushwork; 2 makes the style picture, and so its strokes, twice as large.
        crop: the part of the picture to use, a box.
        region: the region of the style picture to use, found by the segmenter.
        mask: path of a mask of the whole style picture; what is white is used.
        color: a `Color`; None: as the run has it.
        strength: how boldly it is pursued, in [0, 1]; None: as the run has it.
    """

    image: str
    weight: float | None = None
    scale: float = 1.0
    crop: Shape | None = None
    region: str | None = None
    mask: str | None = None
    color: str | None = None
    strength: float | None = None


@dataclass(frozen=True)
class RegionChoice:
    """A region of one's own, or a change to one that was found.

    Attributes:
        source: a mask picture, a `Shape`, `Seeds` of a thing to be found, a label or colour of the
            label map, or another region's name; None: the region's own name.
        invert: everything but that.
        grow: pixels of the result by which it is made larger, or smaller if negative.
        feather: width of its soft edge in pixels; None: as the run has it.
    """

    source: str | Shape | Seeds | None = None
    invert: bool = False
    grow: float = 0.0
    feather: float | None = None


@dataclass(frozen=True)
class Request:
    """What a run is to read and to paint.

    Attributes:
        content: path or name of the photograph.
        styles: region to its styles; empty with a reference.
        reference: path or name of the picture whose regions style the same regions of the content.
        label_map: path of one.
        regions: the regions of one's own, by name.
        init: path or name of the picture where the optimisation starts; None: not at a picture.
        weights: key of a setting to the path of a network's weights.
        reference_labels: path of the reference's label map, whose labels pair with the content's.
    """

    content: str
    styles: Mapping[str, Sequence[StyleChoice]] = field(default_factory=dict)
    reference: str | None = None
    label_map: str | None = None
    regions: Mapping[str, RegionChoice] = field(default_factory=dict)
    init: str | None = None
    weights: Mapping[str, str] = field(default_factory=dict)
    reference_labels: str | None = None

    def files(self, folder: Path) -> dict[str, Path]:
        """What each name of a file is on the command line, ``content=a.png``, to its path.

        Not all of them need exist: some are names of samples or regions.

        Args:
            folder: where relative paths begin.
        """
        named: list[tuple[str, Any]] = [
            ("content", self.content),
            ("reference", self.reference),
            ("reference_regions", self.reference_labels),
            ("init", self.init),
            ("regions", self.label_map),
            *self.weights.items(),
            *((f"regions.{name}", choice.source) for name, choice in self.regions.items()),
            *(
                (f"styles.{region}", style.image)
                for region, styles in self.styles.items()
                for style in styles
            ),
            *(
                (f"styles.{region}.mask", style.mask)
                for region, styles in self.styles.items()
                for style in styles
            ),
        ]
        return {
            f"{key}={name}": folder / Path(name).expanduser()
            for key, name in named
            if isinstance(name, str)
        }


def parse_shape(text: str) -> Shape | None:
    """A shape such as ``box(0.1, 0.1, 0.4, 0.5)``; None for text that is something else.

    Raises:
        UserError: too few or too many numbers, no numbers, or nothing inside.
    """
    found = _SHAPE.fullmatch(text)
    if found is None:
        return None
    return _shape(found[1], _numbers(text), text)


def _shape(kind: str, numbers: tuple[float, ...], text: str) -> Shape:
    if not all(math.isfinite(number) and number >= 0 for number in numbers):
        raise UserError(f"{text} should hold numbers from 0 up")
    if kind == "box":
        if len(numbers) != 4 or not (numbers[0] < numbers[2] and numbers[1] < numbers[3]):
            raise UserError(f"{text} should be box(left, top, right, bottom)")
        return Shape("box", numbers)
    if kind == "circle":
        if len(numbers) != 3 or not numbers[2] > 0:
            raise UserError(f"{text} should be circle(x, y, radius)")
        return Shape("circle", numbers)
    if len(numbers) < 6 or len(numbers) % 2:
        raise UserError(f"{text} should be polygon(x, y, x, y, x, y, ...), three corners or more")
    return Shape("polygon", numbers)


def parse_seeds(text: str) -> Seeds | None:
    """Seeds such as ``point(0.4,0.5) not(0.7,0.2)``, with a shape around them or without.

    Returns:
        None for text that is something else, a shape alone among that.

    Raises:
        UserError: not two numbers a point, no point inside, or more than one shape.
    """
    found = [(entry[1], entry[0]) for entry in _SEED.finditer(text)]
    if "".join(part for _, part in found) != text or not any(
        k in ("point", "not") for k, _ in found
    ):
        return None
    places: dict[str, list[Point]] = {"point": [], "not": []}
    shapes = []
    for kind, part in found:
        part = part.strip(" ,\n\t")
        if kind in places:
            numbers = _numbers(part)
            if len(numbers) != 2 or not all(math.isfinite(n) and n >= 0 for n in numbers):
                raise UserError(f"{part} should be {kind}(x, y), with numbers from 0 up")
            places[kind].append((numbers[0], numbers[1]))
        else:
            shapes.append(parse_shape(part))
    if len(shapes) > 1:
        raise UserError(f"{text} has {len(shapes)} shapes; leave one around the thing")
    if not places["point"] and not shapes:
        raise UserError(f"{text} says only where the thing is not; add point(x,y) on it")
    return Seeds(tuple(places["point"]), tuple(places["not"]), shapes[0] if shapes else None)


def _numbers(text: str) -> tuple[float, ...]:
    """The numbers in the brackets of a shape or a point."""
    inside = text[text.index("(") + 1 : text.rindex(")")]
    try:
        return tuple(float(number) for number in inside.split(","))
    except ValueError:
        raise UserError(f"{text} should hold numbers separated by commas") from None


def parse_styles(styles: Mapping[Any, Any]) -> dict[str, list[StyleChoice]]:
    """The styles of each region.

    Args:
        styles: region to a picture's path, to ``{image: PATH, weight: ..., ...}``, to a list of
            these, or (``person: {1: ..., 2: ...}``) object number to one of these.

    Returns:
        Region to its styles; objects are regions of their own, ``person.1``.

    Raises:
        UserError: anything else.
    """
    found: dict[str, list[StyleChoice]] = {}
    for region, style in styles.items():
        if isinstance(style, Mapping) and style and all(str(key).isdigit() for key in style):
            for number, of_object in style.items():
                found[f"{region}.{number}"] = _parse_style(f"{region}.{number}", of_object)
        else:
            found[str(region)] = _parse_style(str(region), style)
    return found


def _parse_style(region: str, style: Any) -> list[StyleChoice]:
    several = style if isinstance(style, Sequence) and not isinstance(style, str) else [style]
    choices = []
    for entry in several:
        given = {"image": entry} if isinstance(entry, str) else entry
        if not isinstance(given, Mapping) or not given.get("image"):
            raise UserError(
                f"styles.{region}={style} is not the path or name of a picture; for more use "
                f"styles.{region}={{image: PATH, strength: 0.5, scale: 1, crop: [0, 0, 0.5, 1], "
                "region: person, color: match}"
            )
        choices.append(_style_choice(f"styles.{region}", given))
    if not choices:
        raise UserError(f"styles.{region} is empty; name a picture")
    if len({choice.color == "luminance" for choice in choices}) > 1:
        raise UserError(f"styles.{region}: color=luminance is for all styles of a region or none")
    return choices


def _style_choice(key: str, given: Mapping[Any, Any]) -> StyleChoice:
    known = ("image", "weight", "scale", "crop", "region", "mask", "color", "strength")
    _known(key, given, known)
    color = given.get("color")
    if color is not None and color not in [*Color]:
        raise UserError(not_one_of(f"{key}.color", color, Color))
    region, mask, weight, strength = (
        given.get(name) for name in ("region", "mask", "weight", "strength")
    )
    if region is not None and mask is not None:
        raise UserError(
            f"{key} has both region={region} and mask={mask}; leave out one, for either says "
            "which part of the picture to use"
        )
    return StyleChoice(
        image=str(given["image"]),
        weight=None if weight is None else _number(f"{key}.weight", weight, 1e-6, 1e6),
        scale=_number(f"{key}.scale", given.get("scale", 1.0), 0.1, 10),
        crop=_crop(f"{key}.crop", given.get("crop")),
        region=None if region is None else str(region),
        mask=None if mask is None else str(mask),
        color=color,
        strength=None if strength is None else _number(f"{key}.strength", strength, 0, 1),
    )


def _crop(key: str, crop: Any) -> Shape | None:
    if crop is None:
        return None
    text = f"{key}={crop}"
    if isinstance(crop, str):
        shape = parse_shape(crop)
    else:
        shape = _shape("box", tuple(_number(key, number, 0, math.inf) for number in crop), text)
    if shape is None or shape.kind != "box":
        raise UserError(f"{text} should be [left, top, right, bottom]")
    return shape


def parse_regions(regions: Any) -> tuple[str | None, dict[str, RegionChoice]]:
    """The label map, if there is one, and the regions of one's own.

    Args:
        regions: a label map's path, or region to a mask's path, shape, points, label, other
            region, or ``{source: ..., snap: ..., invert: ..., grow: ..., feather: ...}``. The name
            ``labels`` is kept for a label map that is mixed with these.

    Raises:
        UserError: anything else.
    """
    if isinstance(regions, str):
        return regions, {}
    if not isinstance(regions, Mapping):
        raise UserError(f"regions={regions} is neither a label map's path nor names with masks")
    label_map = regions.get("labels")
    if label_map is not None and not isinstance(label_map, str):
        raise UserError("regions.labels is kept for the path of a label map")
    choices = {
        str(name): _region_choice(f"regions.{name}", given)
        for name, given in regions.items()
        if name != "labels"
    }
    return label_map, choices


def _region_choice(key: str, given: Any) -> RegionChoice:
    if isinstance(given, str | int) and not isinstance(given, bool):
        given = {"source": str(given)}
    if not isinstance(given, Mapping) or not given:
        raise UserError(
            f"{key}={given} is not a mask's path, point(x,y), box(...), circle(...), "
            "polygon(...) or {source: ..., snap: false, invert: false, grow: 0, feather: 2}"
        )
    _known(key, given, ("source", "snap", "invert", "grow", "feather"))
    feather = given.get("feather")
    return RegionChoice(
        source=_source(key, given.get("source"), bool(given.get("snap", False))),
        invert=bool(given.get("invert", False)),
        grow=_number(f"{key}.grow", given.get("grow", 0.0), -1000, 1000),
        feather=None if feather is None else _number(f"{key}.feather", feather, 0, 100),
    )


def _source(key: str, given: Any, snap: bool) -> str | Shape | Seeds | None:
    text = None if given is None else str(given)
    found = None if text is None else parse_shape(text) or parse_seeds(text) or text
    if not snap or isinstance(found, Seeds):
        return found
    if isinstance(found, Shape):
        return Seeds(around=found)
    raise UserError(f"{key}.snap=true needs {key}='box(left,top,right,bottom)' around the thing")


def _known(key: str, given: Mapping[Any, Any], names: Sequence[str]) -> None:
    unknown = [str(name) for name in given if name not in names]
    if unknown:
        raise UserError(f"no setting {key}.{unknown[0]}; there are {', '.join(names)}")


def _number(key: str, value: Any, low: float, high: float) -> float:
    if not isinstance(value, int | float) or isinstance(value, bool) or not low <= value <= high:
        raise UserError(f"{key}={value} is outside {low:g} to {high:g}")
    return float(value)
