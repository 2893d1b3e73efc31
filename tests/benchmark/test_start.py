"""Start: the command's way to its first iteration, and its stages."""

import itertools
import json
from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace

import pytest

from pipeline.benchmark import first_iteration, start
from pipeline.benchmark.bench import Bench
from pipeline.errors import UserError
from pipeline.networks import weights

# Shapes instead of classes: no segmenter has to run.
WORDS = [
    "+regions.spot='circle(0.5,0.5,0.2)'",
    "+styles.spot=scream.jpg",
    "encoder=compact",
    "size=64",
]


def test_the_first_iteration_ends_it(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(first_iteration, "time", SimpleNamespace(time=lambda: 1234.5))
    with pytest.raises(SystemExit) as ended:
        first_iteration.main(["1000.25", *WORDS, "device=cpu"])
    assert not ended.value.code
    assert capsys.readouterr().out == "234.2500\n"


def test_what_the_user_has_to_put_right_is_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        first_iteration.main(["0", *WORDS, "content=nowhere.jpg"])
    assert ended.value.code == 2
    [line] = capsys.readouterr().err.splitlines()
    assert "nowhere.jpg" in line


def test_figures_are_taken_from_the_commands(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    said = iter(["noise\n9.0\n", "2.0\n", "4.0\n", "3.0\n"])
    begun: list[float] = []

    def child(words: Sequence[str]) -> str:
        if words[0] == "pipeline":
            folder = next(word for word in words if word.startswith("hydra.run.dir="))
            file = Path(folder.partition("=")[2].strip("'")) / "summary.json"
            file.parent.mkdir(parents=True)
            seconds = {"read": 1.0, "segment": 2.0, "mask": 0.5, "stylize": 6.0, "write": 0.5}
            networks = {
                "encoder": {"name": "compact", "file": str(weights.BUNDLED / "a.safetensors")},
                "segmenter": {"name": "own", "file": "/home/someone/b.safetensors"},
            }
            file.write_text(json.dumps({"seconds": seconds, "networks": networks}))
            return ""
        begun.append(float(words[1]))
        return next(said)

    readings = itertools.count(100)
    clock = SimpleNamespace(time=lambda: next(readings), monotonic=lambda: next(readings))
    monkeypatch.setattr(start, "time", clock)
    monkeypatch.setattr(start, "_child", child)
    found = start.measure(bench, WORDS, repeats=3)
    to_first, besides = found.figures
    assert to_first.measured == 3.0
    assert to_first.met
    assert besides.measured == 0.4
    assert found.details["cold"] == 9.0
    # Figures are published: they tell nothing of the machine's folders.
    assert found.details["networks"] == {
        "encoder": {"name": "compact", "file": "pipeline/networks/bundled/a.safetensors"},
        "segmenter": {"name": "own", "file": "b.safetensors"},
    }
    assert begun == [100, 101, 102, 103]
    assert found.details["seconds_of_the_whole_command"] == 1


@pytest.mark.slow
def test_commands_are_started(bench: Bench) -> None:
    found = start.measure(bench, [*WORDS, "optimizer.iterations=1"], repeats=1)
    [seconds] = found.samples["first iteration"]
    assert 0 < seconds < 60
    assert found.details["networks"]["encoder"]["name"] == "compact"


@pytest.mark.slow
def test_a_command_that_fails_says_why(bench: Bench) -> None:
    with pytest.raises(UserError, match="nowhere"):
        start.measure(bench, [*WORDS, "content=nowhere.jpg"], repeats=1)
