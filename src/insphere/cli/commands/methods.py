"""``insphere methods``: the methods that can be trained."""

from __future__ import annotations

from insphere.cli import console
from insphere.cli.options import Json


def methods(as_json: Json = False) -> None:
    """List the methods for insphere fit --method, with one line on each.

    For example:

        insphere methods
    """
    from insphere.detectors.registry import FAMILIES, METHODS, method_card

    cards = [method_card(name) for name in METHODS]
    if as_json:
        console.print_json(
            {
                "methods": [
                    {
                        "name": card.key,
                        "title": card.title,
                        "family": card.family,
                        "summary": card.summary,
                        "takes": list(card.takes),
                        "needs_labels": card.needs_labels,
                        "needs_pretrained": card.needs_pretrained,
                    }
                    for card in cards
                ]
            }
        )
        return
    from rich.table import Table
    from rich.text import Text

    width = max(map(len, METHODS))
    for family, heading in FAMILIES.items():
        console.say(heading, "bold")
        table = Table(show_header=False, box=None, padding=(0, 2))
        table.add_column(no_wrap=True, style="cyan", min_width=width)
        table.add_column()
        for card in cards:
            if card.family == family:
                note = " (control)" if card.is_control else ""
                table.add_row(card.key, Text(card.summary + note))
        console.out.print(table, "")
