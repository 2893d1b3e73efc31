"""Models of the hub: found in folders and in its cache; one line where they cannot be had."""

import sys
from pathlib import Path
from typing import Any

import pytest

from pipeline.errors import UserError
from pipeline.networks import hub, segmenters, weights


def put(folder: Path, *names: str) -> Path:
    folder.mkdir(parents=True)
    for name in names:
        (folder / name).write_bytes(b"x")
    return folder


@pytest.fixture(autouse=True)
def _nothing_tried() -> None:
    hub._unreachable.clear()


class Hub:
    """The hub's client, with some files in its cache and some that can be downloaded."""

    def __init__(self, folder: Path, cached: tuple[str, ...], online: tuple[str, ...]) -> None:
        self.folder = put(folder, *cached)
        self.online = online
        self.downloads = 0

    def __call__(self, model: str, **how: Any) -> str:
        if not how["local_files_only"]:
            self.downloads += 1
            if not self.online:
                raise ConnectionError("no network\nat all")
            for name in self.online:
                if any(Path(name).match(pattern) for pattern in how["allow_patterns"]):
                    (self.folder / name).write_bytes(b"x")
        if not any(self.folder.iterdir()):
            raise FileNotFoundError(model)
        return str(self.folder)


def client(monkeypatch: pytest.MonkeyPatch, fake: Hub) -> Hub:
    package = pytest.importorskip("huggingface_hub")
    monkeypatch.setattr(package, "snapshot_download", fake)
    return fake


def test_a_folder_is_used_as_it_is(tmp_path: Path) -> None:
    own = put(tmp_path / "own", "config.json", "model.safetensors")
    assert hub.folder("own", tmp_path, may_download=False) == own
    found = hub.source("own", own, "own", tmp_path)
    assert (found.kind, found.file) == ("file", own / "model.safetensors")
    assert found.sha256 == weights.sha256(own / "model.safetensors")


def test_what_is_cached_is_not_downloaded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    cached = ("config.json", "pytorch_model.bin")
    fake = client(monkeypatch, Hub(tmp_path / "cache", cached, ()))
    assert hub.folder("owner/name", tmp_path, may_download=True) == fake.folder
    assert fake.downloads == 0
    assert hub.source("owner/name", fake.folder, "owner/name", tmp_path).kind == "hub"


def test_the_safer_weights_are_downloaded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    online = ("config.json", "model.safetensors", "pytorch_model.bin", "tf_model.h5")
    fake = client(monkeypatch, Hub(tmp_path / "a", (), online))
    assert hub.folder("owner/name", tmp_path, may_download=False) is None
    assert hub.folder("owner/name", tmp_path, may_download=True) == fake.folder
    assert {file.name for file in fake.folder.iterdir()} == {"config.json", "model.safetensors"}
    fake = client(monkeypatch, Hub(tmp_path / "b", (), ("config.json", "pytorch_model.bin")))
    assert hub.folder("owner/name", tmp_path, may_download=True) == fake.folder
    assert (fake.folder / "pytorch_model.bin").is_file()


@pytest.mark.parametrize("cached", [(), ("config.json",), ("model.safetensors",)])
def test_absent_and_offline_is_one_line_and_tried_once(
    cached: tuple[str, ...], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("transformers")
    fake = client(monkeypatch, Hub(tmp_path / "cache", cached, ()))
    for _ in range(2):
        with pytest.raises(UserError) as caught:
            segmenters.load("oneformer", None, None, None, tmp_path)  # type: ignore[arg-type]
    assert fake.downloads == 1
    line = str(caught.value)
    assert "\n" not in line
    assert line.startswith(
        "segmenter=oneformer needs the model shi-labs/oneformer_ade20k_swin_tiny"
    )
    assert "hf download shi-labs/oneformer_ade20k_swin_tiny" in line
    assert "segmenter.model=FOLDER" in line


def test_a_folder_of_something_else_is_refused(tmp_path: Path) -> None:
    pytest.importorskip("transformers")
    put(tmp_path / "own", "readme.txt")
    with pytest.raises(UserError, match=r"own is not the folder of a model: .* config.json"):
        segmenters.load("open", None, None, "own", tmp_path)  # type: ignore[arg-type]


def test_without_the_extra_one_line_says_how_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "transformers", None)
    with pytest.raises(UserError, match=r"segmenter=eomt needs the package .*\.\[open\]"):
        segmenters.classes("eomt", None, Path())


def test_open_alone_asks_for_a_model() -> None:
    with pytest.raises(UserError, match=r"segmenter=open needs a model: segmenter.model=NAME"):
        segmenters.classes("open", None, Path())


def test_a_defect_of_the_library_is_one_line(tmp_path: Path) -> None:
    pytest.importorskip("transformers")

    def fail() -> None:
        raise RuntimeError("first\nsecond")

    with pytest.raises(UserError, match="cannot be loaded: first second"):
        hub.loaded(fail, tmp_path)


@pytest.mark.network
@pytest.mark.parametrize("model", [name for name in segmenters.OPEN_MODELS.values() if name])
def test_the_models_are_there(model: str) -> None:
    package = pytest.importorskip("huggingface_hub")
    names = package.list_repo_files(model)
    assert "config.json" in names
    assert {"model.safetensors", "pytorch_model.bin"} & {*names}
