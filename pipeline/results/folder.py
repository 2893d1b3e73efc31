"""Folder: which of the files in a run's folder are the run's own, and how they come there.

A result is written under names of its own first and shown all at once, with the summary last. A
run takes away, or writes over, only what the summary of an earlier run lists as that run's files;
whatever else lies in the folder is somebody's, and stays.
"""

import itertools
import json
import os
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path, PurePosixPath
from typing import Any

from pipeline.errors import UserError
from pipeline.results import failures

SUMMARY = "summary.json"
LOG = "pipeline.log"
#: Where a run keeps what it needs to go on, until it has finished (`checkpoints`).
STATE = ".pipeline"
# A run that was stopped while its files were shown has left its summary under the second name.
_SUMMARIES = (SUMMARY, f".{SUMMARY}.partial")
#: Its configuration and its command.
RECORDS = (".hydra/config.yaml", ".hydra/hydra.yaml", ".hydra/overrides.yaml")
#: What is said of a run that has not come to its end.
UNFINISHED = "it did not finish: there is no summary.json"
_NAMES = (
    "content.png",
    "labels.png",
    "losses.csv",
    "losses.png",
    "overview.png",
    "regions.png",
    "result.png",
    SUMMARY,
)
#: What a run may write, as patterns of paths in its folder.
PATTERNS = (
    *_NAMES,
    failures.FILE,
    LOG,
    "style_canvas*.png",
    "masks/*.png",
    "snapshots/*.png",
    "styles/*.png",
    ".hydra/*",
)


def unused_folder(path: str) -> str:
    """Make a folder that no other run has: ``path``, or ``path-2``, ``path-3``, ... ."""
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    for number in itertools.count(1):
        name = path if number == 1 else f"{path}-{number}"
        with suppress(FileExistsError):
            Path(name).mkdir()
            return name
    raise AssertionError


def check_folder(folder: Path) -> None:
    """Make sure that results can be written, before the work is done.

    Raises:
        UserError: the folder cannot be made or written to.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        probe = folder / ".writable"
        probe.touch()
        probe.unlink()
    except OSError as error:
        raise UserError(
            f"cannot write to the output folder {folder}: {error.strerror}; "
            "choose another with hydra.run.dir=FOLDER"
        ) from None


def check_outputs(inputs: Mapping[str, Path], folder: Path) -> None:
    """Make sure that a run writes over nothing that it is to read, and nobody's files.

    Args:
        inputs: what each file is called on the command line (``content=a.png``), to its path.
        folder: for the results; it need not exist.

    Raises:
        UserError: an input has the path of one of the `PATTERNS`; or there is a file of a name that
            every run writes, and no earlier run lists it.
    """
    output = Path(os.path.realpath(folder))
    for name, path in inputs.items():
        real = Path(os.path.realpath(path))
        if output not in real.parents:
            continue
        inside = PurePosixPath(os.path.normcase(real.relative_to(output).as_posix()))
        # `match` alone would find masks/a.png in other/masks/a.png, too.
        if any(
            inside.match(pattern) and len(inside.parts) == len(PurePosixPath(pattern).parts)
            for pattern in PATTERNS
        ):
            raise UserError(
                f"{name} is a file that this run would write itself, in {folder}; "
                "choose another folder with hydra.run.dir=FOLDER"
            )
    own = own_files(folder)
    for name in (*_NAMES, LOG, *RECORDS):
        _refuse_foreign(folder, name, own)


def _refuse_foreign(folder: Path, name: str, own: Collection[str]) -> None:
    if name not in own and os.path.lexists(folder / name):
        raise UserError(
            f"{folder / name} is there already and is no earlier run's; "
            "choose another folder with hydra.run.dir=FOLDER"
        )


def own_files(folder: Path) -> set[str]:
    """The files in a folder that an earlier run's summary lists as its own, relative to it."""
    found = _listed(folder, "files")
    for name in _SUMMARIES:
        if _read_summary(folder / name) is not None:
            found.add(name)
    if found or (folder / STATE).is_dir() or _failed(folder):
        # A run that has failed, or is under way, has no list; these are what it may have left.
        found |= {LOG, *RECORDS}
    return {name for name in found if (folder / name).is_file()}


def _listed(folder: Path, kind: str) -> set[str]:
    """The ``files``, or ``folders``, of an earlier run's, relative to its folder."""
    found: set[str] = set()
    for name in _SUMMARIES:
        names = (_read_summary(folder / name) or {}).get(kind)
        if isinstance(names, list):
            found |= {inner for inner in names if isinstance(inner, str) and _is_inside(inner)}
    return found


def _read_summary(path: Path) -> dict[str, Any] | None:
    """A run's summary; None for anything else."""
    try:
        summary = json.loads(path.read_text())
    except (OSError, ValueError):
        return None
    return summary if isinstance(summary, dict) and isinstance(summary.get("files"), list) else None


