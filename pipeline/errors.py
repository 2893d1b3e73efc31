"""Errors: what only the user can put right, and how a command says so."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import NoReturn

#: What to do about a file that cannot be read or written, where nothing better is known.
ANOTHER_FILE = "choose another folder or file"


class UserError(Exception):
    """Something only the user can put right.

    The message is one line: it names the input, says what is wrong and what to do. The command
    line prints it on stderr and exits with status 2.
    """


def describe(error: UserError | OSError, remedy: str = ANOTHER_FILE) -> str:
    """One line: what is wrong, and what to do.

    Args:
        error: that ended the command.
        remedy: what to do about a file that cannot be read or written.
    """
    if isinstance(error, UserError):
        return str(error)
    return f"{error.filename or 'file'}: {error.strerror or error}; {remedy}"


def fail(message: str) -> NoReturn:
    """End the process with one line on stderr and exit status 2."""
    print("error: " + " ".join(message.split()), file=sys.stderr)
    sys.exit(2)


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
