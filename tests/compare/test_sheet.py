"""The contact sheet: content first, then the runs, on a grid."""

from pathlib import Path

import numpy as np
from PIL import Image

from pipeline.compare.columns import compare
from pipeline.compare.runs import find_runs
from pipeline.compare.sheet import save_sheet
from tests.compare.conftest import MakeRun, fail


def test_the_sheet(make_run: MakeRun, tmp_path: Path) -> None:
    for number, name in enumerate(("stitch", "composite")):
        make_run(tmp_path / str(number), {"method": {"name": name}})
    fail(tmp_path / "2", "no person " * 200, {"method": {"name": "a very long name " * 9}})
    runs = find_runs([tmp_path])
    save_sheet(compare(runs, [{}] * 3), tmp_path / "sheet.png")
    with Image.open(tmp_path / "sheet.png") as opened:
        sheet = np.asarray(opened)
    # Four tiles on a grid of two by two: pictures of 320 x 240 with 20 pixels between them.
    assert sheet.shape[1] == 20 + 2 * (320 + 20)
    content, result = sheet[20:260, 20:340], sheet[20:260, 360:680]
    assert abs(int(content[..., 0].mean()) - 120) < 4
    assert result[:, :200, 2].mean() > content[:, :200, 2].mean() + 30
    caption = sheet[265:310, 360:680]
    assert caption.min() < 100
    failed = sheet[-400:, 360:680]
    assert ((failed[..., 0] > 150) & (failed[..., 1] < 60)).any()


def test_a_sheet_of_failed_runs_only(tmp_path: Path) -> None:
    fail(tmp_path / "0", "no person", {})
    save_sheet(compare(find_runs([tmp_path]), [{}]), tmp_path / "sheet.png")
    with Image.open(tmp_path / "sheet.png") as sheet:
        assert sheet.width == 360
