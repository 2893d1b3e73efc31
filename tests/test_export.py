"""Export: the ONNX file paints what the painter paints, at any size."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from pipeline.engine.objective import Style
from pipeline.errors import UserError
from pipeline.export import INPUTS, OUTPUT, main, square_root, transport_map, write
from pipeline.methods.instant import Wish, one_pass
from pipeline.networks import instant
from pipeline.networks.instant import Moments
from pipeline.pictures import transport

CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def painter() -> instant.LoadedPainter:
    return instant.load(CPU)


@pytest.fixture(scope="module")
def session(painter: instant.LoadedPainter, tmp_path_factory: pytest.TempPathFactory) -> Any:
    pytest.importorskip("onnxscript")
    runtime = pytest.importorskip("onnxruntime")
    file = tmp_path_factory.mktemp("onnx") / "painter.onnx"
    write(painter, file)
    assert [entry.name for entry in file.parent.iterdir()] == ["painter.onnx"]
    return runtime.InferenceSession(str(file), providers=["CPUExecutionProvider"])


def smooth(height: int, width: int, seed: int) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    coarse = torch.rand(1, 3, height // 10, width // 10, generator=generator)
    found: Tensor = F.interpolate(coarse, (height, width), mode="bicubic")
    return found.clamp(0, 1)


def test_it_paints_what_the_painter_paints_at_any_size(
    session: Any, painter: instant.LoadedPainter
) -> None:
    shapes = {entry.name: entry.shape for entry in session.get_inputs()}
    assert [*shapes] == [*INPUTS]
    assert [entry.name for entry in session.get_outputs()] == [OUTPUT]
    assert shapes["photograph"][:2] == [1, 3]
    assert all(isinstance(side, str) for side in shapes["photograph"][2:] + shapes["style"][2:])
    # One test, as writing the file takes a minute: processes that share tests would each write it.
    for size, other, strength in (
        ((96, 128), (80, 64), 1.0),
        ((61, 143), (200, 90), 0.5),
        ((200, 45), (33, 150), 0.8),
    ):
        photograph, style = smooth(*size, 0), smooth(*other, 1)
        mask = torch.zeros(1, 1, *size)
        mask[..., 10:45, 5:40] = 1
        mask[..., 45:50, 5:40] = 0.5
        given = photograph, mask, style, torch.tensor(strength)
        words = {name: value.numpy() for name, value in zip(INPUTS, given, strict=True)}
        (found,) = session.run(None, words)
        with torch.inference_mode():
            wish = Wish(Style(style, strength=strength / 2), mask, mask)
            painted = one_pass(photograph, [wish], painter).clamp(0, 1)
        expected = torch.lerp(photograph, painted, mask).numpy()
        assert found.shape == expected.shape
        assert float(np.abs(found - expected).max()) < 1e-3
        assert float(np.abs(found - photograph.numpy()).max()) > 0.05


def test_a_root_without_eigenvectors() -> None:
    generator = torch.Generator().manual_seed(0)
    turned, _ = torch.linalg.qr(torch.rand(5, 5, generator=generator, dtype=torch.float64))
    values = torch.tensor([1e-4, 0.01, 1.0, 4.0, 50.0], dtype=torch.float64)
    root, inverse = square_root(turned @ torch.diag(values) @ turned.T)
    expected = turned @ torch.diag(values.sqrt()) @ turned.T
    torch.testing.assert_close(root, expected, atol=1e-6, rtol=1e-6)
    identity = torch.eye(5, dtype=torch.float64)
    torch.testing.assert_close(root @ inverse, identity, atol=1e-6, rtol=1e-6)


@pytest.mark.parametrize("given", [[0.1, 1.0, 9.0], [1.0, 1.0, 1.0]])
def test_gains_have_bounds_without_eigenvectors(given: list[float]) -> None:
    wanted = torch.diag(torch.tensor([1e-4, 2.0, 16.0]))
    matrix = torch.diag(torch.tensor(given))
    expected = transport.transport_map(matrix, wanted, 0.5, 2.0)
    torch.testing.assert_close(transport_map(matrix, wanted, 0.5, 2.0), expected, atol=1e-5, rtol=0)


def test_the_map_is_the_painters_own_and_no_gain_is_larger_than_its() -> None:
    generator = torch.Generator().manual_seed(1)
    mixing = torch.rand(2, 6, 6, generator=generator)
    rows = torch.rand(2, 1, 6, 1, 400, generator=generator)
    given, wanted = (
        Moments.of(torch.einsum("ij,bjhw->bihw", mix, row), None)
        for mix, row in zip(mixing, rows, strict=True)
    )
    steep = Moments.of(torch.einsum("ij,bjhw->bihw", 30 * mixing[1], rows[1]), None)
    for style in (wanted, steep):
        for strength in (0.3, 1.0):
            usual = instant.transport(given, style, strength)
            found = instant.transport(given, style, torch.tensor(strength), transport_map)
            torch.testing.assert_close(found.slope, usual.slope, atol=1e-3, rtol=1e-3)
            torch.testing.assert_close(found.offset, usual.offset, atol=1e-2, rtol=1e-3)


def test_errors_are_one_line(
    painter: instant.LoadedPainter, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(UserError, match=r"does not end with \.onnx"):
        write(painter, tmp_path / "painter.pt")
    with pytest.raises(SystemExit) as caught:
        main([str(tmp_path / "a.onnx"), "--weights", str(tmp_path / "none.safetensors")])
    assert caught.value.code == 2
    assert "not found" in capsys.readouterr().err
    assert not [*tmp_path.iterdir()]
