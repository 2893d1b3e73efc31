"""Composing: the command's configuration is read by Hydra, and what could run code is refused.

Hydra makes the objects that ``_target_``, ``class`` or ``()`` name in its own part of the
configuration: callbacks, launchers, sweepers, handlers of the log. A configuration that comes from
somewhere else, by ``--config-dir`` or ``hydra.searchpath``, must not choose them.
"""

import re
from collections.abc import Iterator
from typing import Any

import yaml
from hydra._internal import hydra as internal
from hydra._internal.config_loader_impl import ConfigLoaderImpl
from hydra.errors import ConfigCompositionException
from omegaconf import DictConfig, OmegaConf

from pipeline.errors import UserError

#: What Hydra and OmegaConf raise besides their own errors for a configuration that is wrong.
ERRORS = (AttributeError, RecursionError, TypeError, ValueError, yaml.YAMLError)

# What Hydra may make: its own, its launchers', ours, and the log's handlers.
_ALLOWED = re.compile(
    r"hydra\._internal\.core_plugins\.\w+\.\w+"
    r"|hydra_plugins\.hydra_(?:joblib|submitit|ray)_launcher\.\w+\.\w+"
    r"|pipeline\.command\.failures\.Collect|pipeline\.compare\.callback\.Report"
    r"|logging\.(?:StreamHandler|FileHandler|NullHandler|Formatter)"
    r"|colorlog\.ColoredFormatter|ext://sys\.std(?:out|err)"
)
_MAKERS = ("_target_", "class", "()", "factory")


class Loader(ConfigLoaderImpl):
    """Hydra's own, but that it makes one error of all, and refuses what could run code."""

    def load_configuration(self, *args: Any, **kwargs: Any) -> DictConfig:
        """The configuration of a command, or of one run of a sweep.

        Raises:
            UserError: it names an object that Hydra is not to make.
            ConfigCompositionException: it cannot be read.
        """
        try:
            found = super().load_configuration(*args, **kwargs)
            makers = [*_makers(OmegaConf.to_container(found.hydra, resolve=False))]
        except ERRORS as error:
            raise ConfigCompositionException(" ".join(str(error).split())) from error
        for key, value in makers:
            if not _ALLOWED.fullmatch(str(value)):
                raise UserError(
                    f"hydra{key}={value} is refused: a configuration must not choose code to run; "
                    "leave it out"
                )
        return found


def install() -> None:
    """Let Hydra read the configuration of this process by `Loader`."""
    internal.ConfigLoaderImpl = Loader  # type: ignore[attr-defined]


def _makers(tree: Any, key: str = "") -> Iterator[tuple[str, Any]]:
    """Whatever names an object to be made, by its dotted key."""
    if isinstance(tree, dict):
        for name, value in tree.items():
            if name in _MAKERS and value is not None:
                yield f"{key}.{name}", value
            else:
                yield from _makers(value, f"{key}.{name}")
    elif isinstance(tree, list):
        for number, value in enumerate(tree):
            yield from _makers(value, f"{key}.{number}")
    elif isinstance(tree, str) and tree.startswith("ext://"):
        yield key, tree
