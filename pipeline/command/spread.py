"""Spread: a folder of pictures over a launcher's processes, as a sweep of its parts."""

import os
import re
from collections.abc import Sequence
from pathlib import Path

from pipeline.command.overrides import is_sweep
from pipeline.errors import UserError
from pipeline.paths import names_many


def spread(words: Sequence[str]) -> list[str]:
    """A command's arguments; with a launcher and a folder of pictures, those of a sweep.

    Hydra's launchers carry out sweeps alone, so ``content=FOLDER hydra/launcher=joblib`` becomes
    ``-m shares=N share=1,...,N`` with as many parts as ``shares`` or the launcher's jobs say, or
    else as this machine has cores.

    Args:
        words: arguments as the user wrote them.
    """
    launcher = _last(words, r"\+*hydra/launcher")
    if launcher in ("", "basic") or is_sweep(words) or _last(words, r"\+*share"):
        return [*words]
    try:
        if not names_many(_last(words, r"\+*content"), Path()):
            return [*words]
    except (UserError, OSError):  # the run says what is wrong
        return [*words]
    asked = _last(words, r"\+*shares") or _last(words, r"\+*hydra\.launcher\.n_jobs")
    shares = int(asked) if asked.isdecimal() and int(asked) else os.cpu_count() or 1
    others = [word for word in words if not re.match(r"\+*shares=", word)]
    parts = ",".join(str(number + 1) for number in range(shares))
    return ["-m", *others, f"shares={shares}", f"share={parts}"]


def _last(words: Sequence[str], key: str) -> str:
    """The value that a setting is given last; empty where it is given none."""
    found = [word.partition("=")[2] for word in words if re.match(rf"{key}=", word)]
    return found[-1] if found else ""
