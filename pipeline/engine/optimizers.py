"""Optimizers of pictures that never wait for the device.

Each picture of a batch descends by itself. What depends on its loss is decided by tensors on the
device, not by the process, so that steps can be queued one after the other, or recorded once and
replayed (`pipeline.runtime.cuda_graph`).
"""

from collections.abc import Mapping
from typing import Protocol

import torch
from torch import Tensor


class Best:
    """Each picture with the lowest loss so far.

    Attributes:
        picture: (B, C, H, W), as they were then.
        loss: (B,), of them; infinite at first.
    """

    def __init__(self, picture: Tensor) -> None:
        self.picture = picture.detach().clone()
        self.loss = picture.new_full((len(picture),), float("inf"), requires_grad=False)

    def update(self, picture: Tensor, loss: Tensor) -> None:
        """Keep those pictures whose loss, (B,), is lower."""
        better = loss < self.loss
        torch.where(_over_pixels(better), picture, self.picture, out=self.picture)
        torch.where(better, loss, self.loss, out=self.loss)

    def finite(self) -> Tensor | None:
        """(B, C, H, W) in [0, 1]; None where no loss has been finite."""
        return self.picture.clamp(0, 1) if bool(self.loss.isfinite().all()) else None

    def forget(self) -> None:
        """Any picture is better than those before: the losses are others from now on."""
        self.loss.fill_(float("inf"))


class Optimizer(Protocol):
    """Changes pictures so that their losses fall.

    Attributes:
        best: each picture with the lowest loss so far.
        recovers: whether it gets over a loss that is not finite by itself.
    """

    best: Best
    recovers: bool

    def step(self, loss: Tensor, gradient: Tensor) -> None:
        """One step from where the pictures are.

        Args:
            loss: (B,), of the pictures as they are.
            gradient: as the pictures; of each with respect to its own loss.
        """
        ...

    def turn(self) -> None:
        """The losses are others from now on: what was best so far counts no more."""
        ...

    def state(self) -> dict[str, Tensor]:
        """What the next step depends on besides the pictures: its own tensors, by name."""
        ...

    def restore(self, state: Mapping[str, Tensor]) -> None:
        """Go on from another one's `state`, of pictures of the same size.

        Raises:
            ValueError: it is of another kind, or of other sizes.
        """
        ...


class PictureAdam:
    """Adam (Kingma and Ba 2015), as torch has it.

    Args:
        picture: (B, C, H, W), changed in place.
        learning_rate: in units of the pixels' range.
    """

    # Its averages stay what they have become.
    recovers = False

    def __init__(self, picture: Tensor, learning_rate: float) -> None:
        self.best = Best(picture)
        self._picture = picture
        self._adam = torch.optim.Adam(
            [picture], lr=learning_rate, capturable=picture.device.type == "cuda"
        )

    @torch.no_grad()
    def step(self, loss: Tensor, gradient: Tensor) -> None:
        """As `Optimizer.step`."""
        self.best.update(self._picture, loss)
        self._picture.grad = gradient
        self._adam.step()
        # It belongs to this step: a recorded one uses its memory again.
        self._picture.grad = None

    def turn(self) -> None:
        """As `Optimizer.turn`."""
        self.best.forget()

    def state(self) -> dict[str, Tensor]:
        """As `Optimizer.state`."""
        averages = self._adam.state[self._picture]
        return {**_of_best(self.best), **{f"adam.{name}": averages[name] for name in averages}}

    def restore(self, state: Mapping[str, Tensor]) -> None:
        """As `Optimizer.restore`."""
        averages = {
            name.removeprefix("adam."): tensor.clone()
            for name, tensor in state.items()
            if name.startswith("adam.")
        }
        if averages.keys() != {"step", "exp_avg", "exp_avg_sq"}:
            raise ValueError("the state of another optimizer")
        _fill(_of_best(self.best), {k: v for k, v in state.items() if k.startswith("best.")})
        self._adam.load_state_dict({**self._adam.state_dict(), "state": {0: averages}})


