"""The command in this process: a second for each start of Python would be too much for hundreds."""

import contextlib
import io
import logging
import os
import sys
import warnings
from dataclasses import dataclass
from pathlib import Path

from pipeline.command.main import main

#: A run of no time.
TINY = (
    "size=64",
    "optimizer.iterations=1",
    "optimizer.scales=1",
    "segmenter=compact",
    "encoder=compact",
    "device=cpu",
)


@dataclass(frozen=True)
class Done:
    """How a command ended, and what it printed."""

    status: int
    out: str
    err: str

    @property
    def lines(self) -> list[str]:
        """What it said on stderr, but for which networks there are."""
        return [line for line in self.err.splitlines() if not line.startswith("networks:")]


def command(*words: str, folder: Path) -> Done:
    """Run the command with these arguments in a folder; what it raises is raised."""
    out, err, status = io.StringIO(), io.StringIO(), 0
    root = logging.getLogger()
    before = sys.argv, Path.cwd(), [*root.handlers], root.level, dict(os.environ)
    try:
        os.chdir(folder)
        sys.argv = ["pipeline", *words]
        with (
            contextlib.redirect_stdout(out),
            contextlib.redirect_stderr(err),
            warnings.catch_warnings(),
        ):
            main()
    except SystemExit as end:
        status = end.code if isinstance(end.code, int) else 1
    finally:
        sys.argv, here, handlers, level, environment = before
        for handler in {*root.handlers} - {*handlers}:
            handler.close()
        root.handlers = handlers
        os.chdir(here)
        root.setLevel(level)
        os.environ.clear()
        os.environ.update(environment)
        logging.raiseExceptions = True
    return Done(status, out.getvalue(), err.getvalue())
