"""The processing options in three groups, each with the gain that a report assumed for it."""

from __future__ import annotations

from collections.abc import Callable, Collection
from functools import partial
from html import escape

from nicegui import ui

from insphere.experiments.runs.processing_options import OPTIONS
from insphere.studio import controls, formatting
from insphere.studio.frame import html

GROUPS = {
    "before": ("Before", "the input"),
    "during": ("During", "the network"),
    "after": ("After", "the representation and the score"),
}


def show(ticked: Collection[str], on_tick: Callable[[str, bool], None], *, enabled: bool) -> None:
    """Show the options as checkboxes.

    Parameters
    ----------
    ticked : collection of str
        Keys of the `OPTIONS` that are selected.
    on_tick : callable
        Called with a key, and whether it is now selected.
    enabled : bool
        Whether the method takes options.
    """
    with ui.element("div").classes("options"):
        for group, (title, what) in GROUPS.items():
            with ui.element("fieldset"):
                heading = f"<h3>{title} <small>{what}</small></h3>"
                ui.html(heading, sanitize=False, tag="legend")
                for name, option in OPTIONS.items():
                    if option.group == group:
                        _show_one(name, on_tick, ticked=name in ticked, enabled=enabled)


def _show_one(
    name: str, on_tick: Callable[[str, bool], None], *, ticked: bool, enabled: bool
) -> None:
    option = OPTIONS[name]
    with ui.element("label").classes("option" + ("" if enabled else " off")):
        controls.checkbox(partial(on_tick, name), checked=ticked, enabled=enabled, name=name)
        html(f"<span>{escape(option.title)}</span>", "display:contents")
        if option.assumed is not None:
            gain = f'<span class="gain">{formatting.points(option.assumed)} assumed</span>'
            html(gain, "display:contents")
        if option.note:
            html(f"<small>{escape(option.note)}</small>", "display:contents")
