"""Edits: what somebody has asked for on the page, with undo and redo, and as a command.

Nothing here is ever changed in place: each edit makes a new one, so that all of them are kept.
"""

import dataclasses
import shlex
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pipeline.command.overrides import literal, plain_or_quoted


@dataclass(frozen=True)
class Layer:
    """A region and the style that it is painted in.

    Attributes:
        region: its name.
        image: path or name of the style picture.
        strength: how boldly, in [0, 1]; None: as the settings say.
        scale: of the brushwork, in [0.1, 10].
        color: ``style``, ``luminance``, ``match`` or ``histogram`` (`request.Color`); None: as the
            settings say.
        shown: whether it is painted at all.
    """

    region: str
    image: str
    strength: float | None = None
    scale: float = 1.0
    color: str | None = None
    shown: bool = True

    def changed(self, **values: Any) -> "Layer":
        """The same with other values."""
        return dataclasses.replace(self, **values)

    @property
    def label(self) -> str:
        """What it is called in a list."""
        return f"{self.region}: {Path(self.image).stem}"

    @property
    def given(self) -> str | dict[str, Any]:
        """As `api.stylize` and the command take it: the picture, or that and what is unusual."""
        usual = Layer(self.region, self.image)
        unusual = {
            name: getattr(self, name)
            for name in ("strength", "scale", "color")
            if getattr(self, name) != getattr(usual, name)
        }
        return {"image": self.image, **unusual} if unusual else self.image


@dataclass(frozen=True)
class Drawn:
    """A region of one's own.

    Attributes:
        name: letters, digits and underscores.
        source: ``point(x,y) ...``, ``box(...)``, ``text(...)``, or the path of a mask.
        snap: whether a box is drawn around a thing that is to be found.
    """

    name: str
    source: str
    snap: bool = False

    @property
    def given(self) -> str | dict[str, Any]:
        """As `api.stylize` and the command take it."""
        return {"source": self.source, "snap": True} if self.snap else self.source


@dataclass(frozen=True)
class Edit:
    """All that was asked for.

    Attributes:
        layers: by region, in the order in which they were made.
        drawn: regions of one's own, by name.
    """

    layers: Mapping[str, Layer] = field(default_factory=dict)
    drawn: Mapping[str, Drawn] = field(default_factory=dict)

    def styled(self, region: str, image: str) -> Layer:
        """The layer of a region with this picture, all else as it is or as usual."""
        before = self.layers.get(region)
        return Layer(region, image) if before is None else before.changed(image=image)

    def with_layers(self, layers: Iterable[Layer]) -> "Edit":
        """The same with these instead of those of the same regions; new ones come last."""
        return dataclasses.replace(
            self, layers={**self.layers, **{layer.region: layer for layer in layers}}
        )

    def without(self, regions: Iterable[str]) -> "Edit":
        """The same without the layers of these regions."""
        gone = {*regions}
        kept = {name: layer for name, layer in self.layers.items() if name not in gone}
        return dataclasses.replace(self, layers=kept)

    def showing(self, regions: Iterable[str]) -> "Edit":
        """The same with the layers of these regions shown, and no others."""
        shown = {*regions}
        layers = {n: layer.changed(shown=n in shown) for n, layer in self.layers.items()}
        return dataclasses.replace(self, layers=layers)

    def with_drawn(self, region: Drawn) -> "Edit":
        """The same with a region of one's own, instead of one of the same name."""
        return dataclasses.replace(self, drawn={**self.drawn, region.name: region})

    @property
    def painted(self) -> list[Layer]:
        """The layers that are shown, a class and its objects next to each other.

        That is the order in which the command, which has the objects' styles within those of the
        class, lays them over one another.
        """
        return [layer for own in self._by_class().values() for layer in own]

    def _by_class(self) -> dict[str, list[Layer]]:
        found: dict[str, list[Layer]] = {}
        for layer in self.layers.values():
            if layer.shown:
                found.setdefault(layer.region.partition(".")[0], []).append(layer)
        return found

    @property
    def used(self) -> dict[str, Drawn]:
        """The regions of one's own that something is painted in."""
        names = self._by_class()
        return {name: region for name, region in self.drawn.items() if name in names}

    def overrides(self, content: str) -> list[str]:
        """The command's words for it.

        Args:
            content: path or name of the photograph.
        """
        drawn = [f"+regions.{name}={_shown(one.given)}" for name, one in self.used.items()]
        styles = [
            word for name, own in self._by_class().items() for word in _style_words(name, own)
        ]
        return [f"content={content}", *drawn, *styles]


def _style_words(name: str, layers: Iterable[Layer]) -> list[str]:
    """The words for a class and its objects."""
    styles = {layer.region: layer.given for layer in layers}
    if name in styles and len(styles) > 1:
        # Hydra would take the objects for parts of what the class is painted in, or the other way
        # round; so all of them are said at once.
        return [f"styles={_value(styles)}"]
    return [f"+styles.{region}={_shown(given)}" for region, given in styles.items()]


def command(words: Iterable[str]) -> str:
    """A command with these words, as a shell takes it."""
    return shlex.join(["python", "-m", "pipeline", *words])


def _shown(given: str | Mapping[str, Any]) -> str:
    """A value as people write it; the command puts quotes around a path that needs them."""
    if isinstance(given, str):
        # But for this one, which stands for no path.
        return literal(given) if given == "null" else given
    return _value(given)


def _value(given: Any) -> str:
    """A value in Hydra's grammar."""
    if isinstance(given, Mapping):
        return "{" + ", ".join(f"{key}: {_value(inner)}" for key, inner in given.items()) + "}"
    if isinstance(given, bool):
        return str(given).lower()
    if isinstance(given, int | float):
        return f"{given:g}"
    return plain_or_quoted(str(given))


@dataclass(frozen=True)
class History:
    """An edit, those before it, and those that were undone.

    Attributes:
        present: the edit that is seen.
        past: earlier ones, the first one first.
        future: what was undone, the next one last.
    """

    present: Edit = Edit()
    past: tuple[Edit, ...] = ()
    future: tuple[Edit, ...] = ()

    def then(self, edit: Edit) -> "History":
        """One edit more; what was undone is forgotten. No change is no edit."""
        if edit == self.present:
            return self
        return History(edit, (*self.past, self.present))

    def undone(self) -> "History":
        """One edit less, if there is one."""
        if not self.past:
            return self
        return History(self.past[-1], self.past[:-1], (*self.future, self.present))

    def redone(self) -> "History":
        """What was undone last, again, if anything was."""
        if not self.future:
            return self
        return History(self.future[-1], (*self.past, self.present), self.future[:-1])
