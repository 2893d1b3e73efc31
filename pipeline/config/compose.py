"""The configuration: where it lives, how it is composed, and what is wrong with an override."""

import copy
import functools
import re
from collections.abc import Iterator, Sequence
from dataclasses import fields, is_dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any, get_args

from hydra import compose, initialize_config_dir
from hydra.core.config_store import ConfigStore
from hydra.errors import HydraException, OverrideParseException
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import GrammarParseError, OmegaConfBaseException

from pipeline.config.composing import ERRORS
from pipeline.config.schema import Settings
from pipeline.errors import UserError, did_you_mean, nearest, not_one_of
from pipeline.results.folder import unused_folder

_PACKAGE = Path(__file__).resolve().parent.parent

#: The folder of Hydra's configuration; a wheel carries it inside the package.
CONF = next(
    (folder for folder in (_PACKAGE / "conf", _PACKAGE.parent / "conf") if folder.is_dir()),
    _PACKAGE / "conf",
)


# What to write for a value of each type.
_KINDS: dict[Any, str] = {
    bool: "true or false",
    int: "a whole number",
    float: "a number",
    str: "one text",
    list[int]: "a list of whole numbers, such as [1,2]",
    list[float]: "a list of numbers, such as [1,0.5]",
    list[str]: "a list of names, such as [a,b]",
}
# Plugins of Hydra that run sweeps side by side, and the extras that install them.
_LAUNCHERS = {
    "joblib": "joblib",
    "ray": "ray",
    "submitit_local": "slurm",
    "submitit_slurm": "slurm",
}


def register() -> None:
    """Make the schema known to Hydra, as ``settings``, and the resolver ``unused_folder``."""
    ConfigStore.instance().store(name="settings", node=Settings)
    # Kept, so that the name is the same wherever a run asks for it.
    OmegaConf.register_new_resolver("unused_folder", unused_folder, use_cache=True, replace=True)


def compose_settings(overrides: Sequence[str]) -> Settings:
    """The settings that the command would have with these overrides.

    Raises:
        UserError: an override that does not exist or does not fit.
    """
    return copy.deepcopy(_composed(tuple(overrides)))


# Composing takes a third of a second, as long as painting at once does.
@functools.lru_cache(maxsize=64)
def _composed(overrides: tuple[str, ...]) -> Settings:
    register()
    try:
        with initialize_config_dir(str(CONF), version_base="1.3"):
            settings = OmegaConf.to_object(compose("config", [*overrides]))
    except UserError:
        raise
    except (HydraException, OmegaConfBaseException, *ERRORS) as error:
        raise UserError(explain(error)) from None
    assert isinstance(settings, Settings)
    return settings


def explain(error: BaseException) -> str:
    """One line for an error of Hydra or OmegaConf, with the nearest key where one is misspelt."""
    causes = list(_causes(error))
    text = " ".join(" ".join(str(cause) for cause in causes).split())
    already = re.search(r"An item is already at '([^']+)'", text)
    if already:
        return f"{already[1]} has a value already; change it without the plus sign"
    unknown = re.search(r"Could not override '([^']+)'|Key '([^']+)' (?:is )?not in", text)
    option = re.search(
        r"Could not find '([^']+)/([^'/]+)' Available options in '[^']+': (.*)", text
    )
    if option and option[1] == "hydra/launcher" and option[2] in _LAUNCHERS:
        extra = _LAUNCHERS[option[2]]
        return f"hydra/launcher={option[2]} is not installed: pip install -e '.[{extra}]'"
    if option:
        choices = [c for c in option[3].split(" Config search path")[0].split() if c != "base"]
        hint = did_you_mean(nearest(option[2], choices))
        return f"{option[1]}={option[2]} does not exist;{hint} choices: {', '.join(choices)}"
    if unknown:
        return _no_setting(next(group for group in unknown.groups() if group).split("@")[0])
    choice = _explain_choice(text)
    if choice:
        return choice
    first = str(causes[0])
    if isinstance(causes[0], OverrideParseException):
        return (
            f"{causes[0].override} is no setting; write KEY=VALUE, the key of letters a to z, "
            "digits, _ and dots; see python -m pipeline --help"
        )
    merging = re.match(r"Error merging override (.+)", first)
    if merging and any(isinstance(cause, GrammarParseError) for cause in causes):
        return f"{merging[1].strip()}: the ${{...}} in it cannot be read; write it out"
    if merging:
        word_given = merging[1].strip()
        return (
            _explain_type(word_given) or f"{word_given}: {_short(causes[min(1, len(causes) - 1)])}"
        )
    return _short(causes[0])


