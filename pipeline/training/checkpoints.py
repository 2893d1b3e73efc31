"""Checkpoints: the state of a training on its way, written whole or not at all."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from pipeline.errors import UserError


def save(path: Path, state: Mapping[str, Any]) -> None:
    """Write a state of tensors and plain values; its folder is made."""
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(path.name + ".partial")
    torch.save(dict(state), partial)
    partial.replace(path)


def load(path: Path) -> Mapping[str, Any]:
    """What `save` wrote.

    Raises:
        UserError: there is no such file.
    """
    if not path.is_file():
        raise UserError(f"no checkpoint {path} to resume from; leave out resume=true")
    state: Mapping[str, Any] = torch.load(path, weights_only=True)
    return state
