"""Where a network's weights come from: a file, torchvision's cache or download, or the package."""

import functools
import hashlib
import logging
import pickle
import socket
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

import safetensors
import safetensors.torch
import torch
from torch import Tensor, nn

from pipeline.errors import UserError

log = logging.getLogger(__name__)

#: Where torchvision keeps its weights. Its own list costs a second and a half to import.
HUB = "https://download.pytorch.org/models"
BUNDLED = Path(__file__).parent / "bundled"
#: Seconds to wait for a connection before a download counts as impossible.
CONNECTION_TIMEOUT = 5.0

StateDict = dict[str, Tensor]

# Hosts that did not answer; none is tried twice in a process.
_unreachable: set[str] = set()


@dataclass(frozen=True)
class Source:
    """Which weights a network runs with.

    Attributes:
        network: the network's name.
        kind: ``official`` (torchvision's), ``hub`` (a model of Hugging Face's hub), ``bundled``
            (the package's own) or ``file``.
        file: the file they were read from.
        sha256: of that file.
    """

    network: str
    kind: str
    file: Path
    sha256: str


_NO_STATE_DICT = (
    "is not a plain state dict, and may hold code, which is not run; "
    "save module.state_dict() instead"
)


def read_state_dict(path: Path) -> StateDict:
    """Tensors of a ``.safetensors`` or (with ``weights_only=True``) ``.pth`` file, on the CPU.

    Raises:
        UserError: no such file, another format, a damaged file, or tensors that are no weights:
            sparse, quantized or complex ones, without values, or with NaN among them.
    """
    _require_file(path)
    if path.suffix not in (".safetensors", ".pth"):
        raise UserError(f"weights file {path} is refused; only .safetensors and .pth are read")
    try:
        # Of old and odd formats torch warns; they are read all the same, or refused below.
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            if path.suffix == ".safetensors":
                loaded = safetensors.torch.load_file(path)
            else:
                loaded = torch.load(path, map_location="cpu", weights_only=True)
            return _checked(loaded, path)
    except (UserError, MemoryError):
        raise
    except pickle.UnpicklingError as error:
        # Which kinds of objects, and keys, it takes differs between torch's versions; what it says
        # of them is how to load them all the same.
        if "eights only" not in str(error):
            raise UserError(_unreadable(path, error)) from None
        raise UserError(f"{path} {_NO_STATE_DICT}") from None
    except Exception as error:
        # The readers raise pickle, zip, runtime and format errors of their own.
        raise UserError(_unreadable(path, error)) from None


def _unreadable(path: Path, error: Exception) -> str:
    reason = " ".join(str(error).split())[:120]
    return f"weights file {path} cannot be read: {reason}; name another or fetch it again"


def fill(network: nn.Module, state: StateDict, file: Path, what: str) -> None:
    """Fill a network with weights that may be of half precision.

    Args:
        network: in single precision.
        state: what was read.
        file: where from, for messages.
        what: the network is, for messages, such as "an instant painter".

    Raises:
        UserError: they are another network's.
    """
    try:
        network.load_state_dict({name: value.float() for name, value in state.items()})
    except (RuntimeError, ValueError):
        raise UserError(f"{file} does not hold {what}; name another file") from None


def _checked(loaded: object, path: Path) -> StateDict:
    """What was loaded, if it is names with dense tensors of numbers."""
    if not isinstance(loaded, dict) or not all(
        isinstance(key, str) and isinstance(value, Tensor) for key, value in loaded.items()
    ):
        raise UserError(f"{path} {_NO_STATE_DICT}")
    for key, tensor in loaded.items():
        strange = tensor.layout != torch.strided or tensor.is_quantized or tensor.is_complex()
        if strange or tensor.device.type == "meta":
            raise UserError(
                f"{path}: {key} is sparse, quantized, complex or without values; "
                "save dense floating-point tensors"
            )
        if tensor.is_floating_point() and not bool(tensor.to(torch.float32).isfinite().all()):
            raise UserError(f"{path}: {key} holds NaN or infinite values; name another file")
    return loaded


