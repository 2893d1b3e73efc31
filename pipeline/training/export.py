"""Trained weights to a file the package can carry."""

import datetime
import logging
from collections.abc import Mapping
from pathlib import Path

from safetensors.torch import save_file
from torch import Tensor

from pipeline.networks import weights

log = logging.getLogger(__name__)


def export(state: Mapping[str, Tensor], path: Path, metadata: Mapping[str, str]) -> None:
    """Write a state dict as safetensors, floating-point tensors in half precision.

    Args:
        state: the tensors; batch norm's step counters are left out, nothing reads them.
        path: the file; its folder is made.
        metadata: what to say about the training besides the date, as text.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    tensors = {
        key: (tensor.half() if tensor.is_floating_point() else tensor).detach().cpu().contiguous()
        for key, tensor in state.items()
        if not key.endswith("num_batches_tracked")
    }
    partial = path.with_name(path.name + ".partial")
    save_file(tensors, partial, {"date": datetime.date.today().isoformat(), **metadata})
    # The writer makes files that only their owner may read.
    partial.chmod(0o644)
    partial.replace(path)
    # The SHA-256 that is checked before a bundled network is used (`weights.locate`).
    found = weights.sha256(path)
    path.with_name(f"{path.name}.sha256").write_text(f"{found}\n")
    log.info("%s, SHA-256 %s", path, found)
