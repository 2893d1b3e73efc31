"""The command line: Hydra composes the configuration, `task` does the work.

Whatever only the user can put right ends in one line on stderr and exit status 2.
"""

import atexit
import io
import logging
import os
import shlex
import shutil
import signal
import sys
import tempfile

from pipeline.command import failures
from pipeline.command.failures import Outcome
from pipeline.command.messages import message, one_line
from pipeline.command.overrides import is_sweep, options_first, plain_override
from pipeline.command.spread import spread
from pipeline.command.task import start
from pipeline.config import composing
from pipeline.config.compose import register
from pipeline.errors import fail, without_warnings
from pipeline.results.folder import has_begun
from pipeline.runtime import distributed, threads
from pipeline.runtime.interruption import raise_on


def main() -> None:
    """Run the command with the process's arguments.

    Exits with 0, 1 (a defect), 2 (the user can put it right) 130 (Ctrl-C) or 143 (SIGTERM).
    """
    threads.choose_waiting()
    raise_on("SIGTERM")
    register()
    # Hydra would print errors its own way and exit with 1; so they come here instead.
    os.environ["HYDRA_FULL_ERROR"] = "1"
    # Apple's MPS lacks some resamplings; torch then takes the CPU for these alone.
    os.environ.setdefault("PYTORCH_ENABLE_MPS_FALLBACK", "1")
    composing.install()
    without_warnings()
    _take_any_text()
    with failures.collecting() as outcome:
        try:
            sys.argv[1:] = spread(sys.argv[1:])
            sweep = is_sweep(sys.argv[1:])
            sys.argv[1:] = options_first(plain_override(word, sweep) for word in sys.argv[1:])
            if distributed.rank() > 0:
                _follow()
            start()
        except KeyboardInterrupt as error:
            failures.clear_up()
            print(f"interrupted; {_how_to_go_on(outcome)}", file=sys.stderr)
            sys.exit(128 + getattr(error, "number", signal.SIGINT))
        except Exception as error:
            line = message(error)
            if line is None:
                raise
            fail(line)
    _end(outcome)


def _take_any_text() -> None:
    """What a terminal's or a file's encoding lacks is written as an escape."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
    # A log that cannot be written, on a full disk, is no reason for tracebacks between the lines.
    logging.raiseExceptions = False


def _follow() -> None:
    """One of several processes, but not the first: its results and what it says are nobody's."""
    folder = tempfile.mkdtemp(prefix="pipeline-")
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    own = ("hydra.run.dir=", "hydra.sweep.dir=", "hydra/callbacks=")
    kept = [word for word in sys.argv[1:] if not word.lstrip("+").startswith(own)]
    sys.argv[1:] = [
        *kept,
        f"hydra.run.dir={folder}",
        f"hydra.sweep.dir={folder}",
        "hydra/callbacks=none",
    ]
    sys.stdout = sys.stderr = open(os.devnull, "w")  # noqa: SIM115 - until the process ends


def _how_to_go_on(outcome: Outcome) -> str:
    """What to do after Ctrl-C."""
    if outcome.sweep is not None:
        return f"the same command with hydra.sweep.dir={outcome.sweep} resume=true goes on"
    folder = outcome.folder
    if folder is None or not has_begun(folder):
        return "no result was written"
    shown = shlex.quote(os.path.relpath(folder))
    return (
        f"what is done is in {shown}; "
        f"the same command with hydra.run.dir={shown} resume=true goes on"
    )


def _end(outcome: Outcome) -> None:
    """Say what has failed, if anything has; a defect with its traceback."""
    defects = [failure.traceback for failure in outcome.failed.values() if failure.traceback]
    if defects:
        print(defects[0], end="", file=sys.stderr)
        sys.exit(1)
    if outcome.failed:
        fail(one_line(outcome.failed))
