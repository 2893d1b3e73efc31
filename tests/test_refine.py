"""The guided filter keeps flat masks, follows the picture's edges and ignores none."""

import torch

from pipeline.refine import guided_filter


def test_a_constant_mask_stays() -> None:
    guide = torch.rand(1, 3, 20, 31, generator=torch.Generator().manual_seed(0))
    mask = torch.full((1, 2, 20, 31), 0.3)
    torch.testing.assert_close(guided_filter(guide, mask, 4, 1e-4), mask, atol=1e-5, rtol=0)


def test_a_linear_function_of_the_colours_stays() -> None:
    # Where the mask is a linear function of the guide the model is exact, up to eps.
    guide = torch.rand(1, 3, 24, 30, generator=torch.Generator().manual_seed(1))
    mask = (0.2 * guide[:, :1] + 0.5 * guide[:, 1:2] + 0.1).clone()
    torch.testing.assert_close(guided_filter(guide, mask, 5, 1e-8), mask, atol=1e-4, rtol=0)


def test_a_blurred_mask_snaps_to_the_edge_of_the_picture() -> None:
    guide = torch.zeros(1, 3, 32, 48)
    guide[..., 24:] = torch.tensor([0.8, 0.5, 0.2]).view(1, 3, 1, 1)
    ramp = ((torch.arange(48) - 18) / 12).clamp(0, 1).expand(1, 1, 32, 48)
    sharp = guided_filter(guide, ramp, 12, 1e-4)
    before = ramp[..., 24] - ramp[..., 23]
    after = sharp[..., 24] - sharp[..., 23]
    assert (after > 4 * before).all()


def test_a_flat_picture_gives_the_mean() -> None:
    guide = torch.full((1, 3, 9, 9), 0.5)
    mask = torch.zeros(1, 1, 9, 9)
    mask[..., 4, 4] = 1
    # Slope 0 everywhere: the filter is two box means, 3x3 each, of a single one.
    filtered = guided_filter(guide, mask, 1, 1e-4)
    assert filtered[0, 0, 4, 4].item() == torch.tensor(1 / 9).item()
    assert abs(filtered.sum().item() - 1) < 1e-5
