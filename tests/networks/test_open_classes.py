"""Classes of other label sets: names of regions, and what they are in VOC's words and scenes."""

import pytest

from pipeline.networks.open_classes import classes_of, region_names


@pytest.mark.parametrize(
    ("labels", "names"),
    [
        (["wall", "Swimming pool, natatorium", "road, route"], ("wall", "swimming_pool", "road")),
        (["sky-other-merged", "wall-brick", "door-stuff"], ("sky", "wall_brick", "door")),
        (
            ["window-other", "window-blind", "traffic light"],
            ("window", "window_blind", "traffic_light"),
        ),
        # ADE20K has two screens and COCO two trees.
        (["screen, door", "screen"], ("screen", "screen_1")),
        (["tree", "tree-merged"], ("tree", "tree_merged")),
        (["all", "rest", "labels", "?"], ("all_0", "rest_1", "labels_2", "class_3")),
    ],
)
def test_labels_become_names(labels: list[str], names: tuple[str, ...]) -> None:
    assert region_names(labels) == names


def test_ade20k() -> None:
    labels = "wall|building|sky|tree|road, route|person|car|water|house|sea|mountain, mount"
    found = classes_of(f"{labels}|earth, ground|van|airplane|table|hat".split("|"))
    assert found.objects[:3] == ("background", "wall", "building")
    assert found.unions == {
        "aeroplane": ("airplane",),
        "building": ("building", "house"),
        "car": ("car", "van"),
        "diningtable": ("table",),
        "ground": ("road", "earth"),
        "water": ("water", "sea"),
    }
    objects = {*found.objects} - found.under
    assert objects == {"background", "person", "car", "van", "airplane", "table", "hat"}
    assert {"aeroplane", "ground", "hat", "background"} <= {*found.names}


def test_vocs_own_classes_are_what_they_are() -> None:
    found = classes_of(["background", "aeroplane", "person"])
    assert found.objects == ("background", "aeroplane", "person")
    assert (found.under, found.unions) == (frozenset(), {})


def test_a_background_that_is_not_first_is_put_there() -> None:
    assert classes_of(["person", "background"]).objects == ("background", "person")
