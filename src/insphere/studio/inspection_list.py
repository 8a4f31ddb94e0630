"""The list of detectors of photos, as cards."""

from __future__ import annotations

from html import escape

from nicegui import ui

from insphere.experiments.store.inspection_models import Inspection
from insphere.studio import formatting
from insphere.studio.app_state import Studio
from insphere.studio.frame import html
from insphere.studio.inspection_facts import one_in

STATES = {
    "waiting": ("queued", "waiting"),
    "running": ("running", "training"),
    "finished": ("finished", "ready"),
    "failed": ("failed", "failed"),
}


def inspection_list(studio: Studio, *, most: int = 60) -> None:
    """Show the detectors of photos, the latest first; nothing if there are none."""
    found = studio.inspections.all()[:most]
    if not found:
        return
    with ui.element("section").classes("gap stack"):
        html("<h2>My detectors</h2>")
        with ui.element("div").classes("three"):
            for one in found:
                html(_card(studio, one))


def _card(studio: Studio, one: Inspection) -> str:
    css, word = STATES[one.state]
    sign = formatting.STATES[css][0]
    batches = studio.inspections.batches(one.identity)
    open_alarms = sum(studio.inspections.counts(batch.identity).shown["open"] for batch in batches)
    lines = []
    if one.result is not None:
        lines.append(
            f"{one.result['n_photos']:,} good photos, "
            f"{one_in(one.result['promise']['rate'])} false alarms"
        )
    if batches:
        lines.append(f"{open_alarms:,} alarms to look at" if open_alarms else "no open alarms")
    return (
        f'<a class="card detector" href="/photos/{one.identity}">'
        f"<b>{escape(one.title)}</b>"
        f'<span class="state {css}"><i aria-hidden="true">{sign}</i> {word}</span>'
        f"<small>{'<br>'.join(lines) or formatting.ago(one.created)}</small></a>"
    )
