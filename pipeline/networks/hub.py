"""Models of Hugging Face's hub: from a folder, from the hub's cache, or downloaded.

The package transformers, which builds them, is the extra ``open``. Nothing here imports it, or the
hub's client, before a model is asked for.
"""

import contextlib
import importlib
import logging
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt
from torch import Tensor

from pipeline.errors import UserError
from pipeline.networks import weights

log = logging.getLogger(__name__)

Value = TypeVar("Value")

#: Settings, vocabularies, weights; a repository may hold those of other libraries, too.
_PLAIN_FILES = ("*.json", "*.txt")
_WEIGHTS = ("model*.safetensors", "pytorch_model*.bin")

# Models that could not be downloaded; none is tried twice in a process.
_unreachable: set[str] = set()


def transformers(asked: str = "this") -> ModuleType:
    """The package, whose models and processors mypy knows nothing of.

    Args:
        asked: what needs it, as on the command line.

    Raises:
        UserError: it is not installed.
    """
    try:
        return importlib.import_module("transformers")
    except ImportError:
        raise UserError(
            f'{asked} needs the package transformers: pip install "transformers>=5.13,<6", '
            'or, where this project lies, pip install -e ".[open]"'
        ) from None


def folder(model: str, start: Path, may_download: bool) -> Path | None:
    """The folder with a model's files, or None where they cannot be had.

    Args:
        model: a folder, or the name of a repository on the hub, ``owner/name``.
        start: where relative paths begin.
        may_download: whether to download what is not in the hub's cache.
    """
    own = start / Path(model).expanduser()
    if own.is_dir():
        return own if _is_whole(own) else None
    found = _snapshot(model, True)
    if found is None and may_download and model not in _unreachable:
        log.info("downloading %s/%s", _address(), model)
        found = _snapshot(model, False)
        if found is None:
            _unreachable.add(model)
    return found


def locate(asked: str, model: str, key: str, start: Path) -> Path:
    """The folder with the files of a model that the user has asked for; downloaded if need be.

    Args:
        asked: what needs it, as on the command line.
        model, start: as `folder`.
        key: the setting that names another one.

    Raises:
        UserError: it cannot be had; the message says what to put where.
    """
    transformers(asked)
    found = folder(model, start, may_download=True)
    if found is not None:
        return found
    if (own := start / Path(model).expanduser()).is_dir():
        raise UserError(
            f"{own} is not the folder of a model: it lacks config.json, or model.safetensors; "
            f"name another with {key}=FOLDER"
        )
    from huggingface_hub.constants import HF_HUB_CACHE

    raise UserError(
        f"{asked} needs the model {model}, which is not in {HF_HUB_CACHE} and could not be "
        f"downloaded; run `hf download {model}` online, or put the files of {_address()}/{model} "
        f"into a folder and name that with {key}=FOLDER"
    )


def source(network: str, files: Path, model: str, start: Path) -> weights.Source:
    """Which weights a model runs with.

    Args:
        network: its name for the record.
        files: its folder, as `folder` gives it.
        model, start: as there.
    """
    file = next(_weights(files))
    kind = "file" if files == start / Path(model).expanduser() else "hub"
    return weights.Source(network, kind, file, weights.sha256(file))


def loaded(load: Callable[[], Value], files: Path) -> Value:
    """What transformers makes of a folder's files, without its progress bars and remarks.

    Raises:
        UserError: one line, where it cannot make anything of them.
    """
    try:
        with quiet():
            return load()
    except UserError:
        raise
    except Exception as error:
        # It raises errors of every kind for files that do not fit.
        reason = " ".join(str(error).split())[:200]
        raise UserError(f"the model in {files} cannot be loaded: {reason}") from None


def pretrained(build: Any, files: Path) -> Any:
    """A model with the weights of a folder, and all of them.

    Args:
        build: a class of transformers.
        files: the folder.

    Raises:
        UserError: weights are missing: transformers would go on with random ones.
    """
    model, report = build.from_pretrained(
        files, output_loading_info=True, ignore_mismatched_sizes=True, local_files_only=True
    )
    wrong = [*report["missing_keys"], *report["mismatched_keys"]]
    if wrong:
        raise UserError(
            f"the model in {files} is not one that segments: {len(wrong)} of the tensors that "
            f"{type(model).__name__} needs are missing, such as {sorted(map(str, wrong))[0]}"
        )
    return model.eval().requires_grad_(False)


def levels(picture: Tensor) -> npt.NDArray[np.uint8]:
    """What every processor takes, HWC in [0, 255], of (1, 3, H, W) in [0, 1]."""
    plain = (picture[0].permute(1, 2, 0) * 255).round().clamp(0, 255).byte()
    return np.asarray(plain.cpu().numpy())


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Inside, transformers says nothing but errors."""
    remarks = transformers().utils.logging
    before, bars = remarks.get_verbosity(), remarks.is_progress_bar_enabled()
    remarks.set_verbosity_error()
    remarks.disable_progress_bar()
    try:
        yield
    finally:
        remarks.set_verbosity(before)
        if bars:
            remarks.enable_progress_bar()


def _address() -> str:
    from huggingface_hub.constants import ENDPOINT

    return str(ENDPOINT)


def _snapshot(model: str, cached: bool) -> Path | None:
    """A repository's files from the cache, or from the hub; the safer kind of weights first."""
    for pattern in _WEIGHTS:
        found = _files(model, [*_PLAIN_FILES, pattern], cached)
        if found is None:
            return None
        if _is_whole(found):
            return found
    return None


def _files(model: str, patterns: list[str], cached: bool) -> Path | None:
    from huggingface_hub import snapshot_download

    try:
        return Path(
            snapshot_download(
                model,
                allow_patterns=patterns,
                local_files_only=cached,
                etag_timeout=weights.CONNECTION_TIMEOUT,
            )
        )
    except Exception as error:
        # The client raises errors of its own, and of the library beneath it.
        if not cached:
            log.info("download failed: %s", " ".join(str(error).split())[:200])
        return None


def _weights(files: Path) -> Iterator[Path]:
    for pattern in _WEIGHTS:
        yield from sorted(files.glob(pattern))


def _is_whole(files: Path) -> bool:
    return (files / "config.json").is_file() and any(_weights(files))
