"""File names: safe, unlike each other, and as given where that does no harm."""

import pytest

from pipeline.results.file_names import LONGEST, file_names, region_file_names, safe_name

STRANGE = ["../../x", "/etc/passwd", "..", ".", "", "a/b", "a\\b", "c:d", "x\0y", "a\nb", "con",
           "NUL.txt", ".hidden", "ends. ", "é" * 300, "?*<>|"]  # fmt: skip


@pytest.mark.parametrize("name", ["person.1", "sky", "日本語", "a b", "rgb_ff8000", "a'b", "😀"])
def test_harmless_names_stay(name: str) -> None:
    assert safe_name(name) == name


@pytest.mark.parametrize("name", STRANGE)
def test_no_name_leaves_the_folder(name: str) -> None:
    found = safe_name(name)
    assert found
    assert not set(found) & set('/\\:*?"<>|\0\n')
    assert not found.startswith(".")
    assert found == found.rstrip(" .")
    assert found.split(".")[0].lower() not in ("con", "nul")
    assert len(found.encode()) <= LONGEST


def test_no_two_are_the_same() -> None:
    found = file_names(["a/b", "a_b", "A_B", "a:b", "u\u0308", "ü"], taken=["Report.html"])
    assert [*found.values()] == ["a_b", "a_b-2", "A_B-3", "a_b-4", "u\u0308", "ü-2"]
    assert file_names(["report.HTML"], taken=["report.html"]) == {"report.HTML": "report.HTML-2"}


def test_no_region_is_called_as_another_ones_second_style() -> None:
    names = ["sky", "sky-2", "sky-x", "lake-2", "sky_2", "SKY-3"]
    found = region_file_names(names)
    assert {name: found[name] for name in ("sky", "sky-x", "lake-2", "sky_2")} == {
        name: name for name in ("sky", "sky-x", "lake-2", "sky_2")
    }
    assert found["sky-2"] == "sky_2_2"
    assert len({name.casefold() for name in found.values()}) == len(names)
    assert not {f"sky-{n}" for n in range(2, 9)} & {name.casefold() for name in found.values()}
