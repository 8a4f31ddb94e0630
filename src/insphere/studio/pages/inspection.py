"""The page of one detector of photos: its training, what is known of it, and what it scored."""

from __future__ import annotations

import time
from html import escape
from typing import Any
from urllib.parse import quote

from nicegui import ui

from insphere.errors import InsphereError
from insphere.experiments.store.inspection_models import Batch, Inspection
from insphere.experiments.store.inspections import IDENTITY
from insphere.studio import controls, formatting, inspection_facts, refitting
from insphere.studio.app_state import Studio
from insphere.studio.frame import PATIENCE, details, frame, html, message
from insphere.studio.photo_field import photo_field
from insphere.studio.suspects_view import SuspectsView

LOOK_SECONDS = 0.7
COMMANDS = """insphere fit --config fit.yaml --out model
insphere score model photos/new --sort severity --out scores.csv --report report.html
insphere watch model incoming --out watched.csv"""


def register(studio: Studio) -> None:
    """Register the page at its address."""

    @ui.page("/photos/{identity}", response_timeout=PATIENCE)
    def inspection(identity: str) -> None:
        found = studio.inspections.get(identity) if IDENTITY.fullmatch(identity) else None
        with frame(studio, "Photos" if found is None else found.title, "/photos"):
            if found is None:
                html("<h1>There is no such detector</h1>")
                html('<p class=lead>Perhaps in another store. <a href="/photos">Make one</a>.</p>')
                return
            InspectionPage(studio, found).build()


