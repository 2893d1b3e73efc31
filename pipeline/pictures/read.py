"""Read: files and names become pictures, float BCHW tensors in sRGB, and back."""

import glob
import io
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from PIL import Image, ImageCms, ImageOps, UnidentifiedImageError
from torch import Tensor

from pipeline import gallery
from pipeline.errors import UserError, did_you_mean, nearest
from pipeline.networks.feedforward import SUFFIX
from pipeline.networks.feedforward import style_picture as style_picture_of
from pipeline.paths import exists, located, names_many
from pipeline.pictures.resize import fitted_size
from pipeline.pictures.strips import strips
from pipeline.request import Shape

#: Photographs that come with scikit-image, by the names `content` takes.
SAMPLES = ("astronaut", "chelsea", "coffee", "rocket", "stereo_motorcycle")
#: The shortest side the encoders can make sense of, in pixels.
SMALLEST_SIDE = 16
#: The largest picture that is read, as the largest `size`, in pixels.
MOST_PIXELS = 16384**2

#: Pictures held in memory, by the names that stand for their paths.
InMemory = Mapping[str, Image.Image]


@dataclass(frozen=True)
class Photograph:
    """The photograph to repaint.

    Attributes:
        picture: (1, 3, H, W), sRGB in [0, 1], each value a multiple of 1/255.
        original: width and height in pixels as it is, upright, in its file.
        file: all of its pixels, for pictures of other sizes; None where they are done with.
    """

    picture: Tensor
    original: tuple[int, int]
    file: Image.Image | None = None

    def shrunk(self, size: int) -> "Photograph":
        """The same, its long side bounded to ``size`` pixels, without the file's own pixels."""
        picture = self.picture
        if self.file is not None and max(picture.shape[2:]) > size:
            # From the file: shrinking what is shrunk already would blur.
            picture = array_to_tensor(np.asarray(fit(self.file, size, "the photograph")))
        return Photograph(picture, self.original)


def content_picture(
    source: str, size: int | None, folder: Path, in_memory: InMemory | None = None
) -> Photograph:
    """Read the photograph to repaint.

    Args:
        source: a path, tried relative to ``folder``, or one of `SAMPLES`.
        size: bound of the long side in pixels; smaller pictures are not enlarged. None: no bound.
        folder: where relative paths start.
        in_memory: pictures in memory, by name.

    Raises:
        UserError: not found, not a picture, or under `SMALLEST_SIDE` pixels on a side.
    """
    picture = _content(source, folder, in_memory or {})
    fitted = fit(picture, size or max(picture.size), source)
    return Photograph(array_to_tensor(np.asarray(fitted)), picture.size, picture)


def content_files(source: str, folder: Path) -> list[str] | None:
    """The pictures that ``content`` names, where it is a folder or a pattern such as ``a/*.jpg``.

    Args:
        source: a folder, whose pictures are those with an ending that Pillow knows; or a pattern
            with ``*``, ``?``, ``[...]`` or, for folders below, ``**``.
        folder: where relative paths start.

    Returns:
        Paths like ``source``, relative or absolute, sorted; None where it names one picture.

    Raises:
        UserError: no picture there.
    """
    if not names_many(source, folder):
        return None
    path = located(source, folder)
    path = Path(source) if path == folder / source else path
    if (folder / path).is_dir():
        endings = Image.registered_extensions()
        names = [entry for entry in (folder / path).iterdir() if entry.suffix.lower() in endings]
        found = [str(path / entry.name) for entry in names if not entry.name.startswith(".")]
    else:
        found = glob.glob(str(path), root_dir=folder, recursive=True)
    pictures = sorted(name for name in found if (folder / name).is_file())
    if not pictures:
        raise UserError(f"content={source}: no picture there; name a folder or pattern with some")
    return pictures


