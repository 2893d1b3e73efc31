"""Task: one run of Hydra's, of one picture or of many, in a folder of its own.

In a sweep it may run in a process that a launcher has started, so a failing run leaves a record in
its folder (`failures.Collect` reads it); a single run reports what failed.
"""

import dataclasses
import functools
import logging
import os
import shutil
from collections.abc import Sequence
from pathlib import Path

import hydra
from hydra.core.hydra_config import HydraConfig
from hydra.types import RunMode
from hydra.utils import get_original_cwd
from omegaconf import DictConfig, OmegaConf

from pipeline.command import batch, failures
from pipeline.command.messages import failure
from pipeline.command.overrides import literal, path_text
from pipeline.compare.callback import FILES, write_report
from pipeline.config.compose import CONF, refuse_unknown
from pipeline.config.schema import Settings, fingerprint
from pipeline.errors import UserError
from pipeline.results.failures import Failure, record
from pipeline.results.folder import PATTERNS, check_folder, clear
from pipeline.runtime import distributed

#: What Hydra puts in a run's folder before the run starts.
_HYDRA_FILES = {".hydra", "pipeline.log"}
log = logging.getLogger(__name__)


def task(configuration: DictConfig) -> None:
    """Paint what a configuration describes; failures are recorded or reported, not raised.

    Raises:
        Exception: a defect of ours in a single run.
    """
    chosen = HydraConfig.get()
    output, sweep = Path(chosen.runtime.output_dir), chosen.mode == RunMode.MULTIRUN
    try:
        refuse_unknown(configuration)
        settings = OmegaConf.to_object(configuration)
        assert isinstance(settings, Settings)
        failed = _paint(settings, configuration, output)
    except Exception as error:
        # As it is written: it may be what cannot be resolved.
        size = OmegaConf.to_container(configuration, resolve=False)["size"]  # type: ignore[index,call-overload]
        why = failure(error, size, output)
        if sweep:
            # The other runs go on all the same.
            record(output, why)
            return
        _remove_if_empty(output)
        if why.traceback:
            raise
        # Raised through Hydra it would be announced by lines of Hydra's own.
        failures.report({"": why})
    except BaseException:
        _remove_if_empty(output)
        raise
    else:
        if not sweep:
            failures.report(failed)


# Not a decorator: launchers send the function to other processes by its name.
start = hydra.main(version_base="1.3", config_path=str(CONF), config_name="config")(task)


def _paint(settings: Settings, configuration: DictConfig, output: Path) -> dict[str, Failure]:
    """Paint the picture, or all pictures; what failed of these, by name."""
    # Composition has succeeded; only now is torch worth its seconds to import.
    from pipeline.pictures import read

    began_in, overrides = Path(get_original_cwd()), list(HydraConfig.get().overrides.task)
    sources = read.content_files(settings.content, began_in)
    if sources is None:
        _paint_one(settings, output, began_in, overrides)
        return {}
    check_folder(output)
    reports = {os.path.realpath(output / name) for name in FILES}
    for source in sources:
        if os.path.realpath(began_in / source) in reports:
            raise UserError(
                f"{source} has the name of a report that would be written over it; "
                "choose another folder with hydra.run.dir=FOLDER"
            )
    clear(output)

    def paint(source: str, folder: Path) -> None:
        words = batch.overrides_of_one(overrides, f"content={literal(source)}")
        values = OmegaConf.merge(configuration, {"content": path_text(source), "resume": False})
        one = dataclasses.replace(settings, content=source)
        _paint_one(one, folder, began_in, words, values)

    kept = {f"{HydraConfig.get().job.name}.log", ".hydra", *PATTERNS}
    explain = functools.partial(failure, size=settings.size, folder=output)
    failed = batch.carry_out(sources, output, paint, explain, kept)
    if "report" in HydraConfig.get().callbacks:
        write_report(output)
    return failed


def _paint_one(
    settings: Settings,
    output: Path,
    began_in: Path,
    overrides: Sequence[str],
    configuration: object = None,
) -> None:
    """One picture's run, unless it is to be left as it is.

    Args:
        settings, output, overrides: as `run.run`.
        began_in: folder where the command was started.
        configuration: to be recorded, where Hydra has not done so.
    """
    from pipeline.results.summary import is_finished
    from pipeline.run import run

    if settings.resume and distributed.size() > 1:
        raise UserError("resume=true is for one process; leave out torchrun")
    if settings.resume and is_finished(output, fingerprint(settings)):
        log.info("%s is finished already", output)
        return
    if configuration is not None:
        folder = output / ".hydra"
        folder.mkdir(parents=True, exist_ok=True)
        OmegaConf.save(configuration, folder / "config.yaml")
        OmegaConf.save(OmegaConf.create([*overrides]), folder / "overrides.yaml")
    run(settings, output, began_in, overrides)


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
