"""Where a network's weights come from: a file, torchvision's cache or download, or the package."""

import hashlib
import logging
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

import safetensors
import safetensors.torch
import torch
from torch import Tensor

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


def read_state_dict(path: Path) -> StateDict:
    """Tensors of a ``.safetensors`` or (with ``weights_only=True``) ``.pth`` file, on the CPU.

    Raises:
        UserError: no such file, another format, or a damaged file.
    """
    _require_file(path)
    try:
        if path.suffix == ".safetensors":
            return safetensors.torch.load_file(path)
        if path.suffix == ".pth":
            loaded = torch.load(path, map_location="cpu", weights_only=True)
            if isinstance(loaded, dict) and all(isinstance(v, Tensor) for v in loaded.values()):
                return loaded
            raise UserError(f"{path} is not a plain state dict; save module.state_dict() instead")
    except UserError:
        raise
    except Exception as error:
        # The readers raise pickle, zip, runtime and format errors of their own.
        reason = " ".join(str(error).split())[:120]
        raise UserError(f"weights file {path} cannot be read: {reason}") from None
    raise UserError(f"weights file {path} is refused; only .safetensors and .pth are read")


def sha256(path: Path) -> str:
    """The file's SHA-256 in hexadecimal."""
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
        return path
    return _download(url) if may_download else None


def _download(url: str) -> Path | None:
    path = cached_file(url)
    host = urlsplit(url).netloc
    if host in _unreachable:
        return None
    log.info("downloading %s to %s", url, path.parent)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        prefix = path.stem.rpartition("-")[2]
        with _connection_timeout(CONNECTION_TIMEOUT):
            torch.hub.download_url_to_file(url, str(path), hash_prefix=prefix, progress=True)
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
    return Source(network, kind, path, sha256(path))


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