def _content(source: str, folder: Path, in_memory: InMemory) -> Image.Image:
    if source in in_memory:
        return _from_memory(in_memory[source], source, colours=True)
    if not source:
        raise UserError("content is empty; name a picture, a folder of pictures or a sample")
    path = located(source, folder)
    if not exists(path) and source in SAMPLES:
        return _sample(source)
    if not exists(path):
        raise UserError(_not_found("content", source, folder, SAMPLES, "sample"))
    return open_picture(path)


def style_picture(
    source: str,
    size: int,
    folder: Path,
    in_memory: InMemory | None = None,
    *,
    crop: Shape | None = None,
    what: str = "style",
) -> Tensor:
    """A style picture: a path relative to ``folder``, a name in the bundled gallery, or a sample's.

    Arguments and errors as for `content_picture`; a gallery name may omit ``.jpg``.

    Args:
        source, folder, in_memory: as there.
        size: bound of the long side in pixels; smaller pictures are not enlarged.
        crop: the box of it to use, cut before it is made to fit.
        what: the picture is, for messages.

    Returns:
        (1, 3, h, w), sRGB in [0, 1].
    """
    picture = open_style(source, folder, in_memory, what)
    if crop is not None:
        picture = picture.crop(pixel_box(crop, picture.size, source))
    return array_to_tensor(np.asarray(fit(picture, size, source)))


def open_style(
    source: str, folder: Path, in_memory: InMemory | None = None, what: str = "style"
) -> Image.Image:
    """A style picture at its own size; arguments and errors as for `style_picture`."""
    if in_memory and source in in_memory:
        return _from_memory(in_memory[source], source, colours=True)
    if source in SAMPLES and not exists(folder / source):
        return _sample(source)
    path = find_style(source, folder, what)
    # Of a network for one style: the file shows it.
    return style_picture_of(path) if path.suffix == SUFFIX else open_picture(path)


def pixel_box(crop: Shape, size: tuple[int, int], source: str) -> tuple[int, int, int, int]:
    """Left, top, right and bottom in pixels of a crop of a picture.

    Args:
        crop: a box.
        size: width and height of the picture.
        source: its name, for messages.

    Raises:
        UserError: too little is left.
    """
    width, height = size if crop.in_fractions else (1, 1)
    left, top, right, bottom = (
        round(number * side) for number, side in zip(crop.numbers, (width, height) * 2, strict=True)
    )
    box = left, top, min(right, size[0]), min(bottom, size[1])
    if box[2] - box[0] < SMALLEST_SIDE or box[3] - box[1] < SMALLEST_SIDE:
        raise UserError(
            f"the crop of {source} leaves less than {SMALLEST_SIDE} pixels of its "
            f"{size[0]}x{size[1]}; choose a larger one"
        )
    return box


def open_labels(source: str, folder: Path, in_memory: InMemory | None = None) -> Image.Image:
    """A mask or label map with its own mode: its values are no colours to be converted.

    Arguments and errors as `content_picture`.
    """
    if in_memory and source in in_memory:
        return _from_memory(in_memory[source], source, colours=False)
    path = located(source, folder)
    if not exists(path):
        raise UserError(_not_found("mask", source, folder, (), ""))
    return _open(path, _upright)


def find_style(source: str, folder: Path, what: str = "style") -> Path:
    """The file a style names: a path relative to ``folder``, else a name in the gallery.

    Raises:
        UserError: not found; the message says where it looked and the nearest names.
    """
    if not source:
        raise UserError(f"{what} is empty; name a picture")
    path = located(source, folder)
    if exists(path):
        return path
    for name in (source, f"{source}.jpg"):
        if name in gallery.names():
            return gallery.GALLERY / name
    raise UserError(_not_found(what, source, folder, gallery.names(), "gallery picture"))


