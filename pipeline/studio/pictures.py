"""Pictures: those that come from a browser, checked, and those that are kept for the command."""

import hashlib
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import IO

import numpy as np
from PIL import Image, UnidentifiedImageError

from pipeline import gallery
from pipeline.errors import UserError
from pipeline.pictures.read import fit, large_pictures, open_picture
from pipeline.results.file_names import safe_name

#: Of a file that is taken, at most: bytes, and pixels of its picture.
MOST_BYTES, MOST_PIXELS = 64 * 2**20, 64_000_000
#: What is taken; other readers of Pillow's are for files that nobody has from a camera.
FORMATS = ("AVIF", "BMP", "GIF", "JPEG", "MPO", "PNG", "TIFF", "WEBP")
#: Endings of the pictures in a folder of styles.
ENDINGS = (".avif", ".bmp", ".gif", ".jpeg", ".jpg", ".png", ".tif", ".tiff", ".webp")


def taken(path: Path, name: str) -> Image.Image:
    """A picture that somebody has sent, as upright 8-bit sRGB.

    Args:
        path: of the file.
        name: what it is called, for messages.

    Raises:
        UserError: it is none of `FORMATS`, broken, or too large or too small.
    """
    width, height = bounded(path, name)
    try:
        return fit(open_picture(path), max(width, height), name)
    except UserError as error:
        # The file's own name is the server's.
        raise UserError(str(error).replace(str(path), name)) from None


def bounded(file: Path | IO[bytes], name: str) -> tuple[int, int]:
    """Width and height of a picture that somebody has sent, before any of it is decoded.

    Args:
        file: its path, or what it holds.
        name: what it is called, for messages.

    Raises:
        UserError: it is none of `FORMATS`, its head is broken, or it is too large.
    """
    try:
        if isinstance(file, Path) and file.stat().st_size > MOST_BYTES:
            raise UserError(f"{name} has over {MOST_BYTES // 2**20} MB; save it smaller")
        Image.init()
        known = [name for name in FORMATS if name in Image.OPEN]
        with large_pictures(), Image.open(file, formats=known) as opened:
            width, height = opened.size
    except UnidentifiedImageError:
        raise UserError(f"{name} is not a picture that can be read; use JPEG, PNG, ...") from None
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
        # Not the path, which is the server's.
        said = error.strerror if isinstance(error, OSError) and error.strerror else error
        reason = " ".join(str(said).split())
        raise UserError(f"{name} cannot be read: {reason}; save it anew as PNG or JPEG") from None
    if width * height > MOST_PIXELS:
        raise UserError(
            f"{name} has {width}x{height} pixels; up to {MOST_PIXELS // 10**6} million are taken"
        )
    return width, height


def kept(picture: Image.Image, folder: Path, name: str) -> Path:
    """Write a picture where it stays.

    Args:
        picture: of any mode.
        folder: is made.
        name: what it is called; its contents tell it from others of that name.

    Returns:
        The path of a PNG file; the same one for the same picture.
    """
    contents = hashlib.sha256(f"{picture.mode} {picture.size}".encode())
    contents.update(np.ascontiguousarray(picture).tobytes())
    digest = contents.hexdigest()[:8]
    stem = safe_name(Path(name).stem)[:60]
    path = folder / f"{stem}-{digest}.png"
    if not path.is_file():
        folder.mkdir(parents=True, exist_ok=True)
        partial = path.with_suffix(".partial")
        picture.save(partial, format="PNG", compress_level=1)
        partial.replace(path)
    return path


def copied(path: Path, folder: Path) -> Path:
    """A copy of a file in another folder, which is made, if it is not there already."""
    other = folder / path.name
    if not other.is_file():
        folder.mkdir(parents=True, exist_ok=True)
        partial = other.with_name(f"{other.name}.partial")
        shutil.copyfile(path, partial)
        partial.replace(other)
    return other


def styles(folders: Sequence[Path]) -> dict[str, str]:
    """The style pictures that there are: what each is called, to its path or name.

    Args:
        folders: further ones than the gallery's, which comes first.
    """
    found = {Path(name).stem: name for name in gallery.names()}
    for folder in folders:
        names = sorted(folder.glob("*")) if folder.is_dir() else []
        for path in names:
            if path.suffix.lower() in ENDINGS and not path.name.startswith("."):
                found.setdefault(path.stem, str(path))
    return found
