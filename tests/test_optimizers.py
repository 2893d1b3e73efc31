"""L-BFGS on functions whose minimum is known."""

import torch
from torch import Tensor

from pipeline.optimizers import PictureLBFGS


def minimise(scale: float, iterations: int = 60) -> Tensor:
    """Rosenbrock's valley in every pair of pixels, its loss scaled."""
    picture = torch.full((1, 1, 2, 5), 0.3, dtype=torch.float64, requires_grad=True)

    def evaluate() -> float:
        picture.grad = None
        x, y = picture[0, 0]
        loss = scale * ((1 - x).square() + 100 * (y - x.square()).square()).sum()
        loss.backward()
        return float(loss.detach())

    optimizer = PictureLBFGS(picture)
    for _ in range(iterations):
        optimizer.step(evaluate)
    return picture.detach()


def test_finds_the_minimum_whatever_the_losss_scale() -> None:
    for scale in (1e-6, 1.0, 1e6):
        torch.testing.assert_close(
            minimise(scale), torch.ones(1, 1, 2, 5, dtype=torch.float64), atol=1e-3, rtol=0
        )


def test_first_step_has_the_size_it_says() -> None:
    picture = torch.zeros(1, 3, 4, 5, requires_grad=True)

    def evaluate() -> float:
        # Half of the pixels have no gradient; they do not count.
        picture.grad = torch.zeros_like(picture)
        picture.grad[..., :2, :] = 7.0
        return 1.0

    PictureLBFGS(picture, first_step=0.01).step(evaluate)
    torch.testing.assert_close(picture[..., :2, :], torch.full((1, 3, 2, 5), -0.01))
    assert torch.equal(picture[..., 2:, :], torch.zeros(1, 3, 2, 5))


def test_goes_back_when_the_loss_explodes() -> None:
    picture = torch.zeros(1, 1, 2, 3, requires_grad=True)
    losses = iter([1.0, float("nan"), 0.5])

    def evaluate() -> float:
        picture.grad = torch.ones_like(picture)
        return next(losses)

    optimizer = PictureLBFGS(picture)
    optimizer.step(evaluate)
    assert picture.abs().max() > 0
    optimizer.step(evaluate)
    assert torch.equal(picture, torch.zeros(1, 1, 2, 3))
    optimizer.step(evaluate)
    torch.testing.assert_close(picture, torch.full((1, 1, 2, 3), -0.005))
