"""Pictures from a browser: bounded, checked, and kept under names of their own."""

import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from pipeline.errors import UserError
from pipeline.studio import pictures


def test_a_photograph_is_taken_upright(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6  # a quarter turn
    Image.new("RGB", (40, 30), "red").save(tmp_path / "a.jpg", exif=exif)
    assert pictures.taken(tmp_path / "a.jpg", "a.jpg").size == (30, 40)


def test_what_is_not_taken(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(path: Path) -> str:
        with pytest.raises(UserError) as caught:
            pictures.taken(path, "sent.jpg")
        assert str(tmp_path) not in str(caught.value)
        return str(caught.value)

    assert refused(tmp_path / "gone.jpg").startswith("sent.jpg cannot be read: No such file")
    (tmp_path / "text.jpg").write_text("no picture")
    assert "is not a picture" in refused(tmp_path / "text.jpg")
    Image.new("RGB", (40, 30)).save(tmp_path / "vector.eps")
    assert "is not a picture" in refused(tmp_path / "vector.eps")
    noise = np.random.default_rng(0).integers(0, 255, (100, 100, 3)).astype(np.uint8)
    Image.fromarray(noise).save(tmp_path / "a.png")
    whole = (tmp_path / "a.png").read_bytes()
    (tmp_path / "cut.png").write_bytes(whole[: len(whole) // 2])
    assert "sent.jpg cannot be read" in refused(tmp_path / "cut.png")
    Image.new("RGB", (12, 90)).save(tmp_path / "small.png")
    assert "too small: 12x90" in refused(tmp_path / "small.png")
    monkeypatch.setattr(pictures, "MOST_PIXELS", 9_000)
    assert "100x100 pixels" in refused(tmp_path / "a.png")
    monkeypatch.setattr(pictures, "MOST_BYTES", 1_000)
    assert "over 0 MB" in refused(tmp_path / "a.png")


def test_pictures_are_kept_once_and_apart(tmp_path: Path) -> None:
    red, blue = (Image.new("RGB", (20, 20), colour) for colour in ("red", "blue"))
    first = pictures.kept(red, tmp_path / "kept", "../../a b.jpg")
    assert first.parent == tmp_path / "kept"
    assert first.name.startswith("a b-")
    assert pictures.kept(red, tmp_path / "kept", "a b.png") == first
    assert pictures.kept(blue, tmp_path / "kept", "a b.png") != first
    other = pictures.copied(first, tmp_path / "other")
    assert other.read_bytes() == first.read_bytes()
    assert {path.name for path in tmp_path.rglob("*.partial*")} == set()


def test_styles_are_the_gallery_and_what_lies_in_folders(tmp_path: Path) -> None:
    Image.new("RGB", (20, 20)).save(tmp_path / "mine.png")
    (tmp_path / "notes.txt").write_text("no picture")
    (tmp_path / ".hidden.png").write_text("hidden")
    found = pictures.styles([tmp_path, tmp_path / "missing"])
    assert {"ink", "mosaic", "night", "scream", "wave", "mine"} == {*found}
    assert found["mine"] == str(tmp_path / "mine.png")


def test_the_same_bytes_of_another_shape_are_another_picture(tmp_path: Path) -> None:
    wide, tall = (
        pictures.kept(Image.new("L", size, 255), tmp_path, "m.png") for size in ((40, 20), (20, 40))
    )
    assert wide != tall
    with Image.open(tall) as opened:
        assert opened.size == (20, 40)


def test_what_is_painted_is_bounded_too(monkeypatch: pytest.MonkeyPatch) -> None:
    data = io.BytesIO()
    Image.new("RGBA", (100, 100)).save(data, format="PNG")
    assert pictures.bounded(data, "x") == (100, 100)
    monkeypatch.setattr(pictures, "MOST_PIXELS", 9_000)
    with pytest.raises(UserError, match="100x100 pixels"):
        pictures.bounded(data, "x")
