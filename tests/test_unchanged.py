"""Runs whose pictures must stay as they are, to the last bit where that can be asked.

Sums of floating point numbers come out differently from CPU to CPU and from version to version of
the libraries. On a machine that is on record every run must come to its recorded checksum;
elsewhere its picture must be like the recorded one. After a change that is meant, or to put a
machine on record: ``python -m tests.test_unchanged record``.
"""

import hashlib
import json
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt
import PIL
import pytest
import torch
from PIL import Image
from skimage import data

from pipeline import Result, build, stylize
from pipeline.benchmark.report import environment

Pixels = npt.NDArray[np.uint8]

RECORD = Path(__file__).parent / "unchanged"
SUMS = RECORD / "checksums.json"
COMMAND = "python -m tests.test_unchanged record"

#: Levels of 255 by which reduced pictures may differ in the mean. Two threads instead of one come
#: to at most 0.3, instructions of older CPUs (AVX2, SSE) to 1.5; a style weight a fifth higher
#: comes to 2.3 to 32, one iteration less to 0.3 to 6.5.
TOLERANCE = 2.0

SMALL: dict[str, Any] = {
    "encoder": "compact",
    "segmenter": "compact",
    "device": "cpu",
    "precision": "float32",
}


def scene() -> Pixels:
    """(90, 132, 3): a disc on a gradient."""
    rows, columns = np.mgrid[:90, :132]
    disc = (rows - 45) ** 2 + (columns - 60) ** 2 < 25**2
    return np.stack([rows * 2.5, columns * 1.5, 200 * disc + 20], axis=-1).astype(np.uint8)


def style(number: int) -> Pixels:
    """(80, 100, 3): waves, of another length and colour for every number."""
    rows, columns = np.mgrid[:80, :100]
    a = 127 + 127 * np.sin(rows / (2 + number) + columns / (5 - number))
    b = 127 + 127 * np.cos(columns / (3 + number))
    bands = [a, b, 255 - a] if number % 2 else [b, a, rows * 2]
    return np.stack(bands, axis=-1).astype(np.uint8)


def labels(folder: Path) -> str:
    """A picture of labels, in colours, as a file."""
    found = np.zeros((90, 132, 3), np.uint8)
    found[:, :50] = (0, 0, 255)
    found[:40, 50:] = (255, 0, 0)
    Image.fromarray(found).save(folder / "labels.png")
    return str(folder / "labels.png")


def resized(picture: Pixels, width: int, height: int) -> Pixels:
    return np.asarray(Image.fromarray(picture).resize((width, height)))


def iterations(number: int, **others: Any) -> dict[str, Any]:
    return {"iterations": number, **others}


def person(folder: Path) -> Result:
    return stylize(
        "astronaut", {"person": "scream.jpg"}, size=128, optimizer=iterations(12), **SMALL
    )


def bfloat16(folder: Path) -> Result:
    return stylize(
        "astronaut",
        {"person": "scream.jpg"},
        size=128,
        optimizer=iterations(8),
        **SMALL | {"precision": "bfloat16"},
    )


def composite(folder: Path) -> Result:
    return stylize(
        scene(),
        {"a": style(0), "b": style(1), "c": style(2), "rest": style(3)},
        method="composite",
        regions={
            "a": "box(0.05,0.1,0.35,0.5)",
            "b": "box(0.55,0.1,0.85,0.5)",
            "c": "circle(60,60,15)",
        },
        size=128,
        optimizer=iterations(12),
        **SMALL,
    )


def guided_labels(folder: Path) -> Result:
    return stylize(
        scene(),
        {
            "blue": style(1),
            "red": {"image": style(2), "color": "luminance", "scale": 0.7},
            "thing": {"image": style(0), "crop": [0.1, 0.1, 0.9, 0.8], "color": "match"},
        },
        method="guided",
        regions={
            "labels": labels(folder),
            "thing": {"source": "circle(60,45,24)", "grow": 2, "feather": 5},
        },
        size=120,
        optimizer=iterations(12),
        snapshots=[4],
        **SMALL,
    )


def tiles(folder: Path) -> Result:
    return stylize(
        scene(),
        {"all": style(1)},
        method="guided",
        tile=64,
        size=132,
        optimizer=iterations(5, scales=1),
        **SMALL,
    )


def memory_low(folder: Path) -> Result:
    return stylize(
        resized(scene(), 300, 220),
        {"x": style(0), "rest": style(2)},
        regions={"x": "circle(0.5,0.5,0.4)"},
        memory="low",
        size=300,
        optimizer=iterations(4, scales=2),
        **SMALL,
    )


def adam_gatys(folder: Path) -> Result:
    return stylize(
        scene(),
        {"x": [{"image": style(0), "weight": 0.7}, {"image": style(1), "weight": 0.3}]},
        regions={"x": "circle(60,45,25)"},
        loss="gatys",
        unstyled="free",
        init="noise",
        size=128,
        optimizer=iterations(10, name="adam", learning_rate=0.02),
        **SMALL,
    )


def sequential(folder: Path) -> Result:
    return stylize(
        scene(),
        {"x": [style(0), style(1)]},
        regions={"x": "circle(60,45,25)"},
        blend="sequential",
        color="histogram",
        size=128,
        optimizer=iterations(10, tolerance=0.001),
        **SMALL,
    )


