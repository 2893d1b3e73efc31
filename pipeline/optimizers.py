"""L-BFGS for pictures."""

from collections.abc import Callable

import torch
from torch import Tensor


class PictureLBFGS:
    """Limited-memory BFGS (Nocedal and Wright 2006, algorithm 7.4) whose steps suit a picture.

    Differs from `torch.optim.LBFGS` without line search in three ways. Its first step, torch
    moves all pixels together by 1, which for a photograph is below the precision of the loss and
    spoils the curvature estimate; here the pixels move by ``first_step`` on average. No step
    moves them by more than ``largest_step`` on average. And when the loss rises far above the
    best so far, it goes back there and forgets the curvature, where others diverge.

    Args:
        picture: the parameter, contiguous, changed in place.
        learning_rate: multiplies the quasi-Newton step.
        history: pairs remembered, at twice the picture's memory each.
        first_step, largest_step: root mean square over the pixels that have a gradient, in units
            of the pixels' range.
    """

    def __init__(
        self,
        picture: Tensor,
        learning_rate: float = 1.0,
        history: int = 10,
        first_step: float = 0.01,
        largest_step: float = 0.1,
    ) -> None:
        self.picture = picture
        self.learning_rate = learning_rate
        self.history = history
        self.first_step = first_step
        self.largest_step = largest_step
        self._best_loss = float("inf")
        self._best = picture.detach().clone()
        self._pairs: list[tuple[Tensor, Tensor, Tensor]] = []  # step, gradient change, 1 / (s y)
        self._last: tuple[Tensor, Tensor] | None = None  # step, gradient before it

    @torch.no_grad()
    def step(self, evaluate: Callable[[], float]) -> None:
        """One iteration.

        Args:
            evaluate: computes the loss of the picture as it is, fills ``picture.grad`` and returns
                the loss.
        """
        with torch.enable_grad():
            loss = evaluate()
        assert self.picture.grad is not None
        if loss < self._best_loss:
            self._best_loss = loss
            self._best.copy_(self.picture)
        elif not loss <= 2 * self._best_loss:  # so that NaN, too, goes back
            self._go_back()
            return
        gradient = self.picture.grad.flatten()
        self._remember(gradient)
        direction = self._direction(gradient)
        moving = (gradient != 0).sum().clamp_min(1)
        size = (direction.square().sum() / moving).sqrt()
        if self._pairs:
            direction = direction * (self.learning_rate * self._limit(size, self.largest_step))
        else:
            direction = direction * (self.learning_rate * self.first_step / size.clamp_min(1e-20))
        self._last = (direction, gradient.clone())
        self.picture.add_(direction.view_as(self.picture))

    @staticmethod
    def _limit(size: Tensor, largest: float) -> Tensor:
        return (largest / size.clamp_min(1e-20)).clamp_max(1)

    def _remember(self, gradient: Tensor) -> None:
        if self._last is None:
            return
        step, before = self._last
        change = gradient - before
        curvature = step @ change
        # Without positive curvature the pair would turn descent into ascent.
        if float(curvature) > 1e-10 * float(change.norm() * step.norm()):
            self._pairs.append((step, change, 1 / curvature))
            del self._pairs[: -self.history]

    def _direction(self, gradient: Tensor) -> Tensor:
        direction = -gradient
        if not self._pairs:
            return direction
        shares = []
        for step, change, inverse in reversed(self._pairs):
            share = inverse * (step @ direction)
            direction = direction - share * change
            shares.append(share)
        _, change, inverse = self._pairs[-1]
        direction = direction / (inverse * (change @ change))
        for (step, change, inverse), share in zip(self._pairs, reversed(shares), strict=True):
            direction = direction + (share - inverse * (change @ direction)) * step
        return direction

    def _go_back(self) -> None:
        self.picture.copy_(self._best)
        self._pairs.clear()
        self._last = None
        self.first_step /= 2
