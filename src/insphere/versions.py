"""The versions of the software that determines a result."""

from __future__ import annotations

import platform
from importlib import metadata

_PACKAGES = ("insphere", "torch", "numpy", "scikit-learn")


def versions() -> dict[str, str]:
    """Return the versions of Python and of the packages that determine a result, by name."""
    found = {name: metadata.version(name) for name in _PACKAGES}
    return {"python": platform.python_version(), **found}
