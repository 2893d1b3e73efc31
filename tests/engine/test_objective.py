"""How a style's strength becomes weights, by hand."""

import pytest
import torch

from pipeline.engine.objective import Style

PICTURE = torch.zeros(1, 3, 16, 16)


@pytest.mark.parametrize(
    ("strength", "pull", "content"),
    [
        (0.0, 0.0, 1.0),
        (0.25, 3 * 0.5**2.6, 0.6),  # halfway between 1 and 0.2
        (0.5, 3.0, 0.2),
        (0.75, 3 * 1.5**2.6, 0.1),
        (1.0, 3 * 2**2.6, 0.0),
    ],
)
def test_bolder_styles_pull_more_and_look_less_at_the_photograph(
    strength: float, pull: float, content: float
) -> None:
    style = Style(PICTURE, weight=3.0, strength=strength)
    assert style.pull == pytest.approx(pull)
    assert style.content_share(0.2) == pytest.approx(content)
