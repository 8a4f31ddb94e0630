"""The list of methods, by family. A method that is not installed says what to install."""

from __future__ import annotations

from insphere.detectors.registry import FAMILIES, MethodCard, method_card
from insphere.experiments.runs.run_builder import BASELINE, comparable_methods
from insphere.studio.controls import Handler, Radio

OBJECTIVES = {
    "one-class": ("Deep SVDD, one-class", "maps all normal images close to one centre"),
    "soft-boundary": (
        "Deep SVDD, soft boundary",
        "a sphere that a small share of the training images may leave",
    ),
}


def by_family() -> dict[str, list[MethodCard]]:
    """Return the methods that learn from normal images alone, by the heading of their family."""
    cards = [method_card(name) for name in comparable_methods()]
    found = {
        heading: [card for card in cards if card.family == family]
        for family, heading in FAMILIES.items()
    }
    return {heading: own for heading, own in found.items() if own}


def show(method: str, objective: str, on_select: Handler) -> None:
    """Show the methods as a group of buttons.

    Parameters
    ----------
    method, objective : str
        The current selection.
    on_select : callable
        Called with a key of `OBJECTIVES` or of a method.
    """
    now = objective if method == BASELINE else method
    radio = Radio("Method", now, on_select)
    needs = comparable_methods()
    for heading, cards in by_family().items():
        radio.heading(heading)
        for card in cards:
            if card.key == BASELINE:  # offered once for each objective
                for key, (title, note) in OBJECTIVES.items():
                    radio.add(key, title, note)
            else:
                missing = needs[card.key]
                radio.add(card.key, card.title, missing or card.summary, enabled=not missing)
