"""Painter: regions found and painted while somebody waits, by networks that stay in memory.

It takes the steps of `run.stylize` with `method=instant`, but for the distances to the styles, and
on a photograph of the page's size.
"""

import dataclasses
import functools
import logging
import math
import re
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from PIL import Image
from torch import Tensor

from pipeline import build
from pipeline.command.overrides import plain_override
from pipeline.config.compose import compose_settings
from pipeline.config.schema import Matte
from pipeline.engine.engine import Engine
from pipeline.errors import UserError, describe
from pipeline.paint import paint, rounds
from pipeline.pictures import read
from pipeline.pictures.boxes import Box, surroundings
from pipeline.pictures.resize import fitted_size, resize
from pipeline.regions.masks import region_masks
from pipeline.request import StyleChoice
from pipeline.results.result import Result
from pipeline.results.summary import Clock
from pipeline.run import stylize
from pipeline.runtime import device
from pipeline.studio.edits import Drawn, Layer
from pipeline.studio.regions import Regions, as_image
from pipeline.styles import StylePicture, prepared_regions

log = logging.getLogger(__name__)

#: Settings that a page has of its own.
_THE_PAGE_S = re.compile(r"[+~]*(content|styles|regions)\b")
#: Long side in pixels of what the page shows and paints, and of a picture of a region in a style.
SHOWN, SWATCH = 640, 176
# Pixels of a swatch's surroundings, and of a style picture that paints one, at most.
_AROUND, _STYLE = 8, 512


@dataclass
class Painter:
    """Finds regions and paints them at once.

    Args:
        words: settings for every run, as on the command line.
        folder: where relative paths begin.

    Attributes:
        usual: the settings of a run with these words and nothing else.

    Raises:
        UserError: a setting is wrong, or one that the page has itself.
    """

    words: Sequence[str] = ()
    folder: Path = field(default_factory=Path.cwd)
    _one_at_a_time: threading.RLock = field(default_factory=threading.RLock)
    _pictures: dict[tuple[str, int, int], Tensor] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for word in self.words:
            own = _THE_PAGE_S.match(word)
            if own is not None:
                raise UserError(f"{own[1]} is chosen on the page; leave {word} out")
        words = [plain_override(word, sweep=False) for word in self.words]
        self.usual = compose_settings(words)
        at_once = ("preset=draft", "method=instant", f"size={SHOWN}")
        self._settings = compose_settings([*words, *at_once])
        self._where = device.prepare(device.choose(self._settings.device))

    def warm(self) -> None:
        """Load what is needed, so that nobody has to wait for it; what is wrong is only logged."""
        try:
            regions = self.find("astronaut")
            if regions.names:
                self.swatch(regions, regions.names[:1], Layer(regions.names[0], "ink"))
        except (UserError, OSError) as error:
            log.warning("%s", describe(error))

    def find(self, content: str, outlines: bool = True) -> Regions:
        """What a photograph shows.

        Args:
            content: path or name of it.
            outlines: whether to follow hair and leaves, which takes most of the time.

        Raises:
            UserError: it cannot be used.
        """
        more = {} if outlines else {"matte": Matte.off}
        found = self._looked_at(content, **more)
        unions = found.segmentation.unions if found.segmentation else {}
        return Regions(found.content, found.shown, unions)

    def draw(self, content: str, drawn: Drawn) -> Tensor:
        """The mask of a region of one's own.

        Args:
            content: path or name of the photograph.
            drawn: what is to be found.

        Returns:
            (1, 1, H, W) in [0, 1], of the size at which `find` has the photograph.

        Raises:
            UserError: nothing is found there.
        """
        return self._looked_at(content, regions={drawn.name: drawn.given}).shown[drawn.name]

    def _looked_at(self, content: str, **more: Any) -> Result:
        settings = dataclasses.replace(self._settings, content=content, **more)
        with self._one_at_a_time:
            return stylize(settings, self.folder)

    def paint(self, regions: Regions, layers: Sequence[Layer]) -> Tensor:
        """The photograph with its layers painted.

        Args:
            regions: of it.
            layers: of some of them.

        Returns:
            (1, 3, H, W) in [0, 1].

        Raises:
            UserError: a style that cannot be read, or a region that others cover.
        """
        if not layers:
            return regions.content
        names = [layer.region for layer in layers]
        masks = region_masks(names, regions.masks, regions.content, unions=regions.unions)
        return self._painted(regions.content, masks, layers, read_at=1024, enlarge=True)

    def swatch(self, regions: Regions, selected: Sequence[str], layer: Layer) -> Image.Image:
        """What is selected, and a little around it, in a style.

        Args:
            regions: of the photograph.
            selected: names of regions, at least one.
            layer: the style; its region counts for nothing.
        """
        mask = regions.together(selected)
        box = _around(mask)
        sides = fitted_size((box.height, box.width), SWATCH)
        content, mask = (resize(box.cut(one), sides) for one in (regions.content, mask))
        return as_image(
            self._painted(content, {layer.region: mask}, [layer], _STYLE, enlarge=False)
        )

    def _painted(
        self,
        content: Tensor,
        masks: Mapping[str, Tensor],
        layers: Sequence[Layer],
        read_at: int,
        enlarge: bool,
    ) -> Tensor:
        settings = self._settings
        with self._one_at_a_time:
            styles = {layer.region: [self._style(layer, read_at)] for layer in layers}
            asked = dataclasses.replace(
                build.request(settings),
                styles={region: [style.choice for style in own] for region, own in styles.items()},
            )
            prepared = prepared_regions(
                styles,
                masks,
                {},
                content,
                settings.color,
                settings.feather,
                sequential=False,
                enlarge=enlarge,
                strength=settings.strength,
                share=build.style_share(settings),
            )
            painters = build.load_painters(settings, asked, self._where, self.folder)
            done = paint(
                content,
                rounds(prepared, sequential=False),
                build.method(settings, painters),
                self._engine,
                lambda *_: None,
                free=False,
                clock=Clock(),
                progress=lambda row: None,
                tones=settings.loss.tones,
            )
            return done.picture

    @functools.cached_property
    def _engine(self) -> Engine:
        encoder = build.load_encoder(self._settings, self._where, self.folder)
        return build.engine(self._settings, encoder)

    def _style(self, layer: Layer, longest: int) -> StylePicture:
        choice = StyleChoice(
            layer.image, scale=layer.scale, color=layer.color, strength=layer.strength
        )
        path = self.folder / layer.image
        changed = path.stat().st_mtime_ns if path.is_file() else 0
        # Pixels that a larger scale shows are kept.
        bound = math.ceil(longest * max(1.0, layer.scale))
        key = layer.image, changed, bound
        if key not in self._pictures:
            if len(self._pictures) > 100:
                self._pictures.clear()
            self._pictures[key] = read.style_picture(layer.image, bound, self.folder)
        return StylePicture(choice, self._pictures[key].to(self._where))


def _around(mask: Tensor) -> Box:
    """A square box around a mask, as far as the picture goes."""
    height, width = mask.shape[2:]
    tight = surroundings(mask, _AROUND, smallest=1)
    side = max(tight.height, tight.width)
    return tight.grown(min(side, height), min(side, width), Box(0, 0, height, width))
