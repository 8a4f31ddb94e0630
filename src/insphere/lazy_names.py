"""Names of a package that are imported when they are first used."""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from typing import Any


def lazy_names(
    package: str, place_of: Callable[[str], str | None]
) -> tuple[Callable[[str], Any], Callable[[], list[str]]]:
    """Return ``__getattr__`` and ``__dir__`` of a package that has an ``__all__``.

    Parameters
    ----------
    package : str
        Its ``__name__``.
    place_of : callable
        Gives the module of a name, below the package, as ``module:other`` if it has another name
        there; None if there is no such name.

    Examples
    --------
    >>> imported, _ = lazy_names("insphere", {"choose": "workflows.choose"}.get)
    >>> imported("choose").__module__
    'insphere.workflows.choose'
    """

    def imported(name: str) -> Any:
        place = place_of(name)
        if place is None:
            raise AttributeError(f"module {package!r} has no attribute {name!r}")
        module, _, other = place.partition(":")
        return getattr(import_module(f"{package}.{module}"), other or name)

    def listed() -> list[str]:
        return sorted(import_module(package).__all__)

    return imported, listed
