"""How pictures are cut to fit a memory."""

import pytest
import torch

from pipeline.engine import budget
from pipeline.engine.tiles import WHOLE, Tiling
from pipeline.networks.encoder import Encoder
from pipeline.networks.pyramid import Layer, PyramidEncoder
from tests.conftest import tiny_features

CPU = torch.device("cpu")


LAYERS = [Layer("relu1_1"), Layer("relu2_1")]


@pytest.fixture
def wide() -> PyramidEncoder:
    return PyramidEncoder(Encoder(tiny_features()), 2)


def test_bytes_by_hand(encoder: PyramidEncoder) -> None:
    # relu1_1 and relu1_2 have 6 channels, pool1 6 and 8 bytes more a unit, relu2_1 has 8.
    kept = (6 + 6) * 4 * 64 * 32 + 6 * (4 + 8) * 32 * 16 + 8 * 4 * 32 * 16
    on_the_way = 4 * 6 * 4 * 64 * 32
    assert budget.feature_bytes(encoder, 64, 32, LAYERS) == kept + on_the_way
    # Nothing behind the deepest layer is computed.
    assert budget.feature_bytes(encoder, 64, 32, LAYERS[:1]) == 6 * 4 * 64 * 32 * 5


def tiling(
    encoder: PyramidEncoder, tile: object, free: float, monkeypatch: pytest.MonkeyPatch
) -> Tiling:
    monkeypatch.setattr(budget, "free_bytes", lambda device: int(free))
    return budget.choose_tiling(tile, "normal", encoder, 2000, 3000, LAYERS, CPU)


def test_a_picture_is_cut_only_where_it_does_not_fit(
    wide: PyramidEncoder, monkeypatch: pytest.MonkeyPatch
) -> None:
    need = budget.feature_bytes(wide, 2000, 3000, LAYERS)
    assert tiling(wide, "auto", 2 * need, monkeypatch) == WHOLE
    sides = [tiling(wide, "auto", need / share, monkeypatch).side for share in (1, 4, 16)]
    assert all(side is not None for side in sides)
    assert sides == sorted(sides, reverse=True)
    for side, share in zip(sides, (1, 4, 16), strict=True):
        assert budget.feature_bytes(wide, side, side, LAYERS) < need / share / 2
    assert tiling(wide, "auto", 1, monkeypatch).side == budget.SMALLEST_TILE
    assert tiling(wide, "off", 1, monkeypatch) == WHOLE
    assert tiling(wide, 500, 1, monkeypatch) == Tiling(500)
    assert tiling(wide, 3000, 1, monkeypatch) == WHOLE


def test_low_memory_cuts_the_first_layers(wide: PyramidEncoder) -> None:
    found = budget.choose_tiling("off", "low", wide, 512, 400, LAYERS, CPU)
    assert found.side is not None
    assert found.side < 256
    # So small a picture needs little in any case.
    assert budget.choose_tiling("off", "low", wide, 100, 80, LAYERS, CPU) == WHOLE


def test_smaller_tiles_end_somewhere() -> None:
    first = budget.smaller(WHOLE, 700, 1000)
    assert first == Tiling(500)
    second = budget.smaller(first, 700, 1000)
    assert second == Tiling(250)
    assert budget.smaller(second, 700, 1000) is None


def test_history_is_what_fits(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    picture = torch.zeros(1, 3, 100, 100)
    pair = 2 * 3 * 100 * 100 * 4
    monkeypatch.setattr(budget, "free_bytes", lambda device: 100 * pair)
    assert budget.affordable_history(10, picture) == 10
    assert not caplog.records
    monkeypatch.setattr(budget, "free_bytes", lambda device: 10 * pair)
    assert budget.affordable_history(10, picture) == 3
    assert "3 pairs instead of 10" in caplog.text
    monkeypatch.setattr(budget, "free_bytes", lambda device: 0)
    assert budget.affordable_history(10, picture) == 1


def test_the_largest_tensor_by_hand(encoder: PyramidEncoder) -> None:
    # relu1_2, 6 channels, with a border of 1 for the convolution behind.
    assert budget.widest(encoder, 64, 32, LAYERS) == 6 * 66 * 34
    assert budget.widest(encoder, 8, 32, LAYERS[1:]) == 6 * 10 * 34
    assert budget.widest(encoder, 64, 32, []) == 0


CUDA = torch.device("cuda", 0)


@pytest.mark.parametrize(
    ("tile", "count", "cpu", "cuda"),
    [
        ("auto", 1, None, 2048),
        (3000, 1, 3000, 1500),  # half of it is for the halo
        (9000, 1, None, 2250),
        (1000, 1, 1000, 1000),
        ("off", 1, None, None),
    ],
)
def test_tensors_are_counted_in_32_bits_but_on_a_cpu(
    tile: object,
    count: int,
    cpu: int | None,
    cuda: int | None,
    wide: PyramidEncoder,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(budget, "free_bytes", lambda device: 2**60)
    most = budget.widest(wide, 3500, 4000, LAYERS)
    monkeypatch.setattr(budget, "MOST_ELEMENTS", most)
    for where, side in ((torch.device("cpu"), cpu), (CUDA, cuda)):
        found = budget.choose_tiling(tile, "normal", wide, 4000, 5000, LAYERS, where, count)
        assert found == Tiling(side)
    assert budget.choose_tiling(tile, "normal", wide, 900, 700, LAYERS, CUDA) == WHOLE


def test_a_batch_is_counted_as_a_whole(
    wide: PyramidEncoder, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(budget, "free_bytes", lambda device: 2**60)
    monkeypatch.setattr(budget, "MOST_ELEMENTS", 2 * budget.widest(wide, 300, 400, LAYERS))
    sides = [
        budget.choose_tiling("auto", "normal", wide, 300, 400, LAYERS, CUDA, count).side
        for count in (1, 2, 3)
    ]
    assert sides == [None, None, 128]


def test_a_large_picture_of_low_memory_has_few_tiles(wide: PyramidEncoder) -> None:
    found = budget.choose_tiling("off", "low", wide, 9000, 8000, LAYERS, CUDA)
    assert found == Tiling(2250)
