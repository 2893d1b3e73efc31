"""The comparison as a table: ``results.csv`` and the terminal."""

import csv
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console
from rich.measure import Measurement
from rich.table import Table
from rich.text import Text

from pipeline.compare.columns import Column, Comparison


def save_results(comparison: Comparison, path: Path) -> None:
    """Write one row a run: name, status, all differing settings, all measures, message, command.

    Measures are written in full; what a run lacks is empty.
    """
    keys = [column.key for column in comparison.columns]
    with path.open("w", newline="", encoding="utf-8", errors="backslashreplace") as file:
        writer = csv.writer(file)
        writer.writerow(["run", "status", *keys, "message", "command"])
        for run, row in zip(comparison.runs, comparison.rows, strict=True):
            values = [row.get(key, "") for key in keys]
            writer.writerow([run.name, run.status, *values, run.message, run.command])


def print_results(comparison: Comparison) -> None:
    """Print the table; arrows point to the better values and the best ones are bold.

    Columns that do not fit the terminal's width go on below, in a table of their own.
    """
    console = Console(highlight=False)
    columns = [column for column in comparison.columns if not column.minor]
    while True:
        count = len(columns)
        while console.is_terminal and count > 1 and not _fits(comparison, columns[:count], console):
            count -= 1
        table = _table(comparison, columns[:count])
        # In a file, or where even one column is too wide, nothing is squeezed or cut off.
        console.width = max(console.width, _width(table, console))
        console.print(table)
        columns = columns[count:]
        if not columns:
            break
    for run in comparison.runs:
        if run.status == "failed":
            message = Text(f"run {run.name} failed: {run.message}", style="red")
            console.print(message, soft_wrap=True)


def _table(comparison: Comparison, columns: Sequence[Column]) -> Table:
    table = Table(box=None, pad_edge=False)
    table.add_column("run")
    for column in columns:
        title = "\n".join(column.title.split(" ", 1)) + f" {column.arrow}"
        table.add_column(Text(title.rstrip()), justify="right" if column.better else "left")
    best = {column.key: comparison.best(column) for column in columns}
    for number, (run, row) in enumerate(zip(comparison.runs, comparison.rows, strict=True)):
        cells = [Text(c.show(row), style="bold" if number in best[c.key] else "") for c in columns]
        table.add_row(Text(run.name), *cells, style="red" if run.status == "failed" else "")
    return table


def _fits(comparison: Comparison, columns: Sequence[Column], console: Console) -> bool:
    return _width(_table(comparison, columns), console) <= console.width


def _width(table: Table, console: Console) -> int:
    options = console.options.update(max_width=10_000)
    return Measurement.get(console, options, table).maximum
