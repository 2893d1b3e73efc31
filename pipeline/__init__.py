"""Localized neural style transfer."""
