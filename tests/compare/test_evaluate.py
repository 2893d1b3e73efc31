"""Evaluate: measures from the files of a run, with a tiny encoder."""

import math
from pathlib import Path

import pytest
from PIL import Image

from pipeline.compare.evaluate import Evaluator, load_encoder
from pipeline.compare.runs import read_run
from pipeline.errors import UserError
from pipeline.networks.encoders import LoadedEncoder
from pipeline.networks.pyramid import PyramidEncoder
from pipeline.networks.weights import Source
from tests.compare.conftest import SIZE, MakeRun, save


@pytest.fixture
def tiny(encoder: PyramidEncoder) -> LoadedEncoder:
    source = Source("tiny", "bundled", Path("tiny"), "0" * 64)
    return LoadedEncoder(encoder, ("relu1_1", "relu2_1"), ("relu2_1",), (), source)


def test_all_measures_of_a_finished_run(
    make_run: MakeRun, tiny: LoadedEncoder, tmp_path: Path
) -> None:
    found = Evaluator(tiny).evaluate(read_run(make_run(tmp_path), "0"))
    assert found["seconds"] == 2.5
    assert found["seconds.stylize"] == 2
    assert found["iterations"] == 3
    assert found["peak_memory_mib"] == 800
    assert found["outside_difference"] == 0
    assert found["content_similarity"] < 0.9
    assert found["perceptual_distance"] > 0
    assert 0.5 < found["seam"] < 2
    # The result is painted like the person's style, everywhere in the two regions.
    assert found["style_distance.person"] < 0.1 < found["style_distance.cat"]
    assert found["other_styles.cat"] < 0.1 < found["other_styles.person"]


def test_the_content_itself_is_kept(make_run: MakeRun, tiny: LoadedEncoder, tmp_path: Path) -> None:
    folder = make_run(tmp_path)
    (folder / "result.png").write_bytes((folder / "content.png").read_bytes())
    found = Evaluator(tiny).evaluate(read_run(folder, "0"))
    assert found["content_similarity"] == pytest.approx(1)
    assert found["perceptual_distance"] == 0


def test_several_styles_of_a_region_are_averaged(
    make_run: MakeRun, tiny: LoadedEncoder, tmp_path: Path
) -> None:
    folder = make_run(tmp_path)
    run = read_run(folder, "0")
    first = Evaluator(tiny).evaluate(run)["style_distance.person"]
    style = folder / "styles" / "person.png"
    kept = style.read_bytes()
    save(style, (200, 20, 20), 30)
    second = Evaluator(tiny).evaluate(run)["style_distance.person"]
    style.rename(folder / "styles" / "person-2.png")
    style.write_bytes(kept)
    both = Evaluator(tiny).evaluate(run)["style_distance.person"]
    assert both == pytest.approx((first + second) / 2)


def test_styles_that_runs_share_are_read_once(
    make_run: MakeRun, tiny: LoadedEncoder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    runs = [read_run(make_run(tmp_path / name), name) for name in "abc"]
    save(runs[2].folder / "styles" / "cat.png", (200, 20, 20), 30)
    alone = [Evaluator(tiny).evaluate(run) for run in runs]
    seen = []
    tiny.module.register_forward_pre_hook(lambda _, given: seen.append(given))
    evaluator, counts = Evaluator(tiny), []
    for run, expected in zip(runs, alone, strict=True):
        seen.clear()
        assert evaluator.evaluate(run) == expected
        counts.append(len(seen))
    assert counts == [4, 2, 3]
    # Of more styles than are kept, the ones used longest ago are read again.
    monkeypatch.setattr("pipeline.compare.evaluate.MOST_KEPT", 1)
    evaluator = Evaluator(tiny)
    for run, expected in zip(runs, alone, strict=True):
        assert evaluator.evaluate(run) == expected
    assert len(seen) == 3 + 3 * 4


def test_an_old_run_without_its_styles_has_the_other_measures(
    make_run: MakeRun, tiny: LoadedEncoder, tmp_path: Path
) -> None:
    folder = make_run(tmp_path)
    for file in (folder / "styles").iterdir():
        file.unlink()
    found = Evaluator(tiny).evaluate(read_run(folder, "0"))
    assert not any(key.startswith(("style_distance", "other_styles")) for key in found)
    assert math.isfinite(found["seam"])


def test_large_pictures_are_measured_smaller(
    make_run: MakeRun, tiny: LoadedEncoder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = read_run(make_run(tmp_path), "0")
    whole = Evaluator(tiny).evaluate(run)
    monkeypatch.setattr("pipeline.compare.evaluate.LARGEST", SIZE[0] // 2)
    half = Evaluator(tiny).evaluate(run)
    assert half["content_similarity"] == whole["content_similarity"]
    assert half["style_distance.cat"] != whole["style_distance.cat"]


def test_missing_and_odd_pictures_are_named(
    make_run: MakeRun, tiny: LoadedEncoder, tmp_path: Path
) -> None:
    folder = make_run(tmp_path)
    Image.new("L", (9, 9)).save(folder / "masks" / "cat.png")
    with pytest.raises(UserError, match="cat has another size"):
        Evaluator(tiny).evaluate(read_run(folder, "0"))
    (folder / "result.png").unlink()
    with pytest.raises(UserError, match=r"result\.png is missing"):
        Evaluator(tiny).evaluate(read_run(folder, "0"))


def test_the_fixed_encoder_is_the_bundled_one() -> None:
    encoder = load_encoder()
    assert (encoder.source.network, encoder.source.kind) == ("compact", "bundled")
