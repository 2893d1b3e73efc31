"""Session: one page's photograph, regions, edits and run, and what its events do to them."""

import dataclasses
import itertools
import shutil
import tempfile
from collections.abc import Collection, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw
from torch import Tensor

from pipeline.errors import UserError
from pipeline.pictures.read import SAMPLES, open_style
from pipeline.regions.names import CLASSES
from pipeline.request import Seeds, parse_seeds
from pipeline.results.file_names import safe_name
from pipeline.results.folder import unused_folder
from pipeline.studio import pictures
from pipeline.studio.edits import Drawn, Edit, History
from pipeline.studio.painter import SHOWN, Painter
from pipeline.studio.refining import Run
from pipeline.studio.regions import Regions, as_image

#: What a click on the picture picks.
REGION, OBJECT, THING, NOT_THING, BOX = (
    "a region",
    "one of several (person 1, 2, ...)",
    "the thing at that place",
    "what does not belong to the thing",
    "two corners of a box around a thing",
)
#: What to say where the page is thought to be gone.
GONE = "the server has let go of this page; load it anew"
#: How many times smaller a picture is than `SHOWN` where it is shown enlarged.
_MUCH_SMALLER = 1.3
PICKS = (REGION, OBJECT, THING, NOT_THING, BOX)


@dataclass(frozen=True)
class Place:
    """Where a server's pages keep their files.

    Attributes:
        folder: where commands start; the others are in it, as a rule.
        outputs: of runs, each in a folder of the day and the time.
        kept: photographs and masks that commands name.
        styles: style pictures for all pages.
        shared: whether several people may use the server, who do not see each other's pictures.
    """

    folder: Path
    outputs: Path
    kept: Path
    styles: Path
    shared: bool = False


@dataclass(frozen=True)
class Refined:
    """What a run has left.

    Attributes:
        picture: path of a file that goes when the page does.
        words: of the command.
        stopped: whether it was stopped before its end.
    """

    picture: Path
    words: Sequence[str]
    stopped: bool


