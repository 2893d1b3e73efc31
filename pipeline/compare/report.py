"""The comparison of runs: find -> evaluate -> put side by side -> write -> print."""

import dataclasses
import sys
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console
from rich.progress import track

from pipeline.compare.columns import Comparison, compare
from pipeline.compare.runs import Run, find_runs
from pipeline.errors import UserError
from pipeline.results.folder import check_folder


def report(folders: Sequence[Path], output: Path) -> Comparison:
    """Compare all runs in some folders; write and print what came out.

    Args:
        folders: of runs or of sweeps.
        output: folder for ``report.html``, ``contact_sheet.png`` and ``results.csv``.

    Returns:
        The comparison, as written.

    Raises:
        UserError: no runs there, or the output folder cannot be written to.
    """
    runs = find_runs(folders)
    # torch takes seconds to import; a wrong folder has been answered by now.
    from pipeline.compare import page, sheet, table

    check_folder(output)
    runs, measured = _evaluate(runs)
    comparison = compare(runs, measured)
    table.save_results(comparison, output / "results.csv")
    sheet.save_sheet(comparison, output / "contact_sheet.png")
    page.save_page(comparison, output / "report.html")
    table.print_results(comparison)
    print(output.resolve() / "report.html")
    return comparison


def _evaluate(runs: Sequence[Run]) -> tuple[list[Run], list[dict[str, float]]]:
    """The runs, those that turned out broken marked as failed, and the measures of each."""
    from pipeline.compare.evaluate import evaluate, load_encoder

    encoder = load_encoder()
    judged, measured = [], []
    console = Console(file=sys.stderr)
    shown = track(runs, "measure", console=console, transient=True, disable=not console.is_terminal)
    for run in shown:
        measures: dict[str, float] = {}
        if run.status != "failed":
            try:
                measures = evaluate(run, encoder)
            except Exception as error:  # One broken folder must not cost the others' comparison.
                reason = str(error) if isinstance(error, UserError) else f"broken: {error!r}"
                run = dataclasses.replace(run, status="failed", message=reason)
        judged.append(run)
        measured.append(measures)
    return judged, measured
