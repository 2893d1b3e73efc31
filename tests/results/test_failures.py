"""A failure is read as it was written."""

import json
from pathlib import Path

import pytest

from pipeline.results.failures import FILE, Failure, read, record


@pytest.mark.parametrize("failure", [Failure("no 'a' here"), Failure("a defect", "Traceback ...")])
def test_what_is_written_is_read(failure: Failure, tmp_path: Path) -> None:
    record(tmp_path / "new" / "0", failure)
    assert read(tmp_path / "new" / "0" / FILE) == failure


def test_what_the_user_can_put_right_has_no_traceback(tmp_path: Path) -> None:
    record(tmp_path, Failure("no file"))
    assert json.loads((tmp_path / "failed.json").read_text()) == {"message": "no file"}