def open_picture(path: Path) -> Image.Image:
    """Open a picture file of any mode as upright 8-bit sRGB.

    EXIF orientation is applied, an ICC profile is converted to sRGB, transparency is laid over
    white, 16-bit and floating-point greys are scaled to 8 bits, and of an animation the first
    picture is taken.

    Raises:
        UserError: a directory, an empty or unreadable file, or no picture.
    """
    return _open(path, _upright_srgb)


def _upright_srgb(picture: Image.Image) -> Image.Image:
    return to_srgb(_upright(picture))


def _upright(picture: Image.Image) -> Image.Image:
    # In place: of a picture that is upright already it would make a copy.
    ImageOps.exif_transpose(picture, in_place=True)
    return picture


def _open(path: Path, convert: Callable[[Image.Image], Image.Image]) -> Image.Image:
    if path.is_dir():
        raise UserError(f"{path} is a folder; name a picture file in it")
    try:
        if path.stat().st_size == 0:
            raise UserError(f"{path} is empty (0 bytes); choose another file")
        with large_pictures(), Image.open(path) as opened:
            opened.load()
            return convert(opened)
    except UnidentifiedImageError:
        raise UserError(f"{path} is not a picture that can be read; use JPEG, PNG, ...") from None
    except Exception as error:
        raise _unreadable(str(path), error) from None


def _from_memory(picture: Image.Image, name: str, colours: bool) -> Image.Image:
    """What `_open` would make of the picture's file; the caller's own stays as it is."""
    try:
        with _without_warnings():
            if 0 in picture.size:
                raise UserError(f"{name} has no pixels; give another")
            picture.load()
            upright = ImageOps.exif_transpose(picture)
            return to_srgb(upright) if colours else upright
    except Exception as error:
        raise _unreadable(name, error) from None


def _unreadable(name: str, error: Exception) -> Exception:
    """The error for a picture whose reader failed; Pillow's raise errors of every kind."""
    if isinstance(error, UserError | MemoryError):
        return error
    if isinstance(error, Image.DecompressionBombError):
        return UserError(f"{name} is too large: {error}")
    return UserError(
        f"{name} cannot be read: {_one_line(error)}; save it anew as PNG or JPEG, or choose another"
    )


