"""A command that the user has to put right ends in one line, with a hint, and with status 2."""

import pickle
import sys
import warnings
from pathlib import Path

import pytest

from pipeline.errors import (
    UserError,
    describe,
    did_you_mean,
    fails_in_one_line,
    nearest,
    not_one_of,
    without_warnings,
)


@pytest.mark.parametrize(
    ("error", "line"),
    [
        (UserError("no style\n  'a.jpg'"), "error: no style 'a.jpg'"),
        (FileNotFoundError(2, "No such file", "a.jpg"), "error: a.jpg: No such file; take b.jpg"),
        (OSError("broken"), "error: file: broken; take b.jpg"),
        (
            OSError(28, "No space left on device", "a/b.png"),
            "error: a/b.png: no space left on this disk; free some, or take b.jpg",
        ),
    ],
)
def test_what_the_user_can_put_right(
    error: Exception, line: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended, fails_in_one_line("take b.jpg"):
        raise error
    assert ended.value.code == 2
    assert capsys.readouterr().err == f"{line}\n"


def test_an_error_that_names_no_file_is_said_of_the_folder() -> None:
    full = OSError(28, "No space left on device")
    assert describe(full, folder=Path("out")) == (
        "out: no space left on this disk; free some, or choose another folder or file"
    )


def test_a_users_message_is_one_line_whatever_its_names_hold() -> None:
    assert str(UserError("style 'a\nb.jpg' not found")) == "style 'a b.jpg' not found"
    assert str(pickle.loads(pickle.dumps(UserError("a\nb")))) == "a b"


def test_the_libraries_warnings_are_kept_from_the_user(monkeypatch: pytest.MonkeyPatch) -> None:
    for asked, count in (([], 0), (["default"], 1)):
        monkeypatch.setattr(sys, "warnoptions", asked)
        with warnings.catch_warnings(record=True) as seen:
            warnings.simplefilter("always")
            without_warnings()
            warnings.warn("for developers", UserWarning, stacklevel=1)
        assert len(seen) == count


def test_a_defect_is_raised() -> None:
    with pytest.raises(KeyError), fails_in_one_line():
        raise KeyError


def test_what_a_misspelt_word_may_have_meant() -> None:
    known = ["scream", "stream", "wave"]
    assert nearest("scraem", known) == ["scream"]
    assert nearest("sream", known, most=2) == ["stream", "scream"]
    assert nearest("sunflowers", known) == []
    assert did_you_mean(["scream", "stream"]) == " did you mean scream or stream?"
    assert did_you_mean([]) == ""


def test_a_wrong_choice_is_said_with_the_choices_and_the_nearest() -> None:
    choices = ["style", "match"]
    assert not_one_of("color", "stlye", choices) == (
        "color=stlye is not one of style, match; did you mean style?"
    )
    assert not_one_of("color", 3, choices) == "color=3 is not one of style, match"
