"""Weights as the package bundles them."""

from pathlib import Path

import torch

from pipeline.networks import weights
from pipeline.training import export


def test_export_is_half_precision(tmp_path: Path) -> None:
    path = tmp_path / "a" / "b.safetensors"
    export.export({"x": torch.tensor([1 / 3])}, path, {"steps": "2"})
    state = weights.read_state_dict(path)
    assert state["x"].dtype == torch.float16
    assert not list(path.parent.glob("*.partial"))
    # With what is checked where the package bundles it.
    assert weights.bundled_sha256(path) == weights.sha256(path)
