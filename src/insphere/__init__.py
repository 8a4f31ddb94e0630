"""insphere: one-class deep learning for images."""

from insphere._version import __version__

__all__ = ["__version__"]
