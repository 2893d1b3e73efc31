"""Compare finished runs: ``python -m pipeline.compare FOLDER...``."""

import argparse
from pathlib import Path

from pipeline.compare.columns import MOST_MEASURED
from pipeline.compare.report import report
from pipeline.errors import fails_in_one_line, without_warnings
from pipeline.runtime.threads import choose_waiting


def main(words: list[str] | None = None) -> None:
    """The command; exits with 2 where the user has to put something right."""
    # The measures import torch, later on.
    choose_waiting()
    without_warnings()
    parser = argparse.ArgumentParser(
        prog="python -m pipeline.compare",
        description="Compare finished runs: report.html, contact_sheet.png and results.csv.",
    )
    parser.add_argument("folders", nargs="+", type=Path, metavar="FOLDER", help="of runs or sweeps")
    parser.add_argument(
        "--output", type=Path, metavar="FOLDER", help="for the files; default: the first folder"
    )
    parser.add_argument(
        "--all",
        action="store_true",
        help=f"measure the pictures of all runs, however many; of more than {MOST_MEASURED}, "
        "only those shown are measured otherwise",
    )
    chosen = parser.parse_args(words)
    with fails_in_one_line("choose another folder with --output"):
        report(chosen.folders, chosen.output or chosen.folders[0], chosen.all)


if __name__ == "__main__":
    main()
