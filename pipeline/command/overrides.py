"""Overrides: what the user means by an argument, in Hydra's grammar.

A path means the file of that name, whatever characters it has; Hydra's grammar knows only some of
them, and ``${...}`` would stand for something else.
"""

import re
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import NoReturn

from hydra.core.override_parser.types import Quote, QuotedString

from pipeline.config.entry import args_parser
from pipeline.errors import UserError
from pipeline.paths import exists, located

_OVERRIDE = re.compile(r"(?P<sign>\+{0,2})(?P<key>[\w./@-]+)=(?P<value>.*)", re.DOTALL)
_PATHS = re.compile(
    r"content|reference|reference_regions|init|regions"
    r"|styles\.[^.]+|styles\..+\.(?:image|mask|\d+)"
    r"|regions\.[^.]+|regions\..+\.source"
    r"|(?:encoder|segmenter|method)\.weights|segmenter\.model|prompts\.(?:text|click)_model"
)
#: Folders of Hydra's, in whose names ``${now:...}`` stands for the time.
_FOLDERS = re.compile(r"hydra\.(?:run|sweep)\.dir")
_GROUPS = re.compile(r"hydra(?:/\w+)?|segmenter|encoder|method|loss|optimizer|logger|preset")
_NO_NAME = re.compile(r"(?i:null|true|false|nan|inf)|[-+]?[\d.]+(?:e[-+]?\d+)?")
_SWEEP = re.compile(r"(?:choice|range|interval|glob|shuffle|sort|tag)\(.*\)", re.DOTALL)
#: What Hydra's grammar takes without quotes.
_PLAIN = re.compile(r"(?!(?:null|true|false|nan|inf)$)[A-Za-z_./][A-Za-z0-9_./*?@|-]*")
#: Hydra's options that are followed by a word of their own.
_WITH_VALUE = re.compile(
    r"--(?:cfg|package|config-(?:path|name|dir)|experimental-rerun)|-c|-p|-c[pnd]"
)
_PAIRS = {"(": ")", "[": "]", "{": "}"}


def plain_override(word: str, sweep: bool) -> str:
    """An argument as Hydra is to read it.

    ``styles`` and ``regions`` are empty by default, so Hydra wants ``+styles.person=...``; without
    the plus is meant too, also where an experiment has given the region a style already.
    ``regions.sky=...`` is its source. And a path such as ``photo (1).png`` is quoted.

    Args:
        word: an argument.
        sweep: whether commas separate the values of a sweep.
    """
    if word.startswith(("styles.", "regions.", "styles={", "regions={")):
        word = f"++{word}"
    if word.startswith("experiment="):
        word = f"+{word}"
    # So that regions.logo.feather can be said beside regions.logo.
    word = re.sub(r"^(\+{1,2}regions\.(?!labels=)[^.=]+)=(?!\{.*\}$)", r"\1.source=", word)
    found = _OVERRIDE.fullmatch(word)
    if found is None:
        return word
    value = found["value"]
    if _GROUPS.fullmatch(found["key"]) and _NO_NAME.fullmatch(value):
        value = _quoted(value)  # so that Hydra says which choices there are
    if _PATHS.fullmatch(found["key"]):
        value = _path_value(value, sweep)
    elif _FOLDERS.fullmatch(found["key"]):
        value = value if _is_quoted(value) or _is_plain(value) else _quoted(value)
    return f"{found['sign']}{found['key']}={value}"


def path_text(path: str) -> str:
    """A path for a configuration's value: ``${...}`` in it stays text (OmegaConf's escape)."""
    return re.sub(r"(\\*)\$\{", lambda found: 2 * found[1] + r"\${", path)


def literal(text: str) -> str:
    """A text as a value in Hydra's grammar, in quotes, ``${...}`` in it as text."""
    return _quoted(path_text(text))


def _path_value(value: str, sweep: bool) -> str:
    if not value:
        return value
    if _exists(value):
        return plain_or_quoted(value)
    if value == "null" or _SWEEP.fullmatch(value):
        return value
    if value[0] + value[-1] in ("[]", "{}"):
        return _collection(value)
    if sweep and len(parts := _split(value)) > 1:
        return ",".join(_path_value(part, False) for part in parts)
    if _is_quoted(value):
        return literal(_unquoted(value))
    return plain_or_quoted(value)


