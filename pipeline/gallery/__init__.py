"""Gallery: five style pictures that come with the package."""

from pathlib import Path

#: Folder of the bundled style pictures.
GALLERY = Path(__file__).parent


def names() -> list[str]:
    """File names of the bundled style pictures, sorted."""
    return sorted(path.name for path in GALLERY.glob("*.jpg"))
