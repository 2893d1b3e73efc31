"""The commands' threads wait passively, unless the user has said how they are to wait."""

import os
import subprocess
import sys

import pytest

from pipeline.config.compose import CONF
from pipeline.runtime.threads import wait_passively


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ({}, {"OMP_WAIT_POLICY": "PASSIVE", "GOMP_SPINCOUNT": "0"}),
        ({"OMP_WAIT_POLICY": "ACTIVE"}, {"OMP_WAIT_POLICY": "ACTIVE"}),
        ({"GOMP_SPINCOUNT": "1000"}, {"GOMP_SPINCOUNT": "1000"}),
    ],
)
def test_a_users_policy_is_left_as_it_is(
    before: dict[str, str], after: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "environ", before)
    wait_passively()
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


def test_training_waits_passively_before_torch_is_imported() -> None:
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
