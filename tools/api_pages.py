"""Which names of the package are public, and the pages of the site that describe them.

A package whose ``__init__`` has an ``__all__`` is documented by the names in it. A package whose
``__init__`` exports nothing is documented module by module, with the public names that each module
defines. Rooms that only serve people, the studio and the command line, have pages of their own.
"""

from __future__ import annotations

import inspect
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from importlib import import_module
from pkgutil import iter_modules
from types import ModuleType

NOT_DOCUMENTED = ("insphere.cli", "insphere.studio", "insphere.__main__")
ALSO = (
    "insphere.runtime.tables",
    "insphere.runtime.pyfunc",
    "insphere.data.perturb",
    "insphere.figures.measured",
    "insphere.detectors.registry",
)
"""Modules below a package with an ``__all__`` that are public all the same."""


@dataclass(frozen=True)
class Page:
    """One page of the API reference.

    Parameters
    ----------
    package : str
        Dotted name of the package or module.
    modules : tuple of str
        Dotted names of the modules whose public names it describes.
    """

    package: str
    modules: tuple[str, ...]

    @property
    def path(self) -> str:
        """Where the page lies below ``docs``."""
        return f"reference/{self.package.removeprefix('insphere.')}.md"


def pages() -> list[Page]:
    """Return the pages of the reference, in the order of the package tree."""
    found = [Page("insphere", ("insphere",)), *_pages_below("insphere")]
    return [page for page in found if page.modules]


def documented_modules() -> list[str]:
    """Return the dotted names of all modules that the reference describes."""
    return [module for page in pages() for module in page.modules]


def public_names(module: str) -> dict[str, object]:
    """Return the public objects of a documented module by name.

    Raises
    ------
    AttributeError
        If a name in ``__all__`` cannot be found.
    """
    loaded = import_module(module)
    listed = getattr(loaded, "__all__", None)
    if listed is not None:
        return {name: getattr(loaded, name) for name in listed if not name.startswith("__")}
    return {
        name: value
        for name, value in vars(loaded).items()
        if not name.startswith("_") and _is_defined_in(value, loaded)
    }


def text_of(page: Page) -> str:
    """Return the Markdown of one page, with a directive of mkdocstrings for each name."""
    parts = [f"# {page.package}\n"]
    if page.package == "insphere":
        return "\n".join([*parts, *_shortcuts()])
    for module in page.modules:
        loaded = import_module(module)
        if len(page.modules) > 1:
            parts.append(f"## {module}\n")
        if loaded.__doc__:
            parts.append(f"{inspect.cleandoc(loaded.__doc__)}\n")
        level = 3 if len(page.modules) > 1 else 2
        for name, value in public_names(module).items():
            path = _path_of(module, name, value)
            if _homes()[path] == page.path:
                parts.append(f"::: {path}\n    options:\n      heading_level: {level}\n")
            else:
                parts.append(f"[`{name}`][{path}] is described elsewhere.\n")
    return "\n".join(parts)


@cache
def _homes() -> dict[str, str]:
    """Return the page that describes each object: the first one on which it is public."""
    homes: dict[str, str] = {}
    for page in pages()[1:]:
        for module in page.modules:
            for name, value in public_names(module).items():
                homes.setdefault(_path_of(module, name, value), page.path)
    return homes


def _shortcuts() -> Iterator[str]:
    """Describe the names at the top of the package by links to where they are documented."""
    yield f"{inspect.cleandoc(import_module('insphere').__doc__ or '')}\n"
    yield "These names can be imported from `insphere` itself:\n"
    yield "| name | what it is |\n| --- | --- |"
    for name, value in public_names("insphere").items():
        first = (inspect.getdoc(value) or "").partition("\n")[0]
        yield f"| [`{name}`][{_path_of('insphere', name, value)}] | {first} |"


def _pages_below(package: str) -> Iterator[Page]:
    loaded = import_module(package)
    for found in iter_modules(loaded.__path__, f"{package}."):
        name = found.name
        if name in NOT_DOCUMENTED or name.rpartition(".")[2].startswith("_"):
            continue
        if not found.ispkg:
            # Modules directly below `insphere`; those of other packages are on the package's page.
            if package == "insphere" and public_names(name):
                yield Page(name, (name,))
            continue
        if hasattr(import_module(name), "__all__"):
            extra = tuple(module for module in ALSO if module.rpartition(".")[0] == name)
            yield Page(name, (name, *extra))
            yield from (
                page
                for page in _pages_below(name)
                if hasattr(import_module(page.package), "__all__")
            )
        else:
            modules = (m.name for m in iter_modules(import_module(name).__path__, f"{name}."))
            kept = (m for m in modules if not hasattr(import_module(m), "__path__"))
            yield Page(name, tuple(m for m in kept if public_names(m)))
            yield from _pages_below(name)


def _is_defined_in(value: object, module: ModuleType) -> bool:
    """Say whether a class or function was written in this very module."""
    if not (inspect.isclass(value) or inspect.isfunction(value)):
        return False
    return value.__module__ == module.__name__


def _path_of(module: str, name: str, value: object) -> str:
    """Return where an object was written, so that the reader of source code finds it."""
    home, qualified = getattr(value, "__module__", None), getattr(value, "__qualname__", None)
    if isinstance(home, str) and home.startswith("insphere") and qualified:
        return f"{home}.{qualified}"
    return f"{module}.{name}"
