"""Messages: what to say of an error that ended a run, and of all that failed, in one line."""

import logging
import traceback
from collections.abc import Mapping
from pathlib import Path

from hydra.errors import HydraException
from omegaconf.errors import OmegaConfBaseException

from pipeline.config.compose import explain
from pipeline.errors import UserError, describe
from pipeline.results.failures import Failure

log = logging.getLogger(__name__)


def failure(error: Exception, size: object, folder: Path | None = None) -> Failure:
    """Why a run has no result.

    Args:
        error: that ended it.
        size: the setting, for want of memory.
        folder: of the run.
    """
    if _is_out_of_memory(error):
        return Failure(
            f"not enough memory at size={size}; lower size or optimizer.history, "
            "or choose encoder=compact"
        )
    line = message(error, folder)
    if line is not None:
        return Failure(line)
    log.debug("a defect", exc_info=error)
    return Failure(f"{type(error).__name__}: {error}", "".join(traceback.format_exception(error)))


def _is_out_of_memory(error: Exception) -> bool:
    if not isinstance(error, RuntimeError | MemoryError):
        return False
    # Imports torch, which whatever ran out of memory has done already.
    from pipeline.runtime.memory import is_out_of_memory

    return is_out_of_memory(error)


def message(error: Exception, folder: Path | None = None) -> str | None:
    """One line for what the user can put right; None for a defect of ours.

    Args:
        error: that ended a run.
        folder: of the run, if it is known.
    """
    # First, as some of Hydra's are OSErrors, too.
    if isinstance(error, HydraException | OmegaConfBaseException):
        return explain(error)
    if isinstance(error, UserError | OSError):
        return describe(error, folder=folder)
    return None


def one_line(failed: Mapping[str, Failure]) -> str:
    """All messages, each once, after the names of those that it is about."""
    named: dict[str, list[str]] = {}
    for name, why in failed.items():
        named.setdefault(why.message, []).append(name)
    return " | ".join(f"{_few(names)}{line}" for line, names in named.items())


def _few(names: list[str]) -> str:
    more = f" and {len(names) - 3} more" if len(names) > 3 else ""
    start = ", ".join(names[:3]) + more
    return f"{start}: " if start else ""
