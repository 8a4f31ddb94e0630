"""The table of methods for the docs, and the names of their classes for type checkers."""

from __future__ import annotations

from collections.abc import Callable

from insphere.detectors.method_table import METHODS
from insphere.detectors.registry import FAMILIES, detector_class


def methods() -> str:
    """Lay out what each method says about itself, by family."""
    lines = []
    for family, heading in FAMILIES.items():
        cells = [_cells(key) for key in METHODS if detector_class(key).card.family == family]
        if cells:
            rows = [HEADER, ["---"] * len(HEADER), *cells]
            table = "\n".join("| " + " | ".join(row) + " |" for row in rows)
            lines.append(f"**{heading}**\n\n{table}\n")
    return "\n".join(lines)


HEADER = ["`--method`", "name", "what it does", "class", "takes", "needs", "own heat map"]


def _cells(key: str) -> list[str]:
    cls = detector_class(key)
    card, aliases = cls.card, METHODS[key].aliases
    needs = []
    if card.needs_labels:
        needs.append("labels of two or more classes")
    if card.needs_pretrained:
        needs.append("extra `pretrained`")
    if card.needs_package is not None:
        needs.append(f"extra `{card.needs_package[1]}`")
    names = ", ".join(f"`{name}`" for name in (key, *aliases))
    summary = card.summary + (" (control)" if card.is_control else "")
    return [
        names, card.title, summary, f"`{cls.__name__}`", " and ".join(card.takes),
        ", ".join(needs) or "–", "yes" if hasattr(cls, "anomaly_map") else "no",
    ]  # fmt: skip


def exports() -> str:
    """Import every class of a method for type checkers, each under its own name."""
    entries = sorted(METHODS.values(), key=lambda entry: entry.module)
    lines = []
    for entry in entries:
        name = entry.class_name
        line = f"    from {entry.module} import {name} as {name}"
        if len(line) > 100:
            line = f"    from {entry.module} import (\n        {name} as {name},\n    )"
        lines.append(line)
    return "if TYPE_CHECKING:\n" + "\n".join(lines) + "\n"


BLOCKS: dict[str, Callable[[], str]] = {"methods": methods}
