"""Edits: undo and redo, and the command that says the same."""

import shlex

import pytest

from pipeline.command.overrides import plain_override
from pipeline.config.compose import compose_settings
from pipeline.request import StyleChoice, parse_regions, parse_styles
from pipeline.studio.edits import Drawn, Edit, History, Layer, command

SKY, CAT = Layer("sky", "night.jpg"), Layer("cat", "my cat's, {1}.jpg", 0.8, 2.0, "match")


def test_undo_and_redo_without_end() -> None:
    history = History()
    edits = [Edit().with_layers([Layer("sky", f"{n}.jpg")]) for n in range(100)]
    for edit in edits:
        history = history.then(edit)
    for edit in [*reversed(edits[:-1]), Edit()]:
        history = history.undone()
        assert history.present == edit
    assert history.undone() is history
    for edit in edits:
        history = history.redone()
        assert history.present == edit
    assert history.redone() is history


def test_something_new_forgets_what_was_undone_and_no_change_is_no_edit() -> None:
    one, other = Edit().with_layers([SKY]), Edit().with_layers([CAT])
    history = History().then(one).undone().then(other)
    assert history.redone() is history
    assert history.then(other) is history


def test_layers_keep_their_order_and_are_replaced_by_region() -> None:
    edit = Edit().with_layers([SKY, CAT]).with_layers([SKY.changed(image="wave.jpg")])
    assert [layer.image for layer in edit.painted] == ["wave.jpg", CAT.image]
    assert [layer.region for layer in edit.showing(["cat"]).painted] == ["cat"]
    assert [*edit.without(["sky"]).layers] == ["cat"]


def test_the_command_means_what_was_asked_for() -> None:
    edit = (
        Edit()
        .with_drawn(Drawn("cup", "box(0.1,0.2,0.3,0.4)", snap=True))
        .with_drawn(Drawn("hat", "point(0.5,0.5) not(0.1,0.1)"))
        .with_drawn(Drawn("unused", "point(0.5,0.5)"))
        .with_layers([SKY, CAT, Layer("cup", "ink"), Layer("hat", "a b.png"), Layer("x", "y")])
        .showing(["sky", "cat", "cup", "hat"])
    )
    words = shlex.split(command(edit.overrides("my photo, (1).jpg")))
    assert words[:3] == ["python", "-m", "pipeline"]
    settings = compose_settings([plain_override(word, sweep=False) for word in words[3:]])
    assert settings.content == "my photo, (1).jpg"
    styles = {region: choices[0] for region, choices in parse_styles(settings.styles).items()}
    assert [*styles] == ["sky", "cat", "cup", "hat"]
    assert styles["hat"].image == "a b.png"
    cat = styles["cat"]
    assert (cat.image, cat.strength, cat.scale, cat.color) == (CAT.image, 0.8, 2.0, "match")
    assert (styles["sky"].strength, styles["sky"].color) == (None, None)
    _, regions = parse_regions(settings.regions)
    assert {name: str(one.source) for name, one in regions.items()} == {
        "cup": "box(0.1,0.2,0.3,0.4)",
        "hat": "point(0.5,0.5) not(0.1,0.1)",
    }


ODD = ["null", "a=b.jpg", "${oc.env:HOME}.jpg", "[a].jpg", "föö.jpg", "my cat's, {1}.jpg", "a b"]


@pytest.mark.parametrize("name", ODD)
def test_odd_names_stay_names(name: str) -> None:
    for layer in (Layer("sky", name), Layer("sky", name, strength=0.9)):
        for more in ([], [Layer("sky.1", name, scale=2.0)]):
            styles = composed(Edit().with_layers([layer, *more]))
            assert {choices[0].image for choices in styles.values()} == {name}


def composed(edit: Edit) -> dict[str, list[StyleChoice]]:
    """The styles that the command has."""
    words = [plain_override(word, sweep=False) for word in edit.overrides("astronaut")]
    return parse_styles(compose_settings(words).styles)


@pytest.mark.parametrize("first", ["person", "person.1"])
@pytest.mark.parametrize("strength", [None, 0.9])
def test_a_class_and_its_objects_have_their_own_styles(first: str, strength: float | None) -> None:
    layers = [
        Layer(first, "ink", strength),
        Layer("cup", "night"),
        Layer("person" if first == "person.1" else "person.1", "wave", strength),
        Layer("person.2", "scream"),
    ]
    edit = Edit().with_layers(layers)
    styles = composed(edit)
    found = {name: (one.image, one.strength) for name, [one] in styles.items()}
    assert found == {layer.region: (layer.image, layer.strength) for layer in layers}
    # The command lays them over one another as the page does.
    assert [*styles] == [layer.region for layer in edit.painted]


def test_objects_alone_have_their_own_styles_in_the_page_s_order() -> None:
    edit = Edit().with_layers([Layer("a.2", "x"), Layer("b", "y"), Layer("a.1", "z")])
    assert [*composed(edit)] == [layer.region for layer in edit.painted] == ["a.2", "a.1", "b"]
