"""A page's session: what its events do, without a browser."""

import dataclasses
import json
import shlex
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from pipeline.errors import UserError
from pipeline.studio.edits import Layer, command
from pipeline.studio.painter import Painter
from pipeline.studio.session import BOX, NOT_THING, OBJECT, REGION, THING, Place, Session
from tests.studio.conftest import WORDS
from tests.studio.test_refining import wait_for


def pixels(picture: Image.Image) -> np.ndarray:
    return np.asarray(picture).astype(int)


@pytest.fixture
def opened(session: Session) -> Session:
    session.open_sample("astronaut")
    return session


def test_what_the_server_was_given_is_what_is_usual(place: Place) -> None:
    words = (*WORDS, "method=stitch", "strength=0.8", "color=match", "size=192")
    session = Session(Painter(words, place.folder), place)
    session.open_sample("astronaut")
    session.select(["person"])
    session.take("ink.jpg")
    bold = pixels(session.after())
    # That is nothing to say of a layer, nor of the command.
    session.change(strength=0.8, color="match")
    assert session.edit.layers["person"] == Layer("person", "ink.jpg")
    assert session.words("stitch", "192")[len(words) :] == [
        "content=astronaut",
        "+styles.person=ink.jpg",
    ]
    # All else is.
    session.change(strength=0.5, color="style")
    assert not np.array_equal(pixels(session.after()), bold)
    said = session.words("guided", "auto")[len(words) :]
    assert said[1:] == [
        "+styles.person={image: ink.jpg, strength: 0.5, color: style}",
        "method=guided",
        "size=auto",
    ]


def test_what_the_page_chooses_is_not_taken_from_the_server(place: Place) -> None:
    for word in ("+styles.person=ink.jpg", "content=astronaut", "++regions.x=mask.png"):
        with pytest.raises(UserError, match=r"is chosen on the page; leave .* out"):
            Painter((word,), place.folder)


def test_a_style_and_what_was_selected_that_are_gone(opened: Session, place: Place) -> None:
    """An undo to a style whose picture is gone changes nothing."""
    own = place.folder / "own.png"
    Image.new("RGB", (64, 64), "red").save(own)
    opened.select(["person"])
    opened.take(str(own))
    opened.take("ink.jpg")
    history, shown = opened.history, pixels(opened.after())
    own.unlink()
    opened.painter._pictures.clear()
    with pytest.raises(UserError, match="not found"):
        opened.undo()
    assert opened.history is history
    assert np.array_equal(pixels(opened.after()), shown)


def test_outlines_are_followed_once_the_regions_are_shown(opened: Session) -> None:
    assert opened.regions is not None
    rough = opened.regions.masks["person"]
    opened.follow_outlines()
    fine = opened.regions.masks["person"]
    assert not torch.equal(fine, rough)
    assert torch.equal(fine, opened.painter.find("astronaut").masks["person"])
    opened.follow_outlines()
    assert opened.regions.masks["person"] is fine


def test_first_the_regions_are_shown_then_what_is_selected(opened: Session) -> None:
    overview = pixels(opened.shown())
    assert opened.click(0.5, 0.6, REGION) == ""
    assert opened.selected == ("person",)
    assert not np.array_equal(pixels(opened.shown()), overview)
    opened.click(0.5, 0.6, REGION)
    assert opened.selected == ()


def test_a_style_changes_its_region_alone_and_ends_the_selection(opened: Session) -> None:
    before = pixels(opened.before())
    opened.click(0.5, 0.6, REGION)
    opened.take("scream.jpg")
    painted = pixels(opened.shown())
    assert opened.regions is not None
    outside = opened.regions.masks["person"][0, 0].numpy() == 0
    assert np.array_equal(painted[outside], before[outside])
    assert not np.array_equal(painted, before)
    opened.change(strength=0.9)
    assert opened.edit.layers["person"].strength == 0.9
    # A click begins anew: the first region keeps its style.
    opened.select(["person", "background"])
    assert opened.selected == ("background",)
    opened.take("night.jpg")
    assert [layer.region for layer in opened.edit.painted] == ["person", "background"]
    opened.show(["background"])
    assert [layer.region for layer in opened.edit.painted] == ["background"]


def test_undo_and_redo_bring_the_pixels_back(opened: Session) -> None:
    seen = [pixels(opened.after())]
    opened.select(["person"])
    for image in ("ink.jpg", "wave.jpg"):
        opened.take(image)
        seen.append(pixels(opened.after()))
    opened.remove()
    assert np.array_equal(pixels(opened.after()), seen[0])
    for expected in (seen[2], seen[1], seen[0]):
        opened.undo()
        assert np.array_equal(pixels(opened.after()), expected)
    for expected in (seen[1], seen[2], seen[0]):
        opened.redo()
        assert np.array_equal(pixels(opened.after()), expected)


