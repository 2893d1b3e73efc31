"""Explained variance by hand."""

import numpy as np
import pytest
import torch
from torch import Tensor

from pipeline.training import evaluate_encoder
from pipeline.training.encoder import LAYERS


def test_explained_variance_by_hand() -> None:
    class Fixed:
        def __init__(self, values: list[float]) -> None:
            self.values = torch.tensor(values).view(1, 1, 2, 2)

        def __call__(self, picture: Tensor, layers: tuple[str, ...]) -> dict[str, Tensor]:
            return dict.fromkeys(layers, self.values)

    # Teacher 2 4 6 8 over scale 2 is 1 2 3 4: deviations from 2.5 sum to 5; errors 0 1 0 1 to 2.
    found = evaluate_encoder.evaluate(
        Fixed([1, 3, 3, 5]),  # type: ignore[arg-type]
        Fixed([2, 4, 6, 8]),  # type: ignore[arg-type]
        dict.fromkeys(LAYERS, torch.full((1, 1, 1, 1), 2.0)),
        [np.zeros((30, 20, 3), np.uint8)],
    )
    assert found == {layer: pytest.approx(1 - 2 / 5) for layer in LAYERS}
