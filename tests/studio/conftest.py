"""A painter of small pictures, with the bundled networks."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from pipeline.studio import painter as painters
from pipeline.studio import session as sessions
from pipeline.studio.painter import Painter
from pipeline.studio.session import Place, Session

WORDS = ("device=cpu", "segmenter=compact", "encoder=compact", "optimizer.iterations=6")


@pytest.fixture(autouse=True)
def small_pictures(monkeypatch: pytest.MonkeyPatch) -> None:
    for module in (painters, sessions):
        monkeypatch.setattr(module, "SHOWN", 192)
    monkeypatch.setattr(painters, "SWATCH", 64)


@pytest.fixture
def painter(tmp_path: Path) -> Painter:
    return Painter(WORDS, tmp_path)


@pytest.fixture
def place(tmp_path: Path) -> Place:
    outputs = tmp_path / "outputs"
    return Place(tmp_path, outputs, outputs / "studio", outputs / "studio" / "styles")


@pytest.fixture
def session(painter: Painter, place: Place) -> Session:
    return Session(painter, place)


@pytest.fixture
def photograph(tmp_path: Path) -> Path:
    """A picture that was sent: blue above, red below, a yellow disc in the middle."""
    rows, columns = np.mgrid[:120, :160]
    pixels = np.full((120, 160, 3), (60, 90, 200), np.uint8)
    pixels[60:] = (190, 60, 40)
    pixels[(rows - 60) ** 2 + (columns - 80) ** 2 < 30**2] = (240, 220, 30)
    path = tmp_path / "sent" / "my photo.jpg"
    path.parent.mkdir()
    Image.fromarray(pixels).save(path, quality=95)
    return path
