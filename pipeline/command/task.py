"""Task: one run of Hydra's, of one picture or of many, in a folder of its own.

In a sweep it may run in a process that a launcher has started, so a failing run leaves a record in
its folder (`failures.Collect` reads it); a single run reports what failed.
"""

import dataclasses
import logging
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from hydra.core.hydra_config import HydraConfig
from hydra.types import RunMode
from hydra.utils import get_original_cwd
from omegaconf import DictConfig, OmegaConf

from pipeline.command import batch, failures
from pipeline.command.messages import failure
from pipeline.command.overrides import literal, path_text
from pipeline.compare.callback import FILES, write_report
from pipeline.config.compose import refuse_unknown
from pipeline.config.entry import command
from pipeline.config.schema import Settings, fingerprint
from pipeline.errors import UserError
from pipeline.results.failures import Failure, record
from pipeline.results.folder import PATTERNS, RECORDS, check_folder, clear
from pipeline.results.lock import locked
from pipeline.runtime import distributed

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
            record(output, _named(why, configuration, _overrides()))
            return
        failures.clear_up()
        if why.traceback:
            raise
        # Raised through Hydra it would be announced by lines of Hydra's own.
        failures.report({"": why})
    except BaseException:
        failures.clear_up()
        raise
    else:
        if not sweep:
            failures.report(failed)


# Not a decorator: launchers send the function to other processes by its name.
start = command("config")(task)


def _paint(settings: Settings, configuration: DictConfig, output: Path) -> dict[str, Failure]:
    """Paint the picture, or all pictures; what failed of these, by name."""
    # Composition has succeeded; only now is torch worth its seconds to import.
    from pipeline.pictures import read

    began_in, overrides = Path(get_original_cwd()), _overrides()
    sources = read.content_files(settings.content, began_in)
    if sources is not None and settings.shares > 1:
        sources = batch.share_of(sources, settings.share, settings.shares)
        if not sources:
            log.info("there are fewer pictures than shares; none is left for this one")
            return {}
    if sources is None:
        _paint_one(settings, output, began_in, overrides, configuration)
        return {}
    check_folder(output)
    with locked(output):
        return _paint_all(settings, configuration, output, sources)


def _paint_all(
    settings: Settings, configuration: DictConfig, output: Path, sources: Sequence[str]
) -> dict[str, Failure]:
    """Paint many pictures, each in a folder of its own; what failed of these, by name."""
    began_in, overrides = Path(get_original_cwd()), _overrides()
    reports = {os.path.realpath(output / name) for name in FILES}
    for source in sources:
        if os.path.realpath(began_in / source) in reports:
            raise UserError(
                f"{source} has the name of a report that would be written over it; "
                "choose another folder with hydra.run.dir=FOLDER"
            )
    clear(output)

    def of_one(source: str) -> tuple[list[str], DictConfig]:
        words = batch.overrides_of_one(overrides, f"content={literal(source)}")
        return words, _merged(configuration, {"content": path_text(source), "resume": False})

    def paint(source: str, folder: Path) -> None:
        words, values = of_one(source)
        one = dataclasses.replace(settings, content=source)
        _paint_one(one, folder, began_in, words, values)

    def explain(source: str, error: Exception) -> Failure:
        words, values = of_one(source)
        return _named(failure(error, settings.size, output), values, words)

    kept = {f"{HydraConfig.get().job.name}.log", ".hydra", *PATTERNS}
    failed = batch.carry_out(sources, output, paint, explain, kept)
    if "report" in HydraConfig.get().callbacks:
        write_report(output)
    return failed


def _paint_one(
    settings: Settings,
    output: Path,
    began_in: Path,
    overrides: Sequence[str],
    configuration: DictConfig,
) -> None:
    """One picture's run, unless it is to be left as it is.

    Args:
        settings, output, overrides: as `run.run`.
        began_in: folder where the command was started.
        configuration: to be recorded.
    """
    from pipeline import build
    from pipeline.results.summary import describe_inputs, is_finished
    from pipeline.run import run

    if settings.resume and distributed.size() > 1:
        raise UserError("resume=true is for one process; leave out torchrun")
    if settings.resume:
        inputs = describe_inputs(build.request(settings).files(began_in))
        if is_finished(output, fingerprint(settings), inputs):
            log.info("%s is finished already", output)
            return
    texts = [OmegaConf.to_yaml(configuration), *map(OmegaConf.to_yaml, (_of_hydra(), [*overrides]))]
    run(settings, output, began_in, overrides, dict(zip(RECORDS, texts, strict=True)))


def _overrides() -> list[str]:
    """What the command line changed, as it was read: ``${...}`` in a path stays escaped."""
    words = OmegaConf.to_container(HydraConfig.get().overrides.task, resolve=False)
    assert isinstance(words, list)
    return [str(word) for word in words]


def _of_hydra() -> DictConfig:
    """Hydra's own configuration of this run."""
    found = HydraConfig.instance().cfg
    assert isinstance(found, DictConfig)
    return OmegaConf.masked_copy(found, ["hydra"])


def _merged(configuration: DictConfig, changes: Mapping[str, Any]) -> DictConfig:
    merged = OmegaConf.merge(configuration, changes)
    assert isinstance(merged, DictConfig)
    return merged


def _named(why: Failure, configuration: DictConfig, overrides: Sequence[str]) -> Failure:
    """A failure with the run that it is of, for those who compare runs."""
    settings = OmegaConf.to_container(configuration, resolve=False, enum_to_str=True)
    assert isinstance(settings, dict)
    named = {str(key): value for key, value in settings.items()}
    return dataclasses.replace(why, overrides=[*map(str, overrides)], settings=named)
