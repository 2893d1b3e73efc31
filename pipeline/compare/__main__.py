"""Compare finished runs: ``python -m pipeline.compare FOLDER...``."""

import argparse
import sys
from pathlib import Path

from pipeline.compare.report import report
from pipeline.errors import UserError


def main(words: list[str] | None = None) -> None:
    """The command; exits with 2 where the user has to put something right."""
    parser = argparse.ArgumentParser(
        prog="python -m pipeline.compare",
        description="Compare finished runs: report.html, contact_sheet.png and results.csv.",
    )
    parser.add_argument("folders", nargs="+", type=Path, metavar="FOLDER", help="of runs or sweeps")
    parser.add_argument(
        "--output", type=Path, metavar="FOLDER", help="for the files; default: the first folder"
    )
    chosen = parser.parse_args(words)
    try:
        report(chosen.folders, chosen.output or chosen.folders[0])
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(2)
    except OSError as error:
        reason = f"{error.filename or 'file'}: {error.strerror or error}"
        print(f"error: {reason}; choose another folder with --output", file=sys.stderr)
        sys.exit(2)


if __name__ == "__main__":
    main()
