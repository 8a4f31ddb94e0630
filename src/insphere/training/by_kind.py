"""Settings of several kinds, each a class in its own file."""

from __future__ import annotations

from collections.abc import Mapping
from importlib import import_module
from typing import Any, TypeVar

from pydantic import BaseModel

from insphere.errors import SpecError

Spec = TypeVar("Spec", bound=BaseModel)


def settings_by_kind(value: Any, base: type[Spec], table: Mapping[str, str], what: str) -> Spec:
    """Return settings from a kind, a mapping with ``kind``, or settings.

    Files can name only kinds in the table. In Python, an object of any subclass of `base` is valid.
    The module of a kind is imported at its first use.

    Parameters
    ----------
    value : base, str or mapping
        Settings, a kind with its defaults, or ``{"kind": …}`` with settings.
    base : type
        Base class of all kinds.
    table : mapping
        Dotted name of the class of each kind.
    what : str
        Name of the setting, for messages.

    Raises
    ------
    SpecError
        If there is no such kind.
    pydantic.ValidationError
        If a setting is out of range.
    """
    if isinstance(value, base):
        return value
    settings = {"kind": value} if isinstance(value, str) else value
    kind = settings.get("kind") if isinstance(settings, Mapping) else None
    if not isinstance(kind, str) or kind not in table:
        raise SpecError(f"Unknown {what} {kind or value!r}; use one of {', '.join(table)}.")
    module, _, name = table[kind].rpartition(".")
    cls: type[Spec] = getattr(import_module(module), name)
    return cls.model_validate(settings)
