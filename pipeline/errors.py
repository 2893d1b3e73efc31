"""Errors: what only the user can put right, and how a command says so."""

import difflib
import errno
import sys
import warnings
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NoReturn

#: What to do about a file that cannot be read or written, where nothing better is known.
ANOTHER_FILE = "choose another folder or file"


class UserError(Exception):
    """Something only the user can put right.

    The message is one line: it names the input, says what is wrong and what to do. The command
    line prints it on stderr and exits with status 2.
    """

    def __init__(self, message: str) -> None:
        # Names of files and regions may hold line breaks.
        super().__init__(" ".join(message.splitlines()))


class Stopped(UserError):
    """A run has ended before its time, for a reason that is said; its result so far is written."""


def describe(
    error: UserError | OSError, remedy: str = ANOTHER_FILE, folder: Path | None = None
) -> str:
    """One line: what is wrong, and what to do.

    Args:
        error: that ended the command.
        remedy: what to do about a file that cannot be read or written.
        folder: where files are written to, for errors that name none, as a full disk's.
    """
    if isinstance(error, UserError):
        return str(error)
    where = error.filename or folder or "file"
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return f"{where}: no space left on this disk; free some, or {remedy}"
    return f"{where}: {error.strerror or error}; {remedy}"


def nearest(word: str, known: Iterable[str], most: int = 1) -> list[str]:
    """What a misspelt word may have meant, the likeliest first.

    Args:
        word: as the user wrote it.
        known: what there is.
        most: how many to name.
    """
    return difflib.get_close_matches(word, [*known], n=most)


def did_you_mean(names: Iterable[str]) -> str:
    """``did you mean a or b?`` with a space before it; nothing without names."""
    meant = " or ".join(names)
    return f" did you mean {meant}?" if meant else ""


def not_one_of(key: str, value: object, choices: Iterable[str]) -> str:
    """What is wrong with a setting's value that is none of its choices."""
    known = [str(choice) for choice in choices]
    hint = did_you_mean(nearest(str(value), known))
    return f"{key}={value} is not one of {', '.join(known)}{';' if hint else ''}{hint}"


def fail(message: str) -> NoReturn:
    """End the process with one line on stderr and exit status 2."""
    print("error: " + " ".join(message.split()), file=sys.stderr)
    sys.exit(2)


def without_warnings() -> None:
    """Keep the libraries' warnings, which are for developers, from a command's user.

    Whoever asks Python for warnings (``-W``, ``PYTHONWARNINGS``) gets them.
    """
    if not sys.warnoptions:
        warnings.simplefilter("ignore")


@contextmanager
def fails_in_one_line(remedy: str = ANOTHER_FILE) -> Iterator[None]:
    """What only the user can put right, inside, ends the process as `fail` does.

    Args:
        remedy: what to do about a file that cannot be read or written.
    """
    try:
        yield
    except (UserError, OSError) as error:
        fail(describe(error, remedy))
