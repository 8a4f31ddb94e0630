"""Controls made of the browser's own elements: the keyboard and screen readers know them."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable
from html import escape
from typing import Any

from nicegui import ui

Handler = Callable[..., Awaitable[None] | None]


def button(text: str, on_click: Handler, css: str = "", **props: str) -> ui.element:
    """Add a button."""
    element = ui.element("button").classes(f"btn {css}").props('type="button"')
    for name, value in props.items():
        element.props[name.replace("_", "-")] = value
    with element:
        ui.html(escape(text), sanitize=False, tag="span")
    return element.on("click", on_click, args=[])


def link(text: str, address: str, css: str = "btn", *, download: bool = False) -> ui.element:
    """Add a link that looks like a button."""
    element = ui.element("a").classes(css)
    element.props["href"] = address
    if download:
        element.props["download"] = ""
    with element:
        ui.html(escape(text), sanitize=False, tag="span")
    return element


def choice(
    title: str, note: str, *, chosen: bool, on_click: Handler, enabled: bool = True
) -> ui.element:
    """Add one of several buttons of which one is chosen."""
    element = ui.element("button").classes("choice").props('type="button" role="radio"')
    element.props["aria-checked"] = "true" if chosen else "false"
    if not enabled:
        element.props["disabled"] = True
    text = f"<b>{escape(title)}</b>" + (f"<small>{escape(note)}</small>" if note else "")
    with element:
        ui.html(text, sanitize=False).style("display:contents")
    return element.on("click", on_click, args=[])


def picture_choice(picture: str, title: str, *, chosen: bool, on_click: Handler) -> ui.element:
    """Add one of several pictures of which one is chosen."""
    element = ui.element("button").classes("pic").props('type="button" role="radio"')
    element.props["aria-checked"] = "true" if chosen else "false"
    element.props["aria-label"] = title
    with element:
        ui.html(f"{picture}<span>{escape(title)}</span>", sanitize=False).style("display:contents")
    return element.on("click", on_click, args=[])


def number(
    label: str, value: int | None, on_change: Handler, *, least: int, most: int, hint: str = ""
) -> None:
    """Add a field for a whole number; nothing in it is None."""
    with ui.element("label").classes("field"):
        ui.html(escape(label), sanitize=False, tag="span")
        element = ui.element("input").props(f'type="number" min="{least}" max="{most}" step="1"')
        element.props["value"] = "" if value is None else str(value)
        element.props["placeholder"] = hint
        element.props["name"] = label.lower().replace(" ", "-")

        def changed(event: Any) -> Any:
            text = str(event.args).strip()
            return on_change(int(text) if text.isdecimal() and least <= int(text) <= most else None)

        element.on("change", changed, js_handler="(e) => emit(e.target.value)")


def select(
    label: str, options: Iterable[tuple[str, str]], value: str, on_change: Handler
) -> ui.element:
    """Add a list to choose from: pairs of value and text."""
    with ui.element("label").classes("field"):
        ui.html(escape(label), sanitize=False, tag="span")
        element = ui.element("select").props(f'name="{escape(label.lower())}"')
        with element:
            for key, text in options:
                option = ui.element("option")
                option.props["value"] = key
                if key == value:
                    option.props["selected"] = True
                with option:
                    ui.html(escape(text), sanitize=False, tag="span").style("display:contents")
        element.on(
            "change", lambda event: on_change(str(event.args)),
            js_handler="(e) => emit(e.target.value)",
        )  # fmt: skip
    return element


def checkbox(on_change: Handler, *, checked: bool, enabled: bool = True, name: str = "") -> None:
    """Add a box to tick, to be put into a label."""
    element = ui.element("input").props('type="checkbox"')
    element.props["name"] = name
    if checked:
        element.props["checked"] = True
    if not enabled:
        element.props["disabled"] = True
    element.on(
        "change", lambda event: on_change(bool(event.args)),
        js_handler="(e) => emit(e.target.checked)",
    )  # fmt: skip