class InspectionPage:
    """The page as one visitor sees it.

    Parameters
    ----------
    studio : Studio
        The studio that has the detector.
    found : Inspection
        As it was when the page was opened.
    """

    def __init__(self, studio: Studio, found: Inspection) -> None:
        self.studio, self.found = studio, found
        self.ticket = ""
        self.shown_batches = ""

    def build(self) -> None:
        """Build the page, and update it while it is trained."""
        html('<div class="crumb"><a href="/photos">Photos</a></div>')
        html(f"<h1>{escape(self.found.title)}</h1>")
        self._after()
        self.body()
        self.timer = ui.timer(LOOK_SECONDS, self._look)

    def _after(self) -> None:
        parent = self.found.parent and self.studio.inspections.get(self.found.parent)
        if parent:
            html(
                f'<p class="lead">Trained again after '
                f'<a href="/photos/{parent.identity}">{escape(parent.title)}</a>, '
                f"{escape(inspection_facts.changed(self.found.settings))}</p>"
            )

    def _look(self) -> None:
        found = self.studio.inspections.get(self.found.identity)
        if found is None:
            return
        if found.state != self.found.state:
            self.found = found
            self.body.refresh()
        elif found.state == "running" and found.progress != self.found.progress:
            self.found = found
            self.progress.refresh()
        elif found.state == "running":
            self.progress.refresh()
        elif found.state == "finished":
            now = self._batches_html()
            if now != self.shown_batches:
                self.batches.refresh()

    # ------------------------------------------------------------------ parts

    @ui.refreshable_method
    def body(self) -> None:
        """Show progress, a failure, or what is known."""
        found = self.found
        with ui.element("div").classes("gap stack") as box:
            box.props["data-state"] = found.state
            if found.state == "failed":
                message(found.reason or "The training failed.", "bad")
                controls.link("Start again with other photos", "/photos")
            elif found.state == "finished":
                self._known()
            else:
                self.progress()

    @ui.refreshable_method
    def progress(self) -> None:
        """Show the step of the training, and how long it will probably take."""
        now = self.found.progress
        with ui.element("section").classes("card stack narrow"):
            if now is None:
                html("<p>Waiting for its turn …</p>")
                return
            spent = max(0.0, time.time() - float(now["since"]))
            total = now.get("seconds")
            html(f'<h2 data-test="step">{escape(str(now["step"]))} …</h2>')
            if total:
                share = min(0.97, spent / max(float(total), 0.1))
                left = float(total) - spent
                rest = (
                    f"{formatting.about(left)} left"
                    if left > 0
                    else "a little longer than expected"
                )
                html(
                    f'<div class="bar" role="progressbar" aria-label="This step" aria-valuemin="0" '
                    f'aria-valuemax="100" aria-valuenow="{100 * share:.0f}">'
                    f'<i style="width:{100 * share:.0f}%"></i></div>'
                    f"<p class=muted>{rest} for this step. You may close the page: the training "
                    "goes on.</p>"
                )
            else:
                html("<p class=muted>You may close the page: the training goes on.</p>")

    def _known(self) -> None:
        facts = self.found.result or {}
        with ui.element("div").classes("side even"):
            with ui.element("section").classes("card stack"):
                html("<h2>Score new photos</h2>")
                self.ticket = self.studio.arrivals.ticket()
                photo_field(self.ticket, "new photos", self._arrived)
                self.state = ui.element("div").classes("stack").props('aria-live="polite"')
                self.batches()
            with ui.element("section").classes("card stack"):
                html("<h2>What you can expect</h2>")
                self._statements(facts)
        self._learned()
        self._groups(facts)
        SuspectsView(self.studio, self.found).build()
        if facts["damage"]["cells"]:
            with ui.element("section").classes("card stack"):
                html("<h2>Made-up defects, and how many are found</h2>")
                html(
                    "<p class=muted>The program damaged your good photos. Real defects look "
                    "different; this shows what is noticed, and how strong it must be.</p>"
                )
                place = f"/photo-files/{self.found.identity}/pictures"
                html(inspection_facts.damage_table(facts, place))
        self._away(facts)

    def _statements(self, facts: dict[str, Any]) -> None:
        confirmed = int(self.found.settings.get("confirmed", 0))
        lines = [
            inspection_facts.promise(facts),
            inspection_facts.folders(facts),
            inspection_facts.defects(facts, confirmed),
            inspection_facts.damage(facts),
            inspection_facts.agreement(facts),
        ]
        html(formatting.statements(filter(None, lines), "expect"))
        html(f"<small>{escape(inspection_facts.trained(facts))}</small>")
        if facts.get("choice"):
            html(f"<small>{escape(str(facts['choice']))}</small>")

    def _learned(self) -> None:
        rate = (self.found.result or {})["promise"]["rate"]
        counts = self.studio.inspections.reviews(self.found.identity)
        refitting.outcome(self.studio, self.found, inspection_facts.learned(counts, rate))

    def _groups(self, facts: dict[str, Any]) -> None:
        if not facts.get("groups"):
            return
        with ui.element("section").classes("card stack"):
            html("<h2>False alarms of each group</h2>")
            html(
                "<p class=muted>One alarm for all was set on good photos that were kept out of the "
                "training, or scored as if they were new. So many of each group are beyond it. The "
                "intervals of all groups hold together, nine times out of ten.</p>"
            )
            html(inspection_facts.group_table(facts))

    def _away(self, facts: dict[str, Any]) -> None:
        identity = self.found.identity
        with ui.element("section").classes("card stack"):
            html("<h2>Take it away</h2>")
            with ui.element("div").classes("row"):
                base = f"/photo-files/{identity}"
                controls.link("Model as zip", f"{base}/model.zip", download=True)
                controls.link("Reviewed photos", f"{base}/reviews.zip", download=True)
            with details("The same on the command line"):
                html(f"<p class=muted>{inspection_facts.where_photos_lie(facts)}</p>")
                html(
                    f'<pre class="code" data-test="commands" tabindex="0">{escape(COMMANDS)}</pre>'
                )

    # ------------------------------------------------------------------ new photos

    async def _arrived(self, done: int, over: bool, refused: list[str], n_refused: int) -> None:
        if not over:
            return
        arrivals = self.studio.arrivals
        self.state.clear()
        with self.state:
            if n_refused:
                message(f"{n_refused} files were left out: {'; '.join(refused[:3])}", "bad")
            try:
                names = arrivals.names(self.ticket)
                photos = arrivals.photos(self.ticket)
            except InsphereError as error:
                message(str(error), "bad")
                return
            if not names:
                return
            title = f"{len(names):,} photos, {time.strftime('%-d %b %Y, %H:%M')}"
            batch = self.studio.inspections.add_batch(self.found.identity, title, photos, names)
        self.studio.jobs.keep_working()
        ui.navigate.to(f"/photos/{self.found.identity}/{batch.identity}")

    @ui.refreshable_method
    def batches(self) -> None:
        """Show what was scored."""
        self.shown_batches = self._batches_html()
        html(self.shown_batches)

    def _batches_html(self) -> str:
        rows = [self._row(batch) for batch in self.studio.inspections.batches(self.found.identity)]
        if not rows:
            return "<p class=muted>Nothing is scored yet.</p>"
        return f'<ul class="plain batches">{"".join(rows)}</ul>'

    def _row(self, batch: Batch) -> str:
        counts = self.studio.inspections.counts(batch.identity)
        done, total = counts.done, counts.total
        alarms, left = counts.shown["alarms"], counts.shown["open"]
        state = f"{done:,} of {total:,} scored" if done < total else f"{alarms:,} alarms"
        if batch.state == "failed":
            state = escape(batch.reason or "failed")
        elif left and done == total:
            state += f", {left:,} to look at"
        address = f"/photos/{quote(self.found.identity)}/{quote(batch.identity)}"
        return f'<li><a href="{address}">{escape(batch.title)}</a><span>{state}</span></li>'
