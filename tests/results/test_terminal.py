"""What is said at the end of a run, word by word."""

import io
from pathlib import Path

import pytest

from pipeline.engine.progress import LossRow
from pipeline.results import terminal


@pytest.fixture
def said(monkeypatch: pytest.MonkeyPatch) -> io.StringIO:
    text = io.StringIO()
    monkeypatch.setattr(terminal._console, "_file", text)
    monkeypatch.setattr(terminal._console, "_width", 80)
    return text


def lines(said: io.StringIO) -> list[str]:
    return [" ".join(line.split()) for line in said.getvalue().splitlines()]


def test_regions_have_a_share_and_a_mask(said: io.StringIO) -> None:
    terminal.print_regions({"person": 0.25, "dog": 0.0, "background": 0.75}, Path("out"))
    assert lines(said) == [
        "region share mask",
        f"person 25.0% {Path('out', 'masks', 'person.png')}",
        f"background 75.0% {Path('out', 'masks', 'background.png')}",
    ]


def test_names_are_shown_as_they_are_and_whole(said: io.StringIO) -> None:
    folder = Path("[bold] [/red] :smile: " + "a" * 100)
    terminal.print_regions({"[dim]": 0.5}, folder)
    assert lines(said)[1] == f"[dim] 50.0% {folder / 'masks' / '[dim].png'}"


@pytest.mark.parametrize(
    ("shares", "region"),
    [({"background": 0.7, "cat": 0.3}, "cat"), ({"background": 1.0, "cat": 0.0}, "background")],
)
def test_the_hint_is_a_command_for_the_shell(
    shares: dict[str, float], region: str, said: io.StringIO
) -> None:
    terminal.print_hint("my cat.png", shares)
    assert lines(said) == [
        "Give a region a style: "
        f"python -m pipeline 'content=my cat.png' +styles.{region}=scream.jpg",
        "Styles: a picture file, or ink.jpg, mosaic.jpg, night.jpg, scream.jpg, wave.jpg",
    ]


def test_the_result_has_a_line_a_region(said: io.StringIO) -> None:
    entries = [
        {"name": "background", "share": 0.5},
        {"name": "person", "share": 0.4, "style": "scream.jpg", "seconds": 1.25},
        {"name": "cat", "share": 0.1, "style": ["ink.jpg", "wave.jpg"], "seconds": 10.0},
    ]
    terminal.print_result(entries, Path("result.png"), {"read": 0.5, "stylize": 11.2})
    assert lines(said) == [
        "region share style seconds",
        "background 50.0% unchanged",
        "person 40.0% scream.jpg 1.2",
        "cat 10.0% ink.jpg + wave.jpg 10.0",
        "result.png (12 s)",
    ]


def test_the_bar_is_quiet_without_a_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    row = LossRow("all", 2, 1, 0.5, 0.25, 0.25, 0.0)
    with terminal.Bar("stylize") as bar:
        bar.advance(row)  # before anything is expected
        bar.expect(1, 2)
        bar.advance(row)
        [task] = bar._progress.tasks
        assert (task.completed, task.total) == (1, 2)
        assert task.description == "all, 1/2 size"
        assert task.fields["loss"] == "0.5000"
    assert capsys.readouterr() == ("", "")
