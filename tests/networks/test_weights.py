"""Weights are read from files that are safe to read; downloads fail quickly and once."""

import hashlib
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from pipeline.errors import UserError
from pipeline.networks import weights

URL = "http://127.0.0.1:9/models/vgg19-dcbb9e9d.pth"  # nothing listens there


@pytest.fixture(autouse=True)
def empty_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.hub, "_hub_dir", str(tmp_path / "hub"))
    weights._unreachable.clear()


def test_both_formats_are_read(tmp_path: Path) -> None:
    state = {"0.weight": torch.arange(6.0).view(2, 3)}
    save_file(state, tmp_path / "a.safetensors")
    torch.save(state, tmp_path / "a.pth")
    for name in ("a.safetensors", "a.pth"):
        found = weights.read_state_dict(tmp_path / name)
        torch.testing.assert_close(found["0.weight"], state["0.weight"])


class Harmful:
    """Would run code when unpickled."""

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return (exec, ("raise SystemExit('ran')",))


def test_what_could_run_code_is_refused(tmp_path: Path) -> None:
    torch.save({"0.weight": Harmful()}, tmp_path / "bad.pth")
    with pytest.raises(UserError, match=r"bad.pth cannot be read") as caught:
        weights.read_state_dict(tmp_path / "bad.pth")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("name", ["a.bin", "a.pt", "a.ckpt"])
def test_other_formats_are_refused(name: str, tmp_path: Path) -> None:
    (tmp_path / name).write_bytes(b"x")
    with pytest.raises(UserError, match="refused"):
        weights.read_state_dict(tmp_path / name)


def test_damaged_and_missing_files_say_so(tmp_path: Path) -> None:
    (tmp_path / "a.safetensors").write_bytes(b"damaged")
    with pytest.raises(UserError, match="cannot be read"):
        weights.read_state_dict(tmp_path / "a.safetensors")
    with pytest.raises(UserError, match="not found"):
        weights.read_state_dict(tmp_path / "b.safetensors")
    torch.save([1, 2], tmp_path / "list.pth")
    with pytest.raises(UserError, match="not a plain state dict"):
        weights.read_state_dict(tmp_path / "list.pth")


def test_an_unreachable_host_is_tried_once(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    tried = []
    download = torch.hub.download_url_to_file

    def count(*args: object, **options: object) -> None:
        tried.append(args)
        download(*args, **options)

    monkeypatch.setattr(torch.hub, "download_url_to_file", count)
    assert weights.official(URL, may_download=False) is None
    assert tried == []
    assert weights.official(URL, may_download=True) is None
    assert weights.official(URL, may_download=True) is None
    assert len(tried) == 1
    with pytest.raises(UserError, match=r"encoder=vgg19 needs.*vgg19-dcbb9e9d.pth at .*hub") as e:
        weights.locate("vgg19", "encoder", None, URL, Path())
    assert "\n" not in str(e.value)


def test_cached_weights_are_found_without_a_download(tmp_path: Path) -> None:
    cached = weights.cached_file(URL)
    cached.parent.mkdir(parents=True)
    cached.write_bytes(b"weights")
    assert weights.official(URL, may_download=False) == cached
    source = weights.locate("vgg19", "encoder", None, URL, Path())
    assert source.kind == "official"
    assert source.sha256 == hashlib.sha256(b"weights").hexdigest()


def test_the_users_file_comes_first(tmp_path: Path) -> None:
    (tmp_path / "own.pth").write_bytes(b"own")
    source = weights.locate("vgg19", "encoder", tmp_path / "own.pth", URL, Path())
    assert (source.kind, source.file) == ("file", tmp_path / "own.pth")
