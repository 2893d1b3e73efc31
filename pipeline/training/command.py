"""What the training commands share."""

import sys
from collections.abc import Callable
from typing import TypeVar

from omegaconf import OmegaConf

from pipeline.errors import UserError

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
    try:
        run(settings)
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(2)
