"""Studio: a page in the browser for those who would rather click than type.

    python -m pipeline.studio

or, in a notebook, ``pipeline.studio.launch()``.
"""

from pipeline.studio.serve import launch

__all__ = ["launch"]
