"""What is written under styles and regions becomes dataclasses, or one line of help."""

from pathlib import Path
from typing import Any

import pytest

from pipeline.errors import UserError
from pipeline.request import (
    Prompt,
    RegionChoice,
    Request,
    Seeds,
    Shape,
    StyleChoice,
    parse_prompt,
    parse_regions,
    parse_seeds,
    parse_shape,
    parse_styles,
)


@pytest.mark.parametrize(
    ("text", "shape"),
    [
        ("box(0.1,0.1,0.4,0.5)", Shape("box", (0.1, 0.1, 0.4, 0.5))),
        (" circle( 100, 50, 20 )", Shape("circle", (100, 50, 20))),
        ("polygon(0,0,1,0,0.5,1)", Shape("polygon", (0, 0, 1, 0, 0.5, 1))),
        ("box.png", None),
        ("person.1", None),
    ],
)
def test_shapes(text: str, shape: Shape | None) -> None:
    assert parse_shape(text) == shape


def test_fractions_are_at_most_one() -> None:
    assert Shape("box", (0, 0, 1, 1)).in_fractions
    assert not Shape("box", (0, 0, 1, 2)).in_fractions


@pytest.mark.parametrize(
    "text",
    [
        "box(1,2,3)",
        "box(5,0,1,9)",
        "circle(1,2,0)",
        "polygon(0,0,1,1)",
        "polygon(0,0,1,0,1)",
        "box(a,b,c,d)",
        "box(-1,0,1,1)",
        "box(0,0,nan,1)",
    ],
)
def test_wrong_shapes(text: str) -> None:
    with pytest.raises(UserError, match="should"):
        parse_shape(text)


BOX = Shape("box", (0, 0, 0.5, 1))


@pytest.mark.parametrize(
    ("text", "seeds"),
    [
        ("point(0.4,0.5)", Seeds(((0.4, 0.5),))),
        (" point( 40 , 50 )  point(5,6) ", Seeds(((40, 50), (5, 6)))),
        ("point(0.4,0.5), not(0.7,0.2)", Seeds(((0.4, 0.5),), ((0.7, 0.2),))),
        ("box(0,0,0.5,1) not(0.1,0.2)", Seeds((), ((0.1, 0.2),), BOX)),
        ("point(0.1,0.2)box(0,0,0.5,1)", Seeds(((0.1, 0.2),), (), BOX)),
        ("box(0,0,0.5,1)", None),
        ("point.png", None),
        ("point(1,2).png", None),
        ("a point(1,2)", None),
        ("", None),
    ],
)
def test_seeds(text: str, seeds: Seeds | None) -> None:
    assert parse_seeds(text) == seeds
    # They are written as they are read.
    assert seeds is None or parse_seeds(str(seeds)) == seeds


def test_seeds_are_fractions_if_all_their_numbers_are() -> None:
    assert Seeds(((0.1, 1),), ((0, 0),), BOX).in_fractions
    assert not Seeds(((0.1, 1),), ((0, 2),), BOX).in_fractions
    assert not Seeds(((0.1, 1),), (), Shape("box", (0, 0, 5, 1))).in_fractions


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("not(0.1,0.2)", "only where the thing is not; add point"),
        ("point(0.1)", r"point\(0.1\) should be point\(x, y\)"),
        ("point(0.1,-1)", "should be point"),
        ("point(a,b)", "numbers separated by commas"),
        ("box(0,0,1,1) box(0,0,1,1) point(0,0)", "2 shapes"),
        ("box(1,0,0,1) point(0,0)", "should be box"),
    ],
)
def test_wrong_seeds(text: str, message: str) -> None:
    with pytest.raises(UserError, match=message):
        parse_seeds(text)


def test_styles_of_every_form() -> None:
    found = parse_styles(
        {
            "person": "a.jpg",
            "cat": {"image": "b.jpg", "scale": 2, "crop": [0, 0, 0.5, 1], "color": "match"},
            "dog": [{"image": "c.jpg", "weight": 0.7}, "d.jpg"],
            "car": {"1": "e.jpg", 2: {"image": "f.jpg", "region": "person"}},
        }
    )
    assert found == {
        "person": [StyleChoice("a.jpg")],
        "cat": [StyleChoice("b.jpg", scale=2, crop=Shape("box", (0, 0, 0.5, 1)), color="match")],
        "dog": [StyleChoice("c.jpg", weight=0.7), StyleChoice("d.jpg")],
        "car.1": [StyleChoice("e.jpg")],
        "car.2": [StyleChoice("f.jpg", region="person")],
    }


