"""An extension of Griffe: parameters that are described together keep their own defaults.

numpydoc allows ``a, b : float`` for several parameters. Griffe takes the default of the first for
all of them, so the reference would show values that the signature contradicts.
"""

from __future__ import annotations

from typing import Any

import griffe


class OwnDefaults(griffe.Extension):
    """Correct the defaults of parameters that share one description."""

    def on_package(self, *, pkg: griffe.Module, **_: Any) -> None:
        """Go through a package once it has been loaded."""
        self._correct(pkg)

    def _correct(self, parent: griffe.Module | griffe.Class) -> None:
        for member in parent.members.values():
            if isinstance(member, griffe.Alias):
                continue
            if isinstance(member, (griffe.Class, griffe.Function)) and member.docstring:
                _correct_text(member.docstring, {p.name: p.default for p in member.parameters})
            if isinstance(member, (griffe.Module, griffe.Class)):
                self._correct(member)


def _correct_text(docstring: griffe.Docstring, defaults: dict[str, Any]) -> None:
    for section in docstring.parsed:
        if section.kind is griffe.DocstringSectionKind.parameters:
            for parameter in section.value:
                if parameter.name in defaults:
                    default = defaults[parameter.name]
                    parameter.value = None if default is None else str(default)
