"""Paths: the file that a name means, wherever the user gives one. Nothing here imports torch."""

import errno
import glob
from pathlib import Path

from pipeline.errors import UserError

# What the system says of a name that no file can have.
_IMPOSSIBLE = (errno.ENAMETOOLONG, errno.EINVAL)


def located(name: str | Path, folder: Path) -> Path:
    """The path of a file.

    Args:
        name: relative to ``folder``, or absolute. With ``~`` in front it is in a home folder,
            unless there is a file of that very name.
        folder: where relative paths begin.
    """
    path = folder / name
    if str(name).startswith("~") and not exists(path):
        try:
            return folder / Path(name).expanduser()
        except RuntimeError:  # nobody's home: then it is a name like any other
            return path
    return path


def exists(path: Path) -> bool:
    """Whether there is such a file or folder.

    Raises:
        UserError: no file can have that name, or one may not look.
    """
    try:
        return path.exists()
    except ValueError:  # a null character, or one that the system's encoding lacks
        return False
    except OSError as error:
        if error.errno in _IMPOSSIBLE:
            return False
        raise UserError(f"{path}: {error.strerror}; choose another folder or file") from None


def names_many(source: str, folder: Path) -> bool:
    """Whether a name is that of a folder, or a pattern such as ``a/*.jpg`` and of no file.

    Args:
        source: as for `located`.
        folder: where relative paths begin.

    Raises:
        UserError: as `exists`.
    """
    if not source:
        return False
    path = located(source, folder)
    return path.is_dir() if exists(path) else glob.has_magic(source)


def shown(text: str) -> str:
    """A text that every file and terminal takes.

    Bytes of a file's name that are not UTF-8 are lone surrogates in Python; they become escapes.
    """
    return text.encode("utf-8", "backslashreplace").decode("utf-8")