def match(folder: Path) -> Result:
    return stylize(
        "chelsea", "match", reference="coffee", size=112, optimizer=iterations(5), **SMALL
    )


def global_inside(folder: Path) -> Result:
    return stylize(
        scene(),
        {"x": style(0), "y": style(3)},
        regions={"x": "box(0,0,0.5,1)", "y": "box(0.5,0,1,1)"},
        method={"gram": "global", "propagation": "inside"},
        init="content+noise",
        size=128,
        optimizer=iterations(6),
        **SMALL,
    )


def init_style_average(folder: Path) -> Result:
    return stylize(
        scene(),
        {"x": style(0)},
        regions={"x": "circle(60,45,25)"},
        method={"propagation": "all"},
        init="style",
        size=128,
        optimizer=iterations(6),
        **SMALL | {"encoder": {"name": "compact", "pooling": "average", "levels": 2}},
    )


def large(folder: Path) -> Result:
    return stylize(
        resized(data.astronaut(), 1100, 700),
        {"person": style(0)},
        size="full",
        optimizer=iterations(1, scales=1),
        **SMALL,
    )


QUICK = (
    person,
    bfloat16,
    composite,
    guided_labels,
    tiles,
    memory_low,
    adam_gatys,
    sequential,
    match,
    global_inside,
    init_style_average,
)
SLOW = (large,)
Case = Callable[[Path], Result]


@contextmanager
def one_thread() -> Iterator[None]:
    """Sums in one order: how many threads share them changes the last bits."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def checksum(result: Result) -> str:
    """Of the picture, the masks, the snapshots, the losses and the regions' style distances."""
    found = hashlib.sha256(np.asarray(result.picture).tobytes())
    for name in sorted(result.masks):
        found.update(name.encode())
        found.update(result.masks[name].tobytes())
    for snapshot in result.snapshots.values():
        found.update(snapshot.numpy().tobytes())
    found.update(json.dumps([row.total for row in result.losses]).encode())
    distances = [
        [entry.get("style_distance_before"), entry.get("style_distance_after")]
        for entry in result.summary["regions"]
    ]
    found.update(json.dumps(distances).encode())
    return found.hexdigest()[:16]


def reduced(result: Result) -> Image.Image:
    """The picture at a fraction of its size: 96 pixels wide, or somewhat less."""
    return result.picture.reduce(-(-result.picture.width // 96))


def difference(first: Image.Image, second: Image.Image) -> float:
    """The mean difference in levels of 255."""
    a, b = (np.asarray(picture.convert("RGB"), np.float32) for picture in (first, second))
    assert a.shape == b.shape
    return float(np.abs(a - b).mean())


def machine() -> str:
    """All that the last bits depend on, besides the program."""
    here = environment(torch.device("cpu"))
    return (
        f"torch {torch.__version__}, numpy {np.__version__}, opencv {cv2.__version__}, "
        f"pillow {PIL.__version__}, {here['processor']}, {here['torch_capability']}, "
        + " ".join(here["processor_flags"])
    )


def recorded() -> dict[str, dict[str, str]]:
    """Machine to case to checksum."""
    found: dict[str, dict[str, str]] = json.loads(SUMS.read_text()) if SUMS.is_file() else {}
    return found


@pytest.mark.parametrize(
    "case",
    [*QUICK, *(pytest.param(case, marks=pytest.mark.slow) for case in SLOW)],
    ids=lambda case: case.__name__,
)
def test_a_run_is_unchanged(case: Case, tmp_path: Path) -> None:
    name = case.__name__
    # What other tests have left there was computed by several threads.
    for store in (build._targets, build._segmentations):
        store.clear()
    with one_thread():
        result = case(tmp_path)
    sums = recorded().get(machine())
    if sums is not None:
        assert checksum(result) == sums[name], (
            "if that is meant: python -m tests.test_unchanged record"
        )
    with Image.open(RECORD / f"{name}.png") as wanted:
        assert difference(reduced(result), wanted) <= TOLERANCE


def test_a_level_is_a_level() -> None:
    black, grey = (Image.new("RGB", (4, 3), (value, value, value)) for value in (0, 6))
    assert difference(black, grey) == 6


def record() -> None:
    """Write the sums of this machine, and the pictures where they are new or have changed."""
    here = machine()
    sums, pictures = {}, {}
    with tempfile.TemporaryDirectory() as folder, one_thread():
        for case in (*QUICK, *SLOW):
            result = case(Path(folder))
            name = case.__name__
            sums[name], pictures[name] = checksum(result), reduced(result)
            print(name, sums[name], flush=True)
    before = recorded()
    same = before.get(here, sums) == sums
    for name, picture in pictures.items():
        file = RECORD / f"{name}.png"
        same = same and file.is_file() and difference(picture, Image.open(file)) <= TOLERANCE
    if not same:
        # Nor do other machines come to their old sums any more.
        before = {}
        for name, picture in pictures.items():
            picture.save(RECORD / f"{name}.png", optimize=True)
    SUMS.write_text(json.dumps(before | {here: sums}, indent=1, sort_keys=True) + "\n")
    print(f"{here}: {'on record' if same else 'all recorded anew'}")


if __name__ == "__main__":
    if sys.argv[1:] != ["record"]:
        sys.exit(f"usage: {COMMAND}")
    record()
