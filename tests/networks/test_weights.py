"""Weights are read from files that are safe to read; downloads fail quickly and once."""

import hashlib
import io
import warnings
from email.message import Message
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
    with pytest.raises(UserError, match=r"bad.pth is not .* may hold code, which is not") as caught:
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


WHOLE = b"weights"
DIGEST = hashlib.sha256(WHOLE).hexdigest()
#: Named as torchvision names its own.
OWN_URL = f"http://127.0.0.1:9/models/vgg19-{DIGEST[:8]}.pth"


def cache(data: bytes) -> Path:
    cached = weights.cached_file(OWN_URL)
    cached.parent.mkdir(parents=True, exist_ok=True)
    cached.write_bytes(data)
    return cached


def serve(*answers: bytes, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Let downloads bring these, one after the other; returns what is asked for."""
    asked: list[str] = []
    waiting = iter(answers)

    def opened(url: object, *args: object, **options: object) -> io.BytesIO:
        asked.append(str(getattr(url, "full_url", url)))
        answer = io.BytesIO(next(waiting))
        answer.info = lambda: Message()  # type: ignore[attr-defined]
        return answer

    monkeypatch.setattr("torch.hub.urlopen", opened)
    return asked


def test_cached_weights_are_found_without_a_download() -> None:
    cached = cache(WHOLE)
    assert weights.official(OWN_URL, may_download=False) == cached
    source = weights.locate("vgg19", "encoder", None, OWN_URL, Path())
    assert source.kind == "official"
    assert source.sha256 == DIGEST


def test_damaged_cached_weights_are_deleted_and_fetched_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    asked = serve(WHOLE, monkeypatch=monkeypatch)
    cached = cache(WHOLE[:-1])
    # Where nothing may be downloaded, they are left, and not used.
    assert weights.official(OWN_URL, may_download=False) is None
    assert (cached.read_bytes(), asked) == (WHOLE[:-1], [])
    assert weights.official(OWN_URL, may_download=True) == cached
    assert (cached.read_bytes(), asked) == (WHOLE, [OWN_URL])


def test_a_damaged_download_is_deleted_and_fetched_once_more(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    asked = serve(b"dam", WHOLE, b"dam", b"aged", monkeypatch=monkeypatch)
    cached = weights.official(OWN_URL, may_download=True)
    assert cached is not None
    assert (cached.read_bytes(), len(asked)) == (WHOLE, 2)
    cached.unlink()
    assert weights.official(OWN_URL, may_download=True) is None
    assert len(asked) == 4
    assert [*cached.parent.iterdir()] == []


def test_bundled_networks_are_checked_before_use(tmp_path: Path) -> None:
    for file in ("compact_encoder.safetensors", "compact_segmenter.safetensors"):
        path = weights.BUNDLED / file
        assert weights.locate("compact", "encoder", None, None, path).sha256 == weights.sha256(path)
    own = tmp_path / "compact.safetensors"
    save_file({"a": torch.zeros(2)}, own)
    with pytest.raises(UserError, match=r"compact.safetensors is damaged: .*install the package"):
        weights.locate("compact", "encoder", None, None, own)
    own.with_name("compact.safetensors.sha256").write_text(weights.sha256(own) + "\n")
    assert weights.locate("compact", "encoder", None, None, own).kind == "bundled"
    save_file({"a": torch.ones(2)}, own)
    with pytest.raises(UserError, match="is damaged"):
        weights.locate("compact", "encoder", None, None, own)


def test_a_file_that_has_changed_has_another_sha256(tmp_path: Path) -> None:
    for data in (b"a", b"bc", b"def"):
        (tmp_path / "a").write_bytes(data)
        assert weights.sha256(tmp_path / "a") == hashlib.sha256(data).hexdigest()


@pytest.mark.filterwarnings("ignore")  # torch's, of the formats that are made here
@pytest.mark.parametrize(
    ("state", "message"),
    [
        ({1: torch.zeros(2)}, "not a plain state dict"),
        ({b"a": torch.zeros(2)}, "not a plain state dict"),
        ({(1, 2): torch.zeros(2)}, "not a plain state dict"),
        ({"a": torch.zeros(2), 3: torch.zeros(2)}, "not a plain state dict"),
        ({"a": {"b": torch.zeros(2)}}, "not a plain state dict"),
        (None, "not a plain state dict"),
        ("text", "not a plain state dict"),
        ({"a": torch.zeros(2, device="meta")}, "a is sparse, quantized, complex or without"),
        ({"a": torch.eye(3).to_sparse()}, "a is sparse"),
        ({"a": torch.zeros(2, dtype=torch.complex64)}, "a is sparse, quantized, complex"),
        ({"a": torch.tensor([1.0, torch.nan])}, "a holds NaN or infinite values"),
        ({"a": torch.tensor([1.0, torch.inf]).half()}, "a holds NaN or infinite values"),
    ],
)
def test_tensors_that_are_no_weights_are_refused(
    state: object, message: str, tmp_path: Path
) -> None:
    torch.save(state, tmp_path / "a.pth")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with pytest.raises(UserError, match=message) as error:
            weights.read_state_dict(tmp_path / "a.pth")
    assert "\n" not in str(error.value)


@pytest.mark.filterwarnings("ignore")  # torch's: it will do without them one day
def test_quantized_tensors_are_refused(tmp_path: Path) -> None:
    quantized = torch.quantize_per_tensor(torch.zeros(2), 0.1, 0, torch.qint8)
    torch.save({"a": quantized}, tmp_path / "a.pth")
    with pytest.raises(UserError, match="a is sparse, quantized"):
        weights.read_state_dict(tmp_path / "a.pth")


def test_the_users_file_comes_first(tmp_path: Path) -> None:
    (tmp_path / "own.pth").write_bytes(b"own")
    source = weights.locate("vgg19", "encoder", tmp_path / "own.pth", URL, Path())
    assert (source.kind, source.file) == ("file", tmp_path / "own.pth")
