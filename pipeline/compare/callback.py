"""The comparison at the end of every sweep, by a callback of Hydra's."""

import logging
from pathlib import Path
from typing import Any

from hydra.experimental.callback import Callback
from omegaconf import DictConfig

from pipeline.errors import UserError

log = logging.getLogger(__name__)

#: What a comparison is written to, in its folder.
FILES = ("report.html", "contact_sheet.png", "results.csv")


def write_report(folder: Path) -> None:
    """Compare the runs in a folder, if one has left something; a failure here costs no run."""
    # Imported late: Hydra makes the callback before every command, a single run's too.
    from pipeline.compare.report import report

    try:
        report([folder], folder)
    except UserError as error:
        log.warning("no comparison: %s", error)
    except OSError as error:
        log.warning("no comparison: %s: %s", error.filename or folder, error.strerror or error)


class Report(Callback):
    """Writes a sweep's comparison into its folder (`conf/hydra/callbacks/report.yaml`)."""

    def on_multirun_end(self, config: DictConfig, **kwargs: Any) -> None:
        """Compare the runs."""
        write_report(Path(config.hydra.sweep.dir))
