"""The command: a table, a file, and errors in one line."""

import json
from pathlib import Path

import pytest

from pipeline.benchmark import comparisons
from pipeline.benchmark.bench import Bench
from pipeline.benchmark.command import main
from pipeline.benchmark.report import Comparison, Figure, Target


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--only", "nonsense"], "no comparison 'nonsense'; there are iteration-float32, "),
        (["--only", "gided"], "did you mean guided?"),
        (["--size", "large"], "argument --size: invalid int value: 'large'"),
        (["--size", "8"], "--size 8 is outside 64 to 16384"),
        (["--device", "abacus"], "device=abacus is not available here"),
        (["--output", "."], ". is a folder; name a file with --output"),
        (["--what"], "unrecognized arguments: --what"),
    ],
)
def test_errors_are_one_line_and_status_2(
    words: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        main(words)
    assert ended.value.code == 2
    [line] = capsys.readouterr().err.splitlines()
    assert line.startswith("error: ")
    assert message in line


def test_a_missed_target_is_no_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def slow(bench: Bench) -> list[Comparison]:
        assert bench.quick
        assert bench.size == 96
        target = Target("ratio", "at least", 4.0)
        return [Comparison("guided", [Figure("slow", 2.0, "s", 1.0, 0.5, target)])]

    monkeypatch.setitem(comparisons.COMPARISONS, "guided", slow)
    monkeypatch.chdir(tmp_path)
    main(["--only", "guided", "--quick", "--size", "96", "--device", "cpu"])
    assert "no" in capsys.readouterr().out
    found = json.loads((tmp_path / "outputs" / "benchmark-cpu.json").read_text())
    assert found["names"] == ["guided"]
    assert found["weights"] == "random, seed 0" or found["weights"].startswith("torchvision's")
    assert found["comparisons"][0]["figures"][0]["met"] is False