def test_things_are_found_by_clicks_and_boxes(opened: Session) -> None:
    opened.click(0.85, 0.3, REGION)  # nothing has a name there
    assert opened.selected == ("thing",)
    opened.click(0.8, 0.45, THING)
    assert opened.edit.drawn["thing"].source == "point(0.85,0.3) point(0.8,0.45)"
    opened.click(0.5, 0.1, NOT_THING)
    assert opened.edit.drawn["thing"].source.endswith("not(0.5,0.1)")
    opened.undo()
    assert opened.edit.drawn["thing"].source == "point(0.85,0.3) point(0.8,0.45)"
    assert opened.click(0.6, 0.5, BOX) == "Now click the opposite corner."
    opened.click(0.98, 0.05, BOX)
    assert opened.edit.drawn["thing2"].source == "box(0.6,0.05,0.98,0.5)"
    assert opened.edit.drawn["thing2"].snap
    assert opened.selected == ("thing2",)
    opened.undo()
    assert opened.regions is not None
    assert "thing2" not in opened.regions.masks
    with pytest.raises(UserError, match="click the thing first"):
        opened.click(0.5, 0.1, NOT_THING)


def test_one_object_of_a_class(opened: Session) -> None:
    opened.click(0.5, 0.6, OBJECT)
    # There is one person, so that the class is meant.
    assert opened.selected == ("person",)


