"""Python: the command line's work as a function."""

import re
import threading
from collections.abc import Callable, Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image
from torch import Tensor

from pipeline.command.overrides import literal, plain_override
from pipeline.config.compose import compose_settings
from pipeline.errors import UserError, describe
from pipeline.pictures.in_memory import Kind, to_image
from pipeline.results.result import Result
from pipeline.results.terminal import Bar
from pipeline.run import stylize as run_stylize

#: A picture: a path or name, a PIL picture, an HW or HWC array, or a tensor, HW, CHW or BCHW with
#: B = 1; uint8 in [0, 255] or float in [0, 1]. It is painted as the same picture's file would be.
Picture = str | Path | Image.Image | npt.NDArray[Any] | Tensor


# What a style or region takes numbers for.
_NUMBERS = ("weight", "scale", "crop", "strength", "grow", "feather", "invert", "snap")
_KEY = re.compile(r"\w+(\.\w+)*")
# A run uses all of the device, and Hydra, Pillow and torch have settings of the whole process.
_one_at_a_time = threading.RLock()


def stylize(
    content: Picture,
    styles: Mapping[str, Any] | str | None = None,
    *,
    regions: Mapping[str, Any] | Picture | None = None,
    reference: Picture | None = None,
    reference_regions: Picture | None = None,
    progress: bool = False,
    **settings: Any,
) -> Result:
    """Repaint regions of a photograph, each in a style of its own.

        result = stylize("photo.jpg", {"person": "scream.jpg"}, method="guided", size=512)
        result.picture.save("painted.png")

    The optimisation of Gatys et al. 2016, coarse to fine, with spatial control after Gatys et al.
    2017; regions from DeepLabv3 (Chen et al. 2017) or one's own. The command line does the same
    with the same names and defaults.

    Beside other processes that need the cores, set ``OMP_WAIT_POLICY=PASSIVE`` in the environment
    before torch is imported: waiting threads then sleep, which can save most of the time. The
    commands do so themselves; a function in somebody else's process cannot. Calls from several
    threads take turns.

    Args:
        content: the photograph; shrunk to a long side of ``size`` pixels, unless that is
            ``"full"``, or by default as far as ``budget`` asks for (see ``conf/README.md``).
        styles: region to a picture, to ``{"image": picture, "strength": ..., "scale": ..., "crop":
            [left, top, right, bottom], "region": ..., "mask": picture, "color": ...}``, or to a
            list of these; ``"match"`` takes them from ``reference``; None finds the regions only.
        regions: a label map, or name to a mask (white is inside), a shape such as
            ``"box(0.1, 0.1, 0.4, 0.5)"``, points on a thing to be found
            (``"point(0.4, 0.5) not(0.7, 0.2)"``), or ``{"source": ..., "snap": ..., "invert":
            ..., "grow": pixels, "feather": pixels}``.
        reference: for ``styles="match"``.
        reference_regions: its label map, beside one in ``regions``: blue in the style of blue.
        progress: show a bar.
        **settings: as on the command line (``python -m pipeline --cfg job`` lists them): a
            group's choice (``method="guided"``, ``preset="draft"``), a value (``size=256``), or
            a group's values (``loss={"style_weight": 60}``).

    Returns:
        The picture (`Result.picture`, 8-bit sRGB of the content's proportions), regions, masks,
        losses and summary; in a notebook it shows as the picture.

    Raises:
        UserError: one line that says what is wrong with the input and what to do.
    """
    with _one_at_a_time:
        try:
            return _stylize(
                content, styles, regions, reference, reference_regions, progress, settings
            )
        except OSError as error:
            raise UserError(describe(error)) from error


def _stylize(
    content: Picture,
    styles: Mapping[str, Any] | str | None,
    regions: Mapping[str, Any] | Picture | None,
    reference: Picture | None,
    reference_regions: Picture | None,
    progress: bool,
    settings: Mapping[str, Any],
) -> Result:
    in_memory: dict[str, Image.Image] = {}

    def name(picture: Any, kind: Kind) -> Any:
        if isinstance(picture, str):
            return picture
        if isinstance(picture, Path):
            return str(picture)
        in_memory[key := f"{kind} {len(in_memory) + 1} in memory"] = to_image(picture, kind)
        return key

    chosen = compose_settings(_overrides(settings))
    chosen.content = name(content, "picture")
    if isinstance(styles, Image.Image | np.ndarray | Tensor):
        raise UserError('styles is a picture; give the region, too, such as {"all": picture}')
    chosen.styles = styles if isinstance(styles, str) else _named(styles or {}, name, "picture")
    if reference is not None:
        chosen.reference = name(reference, "reference")
    if reference_regions is not None:
        chosen.reference_regions = name(reference_regions, "label map")
    if isinstance(regions, Mapping):
        chosen.regions = _named(regions, name, "mask")
    elif regions is not None:
        chosen.regions = name(regions, "label map")
    chosen.__post_init__()
    if not progress:
        return run_stylize(chosen, Path.cwd(), in_memory=in_memory)
    with Bar("stylize") as bar:
        return run_stylize(chosen, Path.cwd(), in_memory=in_memory, bar=bar)


def _named(
    value: Any, name: Callable[[Any, Kind], str], kind: Kind, numbers: Collection[str] = ()
) -> Any:
    """The same with pictures in memory replaced by the names they are held under.

    Args:
        value: what is given for all regions, one of them, or one of its styles.
        name: holds a picture and gives it a name.
        kind: what the pictures are to be; what a region has under ``mask`` is a mask.
        numbers: keys of what is no picture.
    """
    if isinstance(value, Mapping):
        return {
            str(key): _plain(inner)
            if key in numbers
            else _named(inner, name, "mask" if numbers and key == "mask" else kind, _NUMBERS)
            for key, inner in value.items()
        }
    if isinstance(value, Path | Image.Image | np.ndarray | Tensor):
        return name(value, kind)
    if isinstance(value, Sequence) and not isinstance(value, str | bytes):
        return [_named(inner, name, kind, numbers) for inner in value]
    return _plain(value)


def _plain(value: Any) -> Any:
    """NumPy's and torch's numbers, and lists of them, as Python's."""
    if isinstance(value, np.generic | np.ndarray | Tensor):
        return value.tolist()
    return value


def _overrides(settings: Mapping[str, Any], prefix: str = "") -> list[str]:
    """Settings as Hydra's overrides."""
    found = []
    for key, value in settings.items():
        if not _KEY.fullmatch(str(key)) or key == "hydra":
            raise UserError(f"no setting {key!r}; see python -m pipeline --help")
        if isinstance(value, Mapping):
            found += _overrides(value, f"{prefix}{key}.")
        else:
            found.append(plain_override(f"{prefix}{key}={_literal(value)}", sweep=False))
    return found


def _literal(value: Any) -> str:
    value = _plain(value)
    if value is None:
        return "null"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, int | float):
        return repr(value)
    if isinstance(value, Sequence) and not isinstance(value, str):
        return "[" + ",".join(_literal(entry) for entry in value) + "]"
    return literal(str(value))