def _short(error: BaseException) -> str:
    """An error's text in one line, without what OmegaConf adds to it."""
    text = re.split(r"\s(?:full_key:|reference_type=|object_type=|See https:)", str(error))[0]
    return " ".join(text.split())[:400] or type(error).__name__


def _explain_type(override: str) -> str:
    """What to say of a value of the wrong type; empty for other errors."""
    key, _, value = override.lstrip("+").partition("=")
    kind = dict(_leaves(Settings)).get(key)
    if isinstance(kind, type) and issubclass(kind, StrEnum):
        return not_one_of(key, value, kind)
    parts = [part for part in get_args(kind) if part is not type(None)]
    optional = type(None) in get_args(kind)
    expected = _KINDS.get(parts[0] if optional else kind)
    return f"{override} should be {expected}{' or null' if optional else ''}" if expected else ""


def _explain_choice(text: str) -> str:
    """What to say of a value that is none of its setting's choices; empty for other errors."""
    value = re.search(r"Invalid value '(.*?)', expected|Value (\S+) \(\w+\) is not a valid", text)
    key = re.search(r"full_key: (\S+)", text)
    kind = dict(_leaves(Settings)).get(key[1]) if key else None
    if value and key and isinstance(kind, type) and issubclass(kind, StrEnum):
        return not_one_of(key[1], value[1] or value[2], kind)
    return ""


def refuse_unknown(configuration: DictConfig) -> None:
    """A plus sign gets past the schema; what it added is refused here.

    Raises:
        UserError: a setting that does not exist.
    """
    _refuse_unknown(configuration, Settings)


def _refuse_unknown(configuration: DictConfig, schema: type, prefix: str = "") -> None:
    known = {entry.name: entry.type for entry in fields(schema)}
    for key, value in ((str(key), value) for key, value in configuration.items()):
        if key not in known:
            raise UserError(_no_setting(f"{prefix}{key}"))
        kind = known[key]
        if is_dataclass(kind) and isinstance(value, DictConfig):
            assert isinstance(kind, type)
            _refuse_unknown(value, kind, f"{prefix}{key}.")


def _no_setting(key: str) -> str:
    """What to say of a key that does not exist; it may be misspelt, or lack its group."""
    by_name: dict[str, str] = {}
    for known in sorted(known_keys(), key=lambda known: known.count(".")):
        by_name.setdefault(known, known)
        by_name.setdefault(known.rpartition(".")[2], known)
    hint = did_you_mean(by_name[near] for near in nearest(key, by_name))
    return f"no setting {key!r};{hint} see python -m pipeline --help"


def known_keys() -> list[str]:
    """Every key of the configuration, and every group, as written on the command line."""
    groups = {path.name for path in CONF.iterdir() if path.is_dir()} - {"hydra", "training"}
    keys = [key for key, _ in _leaves(Settings)]
    return [*keys, *sorted(groups - set(keys))]


def _leaves(schema: type, prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Every key of a schema, as ``optimizer.iterations``, and its type."""
    for entry in fields(schema):
        if is_dataclass(entry.type):
            assert isinstance(entry.type, type)
            yield from _leaves(entry.type, f"{prefix}{entry.name}.")
        else:
            yield f"{prefix}{entry.name}", entry.type


def _causes(error: BaseException | None) -> Iterator[BaseException]:
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__