class PictureLBFGS:
    """Limited-memory BFGS (Nocedal and Wright 2006, algorithm 7.4) whose steps suit a picture.

    Differs from `torch.optim.LBFGS` without line search in three ways. Its first step, torch
    moves all pixels together by 1, which for a photograph is below the precision of the loss and
    spoils the curvature estimate; here the pixels move by ``first_step`` on average. No step
    moves them by more than ``largest_step`` on average. And when the loss rises far above the
    best so far, it goes back there and forgets the curvature, where others diverge.

    The direction comes from the compact form of Byrd, Nocedal and Schnabel 1994 (theorem 2.2): all
    pairs are read twice, by two matrix products, instead of one after the other.

    Args:
        picture: (B, C, H, W), changed in place.
        learning_rate: multiplies the quasi-Newton step.
        history: pairs remembered, at twice the picture's memory each.
        first_step, largest_step: root mean square over the pixels that have a gradient, in units
            of the pixels' range.
    """

    # It goes back to the best picture and makes smaller steps.
    recovers = True

    def __init__(
        self,
        picture: Tensor,
        learning_rate: float = 1.0,
        history: int = 10,
        first_step: float = 0.01,
        largest_step: float = 0.1,
    ) -> None:
        rows = picture.detach().flatten(1)
        count, pixels = rows.shape
        # Apple's MPS has no doubles.
        exact = torch.float32 if rows.device.type == "mps" else torch.float64
        self.best = Best(picture)
        self._picture, self._history = picture, history
        self._learning_rate, self._largest_step = learning_rate, largest_step
        self._first_step = rows.new_full((count,), first_step)
        # A ring of pairs: steps s, and the changes y of the gradient over them. The newest place
        # waits for its second half: it holds the last step and the gradient before it.
        self._steps = rows.new_zeros(count, history, pixels)
        self._changes = rows.new_zeros(count, history, pixels)
        self._newest = torch.zeros((), dtype=torch.int64, device=rows.device)
        self._valid = torch.zeros(count, history, dtype=torch.bool, device=rows.device)
        self._step_by_change = rows.new_zeros(count, history, history, dtype=exact)  # s_i y_j
        self._change_by_change = rows.new_zeros(count, history, history, dtype=exact)  # y_i y_j
        self._scale = rows.new_zeros(count, dtype=exact)  # s y / y y of the newest pair
        self._moved = torch.zeros(count, dtype=torch.bool, device=rows.device)

    @torch.no_grad()
    def step(self, loss: Tensor, gradient: Tensor) -> None:
        """As `Optimizer.step`."""
        gradient = gradient.flatten(1)
        # So that NaN, too, goes back.
        lost = ~(loss <= 2 * self.best.loss)
        self.best.update(self._picture, loss)
        self._valid.logical_and_(~lost[:, None])
        torch.where(lost, self._first_step / 2, self._first_step, out=self._first_step)
        self._complete(gradient, self._moved & ~lost)
        step = self._direction(gradient)
        # Not by rows at once, nor `(gradient != 0).sum()`: both make 64-bit numbers first.
        moving = torch.stack([torch.count_nonzero(row) for row in gradient]).clamp_min(1)
        size = (_dot(step, step) / moving).sqrt().clamp_min(1e-20)
        length = torch.where(
            self._valid.any(1),
            self._learning_rate * (self._largest_step / size).clamp_max(1),
            self._learning_rate * self._first_step / size,
        )
        step.mul_(length[:, None])
        self._begin(step, gradient)
        self._moved.copy_(~lost)
        self._picture.add_(step.view_as(self._picture))
        torch.where(_over_pixels(lost), self.best.picture, self._picture, out=self._picture)

    def turn(self) -> None:
        """As `Optimizer.turn`; the gradient's change over the last step says nothing then."""
        self.best.forget()
        self._moved.fill_(False)

    def state(self) -> dict[str, Tensor]:
        """As `Optimizer.state`."""
        return {
            **_of_best(self.best),
            "lbfgs.first_step": self._first_step,
            "lbfgs.steps": self._steps,
            "lbfgs.changes": self._changes,
            "lbfgs.newest": self._newest,
            "lbfgs.valid": self._valid,
            "lbfgs.step_by_change": self._step_by_change,
            "lbfgs.change_by_change": self._change_by_change,
            "lbfgs.scale": self._scale,
            "lbfgs.moved": self._moved,
        }

    def restore(self, state: Mapping[str, Tensor]) -> None:
        """As `Optimizer.restore`."""
        _fill(self.state(), state)

    def _begin(self, step: Tensor, gradient: Tensor) -> None:
        """Put a step into the place of the oldest pair."""
        here = self._newest.copy_((self._newest + 1) % self._history).view(1)
        self._steps.index_copy_(1, here, step[:, None])
        self._changes.index_copy_(1, here, gradient[:, None])
        self._valid.index_fill_(1, here, False)

    def _complete(self, gradient: Tensor, moved: Tensor) -> None:
        """Complete the newest pair by what its step did to the gradient."""
        here = self._newest.view(1)
        step, change = self._newest_of(self._steps), self._newest_of(self._changes)
        torch.sub(gradient, change, out=change)
        curvature, energy = _dot(step, change), _dot(change, change)
        # Without positive curvature the pair would turn descent into ascent.
        good = moved & (curvature > 1e-10 * energy.sqrt() * _dot(step, step).sqrt())
        # Zeros for a pair that is no good: NaN would spoil sums even with a weight of 0.
        zero = torch.zeros_like(step[:, :1])
        for vector in (step, change):
            torch.where(good[:, None], vector, zero, out=vector)
        if self._history > 1:
            self._steps.index_copy_(1, here, step[:, None])
            self._changes.index_copy_(1, here, change[:, None])
        self._valid.index_copy_(1, here, good[:, None])
        exact = self._scale.dtype
        by_change, among_changes = self._step_by_change, self._change_by_change
        by_change.index_copy_(1, here, _times(self._changes, step).to(exact)[:, None])
        by_change.index_copy_(2, here, _times(self._steps, change).to(exact)[:, :, None])
        found = _times(self._changes, change).to(exact)
        among_changes.index_copy_(1, here, found[:, None])
        among_changes.index_copy_(2, here, found[:, :, None])
        self._scale.copy_(torch.where(good, (curvature / energy).to(exact), self._scale))

    def _newest_of(self, ring: Tensor) -> Tensor:
        """The newest row: a copy, as only the device knows its number, or the only row itself."""
        return (
            ring[:, 0] if self._history == 1 else ring.index_select(1, self._newest.view(1))[:, 0]
        )

    def _direction(self, gradient: Tensor) -> Tensor:
        """Minus the inverse Hessian's estimate times the gradient; minus the gradient at first."""
        exact = self._scale.dtype
        age = torch.arange(1, self._history + 1, device=gradient.device)
        order = (self._newest + age) % self._history  # from the oldest to the newest
        valid = self._valid[:, order]
        both = valid[:, :, None] & valid[:, None]

        def ordered(products: Tensor) -> Tensor:
            return products[:, order][:, :, order].masked_fill(~both, 0)

        def along(ring: Tensor) -> Tensor:
            return _times(ring, gradient)[:, order].to(exact).masked_fill(~valid, 0)[:, :, None]

        by_change, curvature = ordered(self._step_by_change), self._scale[:, None, None]
        upper = by_change.triu() + torch.diag_embed((~valid).to(exact))
        solve = torch.linalg.solve_triangular
        first = solve(upper, along(self._steps), upper=True)
        middle = by_change.diagonal(dim1=1, dim2=2)[:, :, None] * first
        middle = middle - curvature * along(self._changes)
        middle = middle + curvature * (ordered(self._change_by_change) @ first)
        second = solve(upper.mT, middle, upper=False)
        ring = torch.empty_like(order).index_copy_(0, order, age - 1)
        scale = self._scale.masked_fill(~valid.any(1), 1).to(gradient.dtype)
        along_changes = (curvature * first)[:, ring].mT.to(gradient.dtype)
        along_steps = second[:, ring].mT.to(gradient.dtype)
        found = torch.bmm(along_changes, self._changes)
        found.baddbmm_(along_steps, self._steps, alpha=-1)
        return found[:, 0].addcmul_(gradient, scale[:, None], value=-1)


def _of_best(best: Best) -> dict[str, Tensor]:
    return {"best.picture": best.picture, "best.loss": best.loss}


def _fill(own: Mapping[str, Tensor], state: Mapping[str, Tensor]) -> None:
    """Copy tensors into those of the same names."""
    if {name: t.shape for name, t in own.items()} != {name: t.shape for name, t in state.items()}:
        raise ValueError("the state of another optimizer, or of pictures of other sizes")
    for name, tensor in own.items():
        tensor.copy_(state[name])


def _over_pixels(values: Tensor) -> Tensor:
    """(B,) to (B, 1, 1, 1)."""
    return values.view(-1, 1, 1, 1)


def _dot(first: Tensor, second: Tensor) -> Tensor:
    """(B,), of the rows of two (B, n)."""
    return torch.stack([one @ other for one, other in zip(first, second, strict=True)])


def _times(ring: Tensor, vector: Tensor) -> Tensor:
    """(B, h, n) times (B, n): (B, h)."""
    # The vector as a row: as a column, libraries take fifteen times as long for a batch.
    return torch.bmm(vector[:, None], ring.mT)[:, 0]
