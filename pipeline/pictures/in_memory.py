"""In memory: arrays and tensors become the pictures that their files would be."""

from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import torch
from PIL import Image
from torch import Tensor

from pipeline.errors import UserError

Kind = Literal["picture", "reference", "mask", "label map"]

#: How far beyond 0 and 1 floating-point values may lie, from rounding: one level of 255.
_ROUNDING = 1 / 255
_HINT = "uint8 in [0, 255] or floating-point in [0, 1]"


def to_image(picture: object, kind: Kind) -> Image.Image:
    """A PIL picture, an array or a tensor as a PIL picture; values are not converted further.

    Args:
        picture: a PIL picture, which is passed on; an array, HW or HWC with C = 1, 3 or 4 (the last
            is opacity); or a tensor, HW, CHW or BCHW with B = 1, C = 1 or 3. Truth values, whole
            numbers in [0, 255] or floating-point numbers in [0, 1]; uint16 of one channel is a
            16-bit grey picture.
        kind: what it is to be.

    Raises:
        UserError: anything else.
    """
    if isinstance(picture, Image.Image):
        return picture
    if isinstance(picture, Tensor):
        array = _of_tensor(picture, kind)
    elif isinstance(picture, np.ndarray):
        array = np.asarray(picture)
        if not (array.ndim == 2 or (array.ndim == 3 and array.shape[2] in (1, 3, 4))):
            raise UserError(
                f"a {kind} has shape {array.shape}; arrays are HW, or HWC with C = 3 or 4"
            )
    else:
        raise UserError(
            f"a {kind} is of type {type(picture).__name__}; give a path, PIL picture, array or "
            "tensor"
        )
    if array.size == 0:
        raise UserError(f"a {kind} has shape {picture.shape} and so no pixels; give another")
    if array.ndim == 3 and array.shape[2] == 1:
        array = array[..., 0]
    return Image.fromarray(np.ascontiguousarray(_levels(array, kind)))


def _of_tensor(tensor: Tensor, kind: Kind) -> npt.NDArray[Any]:
    """HW or HWC."""
    if tensor.layout != torch.strided or tensor.is_quantized or tensor.device.type == "meta":
        raise UserError(f"a {kind} is a sparse, quantized or meta tensor; give a dense one")
    whole = tensor.detach()[None] if tensor.ndim == 2 else tensor.detach()
    whole = whole[None] if whole.ndim == 3 else whole
    if whole.ndim != 4 or whole.shape[:2] not in ((1, 1), (1, 3)):
        raise UserError(
            f"a {kind} has shape {tuple(tensor.shape)}; tensors are HW, CHW or BCHW, B = 1, "
            "C = 1 or 3"
        )
    if whole.is_floating_point() and whole.dtype not in (torch.float32, torch.float64):
        whole = whole.float()
    array: npt.NDArray[Any] = whole[0].permute(1, 2, 0).cpu().resolve_conj().numpy()
    return array


def _levels(array: npt.NDArray[Any], kind: Kind) -> npt.NDArray[Any]:
    """The same values as uint8 in [0, 255], or uint16 in [0, 65535]."""
    if array.dtype == np.uint8:
        return array
    if array.dtype == bool:
        return array.astype(np.uint8) * 255
    if np.issubdtype(array.dtype, np.integer):
        return _whole_numbers(array, kind)
    if not np.issubdtype(array.dtype, np.floating):
        raise UserError(f"a {kind} has type {array.dtype}; give {_HINT}")
    if not np.isfinite(array).all():
        raise UserError(f"a {kind} holds NaN or infinite values; give {_HINT}")
    low, high = float(array.min()), float(array.max())
    if low < -_ROUNDING or high > 1 + _ROUNDING:
        raise UserError(
            f"a {kind} has type {array.dtype} and values from {low:g} to {high:g}; give {_HINT}"
        )
    if array.dtype.itemsize < 4:
        array = array.astype(np.float32)
    levels: npt.NDArray[np.uint8] = (np.clip(array, 0, 1) * 255).round().astype(np.uint8)
    return levels


def _whole_numbers(array: npt.NDArray[Any], kind: Kind) -> npt.NDArray[Any]:
    low, high = int(array.min()), int(array.max())
    wide = array.ndim == 2 and (array.dtype == np.dtype(np.uint16) or kind == "label map")
    most = 65535 if wide else 255
    if low < 0 or high > most or (array.dtype.itemsize == 2 and not wide):
        raise UserError(
            f"a {kind} has type {array.dtype} and values from {low} to {high}; give {_HINT}"
        )
    narrow = high <= 255 and (kind == "label map" or array.dtype != np.dtype(np.uint16))
    return array.astype(np.uint8 if narrow else np.uint16)
