"""The command line: Hydra composes the configuration, `run` does the work.

Whatever only the user can put right ends in one line on stderr and exit status 2.
"""

import atexit
import dataclasses
import functools
import logging
import os
import shutil
import sys
import tempfile
import traceback
from collections.abc import Sequence
from dataclasses import fields, is_dataclass
from pathlib import Path

import hydra
from hydra.core.hydra_config import HydraConfig
from hydra.errors import HydraException
from hydra.types import RunMode
from hydra.utils import get_original_cwd
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from pipeline.command import failures
from pipeline.command.overrides import is_sweep, literal, path_text, plain_override
from pipeline.compare.callback import FILES, write_report
from pipeline.config.compose import CONF, explain, known_keys, nearest, register
from pipeline.config.schema import Settings, fingerprint
from pipeline.errors import UserError, describe, fail
from pipeline.results.failures import Failure, record
from pipeline.results.folder import check_folder, clear
from pipeline.runtime import distributed

#: What Hydra puts in a run's folder before the run starts.
_HYDRA_FILES = {".hydra", "pipeline.log"}
# What failed in a single run: the picture's name, empty where there is one, and why. Raised through
# Hydra it would be announced by lines of Hydra's own.
_failed: dict[str, Failure] = {}
log = logging.getLogger(__name__)


def main() -> None:
    """Run the command with the process's arguments; exits with 0, 2 (bad input) or 130 (Ctrl-C)."""
    register()
    # Hydra would print errors its own way and exit with 1; so they come here instead.
    os.environ["HYDRA_FULL_ERROR"] = "1"
    # Apple's MPS lacks some resamplings; torch then takes the CPU for these alone.
    os.environ.setdefault("PYTORCH_ENABLE_MPS_FALLBACK", "1")
    sweep = is_sweep(sys.argv[1:])
    sys.argv[1:] = [plain_override(word, sweep) for word in sys.argv[1:]]
    if distributed.rank() > 0:
        _follow()
    try:
        _start()
    except KeyboardInterrupt:
        print(f"interrupted; {failures.how_to_go_on()}", file=sys.stderr)
        sys.exit(130)
    except Exception as error:
        message = _message(error)
        if message is None:
            raise
        fail(message)
    failed = _failed | failures.of_sweep
    defects = [failure.traceback for failure in failed.values() if failure.traceback]
    if defects:
        print(defects[0], end="", file=sys.stderr)
        sys.exit(1)
    if failed:
        fail(failures.one_line(failed))


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


def _task(configuration: DictConfig) -> None:
    """One run of Hydra's, in this process or, in a sweep, in one that a launcher has started."""
    chosen = HydraConfig.get()
    output = Path(chosen.runtime.output_dir)
    try:
        _refuse_unknown(configuration, Settings)
        settings = OmegaConf.to_object(configuration)
        assert isinstance(settings, Settings)
        failed = _work(settings, configuration, output)
        if chosen.mode != RunMode.MULTIRUN:
            _failed.update(failed)
    except Exception as error:
        failure = _failure(error, configuration.size)
        if chosen.mode == RunMode.MULTIRUN:
            # The other runs go on all the same.
            record(output, failure)
        elif failure.traceback:
            _remove_if_empty(output)
            raise
        else:
            _remove_if_empty(output)
            _failed[""] = failure
    except BaseException:
        _remove_if_empty(output)
        raise


# Not a decorator: launchers send the function to other processes by its name.
_start = hydra.main(version_base="1.3", config_path=str(CONF), config_name="config")(_task)


def _work(settings: Settings, configuration: DictConfig, output: Path) -> dict[str, Failure]:
    """Paint the picture, or all pictures; what failed of these, by name."""
    # Composition has succeeded; only now is torch worth its seconds to import.
    from pipeline.command import batch
    from pipeline.pictures import read

    start, overrides = Path(get_original_cwd()), list(HydraConfig.get().overrides.task)
    sources = read.content_files(settings.content, start)
    if sources is None:
        _paint(settings, output, start, overrides)
        return {}
    check_folder(output)
    for source in sources:
        if os.path.realpath(start / source) in {os.path.realpath(output / name) for name in FILES}:
            raise UserError(
                f"{source} has the name of a report that would be written over it; "
                "choose another folder with hydra.run.dir=FOLDER"
            )
    clear(output)

    def paint_one(source: str, folder: Path) -> None:
        words = batch.overrides_of_one(overrides, f"content={literal(source)}")
        values = OmegaConf.merge(configuration, {"content": path_text(source), "resume": False})
        one = dataclasses.replace(settings, content=source)
        _paint(one, folder, start, words, values)

    explain_error = functools.partial(_failure, size=settings.size)
    failed = batch.carry_out(sources, output, paint_one, explain_error)
    if "report" in HydraConfig.get().callbacks:
        write_report(output)
    return failed


def _paint(
    settings: Settings,
    output: Path,
    start: Path,
    overrides: Sequence[str],
    record: object = None,
) -> None:
    """One picture's run, unless it is to be left as it is.

    Args:
        settings, output, start, overrides: as `run.run`.
        record: its configuration, where Hydra has not written it.
    """
    from pipeline.results.summary import is_finished
    from pipeline.run import run

    if settings.resume and distributed.size() > 1:
        raise UserError("resume=true is for one process; leave out torchrun")
    if settings.resume and is_finished(output, fingerprint(settings)):
        log.info("%s is finished already", output)
        return
    if record is not None:
        folder = output / ".hydra"
        folder.mkdir(parents=True, exist_ok=True)
        OmegaConf.save(record, folder / "config.yaml")
        OmegaConf.save(OmegaConf.create([*overrides]), folder / "overrides.yaml")
    run(settings, output, start, overrides)


def _failure(error: Exception, size: int | str) -> Failure:
    """What to say of an error that ended a run."""
    if _is_out_of_memory(error):
        return Failure(
            f"not enough memory at size={size}; lower size or optimizer.history, "
            "or choose encoder=compact"
        )
    message = _message(error)
    if message is not None:
        return Failure(message)
    log.debug("a defect", exc_info=error)
    return Failure(f"{type(error).__name__}: {error}", "".join(traceback.format_exception(error)))


def _is_out_of_memory(error: Exception) -> bool:
    if not isinstance(error, RuntimeError | MemoryError):
        return False
    # Imports torch, which whatever ran out of memory has done already.
    from pipeline.runtime.memory import is_out_of_memory

    return is_out_of_memory(error)


def _message(error: Exception) -> str | None:
    """One line for what the user can put right; None for a defect of ours."""
    # First, as some of Hydra's are OSErrors, too.
    if isinstance(error, HydraException | OmegaConfBaseException):
        return explain(error)
    if isinstance(error, UserError | OSError):
        return describe(error)
    return None


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
