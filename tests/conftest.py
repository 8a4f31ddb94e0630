"""What all tests share: one thread each, a cache of their own, reproducible random examples."""

from __future__ import annotations

import os
import tempfile

import pytest
from hypothesis import settings

# Read when NumPy, SciPy and torch are first imported, so set here, before any test module is.
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ["SCIPY_ARRAY_API"] = "1"  # without it scikit-learn skips one of its estimator checks

settings.register_profile("local", deadline=None)
settings.register_profile("ci", deadline=None, derandomize=True)
settings.load_profile("ci" if os.environ.get("CI") else "local")


def pytest_configure(config: pytest.Config) -> None:
    """Keep decoded images away from the user's cache; each process has a folder of its own.

    This is no fixture because examples in docstrings need it too, and fixtures end at this folder.
    """
    cache = tempfile.TemporaryDirectory(prefix="insphere-tests-", ignore_cleanup_errors=True)
    config.add_cleanup(cache.cleanup)
    os.environ["INSPHERE_CACHE"] = cache.name
