"""Look-up of methods by name: class, card, and an unfitted detector."""

from __future__ import annotations

from collections.abc import Mapping
from importlib import import_module
from typing import TYPE_CHECKING, Any

from insphere.detectors.base.method_card import FAMILIES, Family, MethodCard
from insphere.detectors.method_table import METHODS, find_method, method_key, method_of_class
from insphere.errors import SpecError, require

if TYPE_CHECKING:
    from insphere.detectors.base.estimator import OneClassDetector

__all__ = [
    "FAMILIES",
    "METHODS",
    "Family",
    "MethodCard",
    "build_detector",
    "check_installed",
    "default_recipe",
    "detector_class",
    "find_method",
    "method_card",
    "method_key",
    "method_of_class",
    "method_title",
    "parameters_of",
]


def detector_class(method: str) -> type[OneClassDetector]:
    """Return the class of a method. Its module is imported by this call.

    Parameters
    ----------
    method : str
        Key or alias; see `insphere.detectors.method_table.method_key`.

    Raises
    ------
    SpecError
        If there is no such method.
    """
    key = method_key(method)
    entry = METHODS[key]
    cls: type[OneClassDetector] = getattr(import_module(entry.module), entry.class_name)
    if cls.card.key != key:
        raise RuntimeError(f"{entry.place} calls itself {cls.card.key!r}, not {key!r}.")
    return cls


def method_card(method: str) -> MethodCard:
    """Return the description of a method.

    Raises
    ------
    SpecError
        If there is no such method.
    """
    return detector_class(method).card


def method_title(method: str) -> str:
    """Return the title of a method for tables; for an unknown method, its key.

    Rows of results can come from a newer version, and must still be shown.
    """
    return method if find_method(method) is None else method_card(method).title


def parameters_of(method: str) -> set[str]:
    """Return the names of the parameters that a method uses."""
    cls = detector_class(method)
    return set(cls().get_params(deep=False)) - set(cls.card.idle)


def default_recipe(method: str) -> str | None:
    """Return the name of the recipe that a method takes by default; None if it has none.

    Unknown methods, which rows of a newer version can have, have none.

    Examples
    --------
    >>> default_recipe("deep-svdd"), default_recipe("deep-sad"), default_recipe("knn")
    ('best', 'fast', None)
    """
    if find_method(method) is None:
        return None
    found = getattr(detector_class(method), "recipe", None)
    return found if isinstance(found, str) else None


def check_installed(method: str) -> None:
    """Check that the packages for a method are installed.

    Raises
    ------
    MissingExtraError
        If one is not installed; the message names the extra to install.
    """
    card = method_card(method)
    if card.needs_package is not None:
        module, extra = card.needs_package
        require(module, extra, card.title)
    if card.needs_pretrained:
        from insphere.nets.backbones import lite

        lite.check_installed()


def build_detector(
    method: str, params: Mapping[str, Any], *, seed: int, **extra: Any
) -> OneClassDetector:
    """Return an unfitted detector.

    Parameters
    ----------
    method : str
        Key or alias of a method.
    params : mapping
        Constructor arguments that differ from the defaults.
    seed : int
        Value of ``random_state``, if the detector has that parameter.
    **extra
        Further arguments; those that the detector does not have are ignored.

    Raises
    ------
    SpecError
        If the method or one of `params` is unknown.
    """
    cls = detector_class(method)
    known = set(cls().get_params())
    unknown = sorted(set(params) - known)
    if unknown:
        raise SpecError(
            f"{method_key(method)} has no option {', '.join(unknown)}; it has: "
            f"{', '.join(sorted(known))}."
        )
    arguments = {key: value for key, value in extra.items() if key in known}
    if "random_state" in known:
        arguments["random_state"] = seed
    detector: OneClassDetector = cls(**arguments | dict(params))
    return detector
