"""Start: how long a command takes to its first iteration, and what it does besides painting."""

import json
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

from pipeline.benchmark.bench import Bench
from pipeline.benchmark.report import Comparison, Figure, Target
from pipeline.errors import UserError
from pipeline.networks import encoders, segmenters, weights

#: Stages of a run that are not the optimisation.
BESIDES = ("read", "segment", "mask", "blend", "measure", "write")
_ROOT = Path(__file__).resolve().parents[2]


def start(bench: Bench) -> list[Comparison]:
    """Seconds to the first iteration with warm caches, and the share of a run besides painting."""
    return [measure(bench, ["+styles.person=scream.jpg", *networks()], 2 if bench.quick else 5)]


def networks() -> list[str]:
    """Overrides that choose what ``auto`` takes without trying to download."""
    found = []
    for group, official, recipes in (
        ("encoder", encoders.OFFICIAL, encoders.RECIPES),
        ("segmenter", segmenters.OFFICIAL, segmenters.RECIPES),
    ):
        url = recipes[official].url
        there = url is not None and weights.official(url, may_download=False) is not None
        found.append(f"{group}={official if there else 'compact'}")
    return found


def measure(bench: Bench, words: Sequence[str], repeats: int) -> Comparison:
    """Start commands and time them.

    Args:
        bench: where; ``quick`` makes the whole run smaller and shorter.
        words: of the command.
        repeats: how often the first iteration is waited for, after once that does not count.

    Raises:
        UserError: a command failed; with its last line.
    """
    words = [*words, f"device={bench.where}"]
    firsts = []
    for _ in range(1 + repeats):
        began = time.time()
        module = ["pipeline.benchmark.first_iteration", str(began)]
        firsts.append(float(_child([*module, *words]).splitlines()[-1]))
    whole = [*words, "size=256", "optimizer.iterations=50"] if bench.quick else words
    with tempfile.TemporaryDirectory() as folder:
        began = time.monotonic()
        _child(["pipeline", *whole, f"hydra.run.dir='{folder}/run'"])
        wall = time.monotonic() - began
        summary = json.loads((Path(folder) / "run" / "summary.json").read_text())
    stages: dict[str, float] = summary["seconds"]
    besides = sum(stages.get(stage, 0.0) for stage in BESIDES)
    bound = {"cuda": 3.0, "cpu": 5.0}.get(bench.where.type)
    return Comparison(
        "start",
        [
            Figure(
                "start: to the first iteration, caches warm",
                statistics.median(firsts[1:]),
                "s",
                target=None if bound is None else Target("measured", "at most", bound),
            ),
            Figure(
                f"start: {', '.join(BESIDES)} of a {'short' if bench.quick else 'default'} run",
                besides / sum(stages.values()),
                "share",
            ),
        ],
        {"first iteration": firsts[1:]},
        {"first iteration": words, "whole run": whole},
        {
            "cold": firsts[0],
            "seconds_of_the_whole_command": wall,
            "seconds_by_stage": stages,
            "networks": _named(summary["networks"]),
        },
    )


def _named(networks: Mapping[str, Mapping[str, str]]) -> dict[str, dict[str, str]]:
    """As in a run's summary; files of the repository named from its root, others by name alone."""
    found = {}
    for part, network in networks.items():
        file = Path(network["file"])
        inside = file.is_relative_to(_ROOT)
        name = file.relative_to(_ROOT).as_posix() if inside else file.name
        found[part] = {**network, "file": name}
    return found


def _child(words: Sequence[str]) -> str:
    command = [sys.executable, "-m", *words]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise UserError((done.stderr.strip() or f"exit status {done.returncode}").splitlines()[-1])
    return done.stdout
