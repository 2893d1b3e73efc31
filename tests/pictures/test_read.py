"""Pictures of every mode, orientation and profile arrive as upright sRGB; bad ones say why."""

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image, ImageCms

from pipeline.errors import UserError
from pipeline.pictures import read
from pipeline.pictures.strips import strips
from pipeline.request import Shape

COLOUR = (200, 100, 50)


def save(picture: Image.Image, path: Path, **options: object) -> Path:
    picture.save(path, **options)
    return path


@pytest.mark.parametrize("mode", ["RGB", "RGBA", "L", "LA", "P", "1", "CMYK", "YCbCr", "I;16"])
def test_any_mode_arrives_as_rgb(mode: str, tmp_path: Path) -> None:
    suffix = ".tif" if mode in ("CMYK", "YCbCr") else ".png"
    if mode == "I;16":
        picture = Image.fromarray(np.full((20, 30), 51400, dtype=np.uint16))
    else:
        picture = Image.new("RGB", (30, 20), COLOUR).convert(mode)
    # Compressed: Pillow 12.3 cannot read its own YCbCr without.
    options = {"compression": "tiff_lzw"} if suffix == ".tif" else {}
    found = read.open_picture(save(picture, tmp_path / f"picture{suffix}", **options))
    assert found.mode == "RGB"
    assert found.size == (30, 20)
    red, green, blue = found.getpixel((15, 10))
    if mode in ("RGB", "RGBA", "CMYK"):
        assert (red, green, blue) == COLOUR
    elif mode == "I;16":
        assert (red, green, blue) == (200, 200, 200)  # 51400 / 65535 of 255
    elif mode in ("L", "LA"):
        assert red == green == blue == pytest.approx(124, abs=1)


def test_transparency_lies_over_white(tmp_path: Path) -> None:
    picture = Image.new("RGBA", (20, 20), (0, 0, 0, 51))
    found = read.open_picture(save(picture, tmp_path / "glass.png"))
    assert found.getpixel((5, 5)) == (204, 204, 204)


def test_palette_transparency_lies_over_white(tmp_path: Path) -> None:
    picture = Image.new("P", (20, 20), 1)
    picture.putpalette([0, 0, 0, 10, 20, 30])
    found = read.open_picture(save(picture, tmp_path / "palette.png", transparency=1))
    assert found.getpixel((5, 5)) == (255, 255, 255)


def test_exif_orientation_is_applied(tmp_path: Path) -> None:
    picture = Image.new("RGB", (40, 20), "black")
    picture.paste("white", (0, 0, 20, 20))
    exif = Image.Exif()
    exif[0x0112] = 6  # to be shown turned a quarter clockwise
    found = read.open_picture(save(picture, tmp_path / "turned.png", exif=exif))
    assert found.size == (20, 40)
    assert found.getpixel((10, 5)) == (255, 255, 255)
    assert found.getpixel((10, 35)) == (0, 0, 0)


def test_an_icc_profile_is_converted_to_srgb(tmp_path: Path) -> None:
    lab = ImageCms.createProfile("LAB")
    to_lab = ImageCms.buildTransform(ImageCms.createProfile("sRGB"), lab, "RGB", "LAB")
    picture = ImageCms.applyTransform(Image.new("RGB", (20, 20), COLOUR), to_lab)
    profile = ImageCms.ImageCmsProfile(lab).tobytes()
    found = read.open_picture(save(picture, tmp_path / "lab.tif", icc_profile=profile))
    assert found.getpixel((5, 5)) == pytest.approx(COLOUR, abs=3)


def test_a_broken_profile_is_ignored(tmp_path: Path) -> None:
    picture = Image.new("RGB", (20, 20), COLOUR)
    found = read.open_picture(save(picture, tmp_path / "odd.png", icc_profile=b"not a profile"))
    assert found.getpixel((5, 5)) == COLOUR


def test_size_bounds_the_long_side_and_never_enlarges() -> None:
    tall = Image.new("RGB", (100, 400))
    assert read.fit(tall, 200, "tall").size == (50, 200)
    assert read.fit(tall, 1000, "tall").size == (100, 400)


def test_arrays_and_tensors_invert_each_other() -> None:
    array = np.random.default_rng(0).integers(0, 256, (5, 7, 3), dtype=np.uint8)
    tensor = read.array_to_tensor(array)
    assert tensor.shape == (1, 3, 5, 7)
    assert tensor.is_contiguous()
    assert np.array_equal(read.tensor_to_array(tensor), array)
    assert read.tensor_to_array(torch.tensor([2.0, -1, 0.5]).view(1, 3, 1, 1)).ravel().tolist() == [
        255,
        0,
        128,
    ]


def test_the_sample_is_there_and_bounded() -> None:
    assert read.content_picture("astronaut", 100, Path()).picture.shape == (1, 3, 100, 100)
    assert read.content_picture("stereo_motorcycle", 741, Path()).picture.shape == (1, 3, 500, 741)


def test_styles_come_from_paths_first_then_from_the_gallery(tmp_path: Path) -> None:
    bundled = read.style_picture("scream.jpg", 64, tmp_path)
    assert torch.equal(read.style_picture("scream", 64, tmp_path), bundled)
    save(Image.new("RGB", (64, 48), "blue"), tmp_path / "scream.jpg")
    own = read.style_picture("scream.jpg", 64, tmp_path)
    assert own.shape == (1, 3, 48, 64)
    assert own[0, 2].mean() > 0.9


