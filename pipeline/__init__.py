"""Localized neural style transfer: each part of a photograph in a style of its own."""

__version__ = "0.1.0"
