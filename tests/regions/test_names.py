"""Names that mean a region, and what is said of others."""

import pytest

from pipeline.errors import UserError
from pipeline.regions.names import CLASSES, OTHER_NAMES, check_names


def test_what_people_say_stands_for_classes() -> None:
    assert set(OTHER_NAMES.values()) <= set(CLASSES)
    assert not set(OTHER_NAMES) & set(CLASSES)


def test_classes_objects_and_own_names_are_known() -> None:
    check_names(["person", "cat.2", "rest", "all", "sky", "sky.1", "logo.2"], custom=["logo"])


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("persn", "no region 'persn'; did you mean person? There are: logo, background, "),
        ("woman", "no region 'woman'; did you mean person? "),
        ("skye", "no region 'skye'; did you mean sky? "),
        ("logoo", "no region 'logoo'; did you mean logo? "),
        ("house", "no region 'house'; did you mean building? "),
        ("person.0", "no region 'person.0'; did you mean person? "),
        ("person.one", "no region 'person.one'; did you mean person? "),
        ("xyzzy", "no region 'xyzzy'; There are: logo, "),
    ],
)
def test_other_names_are_refused_with_the_nearest(name: str, message: str) -> None:
    with pytest.raises(UserError) as raised:
        check_names(["person", name], custom=["logo"])
    assert str(raised.value).startswith(message)


@pytest.mark.parametrize("name", ["person.1", "logo", "logo.2", "water", "all", "rest"])
def test_names_of_objects_and_own_regions(name: str) -> None:
    check_names([name], ["logo"])


def test_classes_of_other_segmenters() -> None:
    classes = ("background", "sky", "airplane", "aeroplane")
    check_names(["sky", "airplane.1", "aeroplane"], classes=classes)
    with pytest.raises(UserError, match=r"no region 'plane'; did you mean aeroplane\? There"):
        check_names(["plane"], classes=classes)
    with pytest.raises(UserError, match=r"no region 'person'; There are: background, sky, "):
        check_names(["person"], classes=classes)
    with pytest.raises(UserError, match="no region 'skyy'; did you mean sky"):
        check_names(["skyy"], classes=classes)
    with pytest.raises(UserError, match="no region 'bike'; There are"):
        check_names(["bike"], classes=classes)
