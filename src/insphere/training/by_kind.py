"""Settings that come in several kinds, each a class in a file of its own."""

from __future__ import annotations

from collections.abc import Mapping
from importlib import import_module
from typing import Any, TypeVar

from pydantic import BaseModel

from insphere.errors import SpecError

Spec = TypeVar("Spec", bound=BaseModel)


def chosen(value: Any, base: type[Spec], table: Mapping[str, str], what: str) -> Spec:
    """Return the settings that `value` stands for: a union discriminated by ``kind``.

    Files can name only what the table has. In Python, an object of any subclass of `base` will do.
    The module of a kind is imported when the kind is asked for.

    Parameters
    ----------
    value : base, str or mapping
        Settings, a kind with its defaults, or ``{"kind": …}`` with settings.
    base : type
        What all kinds derive from.
    table : mapping
        Dotted name of the class of each kind.
    what : str
        What is chosen, for messages.

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
