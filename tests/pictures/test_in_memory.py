"""What a picture in memory is, its file would be; or it is refused."""

import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor

from pipeline.errors import UserError
from pipeline.pictures import read
from pipeline.pictures.in_memory import Kind, to_image
from pipeline.regions.label_map import label_map, mask_of_size

COLOURS = np.random.default_rng(0).integers(0, 256, (24, 30, 3), dtype=np.uint8)
GREY = COLOURS[..., 0]
TENSOR = torch.from_numpy(COLOURS.copy()).permute(2, 0, 1)
TURNED = Image.Exif()
TURNED[0x0112] = 6


def content(value: Any, kind: Kind = "picture") -> Tensor:
    """A photograph by value."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        in_memory = {"a": to_image(value, kind)}
        return read.content_picture("a", None, Path(), in_memory).picture


def style(value: Any) -> Tensor:
    return read.style_picture("a", 1000, Path(), {"a": to_image(value, "picture")})


def labels(value: Any, kind: Kind) -> Image.Image:
    return read.open_labels("a", Path(), {"a": to_image(value, kind)})


@pytest.mark.parametrize(
    "value",
    [
        COLOURS, COLOURS / 255, (COLOURS / 255).astype(np.float16), COLOURS.astype(np.int64),
        (COLOURS / 255).astype(">f4"), COLOURS[::-1][::-1], np.ma.masked_array(COLOURS),
        TENSOR, TENSOR[None], TENSOR.long(), TENSOR.float() / 255, (TENSOR / 255).double(),
        (TENSOR.float() / 255).half(), (TENSOR.float() / 255).requires_grad_(),
        (TENSOR.float() / 255)[None].to(memory_format=torch.channels_last),
        TENSOR.float() / 255 + 1e-4,
    ],
)  # fmt: skip
def test_arrays_and_tensors_are_what_their_picture_is(value: Any) -> None:
    expected = read.array_to_tensor(COLOURS)
    assert torch.equal(content(value), expected)
    assert torch.equal(style(value), expected)


@pytest.mark.parametrize(
    "value",
    [GREY, GREY[..., None], GREY / 255, torch.from_numpy(GREY), TENSOR[:1], TENSOR[None, :1]],
)
def test_one_channel_is_grey(value: Any) -> None:
    assert torch.equal(content(value), read.array_to_tensor(np.stack([GREY] * 3, axis=-1)))


def files(folder: Path) -> dict[str, Any]:
    """Pictures by name, each with the file that it is the same as."""
    palette = Image.fromarray(COLOURS).quantize(16)
    opacity = np.dstack([COLOURS, GREY])
    wide = GREY.astype(np.uint16) * 257
    values: dict[str, Any] = {
        "rgba.png": Image.fromarray(opacity),
        "la.png": Image.merge("LA", [Image.fromarray(GREY), Image.fromarray(COLOURS[..., 1])]),
        "p.png": palette,
        "i16.png": Image.fromarray(wide),
        "f.tif": Image.fromarray(GREY.astype(np.float32) / 255),
        "f255.tif": Image.fromarray(GREY.astype(np.float32)),
        "i.tif": Image.fromarray(wide.astype(np.int32)),
        "1.png": Image.fromarray(GREY).convert("1"),
        "cmyk.tif": Image.fromarray(COLOURS).convert("CMYK"),
        "ycc.tif": Image.fromarray(COLOURS).convert("YCbCr"),
        "lab.tif": Image.merge("LAB", Image.fromarray(COLOURS).split()),
    }
    for name, picture in values.items():
        picture.save(folder / name)
    try:
        with Image.open(folder / "ycc.tif") as opened:
            opened.load()
    except OSError:  # Pillow 12.3 cannot read what it has written
        del values["ycc.tif"]
    palette.save(folder / "clear.png", transparency=3)
    for ending in ("png", "jpg", "tif", "webp"):
        Image.fromarray(COLOURS).save(folder / f"turned.{ending}", exif=TURNED)
        values[f"turned.{ending}"] = Image.open(folder / f"turned.{ending}")
    values["clear.png"] = Image.open(folder / "clear.png")
    Image.fromarray(opacity).save(folder / "array.png")
    values["array.png"] = opacity
    Image.fromarray(opacity).save(folder / "floats.png")
    values["floats.png"] = opacity / 255
    Image.fromarray(wide).save(folder / "wide.png")
    values["wide.png"] = wide
    return values


def test_pil_pictures_of_every_mode_are_what_their_file_is(tmp_path: Path) -> None:
    for name, value in files(tmp_path).items():
        of_file = read.content_picture(name, None, tmp_path).picture
        before = value.copy()
        assert torch.equal(content(value), of_file), name
        assert torch.equal(style(value), of_file), name
        mask = mask_of_size(read.open_labels(name, tmp_path), 20, 28)
        assert torch.equal(mask_of_size(labels(value, "mask"), 20, 28), mask), name
        by_path = label_map(read.open_labels(name, tmp_path))
        by_value = label_map(labels(value, "label map"))
        assert by_value.names == by_path.names, name
        assert np.array_equal(by_value.index, by_path.index), name
        # The caller's own is not turned or converted.
        assert np.array_equal(np.asarray(value), np.asarray(before))


def test_masks_of_truth_values_zeros_and_ones_are_masks() -> None:
    inside = GREY > 127
    expected = mask_of_size(Image.fromarray(inside.astype(np.uint8) * 255), 24, 30)
    for value in (inside, inside.astype(np.uint8), inside.astype(int), inside.astype(float)):
        for form in (value, torch.from_numpy(value), torch.from_numpy(value)[None]):
            assert torch.equal(mask_of_size(labels(form, "mask"), 24, 30), expected)


def test_label_maps_hold_whole_numbers() -> None:
    numbers = GREY // 64
    for dtype in (np.uint8, np.int64, np.uint16, np.int32):
        for form in (numbers.astype(dtype), torch.from_numpy(numbers.astype(np.int64))):
            found = label_map(labels(form, "label map"))
            assert [names[0] for names in found.names] == [f"label_{n}" for n in range(4)]
    found = label_map(labels(numbers.astype(int) * 1000, "label map"))
    assert [names[0] for names in found.names] == [f"label_{n}" for n in (0, 1000, 2000, 3000)]


def closed() -> Image.Image:
    picture = Image.fromarray(COLOURS)
    picture.close()
    return picture


NUMBERS = TENSOR.float() / 255


@pytest.mark.parametrize(
    ("value", "message"),
    [
        (TENSOR.float(), "values from 0 to 255"),
        (COLOURS.astype(float), "values from 0 to 255"),
        (NUMBERS - 0.5, "values from -0.5"),
        (NUMBERS * torch.nan, "NaN"),
        (NUMBERS.index_fill(2, torch.tensor([0]), torch.inf), "infinite"),
        (np.full((24, 30, 3), np.nan), "NaN"),
        (COLOURS.astype(int) - 5, "values from -5"),
        (COLOURS.astype(int) * 2, "values from 0 to 510"),
        (COLOURS.astype(np.uint16), "uint16"),
        (COLOURS.astype(np.int8), "int8"),
        (COLOURS.astype(complex), "complex128"),
        (NUMBERS.to(torch.complex64), "complex64"),
        (COLOURS.astype(object), "object"),
        (np.array([["a"]]), "<U1"),
        (np.zeros((24, 30), "M8[s]"), "datetime64"),
        (np.zeros((24, 30), [("r", "u1")]), "type"),
        (np.array(3), "shape"),
        (np.zeros((0, 0, 3)), "no pixels"),
        (np.zeros((3, 24, 30)), "shape"),
        (torch.zeros(3, 0, 0), "no pixels"),
        (torch.zeros(0), "shape"),
        (torch.zeros(4, 24, 30), "shape"),
        (torch.zeros(2, 3, 24, 30), "shape"),
        (torch.zeros(24, 30, 3), "shape"),
        (torch.zeros(3, 24, 30, device="meta"), "meta"),
        (NUMBERS.to_sparse(), "sparse"),
        (Image.new("RGB", (0, 0)), "no pixels"),
        (closed(), "cannot be read"),
        (None, "type NoneType"),
        (b"x", "type bytes"),
        (3, "type int"),
        ([1], "type list"),
    ],
)
def test_what_is_no_picture_is_refused(value: Any, message: str) -> None:
    with pytest.raises(UserError, match=message) as error:
        content(value)
    assert "\n" not in str(error.value)


def test_a_picture_whose_file_is_damaged_is_refused(tmp_path: Path) -> None:
    Image.effect_noise((200, 200), 80).save(tmp_path / "whole.png")
    data = (tmp_path / "whole.png").read_bytes()
    (tmp_path / "cut.png").write_bytes(data[: len(data) // 2])
    with (
        Image.open(tmp_path / "cut.png") as opened,
        pytest.raises(UserError, match=r"cannot be read: .*truncated.*; save it anew"),
    ):
        content(opened)