def test_a_region_is_mended_saved_and_loaded(opened: Session, tmp_path: Path) -> None:
    opened.select(["person"])
    mask = opened.mask_picture()
    expected = pixels(mask)
    expected[:, : expected.shape[1] // 2] = 0
    painted = np.zeros(expected.shape)
    painted[:, : expected.shape[1] // 2] = 1
    opened.begin_mending()
    # What is selected meanwhile is not what is painted on.
    opened.select(["background"])
    opened.mend(np.zeros(expected.shape), painted)
    assert opened.selected == ("person",)
    assert np.abs(pixels(opened.mask_picture()) - expected).max() <= 2
    opened.undo()
    assert np.array_equal(pixels(opened.mask_picture()), pixels(mask))
    mask.save(tmp_path / "person.png")
    opened.load_mask(tmp_path / "person.png", "person.png")
    assert opened.selected == ("person2",)
    assert np.abs(pixels(opened.mask_picture()) - pixels(mask)).max() <= 1
    opened.begin_mending()
    with pytest.raises(UserError, match="nothing is left"):
        opened.mend(np.zeros((20, 20)), np.ones((20, 20)))
    opened.undo()
    with pytest.raises(UserError, match="is gone; begin anew"):
        opened.mend(np.ones((20, 20)), np.ones((20, 20)))
    opened.select(["person", "background"])
    with pytest.raises(UserError, match="select one region first"):
        opened.begin_mending()


def test_a_mask_that_holds_nothing_is_refused(opened: Session, tmp_path: Path) -> None:
    Image.new("L", (64, 64)).save(tmp_path / "black.png")
    history = opened.history
    with pytest.raises(UserError, match="there is nothing of black"):
        opened.load_mask(tmp_path / "black.png", "black.png")
    assert opened.history is history
    opened.shown()


def test_a_region_that_would_undo_a_style_is_refused(opened: Session, tmp_path: Path) -> None:
    """An object's style, and a mended class that has no such object."""
    assert opened._found is not None
    whole = opened._found.masks["person"]
    halves = whole.clone()
    halves[..., whole.shape[3] // 2 - 8 : whole.shape[3] // 2 + 8] = 0
    opened._found = dataclasses.replace(
        opened._found, masks={**opened._found.masks, "person": halves}
    )
    opened._with_drawn = None
    opened.select(["person.2"])
    opened.take("ink.jpg")
    shown, history = pixels(opened.shown()), opened.history
    opened.select(["person"])
    opened.begin_mending()
    painted = np.zeros((192, 192))
    painted[:, 80:] = 1
    with pytest.raises(UserError, match=r"no person\.2"):
        opened.mend(np.zeros((192, 192)), painted)
    assert opened.history is history
    opened.undo()
    opened.redo()
    assert np.array_equal(pixels(opened.shown()), shown)


def test_a_result_belongs_to_what_was_asked_for(opened: Session) -> None:
    opened.select(["person"])
    opened.take("ink.jpg")
    run = opened.start("instant", "auto")
    opened.take("wave.jpg")  # on a page that has lost sight of its run
    wait_for(lambda: run.wait(1))
    assert opened.finish() == "Done, but of what was asked for before; Undo leads back to it."
    assert opened.refined is None
    opened.undo()
    assert opened.refined is not None
    opened.open_sample("chelsea")
    assert opened.refined is None


def test_what_is_not_painted_is_not_kept(
    session: Session, photograph: Path, place: Place, tmp_path: Path
) -> None:
    session.open(photograph, photograph.name)
    Image.new("L", (160, 120), 255).save(tmp_path / "unused.png")
    session.load_mask(tmp_path / "unused.png", "unused.png")
    shared = dataclasses.replace(place, shared=True)
    session.place = shared
    session.take(session.add_style(photograph, "hidden.jpg"))
    session.click(0.5, 0.5, THING)
    session.take("ink.jpg")
    session.show(["thing"])
    session.words("guided", "auto")
    assert sorted(path.name.partition("-")[0] for path in place.kept.glob("*.png")) == ["my photo"]


def test_a_box_s_corner_is_seen_and_forgotten(opened: Session) -> None:
    before = pixels(opened.shown())
    opened.click(0.3, 0.4, BOX)
    marked = (pixels(opened.shown()) != before).any(2)
    rows, columns = np.nonzero(marked)
    assert abs(rows.mean() / marked.shape[0] - 0.4) < 0.01
    assert abs(columns.mean() / marked.shape[1] - 0.3) < 0.01
    opened.select(["person"])
    opened.select([])
    assert np.array_equal(pixels(opened.shown()), before)
    assert opened.click(0.3, 0.4, BOX) == "Now click the opposite corner."


def test_a_mask_of_many_regions_has_a_short_name(opened: Session) -> None:
    opened.selected = ("person",) * 60
    assert opened.mask_file().is_file()


def test_what_cannot_be_done_is_said_and_changes_nothing(opened: Session, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="click a part"):
        opened.take("ink.jpg")
    with pytest.raises(UserError, match="give a part"):
        opened.words("guided", "auto")
    with pytest.raises(UserError, match="select a region"):
        opened.mask_picture()
    opened.select(["person"])
    history = opened.history
    with pytest.raises(UserError, match="not found"):
        opened.take(str(tmp_path / "missing.jpg"))
    assert opened.history is history
    (tmp_path / "bad.jpg").write_text("no picture")
    with pytest.raises(UserError, match=r"bad\.jpg is not a picture"):
        opened.open(tmp_path / "bad.jpg", "bad.jpg")
    assert opened.content == "astronaut"


def test_an_empty_page_says_what_to_do_first(session: Session) -> None:
    for event in (session.shown, session.before, lambda: session.click(0.5, 0.5, REGION)):
        with pytest.raises(UserError, match="open a photograph first"):
            event()
    assert {name for _, name in session.strip()} == {"ink", "mosaic", "night", "scream", "wave"}


def test_styles_of_ones_own_are_kept_for_all_pages_of_ones_own_server(
    opened: Session, place: Place, photograph: Path
) -> None:
    own = opened.add_style(photograph, "my style.jpg")
    assert Path(own).parent == place.styles
    assert own in opened.styles.values()
    assert own in Session(opened.painter, place).styles.values()


def test_on_a_shared_server_nobody_sees_anothers(
    opened: Session, place: Place, photograph: Path
) -> None:
    shared = Place(place.folder, place.outputs, place.kept, place.styles, shared=True)
    mine, other = Session(opened.painter, shared), Session(opened.painter, shared)
    own = mine.add_style(photograph, "my style.jpg")
    assert own in mine.styles.values()
    assert own not in other.styles.values()
    mine.close()
    assert not Path(own).exists()


def test_the_command_repeats_the_picture(session: Session, photograph: Path, place: Place) -> None:
    session.open(photograph, photograph.name)
    session.click(0.5, 0.5, THING)
    own = session.add_style(photograph, "my style.jpg")
    session.take(own)
    run = session.start("composite", "auto")
    wait_for(lambda: run.wait(1))
    assert session.finish().startswith("Done")
    assert session.refined is not None
    download = session.refined.picture
    assert download.name == "my photo-painted.png"
    assert download.read_bytes() == (run.output / "result.png").read_bytes()
    assert session.refined.words == run.words
    # A further region without a style, and undo and redo, bring it back; another edit has none.
    session.click(0.1, 0.1, THING)
    assert session.refined is not None
    session.change(strength=0.9)
    session.select(["thing"])
    session.change(strength=0.9)
    assert session.refined is None
    session.undo()
    assert session.refined is not None
    words = shlex.split(command(run.words))
    assert "method=composite" in words
    assert run.output.relative_to(place.outputs).parts[0][:2] == "20"
    # What it names is there when the page is gone.
    session.close()
    assert not download.exists()
    from pipeline.studio.refining import Run

    again = Run(words[3:], place.folder / "again", place.folder)
    wait_for(lambda: again.wait(1))
    assert again.result is not None, again.problem
    with Image.open(again.result) as one, Image.open(run.output / "result.png") as other:
        assert np.array_equal(np.asarray(one), np.asarray(other))
    settings = json.loads((run.output / "summary.json").read_text())
    assert settings["method"] == "composite"
