"""The field in which a visitor chooses photos: several files, a folder, or a zip."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

from nicegui import ui

from insphere.studio.arrivals import TICKET
from insphere.studio.frame import html, read_asset

Arrived = Callable[[int, bool, list[str], int], Awaitable[None] | None]
ACCEPT = "image/*,.heic,.heif,.pgm,.ppm,.tif,.tiff,.zip"


def photo_field(ticket: str, name: str, then: Arrived, test: str = "") -> None:
    """Add the field.

    Parameters
    ----------
    ticket : str
        From `Arrivals.ticket`.
    name : str
        What is chosen, for people.
    then : callable
        Called while files arrive: with how many have arrived, whether that is all of them, why
        some were refused, and how many were.
    test : str
        What its parts are called in tests, before ``photos``, ``files`` and ``folder``.
    """
    assert TICKET.fullmatch(ticket)
    target = f"photos-{ticket}"
    of = f'<span class="sr"> of {name}</span>'
    html(
        f'<div class="photofield" id="{target}" data-ticket="{ticket}" '
        f'data-test="{test}photos">'
        f"<p><b>Drop {name} here</b>, a folder of them, or a zip</p>"
        '<div class="row">'
        f'<label class="btn"><input class="sr" type="file" multiple accept="{ACCEPT}" '
        f'data-test="{test}files">Choose files or a zip{of}</label>'
        '<label class="btn"><input class="sr" type="file" webkitdirectory multiple '
        f'data-test="{test}folder">Choose a folder{of}</label></div>'
        '<div class="bar" hidden><i data-bar style="width:0"></i></div>'
        '<p class="muted" data-told role="status"></p></div>'
    )

    async def heard(event: Any) -> None:
        told = event.args
        if not isinstance(told, dict) or told.get("ticket") != ticket:
            return
        done, every = _number(told.get("done")), _number(told.get("all"))
        reasons = [str(one)[:200] for one in list(told.get("refused") or [])[:20]]
        outcome = then(done, done >= every, reasons, _number(told.get("n")))
        if outcome is not None:
            await outcome

    ui.on("photos", heard)
    script = read_asset("photos.js").replace("TARGET", target)
    ui.timer(0.1, lambda: ui.run_javascript(script), once=True)


def _number(value: Any) -> int:
    return value if isinstance(value, int) else 0
