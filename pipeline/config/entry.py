"""Commands that Hydra configures, on Python 3.14 too.

Since 3.14 argparse looks into an option's help when the option is made, and refuses what is no
text. Hydra 1.3's ``--shell-completion`` has help that becomes text only where it is shown
(facebookresearch/hydra, issue 3121), so that all its commands ended in a traceback.
"""

import importlib
from argparse import Action, ArgumentParser
from collections.abc import Callable
from typing import Any

import hydra
from hydra._internal import utils

from pipeline.config.compose import CONF

#: What Hydra passes a function, whose result it does not use.
Task = Callable[[Any], Any]


def command(name: str) -> Callable[[Task], Callable[[], None]]:
    """Decorator: makes a function a command, with a configuration of the folder `CONF`.

    Args:
        name: of the configuration's file, without its suffix.
    """
    importlib.import_module("hydra.main").get_args_parser = args_parser  # type: ignore[attr-defined]
    return hydra.main(version_base="1.3", config_path=str(CONF), config_name=name)


def args_parser() -> ArgumentParser:
    """Hydra's parser of a command's arguments."""
    check = getattr(ArgumentParser, "_check_help", None)
    if check is None:
        return utils.get_args_parser()

    def check_text(parser: ArgumentParser, action: Action) -> None:
        if isinstance(action.help, str):
            check(parser, action)

    ArgumentParser._check_help = check_text  # type: ignore[attr-defined]
    try:
        return utils.get_args_parser()
    finally:
        ArgumentParser._check_help = check  # type: ignore[attr-defined]
