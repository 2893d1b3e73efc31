"""A command beside a busy process: what is compared with what, and that the process ends."""

import subprocess
import sys
from collections.abc import Sequence

import pytest

from pipeline.benchmark import busy
from pipeline.benchmark.bench import Bench
from pipeline.errors import UserError

WORDS = [*busy.SHORT, "size=64", "optimizer.iterations=1"]


def test_figures_compare_beside_with_alone(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    started: list[subprocess.Popen[bytes]] = []
    start = subprocess.Popen

    def popen(command: Sequence[str]) -> subprocess.Popen[bytes]:
        started.append(start(command))
        return started[-1]

    def seconds(code: str, words: Sequence[str]) -> float:
        beside = bool(started) and started[-1].poll() is None
        if "lambda: None" in code:
            return 24.0 if beside else 4.0
        return 6.0 if beside else 5.0

    monkeypatch.setattr(busy.subprocess, "Popen", popen)
    monkeypatch.setattr(busy, "_seconds", seconds)
    found = busy.measure(bench, WORDS, repeats=2)
    assert [(figure.measured, figure.against, figure.ratio) for figure in found.figures] == [
        (5, 4, 1.25),
        (6, 5, 1.2),
        (24, 4, 6),
    ]
    assert [figure.met for figure in found.figures] == [False, True, None]
    assert found.samples["chosen, beside a busy process"] == [6, 6]
    # Twice each, and once that does not count; none is left.
    assert len(started) == 6
    assert all(process.poll() is not None for process in started)


def test_only_the_default_command_waits_as_the_library_would() -> None:
    ask = "import os; print(os.environ.get('OMP_WAIT_POLICY'))"
    for code, expected in ((busy._CHOSEN, "PASSIVE"), (busy._DEFAULT, "None")):
        # Instead of the command's run, its environment.
        stub = f"from pipeline.command import main as m\ndef start():\n    {ask}\nm.start = start\n"
        done = subprocess.run(
            [sys.executable, "-c", stub + code],
            env=busy._environment(),
            capture_output=True,
            text=True,
            check=True,
        )
        assert done.stdout == f"{expected}\n"


def test_a_command_that_fails_says_why() -> None:
    with pytest.raises(UserError, match="nowhere"):
        busy._seconds(busy._CHOSEN, ["content=nowhere.jpg"])


@pytest.mark.slow
def test_commands_are_started(bench: Bench) -> None:
    found = busy.measure(bench, WORDS, repeats=1)
    assert all(0 < seconds < 120 for samples in found.samples.values() for seconds in samples)