def sha256(path: Path) -> str:
    """The file's SHA-256 in hexadecimal."""
    status = path.stat()
    return _sha256(path, status.st_mtime_ns, status.st_size)


# Half a gigabyte takes half a second; a file is asked for several times.
@functools.lru_cache(maxsize=64)
def _sha256(path: Path, modified: int, size: int) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def cached_file(url: str) -> Path:
    """Where torchvision keeps (or would keep) the weights of ``url``."""
    return Path(torch.hub.get_dir()) / "checkpoints" / Path(url).name


def official(url: str, may_download: bool) -> Path | None:
    """The file with torchvision's official weights, or None where it cannot be had.

    Args:
        url: of the weights.
        may_download: whether to download them if they are not cached.
    """
    path = cached_file(url)
    if path.is_file():
        if _is_whole(path):
            return path
        if not may_download:
            log.warning("%s is damaged and not used; delete it", path)
            return None
        log.warning("%s is damaged and fetched again", path)
        path.unlink()
    return _download(url) if may_download else None


def _is_whole(path: Path) -> bool:
    """Whether a file is what torchvision published: its name ends in its SHA-256's beginning."""
    return sha256(path).startswith(_hash_prefix(path))


def _hash_prefix(path: Path) -> str:
    return path.stem.rpartition("-")[2]


def _download(url: str) -> Path | None:
    """Download weights; what has arrived damaged is deleted and fetched once more."""
    path = cached_file(url)
    host = urlsplit(url).netloc
    if host in _unreachable:
        return None
    log.info("downloading %s to %s", url, path.parent)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with _connection_timeout(CONNECTION_TIMEOUT):
            for last in (False, True):
                # Whole or not at all: it checks the SHA-256 before it gives the file its name.
                try:
                    torch.hub.download_url_to_file(url, str(path), _hash_prefix(path))
                    break
                except RuntimeError as error:
                    if last or "hash" not in str(error):
                        raise
                    log.warning("%s arrived damaged and is fetched again", url)
    except (OSError, RuntimeError) as error:
        log.info("download failed: %s", " ".join(str(error).split()))
        _unreachable.add(host)
        return None
    return path


@contextmanager
def _connection_timeout(seconds: float) -> Iterator[None]:
    # torch.hub opens its connections without a time-out of their own.
    before = socket.getdefaulttimeout()
    socket.setdefaulttimeout(seconds)
    try:
        yield
    finally:
        socket.setdefaulttimeout(before)


def locate(network: str, group: str, file: Path | None, url: str | None, bundled: Path) -> Source:
    """The weights of a network asked for by name.

    Args:
        network: its name.
        group: ``encoder`` or ``segmenter``, for messages.
        file: the user's own weights, or None.
        url: torchvision's weights, or None for the bundled network.
        bundled: the bundled network's file.

    Raises:
        UserError: they cannot be had; the message says which file to put where.
    """
    kind, path = "file", file
    if path is None and url is None:
        kind, path = "bundled", bundled
    elif path is None and url is not None:
        kind, path = "official", official(url, may_download=True)
        if path is None:
            raise _missing_official(network, group, url)
    assert path is not None
    _require_file(path)
    found = sha256(path)
    if kind == "bundled" and found != bundled_sha256(path):
        raise UserError(
            f"{path} is damaged: its SHA-256 is not the one in {path.name}.sha256; install the "
            "package again"
        )
    return Source(network, kind, path, found)


def bundled_sha256(path: Path) -> str:
    """What a bundled network's SHA-256 must be, in hexadecimal; empty where nothing says so."""
    beside = path.with_name(f"{path.name}.sha256")
    return beside.read_text(encoding="utf-8").strip() if beside.is_file() else ""


def _require_file(path: Path) -> None:
    if not path.is_file():
        raise UserError(f"weights file {path} not found; give the path of a .safetensors or .pth")


def _missing_official(network: str, group: str, url: str) -> UserError:
    """The error for a network asked for by name whose weights cannot be had."""
    return UserError(
        f"{group}={network} needs torchvision's weights and they could not be downloaded; "
        f"put {url} at {cached_file(url)}, name a file with {group}.weights=FILE, "
        f"or use {group}=compact"
    )
