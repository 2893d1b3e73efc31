"""The size of the result, by hand."""

import pytest

from pipeline.pictures.boxes import Box
from pipeline.pictures.size import Part, chosen_size, union

WHOLE = Part(0, 0, 1, 1)
CPU = 512**2


@pytest.mark.parametrize(
    ("height", "width", "parts", "budget", "longest"),
    [
        # All of a square photograph: the budget's side, or the photograph's own.
        (512, 512, [WHOLE], CPU, 512),
        (3000, 3000, [WHOLE], CPU, 512),
        (3000, 3000, [WHOLE], 1024**2, 1024),
        (300, 400, [WHOLE], CPU, 400),
        # 592 x 444 are 262,848 pixels, 591 x 443 are 261,813.
        (3000, 4000, [WHOLE], CPU, 591),
        # Half of each side: boxes of 512 x 512 at 1024; at 1025 one of 528.
        (4000, 4000, [Part(0.5, 0.5, 1, 1)], CPU, 1024),
        # Two of them painted by themselves have half of the pixels each: 352 x 352 twice at 704,
        # 368 x 368 at 705 are 270,848.
        (4000, 4000, [Part(0, 0, 0.5, 0.5), Part(0.5, 0.5, 1, 1)], CPU, 704),
        # 16 pixels more on each side: 480 + 32.
        (4000, 4000, [Part(0.25, 0.25, 0.75, 0.75, 16)], CPU, 960),
        # Little or nothing to paint: the bound, or the photograph's own size.
        (3000, 4000, [Part(0.4, 0.4, 0.5, 0.5)], CPU, 2048),
        (3000, 4000, [], CPU, 2048),
        (700, 900, [Part(0.4, 0.4, 0.5, 0.5)], CPU, 900),
        # Never less than 512, however much there is to paint, nor more than the photograph.
        (4000, 4000, [WHOLE] * 9, CPU, 512),
        (400, 300, [WHOLE] * 9, 64**2, 400),
    ],
)
def test_the_size_by_hand(
    height: int, width: int, parts: list[Part], budget: int, longest: int
) -> None:
    assert chosen_size(height, width, parts, budget) == longest


def test_a_small_figure_is_painted_at_its_best() -> None:
    # 5% of the picture in a box of 10%: 0.25 by 0.4 of 4000 x 3000.
    boy = Part(0.3, 0.4, 0.7, 0.65, 16)
    longest = chosen_size(3000, 4000, [boy], CPU)
    # 0.4 * 1296 + 32 and 0.25 * 1728 + 32 in sixteens; at 1729 it is a column of sixteen more.
    assert longest == 1728
    assert boy.area(1296, 1728) == 560 * 464 <= CPU
    assert boy.area(1297, 1729) == 560 * 480 > CPU


def test_areas_and_unions() -> None:
    part = Part.of(Box(10, 20, 30, 60), 100, 200, 4)
    assert part == Part(0.1, 0.1, 0.3, 0.3, 4)
    # 20 + 8 and 40 + 8 pixels, in sixteens.
    assert part.area(100, 200) == 32 * 48
    # Cut off at the frame, whose sides are no multiples of 16.
    assert Part(0, 0, 1, 0.5, 8).area(50, 70) == 50 * 48
    assert union([part, Part(0.2, 0, 0.5, 0.2)]) == Part(0.1, 0, 0.5, 0.3, 4)
