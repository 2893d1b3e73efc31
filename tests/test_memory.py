"""How pictures are cut to fit a memory."""

import sys
from pathlib import Path
from types import SimpleNamespace

import psutil
import pytest
import torch

from pipeline import memory
from pipeline.networks.encoder import Encoder
from pipeline.networks.pyramid import PyramidEncoder
from pipeline.tiles import WHOLE, Tiling
from tests.conftest import tiny_features

CPU = torch.device("cpu")
LAYERS = ["relu1_1", "relu2_1"]


@pytest.fixture
def wide() -> PyramidEncoder:
    return PyramidEncoder(Encoder(tiny_features()), 2)


def test_bytes_by_hand(encoder: PyramidEncoder) -> None:
    # relu1_1 and relu1_2 have 6 channels, pool1 6 and 8 bytes more a unit, relu2_1 has 8.
    kept = (6 + 6) * 4 * 64 * 32 + 6 * (4 + 8) * 32 * 16 + 8 * 4 * 32 * 16
    on_the_way = 4 * 6 * 4 * 64 * 32
    assert memory.feature_bytes(encoder, 64, 32, LAYERS) == kept + on_the_way
    # Nothing behind the deepest layer is computed.
    assert memory.feature_bytes(encoder, 64, 32, ["relu1_1"]) == 6 * 4 * 64 * 32 * 5


def tiling(
    encoder: PyramidEncoder, tile: object, free: float, monkeypatch: pytest.MonkeyPatch
) -> Tiling:
    monkeypatch.setattr(memory, "free_bytes", lambda device: int(free))
    return memory.choose_tiling(tile, "normal", encoder, 2000, 3000, LAYERS, CPU)


def test_a_picture_is_cut_only_where_it_does_not_fit(
    wide: PyramidEncoder, monkeypatch: pytest.MonkeyPatch
) -> None:
    need = memory.feature_bytes(wide, 2000, 3000, LAYERS)
    assert tiling(wide, "auto", 2 * need, monkeypatch) == WHOLE
    sides = [tiling(wide, "auto", need / share, monkeypatch).side for share in (1, 4, 16)]
    assert all(side is not None for side in sides)
    assert sides == sorted(sides, reverse=True)
    for side, share in zip(sides, (1, 4, 16), strict=True):
        assert memory.feature_bytes(wide, side, side, LAYERS) < need / share / 2
    assert tiling(wide, "auto", 1, monkeypatch).side == memory.SMALLEST_TILE
    assert tiling(wide, "off", 1, monkeypatch) == WHOLE
    assert tiling(wide, 500, 1, monkeypatch) == Tiling(500)
    assert tiling(wide, 3000, 1, monkeypatch) == WHOLE


def test_low_memory_cuts_the_first_layers(wide: PyramidEncoder) -> None:
    found = memory.choose_tiling("off", "low", wide, 512, 400, LAYERS, CPU)
    assert found.side is not None
    assert found.side < 256
    # So small a picture needs little in any case.
    assert memory.choose_tiling("off", "low", wide, 100, 80, LAYERS, CPU) == WHOLE


def test_smaller_tiles_end_somewhere() -> None:
    first = memory.smaller(WHOLE, 700, 1000)
    assert first == Tiling(500)
    second = memory.smaller(first, 700, 1000)
    assert second == Tiling(250)
    assert memory.smaller(second, 700, 1000) is None


def test_a_containers_limit_counts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    machine = memory.free_bytes(CPU)
    monkeypatch.setattr(memory, "_CONTROL_GROUP", tmp_path)
    (tmp_path / "memory.current").write_text("1000\n")
    (tmp_path / "memory.max").write_text("5000\n")
    (tmp_path / "memory.stat").write_text("anon 600\ninactive_file 300\nactive_file 100\n")
    assert memory.free_bytes(CPU) == 4300
    (tmp_path / "memory.max").write_text("max\n")
    assert memory.free_bytes(CPU) > machine / 2


def test_the_peak_is_this_processs_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    status = tmp_path / "status"
    status.write_text("Name:\tpython\nVmPeak:\t 4000 kB\nVmHWM:\t    1234 kB\nVmRSS:\t 1000 kB\n")
    monkeypatch.setattr(memory, "_STATUS", status)
    assert memory.peak_bytes() == 1234 * 1024


@pytest.mark.parametrize(
    ("platform", "expected"), [("linux", 5000 * 1024), ("darwin", 5000), ("win32", 6000)]
)
def test_the_peak_where_there_is_no_proc(
    platform: str, expected: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    used = SimpleNamespace(ru_maxrss=5000)
    resource = SimpleNamespace(RUSAGE_SELF=0, getrusage=lambda who: used)
    info = SimpleNamespace(memory_info=lambda: SimpleNamespace(peak_wset=6000))
    monkeypatch.setattr(memory, "_STATUS", tmp_path / "status")
    monkeypatch.setattr(memory.sys, "platform", platform)
    monkeypatch.setattr(memory.psutil, "Process", lambda: info)
    monkeypatch.setitem(sys.modules, "resource", resource)
    assert memory.peak_bytes() == expected


def test_the_peak_is_no_less_than_what_is_held_now() -> None:
    held = psutil.Process().memory_info().rss
    assert held / 2 < memory.peak_bytes() < 2**44


def test_history_is_what_fits(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    picture = torch.zeros(1, 3, 100, 100)
    pair = 2 * 3 * 100 * 100 * 4
    monkeypatch.setattr(memory, "free_bytes", lambda device: 100 * pair)
    assert memory.affordable_history(10, picture) == 10
    assert not caplog.records
    monkeypatch.setattr(memory, "free_bytes", lambda device: 10 * pair)
    assert memory.affordable_history(10, picture) == 3
    assert "3 pairs instead of 10" in caplog.text
    monkeypatch.setattr(memory, "free_bytes", lambda device: 0)
    assert memory.affordable_history(10, picture) == 1


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2 GiB"), True),
        (RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory: 8 bytes"), True),
        (RuntimeError("not enough memory: you tried to allocate 9 bytes."), True),
        (RuntimeError("mat1 and mat2 shapes cannot be multiplied"), False),
        (MemoryError(), True),
        (ValueError("out of memory"), False),
    ],
)
def test_what_counts_as_out_of_memory(error: Exception, expected: bool) -> None:
    assert memory.is_out_of_memory(error) == expected
