"""What a run says on the terminal: a progress bar, tables, and the command to try next."""

import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from rich.console import Console
from rich.measure import Measurement
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TaskID,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)
from rich.table import Table

from pipeline import gallery
from pipeline.engine.progress import LossRow
from pipeline.regions.names import BACKGROUND, SCENE_CLASSES
from pipeline.results.file_names import region_file_names
from pipeline.results.result import Result

# Names may hold brackets and colons, which are no markup.
_console = Console(highlight=False, soft_wrap=True, markup=False, emoji=False)


class Bar:
    """A progress bar over iterations with the current loss; quiet where there is no terminal.

    Args:
        title: in front of it.
    """

    def __init__(self, title: str) -> None:
        console = Console(stderr=True)
        self._progress = Progress(
            TextColumn("{task.description}", markup=False),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("loss {task.fields[loss]}"),
            TimeElapsedColumn(),
            TimeRemainingColumn(),
            console=console,
            transient=True,
            disable=not console.is_terminal,
        )
        self._title = title
        self._task: TaskID | None = None

    def __enter__(self) -> Self:
        """Show it."""
        self._progress.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Take it away."""
        self._progress.stop()

    def expect(self, descents: int, iterations: int) -> None:
        """Show the bar, for so many descents of so many iterations; for none there is none."""
        if descents:
            total = descents * iterations
            self._task = self._progress.add_task(self._title, total=total, loss="-")

    def advance(self, row: LossRow) -> None:
        """One iteration is done."""
        if self._task is None:
            return
        self._progress.update(
            self._task,
            advance=1,
            description=f"{row.stage}, 1/{row.scale} size" if row.scale > 1 else row.stage,
            loss=f"{row.total:.4f}",
        )


def print_outcome(result: Result, content: str, output: Path, seconds: Mapping[str, float]) -> None:
    """Print what a run has made, or, where nothing was painted, what to try next.

    Args:
        result: of the run.
        content: path or name of the photograph.
        output: folder of the run.
        seconds: by stage.
    """
    if result.painted is None:
        print_regions(result.regions, output)
        print_hint(content, result.regions)
    else:
        print_result(result.summary["regions"], output / "result.png", seconds)


def _print(table: Table) -> None:
    """Print a table as wide as it is: a path that is cut off is none."""
    widest = _console.options.update(max_width=10_000)
    _console.width = max(_console.width, Measurement.get(_console, widest, table).maximum)
    _console.print(table)


def print_regions(shares: Mapping[str, float], output: Path) -> None:
    """Print the regions that were found with their share of the picture."""
    table = Table("region", "share", "mask", box=None, pad_edge=False)
    files = region_file_names(shares)
    for name, share in shares.items():
        if share > 0:
            table.add_row(name, f"{share:.1%}", str(output / "masks" / f"{files[name]}.png"))
    _print(table)


def print_hint(content: str, shares: Mapping[str, float]) -> None:
    """Print the command to try next."""
    things = [name for name, share in shares.items() if share > 0 and name != BACKGROUND]
    # Objects before the scene that they are in.
    region = min(things, key=lambda name: name in SCENE_CLASSES, default=BACKGROUND)
    words = ["python", "-m", "pipeline", f"content={content}", f"+styles.{region}=scream.jpg"]
    _console.print(f"Give a region a style: {shlex.join(words)}")
    _console.print(f"Styles: a picture file, or {', '.join(gallery.names())}")


def _names(styles: str | Sequence[str]) -> str:
    return styles if isinstance(styles, str) else " + ".join(styles)


def print_result(
    entries: Sequence[Mapping[str, Any]], result: Path, seconds: Mapping[str, float]
) -> None:
    """Print the closing table and where the result is."""
    table = Table("region", "share", "style", "seconds", box=None, pad_edge=False)
    for entry in entries:
        styled = "style" in entry
        table.add_row(
            entry["name"],
            f"{entry['share']:.1%}",
            _names(entry["style"]) if styled else "unchanged",
            f"{entry['seconds']:.1f}" if styled else "",
        )
    _print(table)
    _console.print(f"{result}  ({sum(seconds.values()):.0f} s)")
