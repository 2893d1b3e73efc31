"""Commands that Hydra configures, where argparse looks into an option's help."""

import sys
from argparse import Action, ArgumentParser
from pathlib import Path
from typing import Any

import pytest
from hydra._internal import utils

from pipeline.config import entry
from pipeline.training import segmenter


@pytest.fixture
def as_in_314(monkeypatch: pytest.MonkeyPatch) -> None:
    """Options are looked into when they are made."""
    if sys.version_info >= (3, 14):
        return
    add = ArgumentParser.add_argument

    def check_help(parser: ArgumentParser, action: Action) -> None:
        try:
            if action.help is not None and "%" in action.help:
                _ = action.help % {}
        except (TypeError, KeyError) as error:
            raise ValueError("badly formed help string") from error

    def checked(parser: ArgumentParser, *names: Any, **options: Any) -> Action:
        action = add(parser, *names, **options)
        parser._check_help(action)  # type: ignore[attr-defined]
        return action

    monkeypatch.setattr(ArgumentParser, "_check_help", check_help, raising=False)
    monkeypatch.setattr(ArgumentParser, "add_argument", checked)


@pytest.mark.usefixtures("as_in_314")
def test_hydras_parser_is_made_and_others_are_checked_again_afterwards() -> None:
    with pytest.raises(ValueError, match="badly formed help string"):
        utils.get_args_parser()
    parser = entry.args_parser()
    assert parser.parse_args(["--multirun", "a=1"]).overrides == ["a=1"]
    with pytest.raises(ValueError, match="badly formed help string"):
        ArgumentParser().add_argument("--odd", help="100 %(nobody)s")


@pytest.mark.usefixtures("as_in_314")
def test_a_command_is_configured(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    seen = []
    folder = f"hydra.run.dir={tmp_path}"
    monkeypatch.setattr(sys, "argv", ["name", "photos=here", folder])
    assert segmenter.Settings  # Its schema is known.
    entry.command("training/segmenter")(lambda configuration: seen.append(configuration.photos))()
    assert seen == ["here"]
