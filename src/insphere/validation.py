"""Validation errors of pydantic as one sentence."""

from __future__ import annotations

import reprlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, get_args

from pydantic import BaseModel, ValidationError

from insphere.errors import did_you_mean

_SHORT = reprlib.Repr()
_SHORT.maxstring = _SHORT.maxother = _SHORT.maxlong = 80
_SHORT.maxlevel = 2


@dataclass(frozen=True)
class Mistake:
    """The first error of a model.

    Parameters
    ----------
    place : tuple of str or int
        Keys and positions of the value.
    kind : str
        Pydantic's name of the error, such as ``"missing"``.
    said : str
        What is wrong: a clause that begins in lower case and has no full stop.
    value : object
        The given value.
    """

    place: tuple[str | int, ...]
    kind: str
    said: str
    value: Any

    @property
    def name(self) -> str:
        """The place as ``methods.0.name``; empty for the whole."""
        return ".".join(map(_key, self.place))

    @property
    def shown(self) -> str:
        """The given value, shortened."""
        return shown(self.value)


def first_mistake(error: ValidationError) -> Mistake:
    """Return the first mistake that pydantic names."""
    first = error.errors(include_url=False, include_context=False)[0]
    said = first["msg"].removeprefix("Value error, ").removesuffix(".")
    return Mistake(first["loc"], first["type"], said[:1].lower() + said[1:], first["input"])


def sentence(
    error: ValidationError, title: str, model: type[BaseModel] | None = None, noun: str = "setting"
) -> str:
    """Return a sentence on what is wrong with settings.

    Parameters
    ----------
    error : pydantic.ValidationError
        The error.
    title : str
        What was read, as the subject of the sentence: ``"The sweep"``.
    model : type, optional
        The model; with it the message suggests a similar known name.
    noun : str
        Noun for the names.

    Examples
    --------
    >>> class Box(BaseModel):
    ...     width: int
    >>> try:
    ...     Box(width=None)
    ... except ValidationError as error:
    ...     print(sentence(error, "The box"))
    The box has width = None: input should be a valid integer.
    """
    mistake = first_mistake(error)
    if mistake.kind == "missing":
        return f"{title} lacks {mistake.name}."
    if mistake.kind == "extra_forbidden":
        known = [] if model is None else _known(model, mistake.place)
        listed = f"known are {', '.join(known)}." if known else ""
        hint = did_you_mean(str(mistake.place[-1]), known, listed)
        return f"{title} has the unknown {noun} {mistake.name}" + (f"; {hint}" if hint else ".")
    if not mistake.name:
        return f"{title}: {mistake.said}."
    if mistake.kind == "value_error":  # our own words name the value themselves
        return _ended(f"{title} has a mistake in {mistake.name}: {mistake.said}")
    return f"{title} has {mistake.name} = {mistake.shown}: {mistake.said}."


def _ended(text: str) -> str:
    return text if text.endswith("?") else f"{text}."


def _key(key: str | int) -> str:
    """Return a key as it is, if it is one that people write."""
    text = str(key)
    return text if text.isprintable() and 0 < len(text) <= _SHORT.maxstring else shown(text)


def shown(value: Any) -> str:
    """Return the representation of a value of any size, shortened."""
    return _SHORT.repr(value)


def _known(model: type[BaseModel], place: Sequence[str | int]) -> list[str]:
    """Return the names that are known where an unknown one was found."""
    for part in place[:-1]:
        if isinstance(part, str) and part in model.model_fields:
            inner = _models(model.model_fields[part].annotation)
            if not inner:
                return []
            model = inner[0]
    return list(model.model_fields)


def _models(annotation: Any) -> list[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return [annotation]
    return [model for part in get_args(annotation) for model in _models(part)]
