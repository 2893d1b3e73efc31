"""The command that prints figures: what it hands on, and what it refuses."""

from pathlib import Path

import pytest

from pipeline.networks import encoders, segmenters
from pipeline.training import evaluate


def test_each_network_is_scored_that_has_something_to_be_scored_by(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(evaluate, "score_segmenter", lambda *words: f"segmenter {words}")
    monkeypatch.setattr(evaluate, "score_encoder", lambda *words: f"encoder {words}")
    evaluate.main(["--photos", "p", "--labels", "l", "--scenes", "s"])
    expected: tuple[object, ...] = (segmenters.BUNDLED_FILE, "p", "l", "s")
    assert capsys.readouterr().out == f"segmenter {expected}\n"
    evaluate.main(["--photos", "p", "--teacher", "t", "--paintings", "a", "b"])
    expected = (encoders.BUNDLED_FILE, "p", ["a", "b"], "t", None)
    assert capsys.readouterr().out == f"encoder {expected}\n"


@pytest.mark.parametrize("words", [[], ["--labels", "l"], ["--scenes", "s", "--teacher", "t"]])
def test_too_little_to_score_by_is_refused(
    words: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        evaluate.main(["--photos", "p", *words])
    assert ended.value.code == 2
    assert "give --labels and --scenes to score the segmenter" in capsys.readouterr().err


def test_photographs_that_are_not_there_are_named(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    nowhere = str(tmp_path / "nowhere")
    with pytest.raises(SystemExit) as ended:
        evaluate.main(["--photos", nowhere, "--labels", nowhere, "--scenes", nowhere])
    assert ended.value.code == 2
    [line] = capsys.readouterr().err.splitlines()
    assert nowhere in line
