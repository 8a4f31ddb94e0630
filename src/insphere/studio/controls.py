"""Controls made of native HTML elements, which work with keyboards and screen readers."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Collection, Iterable
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


class _Choices:
    """A group of buttons with a title, or with a picture, each of which can be selected."""

    _roles: tuple[str, str]  # of the group, and of each button

    def __init__(self, label: str, css: str) -> None:
        self._buttons: dict[str, ui.element] = {}
        self._group = ui.element("div").classes(css)
        self._group.props["role"] = self._roles[0]
        self._group.props["aria-label"] = label

    def add(self, key: str, title: str, note: str = "", *, enabled: bool = True) -> None:
        """Add a button with a title and a note."""
        text = f"<b>{escape(title)}</b>" + (f"<small>{escape(note)}</small>" if note else "")
        button = self._add(key, "choice", text)
        if not enabled:
            button.props["disabled"] = True

    def add_picture(self, key: str, picture: str) -> None:
        """Add a button with a picture, given as HTML, and the key below it."""
        button = self._add(key, "pic", f"{picture}<span>{escape(key)}</span>")
        button.props["aria-label"] = key

    def _add(self, key: str, css: str, text: str) -> ui.element:
        with self._group:
            button = ui.element("button").classes(css).props('type="button"')
            button.props["role"] = self._roles[1]
        with button:
            ui.html(text, sanitize=False).style("display:contents")
        self._buttons[key] = button
        button.on("click", lambda: self._click(key), args=[])
        return button

    def _click(self, key: str) -> Awaitable[None] | None:
        raise NotImplementedError


class Radio(_Choices):
    """A group of buttons of which one is selected; the arrow keys move the selection.

    Parameters
    ----------
    label : str
        Name of the group for screen readers.
    selected : str
        Key of the button that is selected at first.
    on_select : callable
        Called with the key of each newly selected button.
    css : str
        Class of the group: "choices" or "pics".
    """

    _roles = ("radiogroup", "radio")

    def __init__(self, label: str, selected: str, on_select: Handler, css: str = "choices") -> None:
        super().__init__(label, css)
        self._selected, self._on_select = selected, on_select

    def heading(self, text: str) -> None:
        """Add a line above the buttons that follow."""
        with self._group:
            ui.html(escape(text), sanitize=False, tag="h3")

    def _add(self, key: str, css: str, text: str) -> ui.element:
        button = super()._add(key, css, text)
        for other in (next(iter(self._buttons)), key):
            self._mark(other)
        return button

    def _mark(self, key: str) -> None:
        selected = key == self._selected
        props = self._buttons[key].props
        props["aria-checked"] = "true" if selected else "false"
        # Tab moves to the group, arrow keys within it; where none is chosen, to the first.
        first = self._selected not in self._buttons and key == next(iter(self._buttons))
        props["tabindex"] = "0" if selected or first else "-1"

    def clear(self) -> None:
        """Take the selection back, because something in another group was selected."""
        self._show("")

    def _click(self, key: str) -> Awaitable[None] | None:
        self._show(key)
        return self._on_select(key)

    def _show(self, key: str) -> None:
        self._selected = key
        for other in self._buttons:
            self._mark(other)
            self._buttons[other].update()


class Ticks(_Choices):
    """A group of buttons of which any number is selected, each by itself.

    Parameters
    ----------
    label : str
        Name of the group for screen readers.
    selected : collection of str
        Keys of the buttons that are selected at first.
    on_change : callable
        Called with the keys of the selected buttons, in their order, after each change.
    css : str
        Class of the group: "choices" or "pics".
    """

    _roles = ("group", "checkbox")

    def __init__(
        self, label: str, selected: Collection[str], on_change: Handler, css: str = "choices"
    ) -> None:
        super().__init__(label, css)
        self._selected, self._on_change = set(selected), on_change

    def _add(self, key: str, css: str, text: str) -> ui.element:
        button = super()._add(key, css, text)
        self._mark(key)
        return button

    def _mark(self, key: str) -> None:
        checked = key in self._selected
        self._buttons[key].props["aria-checked"] = "true" if checked else "false"

    def _click(self, key: str) -> Awaitable[None] | None:
        self._selected ^= {key}
        self._mark(key)
        self._buttons[key].update()
        return self._on_change([other for other in self._buttons if other in self._selected])


def whole_number(text: str, least: int, most: int) -> int | None:
    """Read a whole number; None if the text is not one, or if it is out of range.

    Examples
    --------
    >>> whole_number("7", 0, 9), whole_number("10", 0, 9), whole_number("7" * 5000, 0, 9)
    (7, None, None)
    """
    if not (text.isascii() and text.isdecimal()) or len(text) > 20:
        return None
    return int(text) if least <= int(text) <= most else None


def number(
    label: str, value: int | None, on_change: Handler, *, least: int, most: int, hint: str = ""
) -> None:
    """Add a field for a whole number; an empty or invalid field gives None."""
    with ui.element("label").classes("field"):
        ui.html(escape(label), sanitize=False, tag="span")
        element = ui.element("input").props('type="number" step="1"')
        element.props["min"], element.props["max"] = str(least), str(most)
        # The attribute, not the property: Vue would reset the property at every change nearby.
        element.props["^value"] = "" if value is None else str(value)
        element.props["placeholder"] = hint
        element.props["name"] = label.lower().replace(" ", "-")

        def changed(event: Any) -> Any:
            text = str(event.args).strip()
            return on_change(whole_number(text, least, most))

        element.on("change", changed, js_handler="(e) => emit(e.target.value)")


def select(
    label: str, options: Iterable[tuple[str, str]], value: str, on_change: Handler
) -> ui.element:
    """Add a drop-down list of pairs of value and text."""
    with ui.element("label").classes("field"):
        ui.html(escape(label), sanitize=False, tag="span")
        element = ui.element("select")
        element.props["name"] = label.lower()
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
    """Add a checkbox. The caller puts it inside a label."""
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
