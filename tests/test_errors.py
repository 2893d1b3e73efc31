"""A command that the user has to put right ends in one line and with status 2."""

import pytest

from pipeline.errors import UserError, fails_in_one_line


@pytest.mark.parametrize(
    ("error", "line"),
    [
        (UserError("no style\n  'a.jpg'"), "error: no style 'a.jpg'"),
        (FileNotFoundError(2, "No such file", "a.jpg"), "error: a.jpg: No such file; take b.jpg"),
        (OSError("broken"), "error: file: broken; take b.jpg"),
    ],
)
def test_what_the_user_can_put_right(
    error: Exception, line: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended, fails_in_one_line("take b.jpg"):
        raise error
    assert ended.value.code == 2
    assert capsys.readouterr().err == f"{line}\n"


def test_a_defect_is_raised() -> None:
    with pytest.raises(KeyError), fails_in_one_line():
        raise KeyError
