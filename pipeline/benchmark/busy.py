"""Busy: what another process that needs a core costs a command, and what its threads' waiting does.

Each command is a process of its own, as OpenMP reads once how its threads are to wait.
"""

import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from pipeline.benchmark import timing
from pipeline.benchmark.bench import Bench
from pipeline.benchmark.report import Comparison, Figure, Target
from pipeline.errors import UserError

#: Shapes instead of classes: no segmenter runs, and nothing is downloaded.
SHORT = (
    "+regions.spot='circle(0.5,0.5,0.3)'",
    "+styles.spot=scream.jpg",
    "encoder=compact",
)
_CHOSEN = "from pipeline.command.main import main; main()"
# The same command, but for the one call.
_DEFAULT = "from pipeline.runtime import threads; threads.choose_waiting = lambda: None; " + _CHOSEN
_POLICIES = ("OMP_WAIT_POLICY", "GOMP_SPINCOUNT", "KMP_BLOCKTIME")


def busy(bench: Bench) -> list[Comparison]:
    """Seconds of a short command, alone and beside one busy process, by how its threads wait."""
    iterations = 20 if bench.quick else 100
    words = [f"size={bench.sizes([256], [256], 96)[0]}", f"optimizer.iterations={iterations}"]
    return [measure(bench, [*SHORT, *words], 2 if bench.quick else 5)]


def measure(bench: Bench, words: Sequence[str], repeats: int) -> Comparison:
    """Start commands and time them.

    Args:
        bench: where.
        words: of the command.
        repeats: how often each is timed, after once that does not count.

    Raises:
        UserError: a command failed; with its last line.
    """
    words = [*words, f"device={bench.where}"]

    def sample(code: str, beside: bool) -> timing.Sample:
        def take() -> float:
            if not beside:
                return _seconds(code, words)
            with _busy_process():
                return _seconds(code, words)

        return take

    sides = {
        f"{waiting}, {'beside a busy process' if beside else 'alone'}": sample(code, beside)
        for waiting, code in (("chosen", _CHOSEN), ("default", _DEFAULT))
        for beside in (False, True)
    }
    samples = timing.alternate(sides, repeats)
    chosen, chosen_beside, default, default_beside = map(statistics.median, samples.values())
    judged = bench.where.type == "cpu"
    return Comparison(
        "busy",
        [
            Figure(
                "busy: a command alone, its choice of waiting against the default",
                chosen,
                "s",
                default,
                chosen / default,
                Target("ratio", "at most", 1.03) if judged else None,
            ),
            Figure(
                "busy: beside a busy process against alone, its choice",
                chosen_beside,
                "s",
                chosen,
                chosen_beside / chosen,
                Target("ratio", "at most", 1.7) if judged else None,
            ),
            Figure(
                "busy: beside a busy process against alone, the default",
                default_beside,
                "s",
                default,
                default_beside / default,
            ),
        ],
        samples,
        {"command": words},
        {"cores": os.cpu_count()},
    )


def _seconds(code: str, words: Sequence[str]) -> float:
    """Seconds of a command, from the start of its process to the end."""
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-c", code, *words, f"hydra.run.dir='{folder}/run'"]
        began = time.monotonic()
        done = subprocess.run(
            command, env=_environment(), capture_output=True, text=True, check=False
        )
        spent = time.monotonic() - began
    if done.returncode:
        raise UserError((done.stderr.strip() or f"exit status {done.returncode}").splitlines()[-1])
    return spent


def _environment() -> dict[str, str]:
    """This process's, without what says how threads are to wait."""
    return {key: value for key, value in os.environ.items() if key not in _POLICIES}


@contextmanager
def _busy_process() -> Iterator[None]:
    """Another process that keeps one core busy."""
    process = subprocess.Popen([sys.executable, "-c", "while True: pass"])
    try:
        yield
    finally:
        process.kill()
        process.wait()
