"""Small synthetic pictures, never square, and a tiny encoder."""

import importlib.util
import os
import shutil
import signal
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from pipeline.engine.objective import Style
from pipeline.methods import Region, Scene
from pipeline.networks.encoder import Encoder
from pipeline.networks.pyramid import PyramidEncoder

if TYPE_CHECKING:
    import playwright.sync_api as playwright

#: The commands of Chromium and its kin.
BROWSERS = ("chromium", "chromium-browser", "google-chrome")

#: Whether pages have to be tested: these tests then fail where they would be skipped.
REQUIRED = os.environ.get("REQUIRE_BROWSER", "").lower() in ("1", "true")


def pytest_configure() -> None:
    """Ctrl-C is heard, by the processes that tests start too.

    What a shell starts in the background ignores it, and so does all that this starts.
    """
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(scope="session")
def browser() -> Iterator["playwright.Browser"]:
    """Chromium without a window."""
    if importlib.util.find_spec("playwright") is None and not REQUIRED:
        pytest.skip("playwright is not installed")
    import playwright.sync_api as playwright

    with playwright.sync_playwright() as running:
        found = [path for name in BROWSERS if (path := shutil.which(name))]
        own = Path(running.chromium.executable_path)
        if not found and not own.exists():
            missing = f"no Chromium: neither {', '.join(BROWSERS)} on PATH nor Playwright's own"
            pytest.fail(missing) if REQUIRED else pytest.skip(missing)
        opened = running.chromium.launch(
            executable_path=found[0] if found else str(own), args=["--no-sandbox"]
        )
        yield opened
        opened.close()


def tiny_features(seed: int = 0) -> nn.Sequential:
    """Two blocks of random convolutions: conv1_1, conv1_2, pool1, conv2_1."""
    generator = torch.Generator().manual_seed(seed)
    features = nn.Sequential(
        nn.Conv2d(3, 6, 3, padding=1),
        nn.ReLU(inplace=True),
        nn.Conv2d(6, 6, 3, padding=1),
        nn.ReLU(inplace=True),
        nn.MaxPool2d(2, 2),
        nn.Conv2d(6, 8, 3, padding=1),
        nn.ReLU(inplace=True),
    )
    for module in features:
        if isinstance(module, nn.Conv2d):
            nn.init.normal_(module.weight, std=0.3, generator=generator)
            nn.init.zeros_(module.bias)
    return features.requires_grad_(False)


def scene_of(
    content: Tensor,
    masks: Mapping[str, Tensor],
    styles: Mapping[str, Sequence[Style]],
    **more: Any,
) -> Scene:
    """A scene of regions by name."""
    return Scene(
        content, [Region(name, mask, styles[name]) for name, mask in masks.items()], **more
    )


@pytest.fixture
def encoder() -> PyramidEncoder:
    return PyramidEncoder(Encoder(tiny_features()), levels=1)


@pytest.fixture
def content() -> Tensor:
    """(1, 3, 61, 83): a bright disc on a gradient, values multiples of 1/255."""
    rows, columns = np.mgrid[:61, :83]
    disc = (rows - 30) ** 2 + (columns - 40) ** 2 < 18**2
    picture = np.stack([rows * 3, columns * 2, 255 * disc], axis=-1).astype(np.uint8)
    return torch.from_numpy(picture).permute(2, 0, 1)[None].float() / 255


@pytest.fixture
def disc() -> Tensor:
    """(1, 1, 61, 83): the disc of `content` as a mask."""
    rows, columns = np.mgrid[:61, :83]
    inside = (rows - 30) ** 2 + (columns - 40) ** 2 < 18**2
    return torch.from_numpy(inside).float()[None, None]


@pytest.fixture
def stripes() -> Tensor:
    """(1, 3, 50, 70): red and white stripes."""
    rows = torch.arange(50).view(1, 1, 50, 1).expand(1, 3, 50, 70)
    stripe = ((rows // 4) % 2).float()
    stripe = stripe.clone()
    stripe[:, 0] = 0.9
    return stripe
