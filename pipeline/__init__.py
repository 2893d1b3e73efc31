"""Localized neural style transfer: each part of a photograph in a style of its own."""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pipeline.api import stylize
    from pipeline.errors import UserError
    from pipeline.results.result import Result

__version__ = "0.2.0"
__all__ = ["Result", "UserError", "__version__", "stylize"]


def __getattr__(name: str) -> Any:
    # Late: help and misspelt settings are answered without torch's seconds.
    if name == "stylize":
        from pipeline.api import stylize

        return stylize
    if name == "Result":
        from pipeline.results.result import Result

        return Result
    if name == "UserError":
        from pipeline.errors import UserError

        return UserError
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
