"""Many pictures: one run a picture, each in a folder of its own; a failing one stops no other."""

import logging
import re
from collections.abc import Callable, Collection, Sequence
from pathlib import Path

from pipeline.compare.callback import FILES
from pipeline.paths import shown
from pipeline.results.failures import Failure, record
from pipeline.results.file_names import file_names

log = logging.getLogger(__name__)

#: Carries out one picture's run in a folder; what it raises is the picture's failure.
Work = Callable[[str, Path], None]


def folders(sources: Sequence[str], output: Path, kept: Collection[str] = ()) -> dict[str, Path]:
    """A folder in ``output`` for each picture: its name without the ending, made safe.

    Of pictures with the same name, the second one's ends in ``-2``, and so on (`file_names`).

    Args:
        sources: the pictures' paths, in an order that stays the same from run to run.
        output: folder for all of them.
        kept: further names of files there.
    """
    # Files of the comparison lie beside the folders.
    taken = {*FILES, *kept}
    found: dict[str, Path] = {}
    for source in sources:
        (name,) = file_names([Path(source).stem], taken).values()
        taken.add(name)
        found[source] = output / name
    return found


def share_of(sources: Sequence[str], share: int, shares: int) -> list[str]:
    """One of the parts in which pictures are painted side by side: every ``shares``-th.

    Args:
        sources: the pictures' paths.
        share: which part, from 1.
        shares: how many there are.
    """
    return [*sources[share - 1 :: shares]]


def carry_out(
    sources: Sequence[str],
    output: Path,
    work: Work,
    explain: Callable[[str, Exception], Failure],
    kept: Collection[str] = (),
) -> dict[str, Failure]:
    """Carry out one run a picture.

    Args:
        sources: the pictures' paths.
        output: folder for all of them.
        work: carries out one.
        explain: what to say of a picture's error.
        kept: as `folders`.

    Returns:
        What has failed, by the name of the picture's folder; ``failed.json`` there says so, too.
    """
    failed: dict[str, Failure] = {}
    for number, (source, folder) in enumerate(folders(sources, output, kept).items(), start=1):
        log.info("picture %d of %d: %s", number, len(sources), shown(source))
        try:
            work(source, folder)
        except Exception as error:
            failed[folder.name] = explain(source, error)
            log.info("failed: %s", failed[folder.name].message)
            record(folder, failed[folder.name])
    return failed


def overrides_of_one(overrides: Sequence[str], content: str) -> list[str]:
    """A command's overrides with one picture in place of all.

    Args:
        overrides: of the command.
        content: the override that names the picture.
    """
    return [*(word for word in overrides if not re.match(r"\+{0,2}content=", word)), content]