@dataclass
class Session:
    """One page.

    Events that change it come one at a time; `close`, and `run` and what it does, may be used
    beside them.

    Args:
        painter: finds and paints.
        place: where files go.

    Attributes:
        content: path or name of the photograph; None before there is one.
        history: what was asked for.
        selected: regions, in the order in which they were selected.
        choosing: whether more may be selected; a style ends it.
        run: the one that is under way, or whose result is still to be taken.
        offered: the style pictures in the order in which the page shows them.
        closed: whether the page is gone.
    """

    painter: Painter
    place: Place
    content: str | None = None
    history: History = field(default_factory=History)
    selected: tuple[str, ...] = ()
    choosing: bool = True
    run: Run | None = None
    offered: list[str] = field(default_factory=list)
    closed: bool = False
    _found: Regions | None = None
    _masks: dict[Drawn, Tensor] = field(default_factory=dict)
    _folder: Path | None = None
    _corner: tuple[float, float] | None = None
    _swatches: dict[tuple[object, ...], Image.Image] = field(default_factory=dict)
    _painted: tuple[object, Image.Image] | None = None
    _with_drawn: tuple[object, Regions] | None = None
    _mending: tuple[str, str] | None = None
    _rough: bool = False
    _begun: tuple[Any, ...] = ()
    _refined: dict[tuple[Any, ...], Refined] = field(default_factory=dict)

    @property
    def folder(self) -> Path:
        """For files that go when the page does.

        Raises:
            UserError: it is gone.
        """
        if self.closed:
            raise UserError(GONE)
        if self._folder is None:
            self._folder = Path(tempfile.mkdtemp(prefix="studio-"))
        return self._folder

    def close(self) -> None:
        """The page is gone: so are its run and its files."""
        self.closed = True
        try:
            self.end_run()
        finally:
            if self._folder is not None:
                shutil.rmtree(self._folder, ignore_errors=True)
                self._folder = None

    def end_run(self) -> None:
        """End a run that is under way; nothing of it is kept."""
        if self.run is not None:
            self.run.end()

    # What there is.

    @property
    def edit(self) -> Edit:
        """What is asked for."""
        return self.history.present

    @property
    def regions(self) -> Regions | None:
        """Those that were found, and over them those of one's own; None before a photograph."""
        if self._found is None:
            return None
        drawn = tuple(self.edit.drawn.values())
        if self._with_drawn is None or self._with_drawn[0] != drawn:
            found = self._found
            for own in drawn:
                found = found.with_drawn(own.name, self._masks[own])
            self._with_drawn = drawn, found
        return self._with_drawn[1]

    @property
    def styles(self) -> dict[str, str]:
        """The style pictures that this page can choose from, by what they are called."""
        own = [] if self._folder is None else [self._folder / "styles"]
        return pictures.styles([self.place.styles, *own])

    def before(self) -> Image.Image:
        """The photograph, at the size at which it is painted at once."""
        return as_image(self._opened().content)

    def after(self) -> Image.Image:
        """What has become of it: a run's result, or what is painted at once.

        Raises:
            UserError: a style that cannot be read, or a region that others cover.
        """
        regions, refined = self._opened(), self.refined
        key = self._asked(), refined
        if self._painted is None or self._painted[0] != key:
            if refined is None:
                done = as_image(self.painter.paint(regions, self.edit.painted))
            else:
                with Image.open(refined.picture) as opened:
                    done = opened.convert("RGB")
            self._painted = key, done
        return self._painted[1]

    @property
    def refined(self) -> Refined | None:
        """What a run has made of just what is asked for now; None: there was none."""
        return self._refined.get(self._asked())

    def _asked(self) -> tuple[Any, ...]:
        """What a picture depends on."""
        edit = self.edit
        return self.content, tuple(edit.painted), tuple(edit.used.items())

    def shown(self) -> Image.Image:
        """What the page shows: the picture, with what is selected set off while one chooses."""
        regions = self._opened()
        picture = self.after()
        if self.choosing and self.selected:
            picture = regions.outlined(picture, self.selected)
        elif not self.edit.layers:
            picture = regions.overview()
        picture = _enlarged(picture)
        return picture if self._corner is None else _marked(picture, self._corner)

    def strip(self) -> list[tuple[Image.Image, str]]:
        """Every style on what is selected, and what it is called; `offered` is in this order."""
        found, offered = [], []
        for name, image in self.styles.items():
            with suppress(UserError):  # a broken picture in the folder
                found.append((self.swatch(image), name))
                offered.append(image)
        self.offered = offered
        return found

    def swatch(self, image: str) -> Image.Image:
        """What is selected in a style, or, where nothing is, the style picture itself."""
        if not self.selected or self.regions is None:
            return _thumbnail(image, self.place.folder)
        layer = self.edit.styled(self.selected[0], image)
        key = (self.content, self.selected, tuple(self.edit.drawn.items()), layer)
        if key not in self._swatches:
            if len(self._swatches) > 200:
                self._swatches.clear()
            self._swatches[key] = self.painter.swatch(self.regions, self.selected, layer)
        return self._swatches[key]

    # A photograph.

    def open(self, path: Path, name: str) -> None:
        """Begin with a photograph that was sent.

        Raises:
            UserError: it cannot be used; the page stays as it is.
        """
        picture = pictures.taken(path, name)
        self._begin(str(pictures.kept(picture, self.folder, name)))

    def open_sample(self, name: str) -> None:
        """Begin with one of the photographs that come with the libraries."""
        if name not in SAMPLES:
            raise UserError(f"there is no sample {name}")
        self._begin(name)

    def _begin(self, content: str) -> None:
        found = self.painter.find(content, outlines=False)
        self._rough = True
        self.content, self._found, self.history = content, found, History()
        self._masks.clear()
        self._with_drawn = self._mending = self._corner = None
        self.selected, self.choosing = (), True
        self._swatches.clear()

    def follow_outlines(self) -> None:
        """Let the regions follow hair and leaves; a photograph's are shown before they do."""
        if self.content is not None and self._rough:
            self._found, self._rough = self.painter.find(self.content), False
            self._with_drawn = None

    def _opened(self) -> Regions:
        regions = self.regions
        if regions is None:
            raise UserError("open a photograph first")
        return regions

    # Regions.

    def select(self, names: Collection[str]) -> None:
        """Select these regions and no others; after a style, only those that were not before."""
        regions = self._opened()
        self._corner = None
        added = [name for name in names if name not in self.selected]
        if added and not self.choosing:
            names = added
        self.selected = (
            *(name for name in self.selected if name in names),
            *(name for name in names if regions.has(name) and name not in self.selected),
        )
        self.choosing = True

    def click(self, x: float, y: float, picks: str) -> str:
        """A click on the picture.

        Args:
            x, y: where, as fractions of width and height.
            picks: one of `PICKS`.

        Returns:
            What to say of it; empty where that is plain to see.

        Raises:
            UserError: nothing is found there.
        """
        regions = self._opened()
        if picks == BOX:
            return self._box(x, y)
        self._corner = None
        if picks in (THING, NOT_THING):
            return self._point(x, y, picks == THING)
        found = regions.at(x, y, objects=picks == OBJECT)
        if found is None:
            return self._point(x, y, inside=True)
        self._toggle(found)
        return ""

    def _toggle(self, name: str) -> None:
        if not self.choosing:
            self.selected, self.choosing = (name,), True
        elif name in self.selected:
            self.selected = tuple(other for other in self.selected if other != name)
        else:
            self.selected = (*self.selected, name)

    def _point(self, x: float, y: float, inside: bool) -> str:
        """A point on a thing, or on what does not belong to it."""
        current = self.edit.drawn.get(self.selected[-1]) if self.selected else None
        seeds = None if current is None or not self.choosing else parse_seeds(current.source)
        place = (round(x, 4), round(y, 4))
        if seeds is None and not inside:
            raise UserError("click the thing first, then what does not belong to it")
        if seeds is None:
            self._draw(Drawn(self._unused("thing"), str(Seeds(inside=(place,)))))
        else:
            assert current is not None
            more = (
                dataclasses.replace(seeds, inside=(*seeds.inside, place))
                if inside
                else dataclasses.replace(seeds, outside=(*seeds.outside, place))
            )
            self._draw(Drawn(current.name, str(more)))
        return ""

    def _box(self, x: float, y: float) -> str:
        if self._corner is None:
            self._corner = x, y
            return "Now click the opposite corner."
        (left, right), (top, bottom) = sorted((self._corner[0], x)), sorted((self._corner[1], y))
        self._corner = None
        if right - left < 0.01 or bottom - top < 0.01:
            raise UserError("the box is too small; click two opposite corners")
        source = f"box({left:.4g},{top:.4g},{right:.4g},{bottom:.4g})"
        self._draw(Drawn(self._unused("thing"), source, snap=True))
        return ""

    def write_region(self, phrase: str) -> None:
        """A region of what a phrase says.

        Raises:
            UserError: the model cannot be had, or the picture shows nothing of it.
        """
        phrase = " ".join(phrase.replace("(", " ").replace(")", " ").split())
        if not phrase:
            raise UserError("write what you are looking for, such as red hat")
        self._draw(Drawn(self._unused(phrase), f"text({phrase})"))

    def load_mask(self, path: Path, name: str) -> None:
        """A region of one's own, from a mask that was sent; what is white is inside.

        Raises:
            UserError: it cannot be used.
        """
        mask = pictures.taken(path, name).convert("L")
        self._mask_region(mask, self._unused(Path(name).stem))

    def begin_mending(self) -> Image.Image:
        """The photograph with the selected region, which `mend` is for from now on, set off.

        Raises:
            UserError: not one region is selected.
        """
        regions = self._opened()
        assert self.content is not None
        if len(self.selected) != 1:
            raise UserError("select one region first")
        self._mending = self.content, self.selected[0]
        return regions.outlined(self.before(), self.selected)

    def mend(self, color: npt.NDArray[Any], opacity: npt.NDArray[Any]) -> None:
        """The region of `begin_mending` as it was mended by hand.

        Args:
            color: (H, W) in [0, 1]: 1 belongs to it, 0 does not. Of any size.
            opacity: (H, W) in [0, 1], where something was painted.

        Raises:
            UserError: that region is gone, or nothing is left of it.
        """
        regions = self._opened()
        content, name = self._mending or ("", "")
        if content != self.content or not regions.has(name):
            raise UserError("what you have painted on is gone; begin anew with the brush")
        before = regions.mask(name)[0, 0].cpu().numpy()
        size = before.shape[1], before.shape[0]
        new, share = (cv2.resize(np.asarray(one, np.float32), size) for one in (color, opacity))
        inside = before + share * (new - before)
        if not (inside >= 0.5).any():
            raise UserError("nothing is left of the region; paint some of it white")
        name = name if "." not in name else self._unused(name)
        mask = Image.fromarray((inside.clip(0, 1) * 255).round().astype(np.uint8))
        self._mask_region(mask, name)
        # One that has a style already waits for none.
        self.choosing = name not in self.edit.layers

    def _mask_region(self, mask: Image.Image, name: str) -> None:
        path = pictures.kept(mask, self.folder, name)
        self._draw(Drawn(name, str(path)))

    def _draw(self, drawn: Drawn) -> None:
        """Take a region of one's own, and select it alone.

        Raises:
            UserError: there is nothing of it, or what is painted cannot be painted with it.
        """
        self._opened()
        assert self.content is not None
        mask = self.painter.draw(self.content, drawn)
        if not (mask >= 0.5).any():
            raise UserError(f"there is nothing of {drawn.name}; a mask is white where it is")
        self._masks[drawn] = mask
        self._then(self.edit.with_drawn(drawn))
        self.selected, self.choosing = (drawn.name,), True

    def _unused(self, name: str) -> str:
        """A name for a region that nothing else has."""
        plain = "".join(c if c.isascii() and c.isalnum() else "_" for c in name).strip("_").lower()
        if not plain or plain[0].isdigit():
            plain = f"region_{plain}".rstrip("_")
        plain = plain[:30]
        taken = {*CLASSES, *self._opened().masks, *self.edit.drawn, "all", "rest", "labels"}
        return next(
            found
            for number in itertools.count(1)
            if (found := plain if number == 1 else f"{plain}{number}") not in taken
        )

    def mask_picture(self) -> Image.Image:
        """What is selected as a mask: white is inside.

        Raises:
            UserError: nothing is selected.
        """
        regions = self._opened()
        if not self.selected:
            raise UserError("select a region first")
        levels = regions.together(self.selected)[0, 0].cpu().numpy() * 255
        return Image.fromarray(levels.round().astype(np.uint8))

    # Styles.

    def take(self, image: str) -> None:
        """What is selected, in a style.

        Raises:
            UserError: nothing is selected, or the style cannot be used; nothing has changed.
        """
        if not self.selected:
            raise UserError("click a part of the picture first, then a style")
        layers = [self.edit.styled(name, image) for name in self.selected]
        self._then(self.edit.with_layers(layer.changed(shown=True) for layer in layers))
        self.choosing = False

    def change(self, **values: object) -> None:
        """Change the layers of what is selected: ``strength``, ``scale``, ``color``."""
        # What is usual is not said, so that the command is short and no change is no edit.
        usual = self.painter.usual
        for name, value in {"strength": usual.strength, "color": usual.color.value}.items():
            if name in values and values[name] == value:
                values[name] = None
        layers = [self.edit.layers[name] for name in self.selected if name in self.edit.layers]
        self._then(self.edit.with_layers(layer.changed(**values) for layer in layers))

    def show(self, regions: Collection[str]) -> None:
        """Show the layers of these regions, and no others."""
        self._then(self.edit.showing(regions))

    def remove(self) -> None:
        """Take the styles of what is selected away."""
        self._then(self.edit.without(self.selected))

    def add_style(self, path: Path, name: str) -> str:
        """A style picture of one's own, kept for all pages unless the server is shared.

        Returns:
            Its path.

        Raises:
            UserError: it cannot be used.
        """
        picture = pictures.taken(path, name)
        folder = self.folder / "styles" if self.place.shared else self.place.styles
        return str(pictures.kept(picture, folder, name))

    def undo(self) -> None:
        """One edit less."""
        self._go(self.history.undone())

    def redo(self) -> None:
        """What was undone, again."""
        self._go(self.history.redone())

    def _go(self, history: History) -> None:
        if history is self.history:
            return
        self._become(history)
        self.choosing = False
        there = self._opened()
        self.selected = tuple(name for name in self.selected if there.has(name))

    def _then(self, edit: Edit) -> None:
        self._become(self.history.then(edit))

    def _become(self, history: History) -> None:
        """Go on with other edits; with those that can be painted, or else all stays as it was."""
        before = self.history
        if history is before:
            return
        self.history, self._corner = history, None
        try:
            self.after()
        except Exception:
            self.history = before
            raise

    # A run.

    def words(self, method: str, size: str) -> list[str]:
        """The command's words for what is asked for; what it names is kept from now on.

        Args:
            method: of the command.
            size: ``auto``, ``full`` or pixels.

        Raises:
            UserError: nothing is painted.
        """
        self._opened()
        assert self.content is not None
        if not self.edit.painted:
            raise UserError("give a part of the picture a style first")
        drawn = {
            name: dataclasses.replace(one, source=self._lasting(one.source))
            for name, one in self.edit.used.items()
        }
        layers = {
            layer.region: layer.changed(image=self._lasting(layer.image))
            for layer in self.edit.painted
        }
        lasting = Edit(layers, drawn)
        usual = self.painter.usual
        chosen = [f"method={method}"] * (method != usual.method.name)
        chosen += [f"size={size}"] * (size != str(usual.size))
        return [*self.painter.words, *lasting.overrides(self._lasting(self.content)), *chosen]

    def _lasting(self, name: str) -> str:
        """A path that is there when the page is gone, relative to where commands start."""
        if self._folder is None or self._folder not in Path(name).parents:
            path = Path(name)
        else:
            path = pictures.copied(Path(name), self.place.kept)
        try:
            return path.relative_to(self.place.folder).as_posix()
        except ValueError:
            return str(path) if path.is_absolute() else name

    def start(self, method: str, size: str) -> Run:
        """Start a run of what is asked for; arguments and errors as `words`."""
        words = self.words(method, size)
        self.end_run()
        now = datetime.now()
        output = self.place.outputs / f"{now:%Y-%m-%d}" / f"{now:%H-%M-%S}"
        output = Path(unused_folder(str(output)))
        self.run, self._begun = Run(words, output, self.place.folder), self._asked()
        self.choosing, self._corner = False, None
        return self.run

    def finish(self) -> str:
        """Take a run's result; what to say of it.

        Raises:
            UserError: there is none, and why.
        """
        run, self.run = self.run, None
        assert run is not None
        if run.result is None:
            if run.stopped:
                return "Stopped before there was anything to keep."
            raise UserError(run.problem)
        content, *_ = self._begun
        name = safe_name(Path(content).stem.rpartition("-")[0] or content)
        folder = self.folder / f"refined-{len(self._refined)}"
        folder.mkdir(exist_ok=True)
        picture = folder / f"{name}-painted.png"
        shutil.copyfile(run.result, picture)
        self._refined[self._begun] = Refined(picture, run.words, run.stopped)
        if self._begun != self._asked():
            return "Done, but of what was asked for before; Undo leads back to it."
        if run.stopped:
            return "Stopped; what was there is kept. Download it, or refine it anew."
        return "Done: this is the finished picture. Download it, or click another part."

    def mask_file(self) -> Path:
        """A file of the mask of what is selected; errors as `mask_picture`."""
        picture = self.mask_picture()
        path = self.folder / f"{safe_name('-'.join(self.selected))[:60]}-mask.png"
        picture.save(path)
        return path


def _shown_size(size: tuple[int, int]) -> tuple[int, int]:
    """A picture that is much smaller than others are shown is shown as large as these."""
    factor = SHOWN / max(size)
    if factor < _MUCH_SMALLER:
        return size
    return round(size[0] * factor), round(size[1] * factor)


def _marked(picture: Image.Image, place: tuple[float, float]) -> Image.Image:
    """A picture with a cross at a place, given as fractions of width and height."""
    marked = picture.copy()
    draw = ImageDraw.Draw(marked)
    x, y = place[0] * picture.width, place[1] * picture.height
    for color, width in (("black", 5), ("white", 2)):
        draw.line([(x - 12, y), (x + 12, y)], color, width)
        draw.line([(x, y - 12), (x, y + 12)], color, width)
    return marked


def _enlarged(picture: Image.Image) -> Image.Image:
    size = _shown_size(picture.size)
    return picture if size == picture.size else picture.resize(size, Image.Resampling.BICUBIC)


def _thumbnail(image: str, folder: Path) -> Image.Image:
    picture = open_style(image, folder)
    picture.thumbnail((176, 176))
    return picture
