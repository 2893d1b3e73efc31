"""Python: the command line's work as a function."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image
from torch import Tensor

from pipeline.command.overrides import literal
from pipeline.config.compose import compose_settings
from pipeline.errors import UserError
from pipeline.pictures.read import tensor_to_array
from pipeline.results.result import Result
from pipeline.results.terminal import Bar
from pipeline.run import stylize as run_stylize

#: A picture: a path or name, a PIL picture, an HWC array (uint8 in [0, 255] or float in [0, 1]), or
#: a tensor in [0, 1], CHW or BCHW with B = 1.
Picture = str | Path | Image.Image | npt.NDArray[Any] | Tensor


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
    commands do so themselves; a function in somebody else's process cannot.

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
    in_memory: dict[str, Image.Image] = {}

    def name(picture: Any, kind: str) -> Any:
        if isinstance(picture, str):
            return picture
        if isinstance(picture, Path):
            return str(picture)
        in_memory[key := f"{kind} {len(in_memory) + 1} in memory"] = _to_image(picture, kind)
        return key

    chosen = compose_settings(_overrides(settings))
    chosen.content = name(content, "picture")
    chosen.styles = styles if isinstance(styles, str) else _named(styles or {}, name)
    if reference is not None:
        chosen.reference = name(reference, "reference")
    if reference_regions is not None:
        chosen.reference_regions = name(reference_regions, "label map")
    if isinstance(regions, Mapping):
        chosen.regions = _named(regions, name)
    elif regions is not None:
        chosen.regions = name(regions, "label map")
    chosen.__post_init__()
    if not progress:
        return run_stylize(chosen, Path.cwd(), in_memory=in_memory)
    with Bar("stylize") as bar:
        return run_stylize(chosen, Path.cwd(), in_memory=in_memory, bar=bar)


def _named(value: Any, name: Any, kind: str = "picture") -> Any:
    """The same with pictures in memory replaced by the names they are held under."""
    if isinstance(value, Mapping):
        # Masks keep their mode.
        return {
            str(key): _named(inner, name, "mask" if key == "mask" else kind)
            for key, inner in value.items()
        }
    if isinstance(value, Path | Image.Image | np.ndarray | Tensor):
        return name(value, kind)
    if isinstance(value, Sequence) and not isinstance(value, str):
        return [_named(inner, name, kind) for inner in value]
    return value


def _to_image(picture: Any, kind: str) -> Image.Image:
    if isinstance(picture, Image.Image):
        return picture if kind != "picture" or picture.mode == "RGB" else picture.convert("RGB")
    if isinstance(picture, Tensor):
        tensor = picture if picture.ndim == 4 else picture[None]
        if tensor.ndim != 4 or tensor.shape[:2] not in ((1, 1), (1, 3)):
            raise UserError(
                f"a {kind} has shape {tuple(picture.shape)}; tensors are CHW or BCHW, B = 1, C = 3"
            )
        return Image.fromarray(tensor_to_array(tensor.expand(1, 3, -1, -1)))
    if isinstance(picture, np.ndarray):
        array = picture if picture.ndim == 3 else picture[..., None]
        if array.ndim != 3 or array.shape[2] not in (1, 3, 4):
            raise UserError(f"a {kind} has shape {picture.shape}; arrays are HW or HWC with C = 3")
        if array.dtype == bool:
            array = array.astype(np.uint8) * 255
        elif array.dtype != np.uint8:
            if not (np.issubdtype(array.dtype, np.floating) and np.nanmax(array) <= 1.0):
                raise UserError(
                    f"a {kind} has type {array.dtype}; arrays are uint8 in [0, 255] or "
                    "floating-point in [0, 1]"
                )
            array = (np.clip(array, 0, 1) * 255).round().astype(np.uint8)
        return Image.fromarray(array[..., 0] if array.shape[2] == 1 else array)
    raise UserError(
        f"a {kind} is of type {type(picture).__name__}; give a path, PIL picture, array"
    )


def _overrides(settings: Mapping[str, Any], prefix: str = "") -> list[str]:
    """Settings as Hydra's overrides."""
    found = []
    for key, value in settings.items():
        if isinstance(value, Mapping):
            found += _overrides(value, f"{prefix}{key}.")
        else:
            found.append(f"{prefix}{key}={_literal(value)}")
    return found


def _literal(value: Any) -> str:
    if value is None:
        return "null"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, int | float):
        return repr(value)
    if isinstance(value, Sequence) and not isinstance(value, str):
        return "[" + ",".join(_literal(entry) for entry in value) + "]"
    return literal(str(value))
