"""The command line: Hydra composes the configuration, `run` does the work.

Whatever only the user can put right ends in one line on stderr and exit status 2.
"""

import json
import logging
import os
import re
import shutil
import sys
from dataclasses import fields, is_dataclass
from pathlib import Path
from typing import NoReturn

import hydra
from hydra.core.hydra_config import HydraConfig
from hydra.errors import HydraException
from hydra.types import RunMode
from hydra.utils import get_original_cwd
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from pipeline.configuration import CONF, explain, known_keys, nearest
from pipeline.errors import UserError
from pipeline.settings import Settings, register

#: What Hydra puts in a run's folder before the run starts.
_HYDRA_FILES = {".hydra", "pipeline.log"}
_OUT_OF_MEMORY = re.compile("out of memory|not enough memory|can't allocate memory", re.I)
#: Settings whose values are paths, which may hold characters of Hydra's grammar.
_PATHS = re.compile(
    r"(\+{0,2}(?:content|reference|init|regions|(?:styles|regions)\.[\w.]+|\w+\.weights)=)(.*)",
    re.DOTALL,
)
_SWEEPS = ("choice(", "range(", "interval(", "glob(", "shuffle(", "sort(", "tag(")
# Messages of the runs that failed. Raised through Hydra they would stop a sweep and be announced
# by lines of its own.
_failed: list[str] = []
# What runs of a sweep came to grief of unexpectedly; raised when the sweep is over.
_crashed: list[Exception] = []
log = logging.getLogger(__name__)


def main() -> None:
    """Run the command with the process's arguments; exits with 0, 2 (bad input) or 130 (Ctrl-C)."""
    register()
    # Hydra would print errors its own way and exit with 1; so they come here instead.
    os.environ["HYDRA_FULL_ERROR"] = "1"
    # Apple's MPS lacks some resamplings; torch then takes the CPU for these alone.
    os.environ.setdefault("PYTORCH_ENABLE_MPS_FALLBACK", "1")
    sweep = not {"-m", "--multirun"}.isdisjoint(sys.argv)
    sys.argv[1:] = [plain_override(word, sweep) for word in sys.argv[1:]]
    try:
        _task()
        if _crashed:
            raise _crashed[0]
        if _failed:
            _fail(" | ".join(_failed))
    except UserError as error:
        _fail(str(error))
    except (HydraException, OmegaConfBaseException) as error:
        _fail(explain(error))
    except OSError as error:
        _fail(
            f"{error.filename or 'file'}: {error.strerror or error}; choose another folder or file"
        )
    except KeyboardInterrupt:
        print("interrupted; no result was written", file=sys.stderr)
        sys.exit(130)


@hydra.main(version_base="1.3", config_path=str(CONF), config_name="config")
def _task(configuration: DictConfig) -> None:
    output = Path(HydraConfig.get().runtime.output_dir)
    try:
        # Composition has succeeded; only now is torch worth its seconds to import.
        from pipeline.run import run

        _refuse_unknown(configuration, Settings)
        settings = OmegaConf.to_object(configuration)
        assert isinstance(settings, Settings)
        run(settings, output, Path(get_original_cwd()), list(HydraConfig.get().overrides.task))
    except UserError as error:
        _give_up(output, str(error))
    except Exception as error:
        if _OUT_OF_MEMORY.search(str(error)) and isinstance(error, RuntimeError):
            _give_up(
                output,
                f"not enough memory at size={configuration.size}; lower size or optimizer.history, "
                "or choose encoder=compact",
            )
        elif HydraConfig.get().mode == RunMode.MULTIRUN:
            # A defect of ours; the other runs go on all the same.
            log.exception("run %s failed", HydraConfig.get().job.num)
            _crashed.append(error)
            _give_up(output, f"{type(error).__name__}: {error}")
        else:
            _remove_if_empty(output)
            raise
    except BaseException:
        _remove_if_empty(output)
        raise


def _give_up(output: Path, message: str) -> None:
    """Take note of a failed run; of a sweep's, in its folder, where the comparison reads it."""
    chosen = HydraConfig.get()
    if chosen.mode != RunMode.MULTIRUN:
        _remove_if_empty(output)
        _failed.append(message)
        return
    (output / "failed.json").write_text(json.dumps({"message": message}) + "\n")
    _failed.append(f"run {chosen.job.num}: {message}")


def _refuse_unknown(configuration: DictConfig, schema: type, prefix: str = "") -> None:
    """A plus sign gets past the schema; what it added is refused here."""
    known = {entry.name: entry.type for entry in fields(schema)}
    for key, value in ((str(key), value) for key, value in configuration.items()):
        if key not in known:
            name = f"{prefix}{key}"
            raise UserError(
                f"no setting {name!r};{nearest(name, known_keys())} see python -m pipeline --help"
            )
        kind = known[key]
        if is_dataclass(kind) and isinstance(value, DictConfig):
            assert isinstance(kind, type)
            _refuse_unknown(value, kind, f"{prefix}{key}.")


def plain_override(word: str, sweep: bool) -> str:
    """What the user means by an argument, in Hydra's grammar.

    ``styles`` and ``regions`` are empty by default, so Hydra wants ``+styles.person=...``; without
    the plus is meant too. ``regions.sky=...`` is its source. And a path such as ``photo (1).png``
    is quoted.

    Args:
        word: an argument.
        sweep: whether commas separate the values of a sweep.
    """
    if word.startswith(("styles.", "regions.")):
        word = f"+{word}"
    # So that regions.logo.feather can be said beside regions.logo.
    word = re.sub(r"^(\+{1,2}regions\.(?!labels=)\w+)=(?!\{)", r"\1.source=", word)
    found = _PATHS.fullmatch(word)
    if not found or found[2].startswith(("'", '"', "[", "{", *_SWEEPS)):
        return word
    special = "()[]{}=:'\"" if sweep else "()[]{}=:'\","
    if not any(character in special for character in found[2]):
        return word
    quoted = found[2].replace("'", "\\'")
    return f"{found[1]}'{quoted}'"


def _remove_if_empty(output: Path) -> None:
    """Take away what Hydra left of a run that did not start, unless results are there, too."""
    if not output.is_dir() or not {entry.name for entry in output.iterdir()} <= _HYDRA_FILES:
        return
    logging.shutdown()
    shutil.rmtree(output / ".hydra", ignore_errors=True)
    (output / "pipeline.log").unlink(missing_ok=True)
    here = Path.cwd()
    # The day's folder, too, if this was its first run; never the one the command started in.
    for folder in (output, output.parent):
        inside = folder == output or (here in folder.parents and folder.name != "outputs")
        if folder == here or folder in here.parents or not inside or any(folder.iterdir()):
            break
        folder.rmdir()


def _fail(message: str) -> NoReturn:
    print("error: " + " ".join(message.split()), file=sys.stderr)
    sys.exit(2)