@pytest.mark.parametrize(
    ("style", "message"),
    [
        (3, "is not the path"),
        ([], "is empty"),
        ({"weight": 1}, "is not the path"),
        ({"image": "a.jpg", "wieght": 1}, r"no setting styles.cat.wieght; there are image, weight"),
        ({"image": "a.jpg", "weight": -1}, "outside"),
        ({"image": "a.jpg", "scale": 100}, "outside 0.1 to 10"),
        ({"image": "a.jpg", "color": "blue"}, "is not one of style, luminance"),
        ({"image": "a.jpg", "crop": [0, 0, 1]}, "should be"),
        ({"image": "a.jpg", "crop": "circle(1,1,1)"}, "should be"),
        ([{"image": "a.jpg", "color": "luminance"}, "b.jpg"], "luminance is for all"),
    ],
)
def test_wrong_styles(style: Any, message: str) -> None:
    with pytest.raises(UserError, match=message):
        parse_styles({"cat": style})


def test_regions_of_every_form() -> None:
    label_map, choices = parse_regions(
        {
            "labels": "labels.png",
            "sky": "sky.png",
            "logo": "box(0,0,1,1)",
            "tree": 12,
            "cup": "point(0.4,0.5)",
            "thing": {"source": "box(0,0,0.5,1)", "snap": True, "grow": 2},
            "person": {"grow": 4, "feather": 8.0},
            "others": {"source": "person.1", "invert": True},
        }
    )
    assert label_map == "labels.png"
    assert choices == {
        "sky": RegionChoice("sky.png"),
        "logo": RegionChoice(Shape("box", (0, 0, 1, 1))),
        "tree": RegionChoice("12"),
        "cup": RegionChoice(Seeds(((0.4, 0.5),))),
        "thing": RegionChoice(Seeds(around=BOX), grow=2),
        "person": RegionChoice(None, grow=4, feather=8),
        "others": RegionChoice("person.1", invert=True),
    }
    assert parse_regions("labels.png") == ("labels.png", {})


@pytest.mark.parametrize(
    ("regions", "message"),
    [
        (3, "neither a label map's path"),
        ({"sky": None}, "is not a mask's path"),
        ({"sky": {"grwo": 1}}, "no setting regions.sky.grwo"),
        ({"sky": {"feather": -1}}, "outside"),
        ({"labels": {"source": "a.png"}}, "is kept for"),
        ({"sky": {"source": "a.png", "snap": True}}, "regions.sky.snap=true needs"),
        ({"sky": {"snap": True}}, "regions.sky.snap=true needs"),
    ],
)
def test_wrong_regions(regions: Any, message: str) -> None:
    with pytest.raises(UserError, match=message):
        parse_regions(regions)


@pytest.mark.parametrize(
    ("text", "phrase"),
    [
        ("text(red hat)", "red hat"),
        (" text ( a man,  with (one) hat ) ", "a man, with (one) hat"),
        ("text.png", None),
        ("box(0,0,1,1)", None),
    ],
)
def test_phrases(text: str, phrase: str | None) -> None:
    assert parse_prompt(text) == (None if phrase is None else Prompt(phrase))


def test_a_phrase_is_a_source_of_a_region_and_no_file() -> None:
    _, regions = parse_regions({"hat": {"source": "text(red hat)", "grow": 3}, "own": "a.png"})
    assert regions["hat"].source == Prompt("red hat")
    request = Request("photo.jpg", regions=regions)
    assert request.prompts == {"hat": "red hat"}
    assert {*request.files(Path())} == {"content=photo.jpg", "regions.own=a.png"}
    with pytest.raises(UserError, match=r"text\( \) should hold a phrase"):
        parse_regions({"hat": "text( )"})


def test_masks_and_label_maps_of_style_pictures_are_files() -> None:
    request = Request(
        "a.png",
        parse_styles({"cat": {"image": "b.jpg", "mask": "b_mask.png"}}),
        reference="r.jpg",
        reference_labels="r.png",
        regions={"cup": RegionChoice(Seeds(((0.4, 0.5),)))},
    )
    folder = Path("/folder")
    assert request.files(folder) == {
        "content=a.png": folder / "a.png",
        "reference=r.jpg": folder / "r.jpg",
        "reference_regions=r.png": folder / "r.png",
        "styles.cat=b.jpg": folder / "b.jpg",
        "styles.cat.mask=b_mask.png": folder / "b_mask.png",
    }


def test_a_style_is_used_by_mask_or_region() -> None:
    with pytest.raises(UserError, match="has both region=cat and mask="):
        parse_styles({"cat": {"image": "b.jpg", "region": "cat", "mask": "m.png"}})
