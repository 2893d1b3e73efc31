"""First iteration: ``python -m pipeline.benchmark.first_iteration BEGAN OVERRIDE...``.

Does what ``python -m pipeline OVERRIDE...`` does until the first iteration is done, prints the
seconds since ``BEGAN`` (of `time.time`, before the process was started) and ends.
"""

import sys
import time
from pathlib import Path

from pipeline.config.compose import compose_settings
from pipeline.errors import fails_in_one_line
from pipeline.runtime.threads import choose_waiting


def main(words: list[str]) -> None:
    """The command; exits with 2 where the user has to put something right."""
    began = float(words[0])
    choose_waiting()
    with fails_in_one_line():
        settings = compose_settings(words[1:])
        # As in the command: composition comes first, then what imports torch.
        from pipeline.engine.progress import LossRow
        from pipeline.run import stylize

        def watch(row: LossRow) -> None:
            print(f"{time.time() - began:.4f}")
            sys.exit()

        stylize(settings, Path.cwd(), watch=watch)


if __name__ == "__main__":
    main(sys.argv[1:])
