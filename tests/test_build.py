"""Networks, segmentations and targets are computed once a process, and change no bit."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from pipeline import build
from pipeline.config.compose import compose_settings
from pipeline.fit import Room
from pipeline.methods import Region
from pipeline.networks import encoders, segmenters
from pipeline.networks.pyramid import PyramidEncoder
from pipeline.results.result import Result
from pipeline.run import stylize
from pipeline.runtime.cache import Store

TINY = (
    "size=96",
    "optimizer.iterations=4",
    "optimizer.scales=1",
    "segmenter=compact",
    "encoder=compact",
    "device=cpu",
    "+styles.person=scream.jpg",
    "+styles.background=wave.jpg",
)


@pytest.fixture(autouse=True)
def _nothing_kept(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(build, "_targets", Store(512 * 2**20))
    monkeypatch.setattr(build, "_segmentations", Store(128 * 2**20))
    build._cached_encoder.cache_clear()
    build._cached_segmenter.cache_clear()
    yield
    build._cached_encoder.cache_clear()
    build._cached_segmenter.cache_clear()


def paint(*overrides: str) -> Result:
    return stylize(compose_settings([*TINY, *overrides]), Path.cwd())


@contextmanager
def counted_calls() -> Iterator[dict[str, int]]:
    """Counts pictures that are encoded, and forward passes of the segmenter."""
    calls = {"encoder": 0, "segmenter": 0}

    pyramid = PyramidEncoder.pyramid

    def counted_pyramid(encoder: PyramidEncoder, *words: Any) -> Any:
        calls["encoder"] += 1
        return pyramid(encoder, *words)

    def count(module: nn.Module, *_: Any) -> None:
        if type(module).__name__ == "CompactSegmenter":
            calls["segmenter"] += 1

    PyramidEncoder.pyramid = counted_pyramid  # type: ignore[method-assign]
    handle = nn.modules.module.register_module_forward_pre_hook(count)
    try:
        yield calls
    finally:
        handle.remove()
        PyramidEncoder.pyramid = pyramid  # type: ignore[method-assign]


def count_loads(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    loads: list[str] = []

    def counting(kind: str, load: Callable[..., Any]) -> Callable[..., Any]:
        def counted(*words: Any, **options: Any) -> Any:
            loads.append(kind)
            return load(*words, **options)

        return counted

    for module, kind in ((encoders, "encoder"), (segmenters, "segmenter")):
        monkeypatch.setattr(module, "load", counting(kind, module.load))
    return loads


# Besides the iterations: where the last step led, and each region's distance before and after.
@pytest.mark.parametrize(
    ("method", "optimisations", "targets"),
    # Both regions are small and painted by themselves: content and canvas or style of each.
    [("stitch", 2, 4), ("guided", 2, 4), ("composite", 2, 4)],
)
def test_a_second_run_only_optimises(
    method: str, optimisations: int, targets: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    loads = count_loads(monkeypatch)
    # Searches for neighbours encode the picture, too.
    chosen = f"method={method}", "loss.style=gram"
    with counted_calls() as first:
        before = paint(*chosen)
    with counted_calls() as second:
        after = paint(*chosen)
    assert sorted(loads) == ["encoder", "segmenter"]
    assert first["segmenter"] > 0
    assert second["segmenter"] == 0
    # Where it starts, four iterations, and where the last one led.
    optimising = optimisations * (1 + 4 + 1)
    distances = 4
    assert second["encoder"] == optimising + distances
    # Stitch's targets are of its canvas; the distances are to the whole styles.
    styles = 2 if method == "stitch" else 0
    assert first["encoder"] == second["encoder"] + targets + styles
    assert_same(before, after)


@pytest.mark.parametrize("method", ["stitch", "guided", "composite"])
def test_no_bit_depends_on_what_was_kept(method: str, monkeypatch: pytest.MonkeyPatch) -> None:
    # Filled by runs that share some, but not all of what the next one needs.
    paint(f"method={method}", "loss=gatys", "optimizer=adam")
    paint(f"method={method}", "loss.style_weight=3", "method.propagation=all", "optimizer.scales=2")
    paint(f"method={method}", "size=112", "segmenter.mirror=false")
    kept = paint(f"method={method}")
    monkeypatch.setattr(build, "_targets", Store(0))
    monkeypatch.setattr(build, "_segmentations", Store(0))
    assert_same(kept, paint(f"method={method}"))


def assert_same(one: Result, other: Result) -> None:
    assert one.painted is not None
    assert other.painted is not None
    assert torch.equal(one.painted, other.painted)
    assert one.losses == other.losses
    regions: list[list[Any]] = [
        [{k: v for k, v in entry.items() if k != "seconds"} for entry in result.summary["regions"]]
        for result in (one, other)
    ]
    assert regions[0] == regions[1]


def test_another_picture_or_setting_is_looked_at_anew() -> None:
    with counted_calls() as calls:
        paint()
        once = calls["segmenter"]
        for override in ("segmenter.mirror=false", "segmenter.refine.radius=7", "size=97"):
            before = calls["segmenter"]
            paint(override)
            assert calls["segmenter"] > before, override
        before = calls["segmenter"]
        paint("feather=3")
    assert calls["segmenter"] == before
    assert once > 0


def test_a_segmentation_can_be_changed_by_whoever_asked_for_it() -> None:
    settings = compose_settings(TINY)
    network = build.load_segmenter(settings, torch.device("cpu"), Path.cwd())
    picture: Tensor = torch.rand(1, 3, 40, 60, generator=torch.Generator().manual_seed(0))
    first = build.segment_picture(picture, network, settings)
    names = [*first.probabilities]
    first.probabilities.clear()
    assert [*build.segment_picture(picture, network, settings).probabilities] == names


def test_composed_settings_are_the_callers_own() -> None:
    first = compose_settings(TINY)
    first.content = "another"
    first.segmenter.refine.by_colour.clear()
    second = compose_settings(TINY)
    assert second.content != "another"
    assert second.segmenter.refine.by_colour


def test_a_segmentation_in_other_numbers_is_another_one() -> None:
    picture: Tensor = torch.rand(1, 3, 40, 60, generator=torch.Generator().manual_seed(0))
    scores = []
    for numbers in ("float32", "bfloat16"):
        settings = compose_settings([*TINY, f"precision={numbers}", "segmenter.min_share=0"])
        network = build.load_segmenter(settings, torch.device("cpu"), Path.cwd())
        scores.append(build.segment_picture(picture, network, settings).probabilities)
    assert not torch.equal(scores[0]["background"], scores[1]["background"])


@pytest.mark.parametrize(("word", "expected"), [("auto", "auto"), ("2", 2)])
def test_scales_are_the_settings_or_follow_what_is_painted(word: str, expected: Any) -> None:
    settings = compose_settings([*TINY, f"optimizer.scales={word}"])
    encoder = build.load_encoder(settings, torch.device("cpu"), Path.cwd())
    assert build.engine(settings, encoder).descent.scales == expected


@pytest.mark.parametrize(
    ("words", "where", "room"),
    [
        ((), "cpu", Room(512**2, 16, together=True, whole=False)),
        ((), "cuda", Room(1024**2, 16, together=True, whole=False)),
        (
            ("budget=99999", "method=composite", "method.margin=3"),
            "cuda",
            Room(99999, 3, together=False, whole=False),
        ),
        (("method=stitch_global",), "cpu", Room(512**2, 16, together=True, whole=True)),
        (("method=guided", "unstyled=free"), "cpu", Room(512**2, 16, together=True, whole=True)),
        (("size=800",), "cpu", None),
        (("size=full",), "cpu", None),
    ],
)
def test_the_room_for_what_is_painted(
    words: tuple[str, ...], where: str, room: Room | None
) -> None:
    assert build.room(compose_settings([*words]), torch.device(where)) == room


@pytest.mark.parametrize(
    ("size", "bound"), [("auto", 2048), ("full", None), ("300", 300), ("9000", 9000)]
)
def test_photographs_are_read_up_to_a_bound(size: str, bound: int | None) -> None:
    assert build.bound(compose_settings([f"size={size}"])) == bound


@pytest.mark.parametrize(
    ("method", "factors", "count"),
    [
        ("stitch", (1, 1), 1),
        ("guided", (1, 2, 1, 3), 3),
        ("guided", (2, 3), 2),
        ("composite", (1, 2, 1), 3),
        ("instant", (1, 2, 1), 0),
        ("feedforward", (1, 2, 1), 0),
    ],
)
def test_how_many_optimisations(method: str, factors: tuple[float, ...], count: int) -> None:
    mask = torch.ones(1, 1, 4, 6)
    regions = [
        Region(str(number), mask, [], enlargement=factor) for number, factor in enumerate(factors)
    ]
    assert build.optimisations(compose_settings([f"method={method}"]), regions) == count


@pytest.mark.parametrize(
    ("precision", "dtype"), [("float32", torch.float32), ("bfloat16", torch.bfloat16)]
)
def test_the_instant_painter_computes_in_the_precision_that_is_asked_for(
    precision: str, dtype: torch.dtype
) -> None:
    settings = compose_settings([*TINY, "method=instant", f"precision={precision}"])
    asked = build.request(settings)
    painter = build.load_painters(settings, asked, torch.device("cpu"), Path.cwd()).instant
    assert painter is not None
    weights = [*painter.network.parameters(), *painter.encoder.encoder.features.parameters()]
    assert {tensor.dtype for tensor in weights} == {dtype}
    assert painter.encoder.encoder.mean.dtype == torch.float32


@pytest.mark.parametrize(
    ("words", "share"),
    [
        (["method=guided"], 0.7),
        (["method=composite"], 0.7),
        (["method=stitch"], 1.0),
        (["method=stitch_global"], 1.0),
        (["method=instant"], 1.0),
        (["preset=gatys2017"], 1.0),
    ],
)
def test_style_pictures_are_smaller_than_regions_but_where_they_fill_them(
    words: list[str], share: float
) -> None:
    assert build.style_share(compose_settings(words)) == share


@pytest.mark.parametrize(
    ("overrides", "weight"),
    [
        ([], 8),
        (["loss.color_layout_weight=5"], 5),
        # Without tones a region's colours are the photograph's, and are no goal.
        (["loss.tones=0"], 0),
        (["loss=gatys"], 0),
    ],
)
def test_colors_stay_where_tones_have_put_them(overrides: list[str], weight: float) -> None:
    chosen = compose_settings([*TINY, *overrides])
    encoder = build.load_encoder(chosen, torch.device("cpu"), Path.cwd())
    assert build.engine(chosen, encoder).objective.color_layout_weight == weight


def test_searches_are_as_the_settings_say() -> None:
    words = [
        "loss.neighbour_patch=5",
        "loss.neighbour_balance=0.25",
        "loss.neighbour_content=0.125",
        "loss.neighbour_detail=0.75",
    ]
    chosen = compose_settings([*TINY, *words])
    encoder = build.load_encoder(chosen, torch.device("cpu"), Path.cwd())
    goal = build.engine(chosen, encoder).objective
    assert (goal.neighbour_patch, goal.neighbour_balance, goal.neighbour_content) == (
        5,
        0.25,
        0.125,
    )
    assert goal.neighbour_detail == 0.75
