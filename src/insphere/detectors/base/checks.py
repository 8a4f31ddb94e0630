"""Checks of parameters that several detectors share."""

from __future__ import annotations

import numpy as np

from insphere.errors import SpecError


def is_real(value: object) -> bool:
    """Return whether `value` is a number; a bool is not one."""
    return isinstance(value, int | float | np.number) and not isinstance(value, bool)


def require(condition: bool, message: str) -> None:
    """Raise SpecError with `message` unless `condition` holds."""
    if not condition:
        raise SpecError(message)


def require_count(name: str, value: object, least: int) -> None:
    """Raise SpecError unless `value` is a whole number of at least `least`."""
    require(
        isinstance(value, int | np.integer) and not isinstance(value, bool) and int(value) >= least,
        f"{name} is a whole number from {least} on, but got {value!r}.",
    )