def has_begun(folder: Path) -> bool:
    """Whether a run, or those of a folder of pictures, have left something to go on from."""
    below = [folder, *(path for path in folder.glob("*") if path.is_dir())]
    return any((path / name).exists() for path in below for name in (STATE, SUMMARY))


def _failed(folder: Path) -> bool:
    """Whether there is a run's record of its failure."""
    with suppress(OSError, ValueError, KeyError, TypeError):  # not there, or not a record
        failures.read(folder / failures.FILE)
        return True
    return False


def _is_inside(name: str) -> bool:
    path = PurePosixPath(name)
    return bool(path.parts) and not path.is_absolute() and ".." not in path.parts


def clear(folder: Path) -> None:
    """Take away what an earlier run lists as its own, and its record of a failure."""
    # The log is being written to.
    _remove(folder, own_files(folder) - {LOG}, _listed(folder, "folders"))
    _forget_failure(folder)


class Files:
    """The files of one result on their way into a folder.

    Args:
        folder: of the run.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._earlier = own_files(folder)
        self._earlier_folders = _listed(folder, "folders")
        self._names: list[str] = []
        self._shown: set[str] = set()
        self._made: list[Path] = []

    def add(self, name: str) -> Path:
        """Where a file is to be written until all are; the folder for it is made.

        Args:
            name: of the file, relative to the folder, with forward slashes.

        Raises:
            UserError: there is a file of that name that no earlier run lists.
        """
        path = self._folder / name
        _refuse_foreign(self._folder, name, self._earlier)
        missing = [p for p in path.parents if not p.exists()]
        path.parent.mkdir(parents=True, exist_ok=True)
        self._made += missing
        self._names.append(name)
        return self._folder / _partial(PurePosixPath(name))

    def show(self, summary: Mapping[str, Any], others: Collection[str] = ()) -> None:
        """Give all files their names, in place of an earlier run's, and write the summary last.

        Args:
            summary: of the run; ``files``, the list of them, is added.
            others: further files that are the run's own, and there already.
        """
        log = [LOG] if (self._folder / LOG).is_file() else []
        files = {*self._names, *others, *log}
        made = {path for path in self._made if self._folder in path.parents}
        own_folders = {path.relative_to(self._folder).as_posix() for path in made}
        own_folders |= self._earlier_folders
        summary = {**summary, "folders": sorted(own_folders)}
        draft = self._folder / _partial(PurePosixPath(SUMMARY))
        earlier = self._earlier - {SUMMARY, draft.name}
        # Who is stopped from here on leaves files of both runs; the next one knows them by this.
        _write_summary(summary, files | earlier, draft)
        (self._folder / SUMMARY).unlink(missing_ok=True)
        for name in self._names:
            self._shown.add(name)
            (self._folder / _partial(PurePosixPath(name))).replace(self._folder / name)
        _remove(self._folder, earlier - files, own_folders)
        _forget_failure(self._folder)
        _write_summary(summary, files, draft)
        draft.replace(self._folder / SUMMARY)

    def discard(self) -> None:
        """Take away what has been written."""
        for name in self._names:
            (self._folder / _partial(PurePosixPath(name))).unlink(missing_ok=True)
        for name in self._shown:
            (self._folder / name).unlink(missing_ok=True)
        if self._shown:
            (self._folder / _partial(PurePosixPath(SUMMARY))).unlink(missing_ok=True)
        for folder in sorted(self._made, key=lambda path: -len(path.parts)):
            with suppress(OSError):  # not empty
                folder.rmdir()


@contextmanager
def all_or_nothing(folder: Path) -> Iterator[Files]:
    """Files that are taken away again where an error keeps them from being shown.

    Args:
        folder: of the run.
    """
    files = Files(folder)
    try:
        yield files
    except BaseException as error:
        files.discard()
        if isinstance(error, OSError) and error.errno and error.filename is None:
            # Pillow does not say which file could not be written.
            error.filename = str(folder)
        raise


def _partial(name: PurePosixPath) -> PurePosixPath:
    """A file's name until it is whole, so that no half-written one is ever seen."""
    return name.with_name(f".{name.name}.partial")


def _write_summary(summary: Mapping[str, Any], files: Collection[str], path: Path) -> None:
    text = json.dumps({**summary, "files": sorted(files)}, indent=2) + "\n"
    whole = path.with_name(f"{path.name}.new")
    whole.write_text(text)
    whole.replace(path)


def _remove(folder: Path, names: set[str], folders: set[str]) -> None:
    for name in names:
        (folder / name).unlink(missing_ok=True)
    # An empty folder that somebody else has made stays.
    for inner in sorted(folders, reverse=True):
        with suppress(OSError):  # not empty
            (folder / inner).rmdir()


def _forget_failure(folder: Path) -> None:
    if _failed(folder):
        (folder / failures.FILE).unlink(missing_ok=True)
