"""The studio's command: its mistakes in one line, and who may come in."""

import os
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from pipeline.config.compose import CONF
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


def test_a_port_that_is_taken_ends_in_one_line() -> None:
    pytest.importorskip("gradio")
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        done = subprocess.run(
            [sys.executable, "-m", "pipeline.studio", "--no-browser", "--port", str(port)],
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
    assert done.returncode == 2
    [line] = done.stderr.splitlines()
    assert line.startswith("error: 127.0.0.1: ")
    assert line.endswith("choose another with --host or --port")


@pytest.mark.parametrize("name", ["SIGINT", "SIGTERM", "SIGHUP"])
def test_a_server_that_is_told_to_end_leaves_no_files(name: str, tmp_path: Path) -> None:
    pytest.importorskip("gradio")
    if signal.getsignal(getattr(signal, name)) is signal.SIG_IGN:
        pytest.skip("ignored here, and so in what is started here")
    with subprocess.Popen(
        [sys.executable, "-m", "pipeline.studio", "--no-browser", "segmenter=compact"],
        cwd=tmp_path,
        env={
            **os.environ,
            "PYTHONPATH": str(CONF.parent),
            "PYTHONUNBUFFERED": "1",
            "TMPDIR": str(tmp_path),
        },
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        try:
            assert process.stdout is not None
            assert "The studio is at" in process.stdout.readline()
            assert [*tmp_path.glob("studio-*")]
            process.send_signal(getattr(signal, name))
            _, errors = process.communicate(timeout=120)
        finally:
            process.kill()
    assert "Traceback" not in errors
    assert process.returncode == 0
    assert [*tmp_path.glob("studio-*")] == []


def test_it_is_opened_from_python_too() -> None:
    pytest.importorskip("gradio")
    script = (
        "import urllib.request\n"
        "from pipeline.studio import launch\n"
        "address = launch('device=cpu', 'segmenter=compact', wait=False)\n"
        "with urllib.request.urlopen(address) as answer:\n"
        "    print(answer.status, 'Localized style transfer' in answer.read().decode())\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1] == "200 True"
