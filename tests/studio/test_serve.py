"""The studio's command: its mistakes in one line, and who may come in."""

import subprocess
import sys

import pytest

from pipeline.errors import UserError
from pipeline.studio import serve


@pytest.mark.parametrize(
    ("host", "own"),
    [
        ("127.0.0.1", True),
        ("localhost", True),
        ("::1", True),
        ("0.0.0.0", False),
        ("192.168.0.4", False),
        ("example.org", False),
    ],
)
def test_who_may_come_in(host: str, own: bool) -> None:
    assert serve._is_loopback(host) == own


def test_without_gradio_it_says_how_to_install_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "gradio", None)
    with pytest.raises(UserError, match=r"pip install -e '\.\[studio\]'"):
        serve.launch()


def test_a_wrong_setting_ends_in_one_line() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "pipeline.studio", "--no-browser", "segmentr=compact"],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 2
    assert done.stderr.splitlines() == [
        "error: no setting 'segmentr'; did you mean segmenter? see python -m pipeline --help"
    ]
