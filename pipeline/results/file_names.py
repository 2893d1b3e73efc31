"""File names: what regions and pictures are called on the disk, whatever their names."""

import re
import unicodedata
from collections.abc import Iterable

#: Bytes of a name at most; file systems take 255, and some go to endings.
LONGEST = 200
# Separators, what Windows forbids, control characters.
_FORBIDDEN = re.compile(r'[/\\:*?"<>|\x00-\x1f\x7f]')
_DEVICES = re.compile(r"(?:con|prn|aux|nul|com[0-9]|lpt[0-9])(?:\..*)?", re.IGNORECASE)


def file_names(names: Iterable[str], taken: Iterable[str] = (), sign: str = "-") -> dict[str, str]:
    """Each name to one that is safe as a file's or folder's, unlike all others'.

    Safe names that nobody else has stay as they are. The others lose what leads out of a folder,
    what a file system does not take, and the difference between ``a`` and ``A``; the second of two
    equal ones ends in ``-2``, and so on.

    Args:
        names: in an order that stays the same from run to run.
        taken: further names that are not to be given.
        sign: before the number.
    """
    used = {_compared(name) for name in taken}
    found: dict[str, str] = {}
    for name in dict.fromkeys(names):
        plain = safe_name(name)
        chosen, number = plain, 1
        while _compared(chosen) in used:
            number += 1
            chosen = f"{plain}{sign}{number}"
        used.add(_compared(chosen))
        found[name] = chosen
    return found


def region_file_names(names: Iterable[str]) -> dict[str, str]:
    """As `file_names`, and none is that of another region's second style, ``a-2.png``."""
    listed = [*dict.fromkeys(names)]
    numbered = {f"{_compared(safe_name(name))}-" for name in listed}

    def plain(name: str) -> str:
        base, _, number = name.rpartition("-")
        clashes = number.isdecimal() and f"{_compared(safe_name(base))}-" in numbered
        return f"{base}_{number}" if clashes else name

    changed = {name: plain(name) for name in listed}
    kept = [name for name in listed if changed[name] == name]
    found = file_names(kept, sign="_")
    others = [name for name in listed if name not in found]
    safe = file_names([f"{changed[name]}" for name in others], found.values(), sign="_")
    return found | {name: safe[changed[name]] for name in others}


def safe_name(name: str) -> str:
    """A name without what leads out of a folder and what file systems do not take."""
    found = _FORBIDDEN.sub("_", name).rstrip(" .")
    # Hidden files are nobody's results.
    found = re.sub(r"^\.+", "_", found)
    if not found or _DEVICES.fullmatch(found):
        found = f"_{found}"
    while len(found.encode("utf-8", "surrogateescape")) > LONGEST:
        found = found[:-1]
    return found


def _compared(name: str) -> str:
    """Some disks make no difference between a and A, nor between two ways to write an umlaut."""
    return unicodedata.normalize("NFC", name).casefold()
