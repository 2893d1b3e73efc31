"""The device by its name."""

import pytest
import torch

from pipeline.errors import UserError
from pipeline.runtime import device


def there(monkeypatch: pytest.MonkeyPatch, cuda: int, mps: bool) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: cuda > 0)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: cuda)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: mps)


@pytest.mark.parametrize(
    ("cuda", "mps", "chosen"), [(2, True, "cuda"), (0, True, "mps"), (0, False, "cpu")]
)
def test_auto_takes_the_fastest(
    cuda: int, mps: bool, chosen: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    there(monkeypatch, cuda, mps)
    assert device.choose("auto") == torch.device(chosen)


def test_one_of_several_may_be_named(monkeypatch: pytest.MonkeyPatch) -> None:
    there(monkeypatch, 2, False)
    assert device.choose("cuda:1") == torch.device("cuda", 1)


@pytest.mark.parametrize("name", ["cuda:2", "cuda:x", "cuda:-1", "mps", "abacus"])
def test_what_is_not_there_is_refused(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    there(monkeypatch, 2, False)
    with pytest.raises(UserError) as raised:
        device.choose(name)
    assert str(raised.value) == (
        f"device={name} is not available here; use device=auto or one of: cuda, cpu"
    )
