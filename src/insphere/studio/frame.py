"""The frame of every page: head, navigation, state of the queue, light and dark mode."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from importlib.resources import files

from nicegui import ui

from insphere.studio.app_state import Studio

PAGES = (
    ("/photos", "Photos"),
    ("/compare", "Compare"),
    ("/experiments", "Experiments"),
    ("/models", "Models"),
    ("/look", "Look"),
)
GLANCE_SECONDS = 2.0
PATIENCE = 30.0  # seconds until a page must be there; its images may have to be read first

ICON = (
    '<svg viewBox="0 0 24 24" fill="none" stroke="currentColor" stroke-width="1.8" '
    'aria-hidden="true"><circle cx="12" cy="12" r="10"/><circle cx="12" cy="12" r="1.6" '
    'fill="currentColor" stroke="none"/><circle cx="8.3" cy="9.6" r="1.1" fill="currentColor" '
    'stroke="none"/><circle cx="15" cy="8.6" r="1.1" fill="currentColor" stroke="none"/>'
    '<circle cx="14.4" cy="15.4" r="1.1" fill="currentColor" stroke="none"/></svg>'
)
FAVICON = ICON.replace("<svg ", '<svg xmlns="http://www.w3.org/2000/svg" ').replace(
    "currentColor", "#00805a"
)


@cache
def head() -> str:
    """Return the HTML head of every page."""
    css, script = read_asset("style.css"), read_asset("theme.js")
    meta = '<meta name="color-scheme" content="light dark">'
    return f"{meta}<style>{css}</style><script>{script}</script>"


def read_asset(name: str) -> str:
    """Return the content of a CSS or JavaScript file."""
    return (files("insphere.studio") / name).read_text(encoding="utf-8")


@contextmanager
def frame(studio: Studio, title: str, active: str) -> Iterator[None]:
    """Build the frame of a page; its content is built inside the ``with`` block.

    Parameters
    ----------
    studio : Studio
        The studio whose queue is shown.
    title : str
        Title of the browser tab.
    active : str
        Address of the page in the navigation that is marked as the current one.
    """
    ui.page_title(f"{title} · insphere")
    ui.add_head_html(head())
    links = "".join(
        f'<a href="{address}"{" aria-current=page" if address == active else ""}>{name}</a>'
        for address, name in PAGES
    )
    with ui.element("header").classes("top"), ui.element("div").classes("in"):
        html('<a class="skip" href="#content">Skip to content</a>', "display:contents")
        html(f'<a class="brand" href="/">{ICON}insphere</a>', "display:contents")
        html(f'<nav aria-label="Pages">{links}</nav>', "display:contents")
        queue = html("", "display:contents")
        html(
            '<button class="iconbutton" aria-label="Switch between light and dark" '
            'title="Light or dark" '
            'onclick="insphereToggle()">◐</button>',
            "display:contents",
        )
    with ui.element("div").classes("page").props('id="content" tabindex="-1"'):
        yield

    def glance() -> None:
        text = _queue_state(studio)
        if queue.content != text:
            queue.set_content(text)

    glance()
    ui.timer(GLANCE_SECONDS, glance)


def html(content: str, style: str = "") -> ui.html:
    """Add HTML. Text from users or files in it must be escaped already."""
    element = ui.html(content, sanitize=False)
    return element.style(style) if style else element


@contextmanager
def details(summary: str, *, opened: bool = False) -> Iterator[ui.element]:
    """Add what is shown after a click on a line of text; it is built inside the ``with`` block.

    Parameters
    ----------
    summary : str
        The line.
    opened : bool
        Whether it is shown at first.
    """
    with ui.element("details") as element:
        if opened:
            element.props["open"] = True
        with ui.element("summary"):
            html(summary)
        with ui.element("div").classes("stack").style("padding-top:14px"):
            yield element


def step(number: int, title: str, note: str = "") -> ui.element:
    """Add a numbered part of a form, with a note in small letters beside its title."""
    section = ui.element("section").classes("step")
    with section:
        html(
            f'<div class="head"><span class="n" aria-hidden="true">{number}</span>'
            f"<h2>{title}</h2><small>{note}</small></div>"
        )
    return section


def numbered_card(number: int, title: str, note: str = "") -> ui.element:
    """Add a numbered part of a form in a box, with a sentence below its title."""
    section = ui.element("section").classes("card stack")
    with section:
        html(f'<h2><span class="n" aria-hidden="true">{number}</span> {title}</h2>')
        if note:
            html(f"<p class=muted>{note}</p>")
    return section


def message(text: str, kind: str = "") -> ui.element:
    """Show a sentence in a box; `kind` is "", "bad" or "fine"."""
    role = "alert" if kind == "bad" else "status"
    with ui.element("div").classes(f"message {kind}") as box:
        box.props["role"] = role
        ui.label(text)
    return box


def show_address(target: str) -> None:
    """Change the address that the browser shows, without loading a page."""
    ui.run_javascript(f"history.replaceState(null, '', {json.dumps(target)})")


def _queue_state(studio: Studio) -> str:
    running, waiting = studio.counts()
    if not running and not waiting:
        return '<a class="queue" href="/experiments">idle</a>'
    parts = [f"<b>{running} training</b>"] if running else []
    parts += [f"{waiting} waiting"] if waiting else []
    return f'<a class="queue" href="/experiments">{" · ".join(parts)}</a>'
