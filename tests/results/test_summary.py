"""What a run says about itself."""

import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch

from pipeline.results import summary

STATUS = Path("/proc/self/status")


@pytest.mark.skipif(
    not STATUS.exists() or "VmHWM" not in STATUS.read_text(), reason="needs Linux's VmHWM"
)
def test_a_launched_run_is_not_charged_the_peak_of_what_launched_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    inherited = SimpleNamespace(ru_maxrss=2**40)
    resource = SimpleNamespace(RUSAGE_SELF=0, getrusage=lambda who: inherited)
    monkeypatch.setitem(sys.modules, "resource", resource)
    assert 2**20 < summary.peak_memory(torch.device("cpu")) < 2**44
