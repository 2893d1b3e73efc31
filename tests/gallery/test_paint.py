from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from pipeline import gallery
from pipeline.gallery import paint
from pipeline.gallery.strokes import palette, smooth_curve, spaced, trace

BUNDLED = ["ink.jpg", "mosaic.jpg", "night.jpg", "scream.jpg", "wave.jpg"]


@pytest.mark.parametrize("name", BUNDLED)
def test_the_same_bytes_every_time(name: str) -> None:
    first, second = (paint.PICTURES[name](96) for _ in range(2))
    assert paint.encode(first) == paint.encode(second)
    assert first.dtype == np.uint8


@pytest.mark.parametrize("name", BUNDLED)
def test_the_long_side_is_the_size_asked_for(name: str) -> None:
    picture = paint.PICTURES[name](80)
    assert picture.shape[1:] == (80, 3)
    assert 50 < picture.shape[0] < 80


@pytest.mark.parametrize("name", BUNDLED)
def test_bundled_picture(name: str) -> None:
    file = gallery.GALLERY / name
    assert file.stat().st_size < paint.LARGEST_FILE
    with Image.open(file) as picture:
        assert picture.format == "JPEG"
        assert picture.mode == "RGB"
        assert max(picture.size) == 768
        tones = np.asarray(picture.convert("L"), np.float64)
    assert np.percentile(tones, 5) < 80
    assert np.percentile(tones, 95) > 140
    # No patch of 48 pixels is flat.
    high, wide = (side // 48 for side in tones.shape)
    patches = tones[: high * 48, : wide * 48].reshape(high, 48, wide, 48)
    assert patches.std(axis=(1, 3)).min() > 2


def test_names_are_the_bundled_files() -> None:
    assert gallery.names() == BUNDLED
    assert sorted(paint.PICTURES) == BUNDLED


def test_main_paints_into_the_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    plain = np.full((5, 7, 3), (250, 20, 30), np.uint8)
    monkeypatch.setattr(paint, "PICTURES", {"plain.jpg": lambda size: plain})
    monkeypatch.setattr("sys.argv", ["paint", str(tmp_path / "new")])
    paint.main()
    with Image.open(tmp_path / "new" / "plain.jpg") as picture:
        assert np.abs(np.asarray(picture).astype(int) - plain).max() < 12
    assert "plain.jpg" in capsys.readouterr().out


def test_a_path_follows_the_field_and_stays_in_its_label() -> None:
    field = np.zeros((20, 40, 2))
    field[..., 0] = 1.0
    labels = np.zeros((20, 40), np.int64)
    labels[:, 26:] = 1
    (path,) = trace(np.array([[20.0, 7.5]]), field, 20.0, 11, labels)
    np.testing.assert_allclose(path[:, 1], 7.5)
    np.testing.assert_allclose(path[:, 0], [10, 12, 14, 16, 18, 20, 22, 24, 24, 24, 24])


def test_neighbouring_lines_keep_their_gap() -> None:
    across = np.linspace(2.0, 36.0, 18)
    paths = np.array([np.stack([across, np.full(18, row)], axis=-1) for row in (5.0, 6.0, 12.0)])
    kept = spaced(paths, 20, 40, np.full(3, 4.0))
    assert [path[0, 1] for path in kept] == [5.0, 12.0]


def test_colours_between_stops() -> None:
    stops = [(0, 0, 0), (100, 50, 200)]
    np.testing.assert_allclose(palette(np.array([0.5]), stops), [[50, 25, 100]])
    np.testing.assert_allclose(palette(np.array([1.75]), stops, cyclic=True), [[50, 25, 100]])


def test_a_smooth_curve_meets_its_knots() -> None:
    knots = [(0.0, 0.0), (1.0, 2.0), (4.0, 1.0)]
    np.testing.assert_allclose(smooth_curve(knots, 5)[::2], knots, atol=1e-12)
