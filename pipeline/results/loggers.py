"""Loggers: experiment trackers that people use beside the files of a run."""

import importlib.util
from collections import Counter
from collections.abc import Mapping
from pathlib import Path, PurePath
from types import TracebackType
from typing import Any, Protocol, Self

from torch import Tensor

from pipeline.engine.progress import LossRow
from pipeline.errors import UserError
from pipeline.results.folder import own_files

#: Names of its files.
_EVENTS = "events.out.tfevents.*"
_TERMS = ("total", "content", "style", "tv")


class Logger(Protocol):
    """Keeps the losses while a run goes on, and its pictures.

    Attributes:
        files: names of the files it has made in the run's folder.
    """

    files: list[str]

    def __enter__(self) -> Self:
        """Begin."""
        ...

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """End, whatever has happened."""
        ...

    def advance(self, row: LossRow) -> None:
        """One iteration is done."""
        ...

    def show(self, pictures: Mapping[str, Tensor], step: int) -> None:
        """Keep pictures, name to (1, 3, H, W) in [0, 1], as after ``step`` iterations."""
        ...


class NoLogger:
    """``logger=none``: keeps nothing."""

    def __init__(self) -> None:
        self.files: list[str] = []

    def __enter__(self) -> Self:
        """Begin."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """End."""

    def advance(self, row: LossRow) -> None:
        """One iteration is done."""

    def show(self, pictures: Mapping[str, Tensor], step: int) -> None:
        """Keep nothing."""


class TensorBoard:
    """``logger=tensorboard``: an event file in the run's folder, in place of an earlier run's.

    Scalars ``loss/total``, ``loss/content``, ``loss/style`` and ``loss/tv``, weighted, over all
    iterations of all regions and sizes.

    Args:
        folder: of the run.

    Raises:
        UserError: TensorBoard is not installed.
    """

    def __init__(self, folder: Path) -> None:
        if importlib.util.find_spec("tensorboard") is None:
            raise UserError(
                'logger=tensorboard needs TensorBoard: pip install -e ".[tensorboard]", '
                "or leave logger=none"
            )
        self.files: list[str] = []
        self._folder = folder
        self._steps = Counter[str]()  # by stage: those of several regions come in turns
        self._open: Any = None

    def __enter__(self) -> Self:
        """Begin; the file is made with the first entry, so that bad input leaves nothing."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Close the file; of a run that has failed none is left."""
        if self._open is not None:
            self._open.close()
            if kind is not None:
                self._remove()

    def advance(self, row: LossRow) -> None:
        """Write an iteration's losses."""
        step = self._steps[row.stage]
        for term in _TERMS:
            self._writer.add_scalar(f"loss/{term}/{row.stage}", getattr(row, term), step)
        self._steps[row.stage] += 1

    def show(self, pictures: Mapping[str, Tensor], step: int) -> None:
        """Write pictures."""
        for name, picture in pictures.items():
            self._writer.add_image(name, picture[0].clamp(0, 1), step)

    @property
    def _writer(self) -> Any:
        if self._open is None:
            from torch.utils.tensorboard import SummaryWriter

            before = set(self._folder.glob(_EVENTS))
            for name in own_files(self._folder):
                if PurePath(name).match(_EVENTS):
                    (self._folder / name).unlink()
            self._open = SummaryWriter(str(self._folder))
            self.files = [path.name for path in set(self._folder.glob(_EVENTS)) - before]
        return self._open

    def _remove(self) -> None:
        for name in self.files:
            (self._folder / name).unlink(missing_ok=True)


def logger(name: str, folder: Path) -> Logger:
    """The logger of that name, ``none`` or ``tensorboard``, for a run's folder.

    Raises:
        UserError: what it needs is not installed.
    """
    return TensorBoard(folder) if name == "tensorboard" else NoLogger()
