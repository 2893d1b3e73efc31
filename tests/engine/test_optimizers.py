"""L-BFGS on functions whose minimum is known."""

import pytest
import torch
from torch import Tensor

from pipeline.engine.optimizers import Best, PictureAdam, PictureLBFGS


def minimise(scale: float, iterations: int = 60, history: int = 10) -> Tensor:
    """Rosenbrock's valley in every pair of pixels, its loss scaled."""
    picture = torch.full((1, 1, 2, 5), 0.3, dtype=torch.float64)
    optimizer = PictureLBFGS(picture, history=history)
    for _ in range(iterations):
        now = picture.clone().requires_grad_()
        x, y = now[0, 0]
        loss = scale * ((1 - x).square() + 100 * (y - x.square()).square()).sum()
        (gradient,) = torch.autograd.grad(loss, now)
        optimizer.step(loss.detach()[None], gradient)
    return picture


@pytest.mark.parametrize("scale", [1e-6, 1.0, 1e6])
def test_finds_the_minimum_whatever_the_losss_scale(scale: float) -> None:
    expected = torch.ones(1, 1, 2, 5, dtype=torch.float64)
    torch.testing.assert_close(minimise(scale), expected, atol=1e-3, rtol=0)


def test_the_directions_are_those_of_the_two_loop_recursion() -> None:
    # Nocedal and Wright 2006, algorithm 7.4, on a quadratic, with more steps than the ring holds.
    generator = torch.Generator().manual_seed(0)
    root = torch.randn(12, 12, generator=generator, dtype=torch.float64)
    hessian = root @ root.T + torch.eye(12)
    history = 4
    picture = torch.randn(1, 1, 3, 4, generator=generator, dtype=torch.float64)
    optimizer = PictureLBFGS(picture, history=history, first_step=0.01, largest_step=1e9)
    pairs: list[tuple[Tensor, Tensor]] = []
    last: tuple[Tensor, Tensor] | None = None
    for _ in range(9):
        x = picture.flatten().clone()
        gradient = hessian @ x
        if last is not None:
            pairs = [*pairs, (x - last[0], gradient - last[1])][-history:]
        last = x, gradient
        optimizer.step(x @ gradient / 2, gradient.view_as(picture))
        if pairs:
            torch.testing.assert_close(picture.flatten() - x, two_loops(gradient, pairs))


def two_loops(gradient: Tensor, pairs: list[tuple[Tensor, Tensor]]) -> Tensor:
    direction, shares = gradient.clone(), []
    for step, change in reversed(pairs):
        shares.append((step @ direction) / (step @ change))
        direction -= shares[-1] * change
    step, change = pairs[-1]
    direction *= (step @ change) / (change @ change)
    for (step, change), share in zip(pairs, reversed(shares), strict=True):
        direction += (share - (change @ direction) / (step @ change)) * step
    return -direction


def test_first_step_has_the_size_it_says() -> None:
    picture = torch.zeros(1, 3, 4, 5)
    # Half of the pixels have no gradient; they do not count.
    gradient = torch.zeros_like(picture)
    gradient[..., :2, :] = 7.0
    PictureLBFGS(picture, first_step=0.01).step(torch.tensor(1.0), gradient)
    torch.testing.assert_close(picture[..., :2, :], torch.full((1, 3, 2, 5), -0.01))
    assert torch.equal(picture[..., 2:, :], torch.zeros(1, 3, 2, 5))


@pytest.mark.parametrize("exploded", [float("nan"), float("inf"), 2.1])
def test_goes_back_when_the_loss_explodes(exploded: float) -> None:
    picture = torch.zeros(1, 1, 2, 3)
    gradient = torch.ones_like(picture)
    optimizer = PictureLBFGS(picture)
    optimizer.step(torch.tensor(1.0), gradient)
    assert picture.abs().max() > 0
    optimizer.step(torch.tensor(exploded), gradient * exploded)
    assert torch.equal(picture, torch.zeros(1, 1, 2, 3))
    optimizer.step(torch.tensor(0.5), gradient)
    torch.testing.assert_close(picture, torch.full((1, 1, 2, 3), -0.005))


def test_a_pair_without_positive_curvature_is_not_used() -> None:
    picture = torch.zeros(1, 1, 2, 3)
    optimizer = PictureLBFGS(picture, first_step=0.01)
    optimizer.step(torch.tensor(1.0), torch.ones_like(picture))
    # Downhill the gradient has grown: a maximum lies behind, and no Newton step leads down.
    optimizer.step(torch.tensor(0.9), 2 * torch.ones_like(picture))
    torch.testing.assert_close(picture, torch.full((1, 1, 2, 3), -0.02))


@pytest.mark.parametrize("kind", [PictureAdam, PictureLBFGS])
def test_the_best_picture_is_kept(kind: type) -> None:
    picture = torch.zeros(1, 1, 2, 3)
    optimizer = kind(picture, 0.1)
    seen = []
    for loss in (3.0, 1.0, 1.5):
        seen.append(picture.clone())
        optimizer.step(torch.tensor(loss), torch.ones_like(picture))
    assert torch.equal(optimizer.best.picture, seen[1])
    assert optimizer.best.loss == 1.0


@pytest.mark.parametrize("history", [1, 3])
def test_of_a_batch_each_picture_descends_by_itself(history: int) -> None:
    generator = torch.Generator().manual_seed(0)
    start = torch.rand(3, 1, 3, 4, generator=generator, dtype=torch.float64)
    scales = torch.tensor([1e-3, 1.0, 1e3], dtype=torch.float64)

    def descend(picture: Tensor, scale: Tensor, explodes: Tensor) -> tuple[Tensor, Tensor]:
        optimizer = PictureLBFGS(picture, history=history)
        for iteration in range(12):
            now = picture.clone().requires_grad_()
            loss = scale * (now.flatten(1) - 0.5).pow(4).sum(1)
            (gradient,) = torch.autograd.grad(loss.sum(), now)
            if iteration == 6:
                loss = loss.where(~explodes, float("nan"))
            optimizer.step(loss.detach(), gradient)
        return picture, optimizer.best.loss

    explodes = torch.tensor([False, True, False])
    pictures, best = descend(start.clone(), scales, explodes)
    for k in range(3):
        this = slice(k, k + 1)
        picture, loss = descend(start[this].clone(), scales[this], explodes[this])
        torch.testing.assert_close(pictures[this], picture)
        torch.testing.assert_close(best[this], loss)
    assert (best < 0.1 * scales * (start.flatten(1) - 0.5).pow(4).sum(1)).all()


def test_nothing_is_better_than_what_is_not_a_number() -> None:
    best = Best(torch.zeros(1, 1, 2, 3))
    best.update(torch.ones(1, 1, 2, 3), torch.tensor(float("nan")))
    assert torch.equal(best.picture, torch.zeros(1, 1, 2, 3))


@pytest.mark.parametrize("make", [PictureLBFGS, PictureAdam])
def test_after_a_turn_what_was_best_counts_no_more(make: type[PictureLBFGS | PictureAdam]) -> None:
    picture = torch.full((1, 3, 4, 5), 0.5)
    optimizer = make(picture, 0.1)
    gradient = torch.ones_like(picture)
    optimizer.step(torch.tensor([1.0]), gradient)
    optimizer.turn()
    # Much higher than before, and yet no step is taken back.
    here = picture.clone()
    optimizer.step(torch.tensor([50.0]), gradient)
    assert float(optimizer.best.loss) == 50
    assert torch.equal(optimizer.best.picture, here)
    assert bool((picture < here).all())
