"""The commands' threads wait as suits the machine, unless the user has said how."""

import os
import subprocess
import sys

import pytest

from pipeline.config.compose import CONF
from pipeline.runtime import threads


@pytest.mark.parametrize(
    ("before", "percent", "after"),
    [
        ({}, 80.0, {"OMP_WAIT_POLICY": "PASSIVE", "GOMP_SPINCOUNT": "0"}),
        ({}, 10.0, {"OMP_WAIT_POLICY": "PASSIVE", "GOMP_SPINCOUNT": "10000"}),
        ({"OMP_WAIT_POLICY": "ACTIVE"}, 80.0, {"OMP_WAIT_POLICY": "ACTIVE"}),
        ({"GOMP_SPINCOUNT": "1000"}, 80.0, {"GOMP_SPINCOUNT": "1000"}),
    ],
)
def test_waiting_suits_the_machine_and_leaves_a_users_policy(
    before: dict[str, str],
    percent: float,
    after: dict[str, str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # 80% of two cores are more than half a core, 10% are less.
    monkeypatch.setattr(threads.psutil, "cpu_percent", lambda interval: percent)
    monkeypatch.setattr(threads.psutil, "cpu_count", lambda: 2)
    monkeypatch.setattr(os, "environ", before)
    threads.choose_waiting()
    assert os.environ == after


@pytest.mark.parametrize(
    "module", ["pipeline.command.main", "pipeline.benchmark.__main__", "pipeline.compare.__main__"]
)
def test_a_command_is_imported_before_torch(module: str) -> None:
    code = f"import sys, {module}; sys.exit('torch' in sys.modules)"
    environment = {**os.environ, "PYTHONPATH": str(CONF.parent)}
    assert (
        subprocess.run([sys.executable, "-c", code], env=environment, check=False).returncode == 0
    )


def test_training_chooses_before_torch_is_imported() -> None:
    code = """
import os, sys
import pipeline.training
assert os.environ["OMP_WAIT_POLICY"] == "PASSIVE"
sys.exit("torch" in sys.modules)
"""
    unset = ("OMP_WAIT_POLICY", "GOMP_SPINCOUNT")
    environment = {key: value for key, value in os.environ.items() if key not in unset}
    environment["PYTHONPATH"] = str(CONF.parent)
    assert (
        subprocess.run([sys.executable, "-c", code], env=environment, check=False).returncode == 0
    )
