"""On a device that is only simulated: what is recorded, what waits, what is left behind.

Everything runs in processes of its own, as the simulation changes torch.
"""

import functools
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.simulated_cuda.scenarios import MISTAKES, faults

ROOT = Path(__file__).parents[2]

RECORDED = ["stitch", "two_scales", "guided", "composite", "global", "adam", "bfloat16"]
SLOW = [
    "history_of_one",
    "tolerance",
    "tf32",
    "gatys",
    "inside",
    "all_units",
    "one_gram",
    "average",
    "luminance",
    "histogram",
    "sequential",
    "free_noise",
    "match",
    "style_region",
    "segmented",
]
#: Iterations in tiles are not recorded; they do not wait for the device either.
UNRECORDED = ["tiles", "memory_low"]
OUT_OF_MEMORY = ["memory_runs_out_while_recording", "memory_runs_out_and_the_recording_fails"]


def start(folder: Path, *words: str) -> list[dict[str, Any]]:
    """What scenarios say that happened."""
    done = subprocess.run(
        [sys.executable, "-m", "tests.simulated_cuda.scenarios", *words],
        cwd=folder,
        env=os.environ | {"OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return [json.loads(line) for line in done.stdout.splitlines() if line.startswith("{")]


@functools.cache
def _observed(names: tuple[str, ...]) -> dict[str, dict[str, Any]]:
    return {facts["name"]: facts for facts in start(ROOT, *names)}


@pytest.fixture
def facts(request: pytest.FixtureRequest) -> dict[str, Any]:
    """Of the scenario, which has run in one process with all others that are asked for."""
    asked = [
        item.callspec.params["facts"]
        for item in request.session.items
        if item.path == request.path and "facts" in getattr(item, "fixturenames", ())
    ]
    return _observed(tuple(asked))[request.param]


def scenarios(names: Any) -> pytest.MarkDecorator:
    return pytest.mark.parametrize("facts", names, indirect=True)


@scenarios([*RECORDED, *(pytest.param(name, marks=pytest.mark.slow) for name in SLOW)])
def test_recorded_steps_are_the_same_steps(facts: dict[str, Any]) -> None:
    assert "raised" not in facts, facts
    # Pictures are small; some layers have too few units for a region.
    facts["said"] = [text for text in facts["said"] if "too small for some layers" not in text]
    assert faults(facts) == [], facts
    assert facts.get("to_cpu", 0) < 3
    if facts["name"] == "two_scales":
        assert facts["recordings"] == 2
        assert facts["iterations"] == 10


@scenarios(UNRECORDED)
def test_tiles_are_not_recorded(facts: dict[str, Any]) -> None:
    assert "raised" not in facts, facts
    assert faults(facts, recorded=False) == [], facts
    assert facts.get("to_cpu", 0) < 3
    assert facts["waits_an_iteration"] == 0


@scenarios(["refused_recording"])
def test_what_cannot_be_recorded_goes_on_unrecorded(facts: dict[str, Any]) -> None:
    (said,) = facts["said"]
    # The cause, not what its end says.
    assert said.startswith("steps are not recorded as a CUDA graph: CUDA error: ")
    assert "not permitted when stream is capturing (value)" in said
    assert faults(facts) == ["not recorded", "waits in a step", "warnings"]
    assert (facts["recordings"], facts["replays"]) == (1, 0)


@scenarios(OUT_OF_MEMORY)
def test_memory_that_runs_out_while_recording_is_answered_by_tiles(facts: dict[str, Any]) -> None:
    assert "raised" not in facts, facts
    assert ["going on in tiles of 1" in text for text in facts["said"]] == [True]
    assert (facts["recordings"], facts["replays"], facts["iterations"]) == (1, 0, 4)
    assert not {"another stream", "the allocator records", "no numbers"} & {*faults(facts)}
    # Tiles are exact, but for the order of sums.
    assert facts["to_cpu"] < 0.1


@scenarios([f"mistake:{name}" for name in MISTAKES])
def test_mistakes_are_noticed(facts: dict[str, Any]) -> None:
    *_, expected = MISTAKES[facts["name"].partition(":")[2]]
    found = facts["raised"] if "raised" in facts else faults(facts)
    assert expected in found, facts


@pytest.mark.parametrize(
    "words",
    [(), pytest.param(("device=cuda:0", "logger=tensorboard"), marks=pytest.mark.slow)],
    ids=" ".join,
)
def test_the_first_command(words: tuple[str, ...], tmp_path: Path) -> None:
    small = ["size=96", "optimizer.iterations=6", "optimizer.scales=1"]
    bundled = ["encoder=compact", "segmenter=compact", "hydra.run.dir=out"]
    (facts,) = start(tmp_path, "command", "+styles.person=scream.jpg", *small, *bundled, *words)
    assert facts == {"name": "command", "code": 0, "recordings": 1, "replays": 3}
    assert (tmp_path / "out" / "result.png").is_file()
    summary = json.loads((tmp_path / "out" / "summary.json").read_text())
    assert summary["device"] == "cuda:0"
