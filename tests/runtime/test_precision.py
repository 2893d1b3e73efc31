"""Numbers of an encoder."""

from collections.abc import Iterator
from types import SimpleNamespace

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from pipeline.networks.pyramid import Layer, PyramidEncoder
from pipeline.runtime import precision

CPU = torch.device("cpu")
HALVES = [f"allow_{kind}_reduced_precision_reduction" for kind in ("bf16", "fp16")]


@pytest.mark.parametrize(("there", "expected"), [(True, "bfloat16"), (False, "float32")])
def test_auto_takes_bfloat16_where_it_is_fast(
    there: bool, expected: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(precision, "has_fast_bfloat16", lambda device: there)
    assert precision.choose("auto", CPU) == expected
    assert precision.choose("tf32", CPU) == "tf32"
    assert precision.dtype("auto", CPU) == (torch.bfloat16 if there else torch.float32)
    assert precision.dtype("tf32", CPU) == torch.float32


@pytest.mark.parametrize(
    ("name", "vendor", "expected"),
    [
        ("avx512_bf16", "vendor_id : AuthenticAMD", True),
        ("avx512_bf16", "vendor_id : GenuineIntel", False),
        ("amx_bf16", "vendor_id : GenuineIntel", True),
        ("avx512_f", "vendor_id : AuthenticAMD", False),
    ],
)
def test_a_processors_instructions_decide(
    name: str, vendor: str, expected: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(precision, "_cpu_capabilities", lambda: {name: True})
    monkeypatch.setattr(precision, "_cpu_vendor", lambda: vendor)
    assert precision.has_fast_bfloat16(CPU) == expected


def test_the_systems_word_on_the_processor() -> None:
    assert precision._cpu_vendor()


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


def flags() -> tuple[bool, bool]:
    return torch.backends.cuda.matmul.allow_tf32, torch.backends.cudnn.allow_tf32


@pytest.fixture
def _unchanged() -> Iterator[None]:
    before = flags()
    yield
    torch.backends.cuda.matmul.allow_tf32, torch.backends.cudnn.allow_tf32 = before


# As torch is, and as a notebook may have set it.
@pytest.mark.usefixtures("_unchanged")
@pytest.mark.parametrize("before", [(False, True), (True, True), (False, False), (True, False)])
@pytest.mark.parametrize("allowed", [True, False])
def test_tf32_is_as_before_afterwards(allowed: bool, before: tuple[bool, bool]) -> None:
    torch.backends.cuda.matmul.allow_tf32, torch.backends.cudnn.allow_tf32 = before
    with pytest.raises(KeyError), precision.tf32(allowed):
        raise KeyError
    assert flags() == before


@pytest.mark.parametrize("allowed", [True, False])
def test_tf32_is_allowed_by_both_names(allowed: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    sums = dict.fromkeys(HALVES, True)
    products, old = SimpleNamespace(allow_tf32=False, **sums), SimpleNamespace(allow_tf32=True)
    monkeypatch.setattr(torch.backends.cuda, "matmul", products)
    monkeypatch.setattr(torch.backends, "cudnn", old)
    with precision.tf32(allowed):
        assert (products.allow_tf32, old.allow_tf32) == (allowed, allowed)
    assert (products.allow_tf32, old.allow_tf32) == (False, True)

    products = SimpleNamespace(fp32_precision="none", **sums)
    new = SimpleNamespace(conv=SimpleNamespace(fp32_precision="tf32"))
    monkeypatch.setattr(torch.backends.cuda, "matmul", products)
    monkeypatch.setattr(torch.backends, "cudnn", new)
    with precision.tf32(allowed):
        expected = "tf32" if allowed else "ieee"
        assert (products.fp32_precision, new.conv.fp32_precision) == (expected, expected)
    assert (products.fp32_precision, new.conv.fp32_precision) == ("none", "tf32")


@pytest.mark.parametrize("before", [True, False, (False, False), (True, True)])
@pytest.mark.parametrize("allowed", [True, False])
def test_sums_of_half_precision_are_not_rounded_underway(
    allowed: bool, before: bool | tuple[bool, bool]
) -> None:
    products = torch.backends.cuda.matmul

    def now() -> list[bool]:
        names = [*HALVES, *(f"{name}_split_k" for name in HALVES)]
        return [getattr(products, name) for name in names if hasattr(products, name)]

    first = now()
    if len(first) == 2 and not isinstance(before, bool):
        pytest.skip("this torch asks one question")
    try:
        for name in HALVES:
            setattr(products, name, before)
        given = now()
        with precision.tf32(allowed):
            assert now()[:2] == [False, False]
        assert now() == given
    finally:
        for name in HALVES:
            setattr(products, name, True)
    assert now() == first


def test_sums_as_torch_spelled_them_before(monkeypatch: pytest.MonkeyPatch) -> None:
    products = SimpleNamespace(fp32_precision="none", **dict.fromkeys(HALVES, True))
    monkeypatch.setattr(torch.backends.cuda, "matmul", products)
    with precision.tf32(False):
        assert [getattr(products, name) for name in HALVES] == [False, False]
    assert [getattr(products, name) for name in HALVES] == [True, True]


@pytest.mark.gpu
def test_tf32_rounds_the_factors_of_products_and_convolutions() -> None:
    generator = torch.Generator().manual_seed(0)
    picture = torch.randn(1, 64, 128, 160, generator=generator, dtype=torch.float64)
    kernel = torch.randn(64, 64, 3, 3, generator=generator, dtype=torch.float64)
    wanted = F.conv2d(picture, kernel), picture.flatten(2) @ picture.flatten(2).mT
    there, weights = picture.cuda().float(), kernel.cuda().float()
    for allowed in (True, False, True):
        with precision.tf32(allowed):
            found = F.conv2d(there, weights), there.flatten(2) @ there.flatten(2).mT
        for exact, got in zip(wanted, found, strict=True):
            error = ((got.cpu() - exact).norm() / exact.norm()).item()
            assert (error > 1e-5) == allowed


def test_features_are_in_half_precision_and_the_encoder_stays(
    encoder: PyramidEncoder, content: Tensor
) -> None:
    ready = precision.prepared(encoder, "bfloat16")
    layer = Layer("relu2_1")
    exact, half = encoder(content, [layer])[layer], ready(content, [layer])[layer]
    assert exact.dtype == torch.float32
    assert half.dtype == torch.bfloat16
    assert half.is_contiguous(memory_format=torch.channels_last)
    assert (half.float() - exact).norm() < 0.02 * exact.norm()
    same = precision.prepared(encoder, "float32")(content, [layer])[layer]
    torch.testing.assert_close(same, exact)
