"""What is kept under a key is kept within bounds, and tells contents apart."""

import pytest
import torch

from pipeline.runtime.cache import Store, digest, forget_all


def test_a_digest_is_of_values_shape_and_type() -> None:
    tensor = torch.arange(6.0).view(2, 3)
    assert digest(tensor) == digest(tensor.clone())
    # A view in another order of memory has the same values.
    assert digest(tensor.T.contiguous().T) == digest(tensor)
    others = [tensor.view(3, 2), tensor + 1, tensor.double(), None]
    assert len({digest(other) for other in [tensor, *others]}) == 5


def test_a_value_is_made_once() -> None:
    store, made = Store(1000), []

    def make() -> torch.Tensor:
        made.append(1)
        return torch.zeros(4)

    assert store.get("a", make) is store.get("a", make)
    assert len(made) == 1


def test_what_was_not_asked_for_longest_goes_first() -> None:
    store = Store(2 * 40)
    for key in ("a", "b", "a", "c"):
        store.get(key, lambda: {"features": torch.zeros(10)})
    assert store.size == 80
    for key in ("a", "c"):
        store.get(key, lambda: pytest.fail("it has been forgotten"))
    assert store.get("b", lambda: "made again") == "made again"


def test_what_is_larger_than_the_bound_is_not_kept_and_drives_nothing_out() -> None:
    store = Store(100)
    store.get("small", lambda: [torch.zeros(10)])
    store.get("large", lambda: (torch.zeros(100),))
    assert store.size == 40


def test_a_failure_leaves_nothing() -> None:
    store = Store(100)
    with pytest.raises(ZeroDivisionError):
        store.get("key", lambda: 1 / 0)
    assert store.get("key", lambda: 2) == 2


def test_all_stores_are_emptied_where_memory_runs_out() -> None:
    stores = [Store(100), Store(100)]
    for store in stores:
        store.get("key", lambda: torch.zeros(10))
    forget_all()
    assert [store.size for store in stores] == [0, 0]
    assert stores[0].get("key", lambda: 2) == 2
