"""The list of methods, by family. A method that is not installed says what to install."""

from __future__ import annotations

from collections.abc import Awaitable

from insphere.detectors.registry import FAMILIES, MethodCard, method_card, method_title
from insphere.experiments.runs.run_builder import BASELINE, comparable_methods, learning_methods
from insphere.studio.controls import Handler, Radio
from insphere.studio.frame import details

OBJECTIVES = {
    "one-class": ("Deep SVDD, one-class", "learns normal images, and how far others are from them"),
    "soft-boundary": (
        "Deep SVDD, soft boundary",
        "a sphere that a small share of the training images may leave",
    ),
}


def title(method: str, objective: str) -> str:
    """Return the name of a method with an objective."""
    return OBJECTIVES[objective][0] if method == BASELINE else method_title(method)


def by_family() -> dict[str, list[MethodCard]]:
    """Return the methods that learn from normal images alone, by the heading of their family."""
    cards = [method_card(name) for name in comparable_methods()]
    found = {
        heading: [card for card in cards if card.family == family]
        for family, heading in FAMILIES.items()
    }
    return {heading: own for heading, own in found.items() if own}


FIRST = {
    "For small images, such as digits and signs": (BASELINE, "feature-mahalanobis"),
    "For photos, with the place of a defect": ("patch-gaussian", "patch-memory"),
    "Simple and quick: what every network has to beat": ("knn", "isolation-forest"),
}
"""The methods that are shown at first, by what they are for; the others follow under *more*."""


def by_purpose() -> dict[str, list[MethodCard]]:
    """Return the methods of `FIRST` that there are, by what they are for."""
    known = comparable_methods()
    found = {
        heading: [method_card(key) for key in keys if key in known]
        for heading, keys in FIRST.items()
    }
    return {heading: cards for heading, cards in found.items() if cards}


LEARNERS = "Learn from the known anomalies as well"


def show(method: str, objective: str, on_select: Handler, *, learners: bool = False) -> None:
    """Show the methods as groups of buttons: some by what they are for, the rest under *more*.

    Parameters
    ----------
    method, objective : str
        The current selection.
    on_select : callable
        Called with a key of `OBJECTIVES` or of a method.
    learners : bool
        Whether anomalies are known, from which some methods can learn.
    """
    now = objective if method == BASELINE else method
    first = by_purpose()
    if learners:
        first = {LEARNERS: [method_card(key) for key in learning_methods()]} | first
    shown = {card.key for cards in first.values() for card in cards}
    rest = {
        heading: [card for card in cards if card.key not in shown]
        for heading, cards in by_family().items()
    }
    rest = {heading: cards for heading, cards in rest.items() if cards}
    n = sum(len(cards) for cards in rest.values())

    def selected(other: Radio, key: str) -> Awaitable[None] | None:
        other.clear()
        return on_select(key)

    main = Radio("Method", now, lambda key: selected(more, key))
    _add(main, first)
    opened = now in {card.key for cards in rest.values() for card in cards}
    with details(f"{n} more methods, by how they work", opened=opened):
        more = Radio("More methods", now, lambda key: selected(main, key))
        _add(more, rest)


def _add(radio: Radio, groups: dict[str, list[MethodCard]]) -> None:
    needs = comparable_methods() | learning_methods()
    for heading, cards in groups.items():
        radio.heading(heading)
        for card in cards:
            if card.key == BASELINE:  # offered once for each objective
                for key, (title, note) in OBJECTIVES.items():
                    radio.add(key, title, note)
            else:
                missing = needs[card.key]
                radio.add(card.key, card.title, missing or card.summary, enabled=not missing)
