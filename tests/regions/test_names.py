"""Names: which regions there are, and the nearest one."""

import pytest

from pipeline.errors import UserError
from pipeline.regions.names import check_names


@pytest.mark.parametrize(
    ("wrong", "near"), [("persn", "person"), ("motorcycle", "motorbike"), ("couch", "sofa")]
)
def test_unknown_names_suggest_the_nearest(wrong: str, near: str) -> None:
    with pytest.raises(UserError, match=f"did you mean {near}"):
        check_names([wrong])


@pytest.mark.parametrize("name", ["person.1", "sky", "sky.2", "all", "rest"])
def test_names_of_objects_and_own_regions(name: str) -> None:
    check_names([name], ["sky"])


@pytest.mark.parametrize("name", ["person.0", "person.x", "skye", "motorcycle.1"])
def test_wrong_names_of_objects(name: str) -> None:
    with pytest.raises(UserError, match="no region"):
        check_names([name], ["sky"])
