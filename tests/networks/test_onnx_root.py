"""The root in ONNX's operations is the root."""

import numpy as np
import pytest
import torch

from pipeline.pictures.transport import root_by_products


@pytest.mark.parametrize("size", [1, 3, 40])
def test_it_is_the_root_by_products(size: int) -> None:
    onnxscript = pytest.importorskip("onnxscript")
    runtime = pytest.importorskip("onnxruntime")
    from pipeline.networks.onnx_root import root

    known = onnxscript.DOUBLE["d", "d"]
    model = root.to_model_proto(input_types=[known], output_types=[onnxscript.DOUBLE[2, "d", "d"]])
    session = runtime.InferenceSession(
        model.SerializeToString(), providers=["CPUExecutionProvider"]
    )
    generator = torch.Generator().manual_seed(size)
    rows = torch.rand(size, 3 * size, generator=generator, dtype=torch.float64)
    matrix = rows @ rows.T
    (found,) = session.run(None, {"matrix": matrix.numpy()})
    expected = torch.stack(root_by_products(matrix)).numpy()
    np.testing.assert_allclose(found, expected, atol=1e-10)
    np.testing.assert_allclose(found[0] @ found[0], matrix.numpy(), atol=1e-6)
