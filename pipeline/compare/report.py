"""The comparison of runs: find -> evaluate -> put side by side -> write -> print."""

import dataclasses
import functools
import sys
from collections.abc import Collection, Sequence
from pathlib import Path

from rich.console import Console
from rich.progress import track

from pipeline.compare import columns
from pipeline.compare.callback import FILES
from pipeline.compare.columns import Comparison, compare, excerpt
from pipeline.compare.runs import Passing, Run, find_runs
from pipeline.errors import UserError
from pipeline.results.folder import check_folder

#: By what the files of an earlier report are known.
_MARKS = {"results.csv": "run,status,", "report.html": " compared</title>"}


def report(folders: Sequence[Path], output: Path, measure_all: bool = False) -> Comparison:
    """Compare all runs in some folders; write and print what came out.

    Args:
        folders: of runs or of sweeps.
        output: folder for ``report.html``, ``contact_sheet.png`` and ``results.csv``.
        measure_all: the pictures of every run are measured, also of more than
            `columns.MOST_MEASURED`.

    Returns:
        The comparison, as written.

    Raises:
        UserError: no runs there, the output folder cannot be written to, or somebody else's files
            are in the way.
    """
    runs = find_runs(folders, _progress("read"))
    # torch takes seconds to import; a wrong folder has been answered by now.
    from pipeline.compare import page, sheet, table

    check_folder(output)
    _refuse_foreign(output)
    few = measure_all or len(runs) <= columns.MOST_MEASURED
    runs, measured = _evaluate(runs, range(len(runs)) if few else columns.chosen(runs))
    comparison, shown = compare(runs, measured), excerpt(runs, measured)
    writers = {
        "results.csv": functools.partial(table.save_results, comparison),
        "contact_sheet.png": functools.partial(sheet.save_sheet, shown),
        "report.html": functools.partial(page.save_page, shown),
    }
    for name, save in writers.items():
        # Under another name first, so that no half-written one is ever seen.
        draft = output / f".partial-{name}"
        try:
            save(draft)
            draft.replace(output / name)
        finally:
            draft.unlink(missing_ok=True)
    table.print_results(shown)
    if shown.left_out:
        print(f"and {shown.left_out} more, in results.csv")
    if not few:
        print("only these runs' pictures are measured; all: python -m pipeline.compare --all")
    print(output.resolve() / "report.html")
    return comparison


def _refuse_foreign(output: Path) -> None:
    """Somebody else's files of the names that a report has are not written over."""
    own = {name for name, mark in _MARKS.items() if _begins_with(output / name, mark)}
    if own:
        own.add("contact_sheet.png")
    for name in FILES:
        if name not in own and (output / name).exists():
            raise UserError(
                f"{output / name} is there already and is no report's; choose another folder"
            )


def _begins_with(path: Path, mark: str) -> bool:
    """Whether there is a text, with a mark in its first lines."""
    try:
        with path.open(encoding="utf-8", errors="replace") as file:
            return mark in file.read(20_000)
    except OSError:
        return False


def _evaluate(
    runs: Sequence[Run], chosen: Collection[int]
) -> tuple[list[Run], list[dict[str, float]]]:
    """The runs, those that turned out broken marked as failed, and the measures of each.

    The pictures of those chosen are measured.
    """
    from pipeline.compare.evaluate import Evaluator, load_encoder

    evaluator = Evaluator(load_encoder())
    judged, measured = [], []
    for number, run in enumerate(_progress("measure")(runs)):
        measures: dict[str, float] = {}
        if run.status != "failed":
            try:
                measures = evaluator.evaluate(run, pictures=number in chosen)
            except Exception as error:  # One broken folder must not cost the others' comparison.
                reason = str(error) if isinstance(error, UserError) else f"broken: {error!r}"
                run = dataclasses.replace(run, status="failed", message=reason)
        judged.append(run)
        measured.append(measures)
    return judged, measured


def _progress(doing: str) -> Passing:
    """A bar on the terminal while the items pass; nothing where nobody looks."""
    console = Console(file=sys.stderr)
    return functools.partial(
        track, description=doing, console=console, transient=True, disable=not console.is_terminal
    )
