"""The trainings' commands: settings arrive checked, errors are one line."""

from dataclasses import dataclass

import pytest
from omegaconf import OmegaConf

from pipeline.errors import UserError
from pipeline.training.command import carry_out


@dataclass
class Schema:
    steps: int = 5


def test_the_training_gets_its_own_settings() -> None:
    seen: list[Schema] = []
    carry_out(seen.append, Schema, OmegaConf.structured(Schema(steps=7)))
    assert seen == [Schema(7)]


def test_what_the_user_has_to_put_right_is_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    def run(settings: Schema) -> None:
        raise UserError(f"no photographs for {settings.steps} steps")

    with pytest.raises(SystemExit) as ended:
        carry_out(run, Schema, OmegaConf.structured(Schema()))
    assert ended.value.code == 2
    assert capsys.readouterr().err == "error: no photographs for 5 steps\n"
