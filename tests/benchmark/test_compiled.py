"""By hand, plain or compiled: the same loss and the same gradient."""

import shutil

import pytest
import torch
from torch import Tensor, nn

from pipeline.benchmark import compiled
from pipeline.benchmark.bench import Bench
from pipeline.networks.encoder import Encoder
from tests.conftest import tiny_features

LAYERS = ("relu1_1", "relu2_1")


@pytest.fixture
def not_compiled(monkeypatch: pytest.MonkeyPatch) -> None:
    """Compilation, which takes half a minute, leaves a module as it is."""

    def same(module: nn.Module, mode: str) -> nn.Module:
        return module

    monkeypatch.setattr(torch, "compile", same)


def test_plain_modules_read_what_the_encoder_reads(content: Tensor) -> None:
    encoder = Encoder(tiny_features(), padding="reflect")
    found = compiled.PlainEncoder(encoder, LAYERS)(content)
    wanted = encoder(content, LAYERS)
    for layer, features in zip(LAYERS, found, strict=True):
        torch.testing.assert_close(features, wanted[layer])


def test_loss_by_hand() -> None:
    first = torch.tensor([[[[1.0, 2.0]], [[3.0, 0.0]]]])
    # Grams [[5, 3], [3, 9]] / 2 against zero, features against ones.
    grams = (2.5**2 + 2 * 1.5**2 + 4.5**2) / 4
    found = compiled.loss([first], [torch.zeros(2, 2)], torch.ones(1, 2, 1, 2))
    assert float(found) == pytest.approx(grams + (0 + 1 + 4 + 1) / 4)


@pytest.mark.usefixtures("not_compiled")
def test_all_ways_have_the_same_gradient(content: Tensor, stripes: Tensor) -> None:
    ways = compiled.sides(Encoder(tiny_features(), padding="reflect"), LAYERS, content, stripes)
    assert [*ways] == ["by hand", "plain modules", "compiled"]
    for way in ways.values():
        way.step()
    hand = ways["by hand"]
    assert float(hand.loss) > 0
    assert float(hand.gradient.abs().max()) > 0
    for way in ways.values():
        torch.testing.assert_close(way.loss, hand.loss)
        torch.testing.assert_close(way.gradient, hand.gradient)


@pytest.mark.usefixtures("not_compiled")
def test_figures_compare_with_what_is_done_by_hand(bench: Bench) -> None:
    [found] = compiled.compiled(Bench(bench.where, True, 64, bench.vgg19, False))
    hand, plain, other = found.samples.values()
    assert len(hand) == 9
    assert [figure.measured for figure in found.figures] == [sorted(hand)[4]] * 2
    assert [figure.against for figure in found.figures] == [sorted(plain)[4], sorted(other)[4]]
    for figure in found.figures:
        assert figure.measured is not None
        assert figure.against is not None
        assert figure.ratio == figure.against / figure.measured
    assert found.details["difference"]["plain modules"]["gradient"] < 1e-5


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("gcc") is None, reason="torch.compile needs a compiler")
@pytest.mark.filterwarnings("default")
def test_the_compiled_way_has_the_same_gradient(content: Tensor, stripes: Tensor) -> None:
    ways = compiled.sides(Encoder(tiny_features(), padding="reflect"), LAYERS, content, stripes)
    for way in ways.values():
        way.step()
    torch.testing.assert_close(ways["compiled"].loss, ways["by hand"].loss)
    torch.testing.assert_close(ways["compiled"].gradient, ways["by hand"].gradient)