@contextmanager
def _without_warnings() -> Iterator[None]:
    """Of what is odd about a picture, Pillow's readers warn; it is read all the same, or not."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


@contextmanager
def large_pictures() -> Iterator[None]:
    """Let Pillow open pictures of up to `MOST_PIXELS`; larger ones are its error.

    Whoever names a photograph wants it read, so its size alone is no reason for a warning.
    """
    before = Image.MAX_IMAGE_PIXELS
    # Pillow warns above this number, and refuses above twice as many.
    Image.MAX_IMAGE_PIXELS = MOST_PIXELS // 2
    try:
        with _without_warnings():
            yield
    finally:
        Image.MAX_IMAGE_PIXELS = before


def fit(picture: Image.Image, size: int, name: str) -> Image.Image:
    """Shrink to a long side of at most ``size`` pixels; never enlarge.

    Raises:
        UserError: a side is under `SMALLEST_SIDE` pixels, before or after; ``name`` says whose.
    """
    width, height = picture.size
    new = fitted_size((width, height), size)
    if min(new) < SMALLEST_SIDE:
        at = "" if new == (width, height) else f", {new[0]}x{new[1]} at size={size}"
        raise UserError(
            f"{name} is too small: {width}x{height} pixels{at}; "
            f"each side needs at least {SMALLEST_SIDE}"
        )
    return picture if new == (width, height) else picture.resize(new, Image.Resampling.LANCZOS)


def array_to_tensor(array: npt.NDArray[np.uint8]) -> Tensor:
    """HWC uint8 in [0, 255] to (1, 3, H, W) float32 in [0, 1]."""
    picture = torch.empty(1, 3, *array.shape[:2])
    for rows in strips(*array.shape[:2]):
        levels = torch.from_numpy(array[rows].copy()).permute(2, 0, 1)
        picture[0, :, rows] = levels.float() / 255
    return picture


def tensor_to_array(picture: Tensor) -> npt.NDArray[np.uint8]:
    """(1, 3, H, W) in [0, 1] (clipped) to HWC uint8 in [0, 255]; inverts `array_to_tensor`."""
    array = np.empty((*picture.shape[2:], 3), dtype=np.uint8)
    for rows in strips(*picture.shape[2:]):
        levels = (picture.detach()[0, :, rows].float().clamp(0, 1) * 255).round().to(torch.uint8)
        array[rows] = levels.permute(1, 2, 0).cpu().numpy()
    return array


def _sample(name: str) -> Image.Image:
    # Imported late: only the samples need it.
    from skimage import data

    picture = getattr(data, name)()
    if isinstance(picture, tuple):  # stereo_motorcycle: left, right, disparity
        picture = picture[0]
    return Image.fromarray(picture)


def to_srgb(picture: Image.Image) -> Image.Image:
    """An upright picture of any mode as 8-bit sRGB.

    Raises:
        ValueError: it holds values that are not numbers.
    """
    profile = picture.info.get("icc_profile")
    if picture.mode.startswith("I") or picture.mode == "F":
        return grey_to_8_bit(picture)
    alpha = None
    if picture.mode in ALPHA_MODES or "transparency" in picture.info:
        picture = picture.convert("RGBA")
        alpha = picture.getchannel("A")
    if picture.mode not in ("RGB", "CMYK", "L", "LAB"):
        picture = picture.convert("RGB")
    picture = _convert_profile(picture, profile)
    if alpha is not None:
        white = Image.new("RGB", picture.size, "white")
        white.paste(picture, mask=alpha)
        return white
    return picture


def _convert_profile(picture: Image.Image, profile: bytes | None) -> Image.Image:
    if profile:
        try:
            converted = ImageCms.profileToProfile(
                picture,
                ImageCms.ImageCmsProfile(io.BytesIO(profile)),
                ImageCms.createProfile("sRGB"),
                outputMode="RGB",
            )
        except (ImageCms.PyCMSError, OSError):
            # A broken or mismatched profile is common in the wild; the pixels are still good.
            return picture.convert("RGB")
        if converted is not None:
            return converted
    return picture if picture.mode == "RGB" else picture.convert("RGB")


def _not_found(what: str, source: str, folder: Path, names: Sequence[str], kind: str) -> str:
    stems = {Path(name).stem: name for name in names}
    near = {stems[stem] for stem in nearest(Path(source).stem, stems, most=2)}
    path = folder / source
    with suppress(OSError, ValueError):  # one may not look, or it is no name of a file
        files = [entry.name for entry in path.parent.iterdir() if entry.is_file()]
        near |= {*nearest(path.name, files, most=3)}
    hint = did_you_mean(sorted(near)) or " give the path of a picture"
    there = f" {kind}s: {', '.join(names)};" if names else ""
    name = source if len(source) <= 120 else f"{source[:117]}..."
    return f"{what} {name!r} not found in {folder};{there}{hint}"


def _one_line(error: BaseException) -> str:
    return " ".join(str(error).split()) or type(error).__name__


#: Pillow's modes with transparency.
ALPHA_MODES = ("RGBA", "LA", "PA", "RGBa", "La")


def grey_to_8_bit(picture: Image.Image) -> Image.Image:
    """A grey picture of 16 or 32 bits, whole or floating-point, as 8-bit RGB."""
    values = np.asarray(picture, dtype=np.float64)
    if not np.isfinite(values).all():
        raise ValueError("it holds values that are not numbers")
    top = values.max(initial=0)
    if picture.mode == "F" and top <= 1:
        full = 1.0
    else:
        full = 255.0 if picture.mode in ("I", "F") and top <= 255 else 65535.0
    levels = np.rint(np.clip(values / full, 0, 1) * 255).astype(np.uint8)
    return Image.fromarray(levels).convert("RGB")