def test_unknown_names_say_where_it_looked_and_what_is_near(tmp_path: Path) -> None:
    save(Image.new("RGB", (20, 20)), tmp_path / "portrait.png")
    with pytest.raises(UserError, match=r"'sream.jpg' not found.*did you mean scream.jpg"):
        read.style_picture("sream.jpg", 64, tmp_path)
    with pytest.raises(UserError, match=r"did you mean portrait.png"):
        read.content_picture("portrat.png", 64, tmp_path)
    with pytest.raises(UserError, match="did you mean astronaut"):
        read.content_picture("astronout", 64, tmp_path)


def test_what_is_not_a_picture_is_refused(tmp_path: Path) -> None:
    (tmp_path / "empty.png").touch()
    (tmp_path / "text.jpg").write_text("not a picture")
    whole = save(Image.effect_noise((200, 200), 80), tmp_path / "whole.png").read_bytes()
    (tmp_path / "cut.png").write_bytes(whole[: len(whole) // 2])
    for name, message in {
        ".": "is a folder",
        "empty.png": "0 bytes",
        "text.jpg": "not a picture",
        "cut.png": "cannot be read",
    }.items():
        with pytest.raises(UserError, match=message) as caught:
            read.content_picture(name, 512, tmp_path)
        assert "\n" not in str(caught.value)


@pytest.mark.parametrize(("width", "height"), [(1, 1), (15, 300), (3000, 20)])
def test_tiny_pictures_are_refused(width: int, height: int, tmp_path: Path) -> None:
    save(Image.new("RGB", (width, height)), tmp_path / "tiny.png")
    with pytest.raises(UserError, match=rf"tiny.png is too small: {width}x{height}"):
        read.content_picture("tiny.png", 512, tmp_path)


def test_a_folder_or_pattern_names_many_pictures(tmp_path: Path) -> None:
    for name in ("a.jpg", "b.PNG", "notes.txt", ".hidden.jpg", "below/c.jpg"):
        (tmp_path / "photos" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "photos" / name).touch()
    both = ["photos/a.jpg", "photos/b.PNG"]
    assert read.content_files("photos", tmp_path) == both
    assert read.content_files("photos/", tmp_path) == both
    absolute = tmp_path / "photos"
    assert read.content_files(str(absolute), Path("/")) == [f"{absolute}/{n[7:]}" for n in both]
    assert read.content_files("photos/*.jpg", tmp_path) == ["photos/a.jpg"]
    found = read.content_files("photos/**/*.jpg", tmp_path)
    assert found == ["photos/a.jpg", "photos/below/c.jpg"]
    for one in ("photos/a.jpg", "astronaut", "nowhere.jpg"):
        assert read.content_files(one, tmp_path) is None
    with pytest.raises(UserError, match="no picture there"):
        read.content_files("photos/*.gif", tmp_path)


def test_brackets_in_a_name_are_no_pattern_where_there_is_such_a_file(tmp_path: Path) -> None:
    (tmp_path / "photo [1].png").touch()
    assert read.content_files("photo [1].png", tmp_path) is None


def test_a_sample_can_be_a_style(tmp_path: Path) -> None:
    style = read.style_picture("coffee", 100, tmp_path)
    assert torch.equal(style, read.content_picture("coffee", 100, tmp_path).picture)


def test_the_photograph_is_shrunk_from_its_file(tmp_path: Path) -> None:
    stripes = np.zeros((90, 160, 3), np.uint8)
    stripes[:, ::2] = 255
    save(Image.fromarray(stripes), tmp_path / "a.png")
    found = read.content_picture("a.png", 120, tmp_path)
    once = read.content_picture("a.png", 80, tmp_path).picture
    shrunk = found.shrunk(80)
    assert torch.equal(shrunk.picture, once)
    assert shrunk.original == (160, 90)
    # The file's pixels are let go, and nothing is enlarged.
    assert shrunk.file is None
    assert found.shrunk(300).picture is found.picture


def test_styles_are_cropped_before_they_are_fitted(tmp_path: Path) -> None:
    array = np.zeros((80, 200, 3), np.uint8)
    array[:, 100:] = 255
    Image.fromarray(array).save(tmp_path / "half.png")
    for crop in (Shape("box", (0.5, 0, 1, 1)), Shape("box", (100, 0, 200, 80))):
        style = read.style_picture("half.png", 50, tmp_path, crop=crop)
        assert style.shape == (1, 3, 40, 50)
        assert style.min() == 1
    with pytest.raises(UserError, match="leaves less than 16 pixels"):
        read.style_picture("half.png", 50, tmp_path, crop=Shape("box", (0, 0, 0.05, 1)))


def test_without_a_bound_a_picture_keeps_its_size(tmp_path: Path) -> None:
    save(Image.new("RGB", (700, 30)), tmp_path / "wide.png")
    found = read.content_picture("wide.png", None, tmp_path)
    assert found.picture.shape == (1, 3, 30, 700)
    shrunk = read.content_picture("wide.png", 400, tmp_path)
    assert shrunk.picture.shape == (1, 3, 17, 400)
    assert shrunk.original == found.original == (700, 30)


def test_pictures_are_read_up_to_the_largest_size_without_a_warning(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    save(Image.new("RGB", (40, 30)), tmp_path / "large.png")
    # Pillow's own limit does not count, ours does.
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 100)
    assert read.open_picture(tmp_path / "large.png").size == (40, 30)
    assert Image.MAX_IMAGE_PIXELS == 100
    monkeypatch.setattr(read, "MOST_PIXELS", 1000)
    with pytest.raises(UserError, match="is too large"):
        read.open_picture(tmp_path / "large.png")


def test_large_pictures_are_converted_in_strips(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(strips, "__defaults__", (7 * 4,))
    test_arrays_and_tensors_invert_each_other()
