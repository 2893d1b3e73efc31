"""What the training commands share."""

from collections.abc import Callable
from typing import TypeVar

from omegaconf import OmegaConf

from pipeline.errors import fails_in_one_line

Schema = TypeVar("Schema")


def carry_out(run: Callable[[Schema], None], schema: type[Schema], configuration: object) -> None:
    """Run a training with the settings that Hydra composed.

    Exits with 2 and one line on stderr where the user has to put something right.

    Args:
        run: the training.
        schema: the dataclass of its settings.
        configuration: what Hydra composed from that schema.
    """
    settings = OmegaConf.to_object(OmegaConf.create(configuration))  # type: ignore[call-overload]
    assert isinstance(settings, schema)
    with fails_in_one_line():
        run(settings)