def _exists(value: str) -> bool:
    try:
        return exists(located(value, Path()))
    except UserError:  # one may not look
        return False


def plain_or_quoted(value: str) -> str:
    """A text as a value in Hydra's grammar, in quotes only where it needs them."""
    return value if _is_plain(value) else literal(value)


def _is_plain(value: str) -> bool:
    return _PLAIN.fullmatch(value) is not None


def _is_quoted(value: str) -> bool:
    return re.fullmatch(r"'(?:[^'\\]|\\.)*'|\"(?:[^\"\\]|\\.)*\"", value, re.DOTALL) is not None


def _unquoted(value: str) -> str:
    """What a quoted value stands for: a backslash before its own quotes takes their meaning."""
    quote = value[0]
    text = _without_escapes(value[1:-1], quote)
    # What has been escaped by hand is text already.
    return _without_escapes(text, "${")


def _without_escapes(text: str, what: str) -> str:
    escaped = re.compile(rf"(\\*)\\{re.escape(what)}")
    return escaped.sub(lambda found: found[1].replace("\\\\", "\\") + what, text)


def _quoted(text: str) -> str:
    return str(QuotedString(text, Quote.single).with_quotes())


def _split(value: str) -> list[str]:
    """At the commas outside of quotes and brackets; at all commas where these do not match."""
    parts, start, waiting, quote = [], 0, [], ""
    for place, character in enumerate(value):
        if quote:
            quote = "" if character == quote and value[place - 1] != "\\" else quote
        elif character in "'\"" and value[start:place].strip() == "":
            quote = character
        elif character in _PAIRS:
            waiting.append(_PAIRS[character])
        elif waiting and character == waiting[-1]:
            waiting.pop()
        elif character == "," and not waiting:
            parts.append(value[start:place])
            start = place + 1
    if waiting or quote:
        return value.split(",")
    return [*parts, value[start:]]


def _collection(value: str) -> str:
    """A list or dictionary of Hydra's, with those of its texts in quotes that need them."""
    inside, pair = value[1:-1], value[0] == "{"
    found = []
    for entry in _split(inside) if inside.strip() else []:
        key, colon, rest = entry.partition(":") if pair else ("", "", entry)
        found.append(f"{key}{colon}{_entry(rest if colon or not pair else key)}")
        if pair and not colon:
            return value  # no dictionary; Hydra says what is wrong
    return f"{value[0]}{','.join(found)}{value[-1]}"


def _entry(text: str) -> str:
    bare = text.strip()
    before = text[: len(text) - len(text.lstrip())]
    if not bare or bare[0] in "'\"":
        return f"{before}{literal(_unquoted(bare))}" if _is_quoted(bare) else text
    if bare[0] + bare[-1] in ("[]", "{}"):
        return before + _collection(bare)
    strange = re.search(r"[^A-Za-z0-9_./*?@|%+\\ -]", bare)
    return before + (literal(bare) if strange else bare)


def options_first(words: Iterable[str]) -> list[str]:
    """A command's arguments with Hydra's options before the overrides, as its parser wants them.

    Raises:
        UserError: an option that does not exist, or lacks its value.
    """
    options: list[str] = []
    overrides: list[str] = []
    for word in words:
        if word.lstrip("+~").startswith("="):
            raise UserError(f"{word} names no setting; write KEY=VALUE")
        value = bool(options) and _WITH_VALUE.fullmatch(options[-1]) is not None
        (options if value or word.startswith("-") else overrides).append(word)
    parser = args_parser()

    def refuse(message: str) -> NoReturn:
        raise UserError(f"{message}; see python -m pipeline --help, or --hydra-help for options")

    # Its own way is to print all options.
    parser.error = refuse  # type: ignore[method-assign]
    parser.parse_args([*options, *overrides])
    return [*options, *overrides]


def is_sweep(words: Sequence[str]) -> bool:
    """Whether a command's arguments ask for several runs."""
    return any(re.match(r"-m$|--multirun$|\+?experiment=", word) for word in words)
