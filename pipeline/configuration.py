"""Where the configuration lives: conf/ beside the package, or inside it when installed."""

from pathlib import Path

_PACKAGE = Path(__file__).resolve().parent

#: The folder of Hydra's configuration; a wheel carries it inside the package.
CONF = next(
    (folder for folder in (_PACKAGE / "conf", _PACKAGE.parent / "conf") if folder.is_dir()),
    _PACKAGE / "conf",
)
