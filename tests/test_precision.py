"""Numbers of an encoder."""

import pytest
import torch
from torch import Tensor

from pipeline import precision
from pipeline.networks.pyramid import PyramidEncoder

CPU = torch.device("cpu")


@pytest.mark.parametrize(("there", "expected"), [(True, "bfloat16"), (False, "float32")])
def test_auto_takes_bfloat16_where_it_is_fast(
    there: bool, expected: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(precision, "has_fast_bfloat16", lambda device: there)
    assert precision.choose("auto", CPU) == expected
    assert precision.choose("tf32", CPU) == "tf32"


@pytest.mark.parametrize("name", ["avx512_bf16", "amx_bf16", "avx512_f"])
def test_a_processors_instructions_decide(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(precision, "_cpu_capabilities", lambda: {name: True})
    assert precision.has_fast_bfloat16(CPU) == (name != "avx512_f")


@pytest.mark.parametrize(
    ("capability", "expected"), [((7, 5), False), ((8, 0), True), ((9, 0), True)]
)
def test_a_cuda_devices_generation_decides(
    capability: tuple[int, int], expected: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda device: capability)
    assert precision.has_fast_bfloat16(torch.device("cuda")) == expected


def test_apples_devices_compute_in_float32() -> None:
    assert not precision.has_fast_bfloat16(torch.device("mps"))


def test_features_are_in_half_precision_and_the_encoder_stays(
    encoder: PyramidEncoder, content: Tensor
) -> None:
    ready = precision.prepared(encoder, "bfloat16")
    exact, half = encoder(content, ["relu2_1"])["relu2_1"], ready(content, ["relu2_1"])["relu2_1"]
    assert exact.dtype == torch.float32
    assert half.dtype == torch.bfloat16
    assert half.is_contiguous(memory_format=torch.channels_last)
    assert (half.float() - exact).norm() < 0.02 * exact.norm()
    same = precision.prepared(encoder, "float32")(content, ["relu2_1"])["relu2_1"]
    torch.testing.assert_close(same, exact)
