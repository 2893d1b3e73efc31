"""Refining: the command at work in a process of its own, watched and stopped from outside.

So its folder is what the command line leaves, and whatever becomes of it, want of memory included,
the server goes on.
"""

import json
import os
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from pipeline.config.compose import CONF
from pipeline.results.folder import SUMMARY
from pipeline.results.preview import PICTURE, PROGRESS

#: Seconds between two pictures on its way.
OFTEN = 0.5
#: Seconds that a run has to clear up before it is killed.
PATIENCE = 5.0


@dataclass(frozen=True)
class Progress:
    """How far a run is.

    Attributes:
        done: share of its work, in [0, 1].
        seconds_left: None as long as that is not known.
        picture: JPEG of what is there; None: nothing yet.
    """

    done: float = 0.0
    seconds_left: float | None = None
    picture: bytes | None = None


class Run:
    """A run of the command.

    Args:
        words: of the command.
        output: the run's folder.
        folder: where the command starts.

    Attributes:
        words, output: as the arguments.
    """

    def __init__(self, words: Sequence[str], output: Path, folder: Path) -> None:
        self.words, self.output, self._stopped = words, output, False
        self._text = ""
        self._reading = threading.Lock()
        self._said: IO[bytes] = tempfile.TemporaryFile()  # noqa: SIM115 - as long as the run
        command = [
            *(sys.executable, "-m", "pipeline", *words),
            f"preview={OFTEN}",
            f"hydra.run.dir={output}",
        ]
        paths = [str(CONF.parent), os.environ.get("PYTHONPATH", "")]
        self._process = subprocess.Popen(
            command,
            cwd=folder,
            env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, paths))},
            stdin=subprocess.DEVNULL,
            stdout=self._said,
            stderr=subprocess.STDOUT,
            # Ctrl-C in the server's terminal is for the server, which tells its runs.
            start_new_session=True,
        )

    def wait(self, seconds: float) -> bool:
        """Wait at most so long; whether it has ended."""
        try:
            self._process.wait(seconds)
        except subprocess.TimeoutExpired:
            return False
        with self._reading:  # the page's and the server's end may wait at once
            if not self._said.closed:
                self._said.seek(0)
                self._text = self._said.read().decode("utf-8", "replace")
                self._said.close()
        return True

    def look(self) -> Progress:
        """How far it is."""
        try:
            said = json.loads((self.output / PROGRESS).read_text())
            return Progress(
                float(said["done"]), said["seconds_left"], (self.output / PICTURE).read_bytes()
            )
        except (OSError, ValueError, KeyError):  # not yet, or no more
            return Progress()

    def stop(self) -> None:
        """End it after the present iteration; it writes what is there."""
        if not self._stopped and self._process.poll() is None:
            self._stopped = True
            # Not SIGINT: a server that a shell has started behind it ignores that, and hands it on.
            self._process.send_signal(signal.SIGTERM)

    def end(self) -> None:
        """End it at once; nothing is kept."""
        self.stop()
        # The second signal ends it where it is; it takes away what it has begun.
        for seconds in (0.1, PATIENCE):
            if self.wait(seconds):
                return
            self._process.send_signal(signal.SIGTERM)
        self._process.kill()
        self._process.wait()
        self.wait(0)

    @property
    def stopped(self) -> bool:
        """Whether it was stopped before its end."""
        try:
            return bool(json.loads((self.output / SUMMARY).read_text()).get("stopped"))
        except (OSError, ValueError):  # stopped before there was anything to write
            return self._stopped

    @property
    def result(self) -> Path | None:
        """The picture that it has made; None where there is none."""
        path = self.output / "result.png"
        return path if path.is_file() and self._process.poll() is not None else None

    @property
    def problem(self) -> str:
        """Why there is no result, in the command's own words."""
        if self._process.poll() in (-signal.SIGKILL, 128 + signal.SIGKILL):
            return "the run was ended by the system, most likely for want of memory; lower size"
        lines = self._text.strip().splitlines()
        marked = [line for line in lines if line.startswith("error:")]
        last = (marked or lines or ["the run has left no result and said nothing"])[-1]
        return last.removeprefix("error: ")
