"""The distance of Gaussians: by hand, and its gradient against finite differences."""

import math

import pytest
import torch
from torch import Tensor

from pipeline.engine import wasserstein
from pipeline.engine.wasserstein import Gaussian, distances, root_traces


def moments_of(mean: Tensor, covariance: Tensor) -> Tensor:
    return torch.cat([covariance + torch.outer(mean, mean), mean[None]])


def diagonal(mean: list[float], variances: list[float]) -> Tensor:
    exact = torch.float64
    return moments_of(torch.tensor(mean, dtype=exact), torch.tensor(variances, dtype=exact).diag())


def random_moments(channels: int, seed: int, dtype: torch.dtype = torch.float64) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    rows = torch.rand(4 * channels, channels, generator=generator, dtype=torch.float64)
    mixing = torch.rand(channels, channels, generator=generator, dtype=torch.float64)
    mixed = rows @ (torch.eye(channels, dtype=torch.float64) + mixing / channels)
    return torch.cat([mixed.T @ mixed / len(mixed), mixed.mean(0, keepdim=True)]).to(dtype)


def by_eigenvalues(ours: Tensor, style: Tensor) -> float:
    """The distance as written, not blurred, as a share of the style's energy."""

    def root(matrix: Tensor) -> Tensor:
        values, vectors = torch.linalg.eigh(matrix)
        return vectors @ values.clamp_min(0).sqrt().diag() @ vectors.T

    (s, m), (t, n) = ((found[:-1], found[-1]) for found in (ours, style))
    cov_s, cov_t = s - torch.outer(m, m), t - torch.outer(n, n)
    half = root(cov_t)
    common = root(half @ cov_s @ half).trace()
    found = (m - n).square().sum() + cov_s.trace() + cov_t.trace() - 2 * common
    return float(found / t.trace())


@pytest.fixture
def _hardly_blurred(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(wasserstein, "_BLUR", 1e-9)


@pytest.mark.usefixtures("_hardly_blurred")
def test_by_hand() -> None:
    # Means apart by (1, 2): 5. Roots of variances 2 and 1 against 1 and 3: 1 + 4. Energy: 10 + 5.
    style = Gaussian.of(diagonal([1.0, 2.0], [1.0, 9.0]))
    (found,) = distances([diagonal([2.0, 0.0], [4.0, 1.0])], [style])
    assert found.item() == pytest.approx((5 + 1 + 4) / 15, rel=1e-5)


@pytest.mark.usefixtures("_hardly_blurred")
def test_covariances_in_any_directions() -> None:
    pairs = [(random_moments(n, n), random_moments(n, 50 + n)) for n in (4, 7, 4)]
    found = distances([ours for ours, _ in pairs], [Gaussian.of(style) for _, style in pairs])
    expected = [by_eigenvalues(*pair) for pair in pairs]
    assert [distance.item() for distance in found] == pytest.approx(expected, rel=1e-3)


def test_the_style_is_at_no_distance_from_itself_and_nothing_at_one() -> None:
    moments = random_moments(9, 0)
    (same,) = distances([moments], [Gaussian.of(moments)])
    assert same.item() == pytest.approx(0, abs=1e-5)
    (nothing,) = distances([torch.zeros_like(moments)], [Gaussian.of(moments)])
    assert nothing.item() == pytest.approx(1, abs=0.05)


def test_beyond_the_first_directions_whole_variances_are_compared(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(wasserstein, "_BLUR", 1e-9)
    style = Gaussian.of(diagonal([0.0, 0.0, 0.0], [16.0, 1.0, 3.0]), most=1)
    # 4 against 3 in the first direction; 1 + 3 against 4 + 5 in the other two.
    (found,) = distances([diagonal([0.0, 0.0, 0.0], [9.0, 4.0, 5.0])], [style])
    assert found.item() == pytest.approx((1 + (2 - 3) ** 2) / 20, rel=1e-4)


def test_directions_without_variance_count_as_the_rest() -> None:
    # Which vectors they are is chance: turned, the distance stays.
    style = diagonal([0.0] * 4, [16.0, 0.0, 0.0, 0.0])
    ours = diagonal([0.0] * 4, [9.0, 4.0, 2.0, 1.0])
    found = Gaussian.of(style, most=2)
    assert found.directions.abs().sum(0).tolist() == [0, 1]
    assert found.variances[0] == found.blur
    (distance,) = distances([ours], [found])
    # 4 against 3, and nothing against 7, all blurred.
    blur = 0.016
    first = (16 + blur) ** 0.5 - (9 + blur) ** 0.5
    rest = (7 + blur) ** 0.5 - blur**0.5
    assert distance.item() == pytest.approx((first**2 + rest**2) / 16, rel=1e-5)


@pytest.mark.parametrize("most", [3, 6])
def test_gradients(most: int) -> None:
    style = Gaussian.of(random_moments(6, 1), most)
    ours = random_moments(6, 2).requires_grad_()
    # The blur keeps the root's error, and so the gradient's, near a millionth.
    assert torch.autograd.gradcheck(lambda m: distances([m], [style])[0], ours, atol=1e-5)


def test_the_gradient_of_a_root_in_closed_form() -> None:
    matrix = torch.diag(torch.tensor([4.0, 9.0, 0.25], dtype=torch.float64)).requires_grad_()
    trace = root_traces(matrix[None], torch.tensor([0.25], dtype=torch.float64))
    assert trace.item() == pytest.approx(2 + 3 + 0.5, rel=1e-6)
    (gradient,) = torch.autograd.grad(trace.sum(), matrix)
    expected = torch.tensor([1 / 4, 1 / 6, 1.0], dtype=torch.float64).diag()
    torch.testing.assert_close(gradient, expected, rtol=1e-5, atol=1e-6)


def test_single_precision_is_near() -> None:
    exact = [random_moments(64, seed) for seed in (3, 4)]
    single = [moments.float() for moments in exact]
    found = [distances([ours], [Gaussian.of(style)])[0].item() for ours, style in (exact, single)]
    assert found[1] == pytest.approx(found[0], rel=1e-3)
    assert found[0] == pytest.approx(by_eigenvalues(*exact), rel=0.1)


@pytest.mark.parametrize("variance", [0.0, 1e-6])
def test_flat_styles_and_few_units_are_finite(variance: float) -> None:
    style = diagonal([0.5, 0.2, 0.0], [variance, 0.0, 0.0]).float()
    # Features a hundred times as large.
    bold = random_moments(3, 5, torch.float32) * torch.tensor([1e4, 1e4, 1e4, 1e2])[:, None]
    # One unit: no variance at all.
    unit = moments_of(torch.ones(3), torch.zeros(3, 3))
    for ours in (bold, unit, torch.zeros(4, 3)):
        given = ours.clone().requires_grad_()
        (found,) = distances([given], [Gaussian.of(style)])
        (gradient,) = torch.autograd.grad(found, given)
        assert math.isfinite(found.item())
        assert gradient.isfinite().all()
