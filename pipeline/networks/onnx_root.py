# mypy: disable-error-code="operator, type-var, arg-type, no-any-return, return-value"
"""The root of a matrix in ONNX's operations; it can be imported where onnxscript is.

The body is not run: onnxscript reads it, and its types say less than it takes.
"""

from onnxscript import DOUBLE, script
from onnxscript import opset18 as op

from pipeline.pictures.transport import LEAST_ROOT, LEAST_SIZE, STEPS

_DOUBLE = DOUBLE.dtype


@script()
def root(matrix: DOUBLE) -> DOUBLE:
    """`transport.root_by_products` of (d, d), as a loop: (2, d, d), the root and its inverse."""
    one = op.EyeLike(matrix)
    size = op.Sqrt(op.ReduceSum(matrix * matrix, keepdims=0)) + op.Cast(LEAST_SIZE, to=_DOUBLE)
    found = matrix / size + op.Cast(LEAST_ROOT, to=_DOUBLE) * one
    inverse = op.Identity(one)
    three = op.Cast(3.0, to=_DOUBLE) * one
    half = op.Cast(0.5, to=_DOUBLE)
    for _ in range(STEPS):
        step = (three - op.MatMul(inverse, found)) * half
        found = op.MatMul(found, step)
        inverse = op.MatMul(step, inverse)
    length = op.Sqrt(size)
    first = op.Constant(value_ints=[0])
    return op.Concat(
        op.Unsqueeze(found * length, first), op.Unsqueeze(inverse / length, first), axis=0
    )
