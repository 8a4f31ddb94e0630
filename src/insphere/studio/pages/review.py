"""The page on which alarms are looked at, the most severe first, and confirmed or rejected."""

from __future__ import annotations

from functools import partial
from html import escape
from typing import Any

from nicegui import ui

from insphere.experiments.store.inspection_models import Batch, Inspection, Photo, Review
from insphere.experiments.store.inspections import IDENTITY, SHOWN, Shown
from insphere.report.words import severity as severity_in_words
from insphere.studio import controls, formatting, refitting
from insphere.studio.app_state import Studio
from insphere.studio.controls import Radio
from insphere.studio.frame import PATIENCE, frame, html, message, show_address
from insphere.studio.inspection_facts import learned

LOOK_SECONDS = 1.0
STRIP = 24  # photos in the strip
WORDS: dict[str, str] = {
    "alarms": "Alarms", "open": "Not reviewed", "reviewed": "Reviewed", "all": "All photos",
    "unreadable": "Unreadable",
}  # fmt: skip
SAID = {"anomalous": "right alarm", "normal": "good photo"}
KEYS = """
(event) => {
  if (event.ctrlKey || event.metaKey || event.altKey || event.repeat) return;
  if (event.target.closest && event.target.closest("input, select, textarea")) return;
  const key = event.key.length === 1 ? event.key.toLowerCase() : event.key;
  if (!["r", "f", "u", "e", "j", "k", "ArrowLeft", "ArrowRight"].includes(key)) return;
  if (key.startsWith("Arrow") && event.target.closest("[role=radiogroup], [role=slider]")) return;
  event.preventDefault();
  emitEvent("review-key", key);
}
"""
CLICKED = """
(event) => {
  const button = event.target.closest("[data-place]");
  if (button) emit(button.dataset.place);
}
"""


def register(studio: Studio) -> None:
    """Register the page at its address."""

    @ui.page("/photos/{identity}/{batch}", response_timeout=PATIENCE)
    def review(identity: str, batch: str, show: str = "", photo: str = "") -> None:
        known = IDENTITY.fullmatch(identity) and IDENTITY.fullmatch(batch)
        inspection = studio.inspections.get(identity) if known else None
        found = studio.inspections.batch(batch) if known else None
        title = "Photos" if found is None else found.title
        with frame(studio, title, "/photos"):
            if inspection is None or found is None or found.inspection != identity:
                html("<h1>There are no such photos</h1>")
                html('<p class=lead>Perhaps in another store. <a href="/photos">Photos</a>.</p>')
                return
            key = controls.whole_number(photo, 0, 2**62) or 0
            ReviewPage(studio, inspection, found, show, key).build()


class ReviewPage:
    """The page as one visitor sees it.

    Parameters
    ----------
    studio : Studio
        The studio that has the photos.
    inspection, batch : Inspection, Batch
        What scored them, and which photos.
    show : str
        Part of the photos, from the address.
    photo : int
        Key of the photo that is looked at, from the address.
    """

    def __init__(
        self, studio: Studio, inspection: Inspection, batch: Batch, show: str, photo: int
    ) -> None:
        self.studio, self.inspection, self.batch = studio, inspection, batch
        self.store = studio.inspections
        self.shown: Shown = next((one for one in SHOWN if one == show), "alarms")
        self.at = 0
        self.photo: Photo | None = None
        self.total = 0
        self.state: Any = None
        self.counts = self.store.counts(batch.identity)
        if photo:
            self._find(photo)

    def build(self) -> None:
        """Build the page."""
        address = f"/photos/{self.inspection.identity}"
        html(
            f'<div class="crumb"><a href="/photos">Photos</a> <span aria-hidden="true">/</span> '
            f'<a href="{address}">{escape(self.inspection.title)}</a></div>'
        )
        html(f"<h1>{escape(self.batch.title)}</h1>")
        self.progress()
        with ui.element("div").classes("gap stack"):
            self.filters()
            self.queue()
            self.outcome()
            self._away()
        self.dialog = ui.dialog().props('aria-label="Enlarged photo"')
        with self.dialog, ui.element("div").classes("sheet enlarged") as self.sheet:
            self.sheet.props('role="dialog" aria-modal="true" aria-label="Enlarged photo"')
        ui.on("review-key", self._key)
        heard = "document.body.dataset.keys = 'heard'"
        script = f"document.addEventListener('keydown', {KEYS}); {heard};"
        ui.timer(0.1, lambda: ui.run_javascript(script), once=True)
        ui.timer(LOOK_SECONDS, self._look)

    # ------------------------------------------------------------------ parts

    @ui.refreshable_method
    def progress(self) -> None:
        """Show how many photos are scored."""
        done, total, alarms = self.counts.done, self.counts.total, self.counts.shown["alarms"]
        if self.batch.state == "failed":
            message(self.batch.reason or "The photos could not be scored.", "bad")
            return
        sentence = f"{done:,} of {total:,} photos are scored, {alarms:,} raised an alarm."
        if done < total:
            seconds = float((self.inspection.result or {}).get("score_seconds", 0)) * (total - done)
            sentence += f" {formatting.about(seconds).capitalize()} to go; you can begin already."
            html(
                f'<div class="bar gap" role="progressbar" aria-label="Photos scored" '
                f'aria-valuemin="0" aria-valuemax="{total}" aria-valuenow="{done}">'
                f'<i style="width:{100 * done / max(total, 1):.1f}%"></i></div>'
            )
        html(
            '<p class="muted" style="margin-top:10px" role="status" data-test="scored-photos">'
            f"{sentence}</p>"
        )

    @ui.refreshable_method
    def filters(self) -> None:
        """Show which part of the photos is looked at."""
        radio = Radio("Which photos", self.shown, self._show, "tabs")
        for name in SHOWN:
            count = self.counts.shown[name]
            if count or name in ("alarms", "all", self.shown):
                radio.add(name, f"{WORDS[name]} {count:,}")

    @ui.refreshable_method
    def queue(self) -> None:
        """Show the photo that is looked at, and a strip of those around it."""
        self.total = self.counts.shown[self.shown]
        self.at = max(0, min(self.at, self.total - 1))
        start = self.at - self.at % STRIP
        strip = self.store.queue(self.batch.identity, self.shown, offset=start, limit=STRIP)
        if not strip:
            self.photo = None
            with ui.element("section").classes("card stack"):
                html(f'<p class="muted" data-test="nothing">{self._nothing()}</p>')
            return
        self.at = min(self.at, start + len(strip) - 1)
        self.photo = strip[self.at - start]
        with ui.element("section").classes("card stack review").props('aria-label="This photo"'):
            self._one(self.photo)
        self._strip(strip, start)

    def _nothing(self) -> str:
        if self.shown == "open":
            return "All alarms are reviewed."
        if self.shown == "alarms":
            return "No photo has raised an alarm. Under <b>All photos</b> is the whole order."
        return "There is nothing here."

    def _one(self, photo: Photo) -> None:
        verdict, css = ("✕ Alarm", "anomalous") if photo.alarm else ("○ No alarm", "fine")
        with ui.element("div").classes("between"):
            html(
                f'<div class="verdict {css}" data-test="photo-verdict" data-key="{photo.key}">'
                f"{'✕ Unreadable' if photo.error else verdict}"
                f'<small data-test="photo-name">{escape(photo.name)}</small></div>'
            )
            html(f'<span class="muted" data-test="place">{self.at + 1:,} of {self.total:,}</span>')
        if photo.error:
            html(f"<p>{escape(photo.error)}</p>")
            return
        with ui.element("div").classes("pair"):
            for kind, title in (("large", "Photo"), ("map", "What is strange about it")):
                if kind == "map" and not (self.inspection.result or {}).get("scale"):
                    continue
                self._picture(photo, kind, title)
        html(f'<p data-test="severity">{self._rarity(photo)}</p>')
        if photo.kind is not None:
            html(f'<p data-test="kind">Nearest kind: <b>{escape(photo.kind)}</b></p>')
        with ui.element("div").classes("row decide"):
            alarm = photo.alarm
            right, false = ("Right alarm", "False alarm") if alarm else ("Defect", "Good photo")
            decisions: tuple[tuple[str, str, Review], ...] = (
                (right, "R", "anomalous"),
                (false, "F", "normal"),
            )
            for text, key, review in decisions:
                button = controls.button(
                    f"{text}  [{key}]", partial(self._say, review),
                    "chosen" if photo.review == review else "",
                    data_test=f"say-{review}", aria_keyshortcuts=key,
                )  # fmt: skip
                button.props["aria-pressed"] = "true" if photo.review == review else "false"
            controls.button(
                "Undo  [U]", self._undo, "quiet", data_test="undo", aria_keyshortcuts="U"
            )
            html('<span style="flex:1"></span>', "flex:1")
            controls.button("←  Before", partial(self._move, -1), "small", data_test="before")
            controls.button("Next  →", partial(self._move, 1), "small", data_test="next")

    def _picture(self, photo: Photo, kind: str, title: str) -> None:
        address = f"/photo-files/batches/{self.batch.identity}/{kind}/{photo.key}.jpg"
        button = ui.element("button").classes("shot").props('type="button"')
        button.props["aria-label"] = f"Enlarge: {title}, {photo.name}"
        button.props["data-test"] = f"shot-{kind}"
        with button:
            html(f'<img src="{address}" alt=""><span>{title}</span>', "display:contents")
        button.on("click", lambda: self._enlarge(kind), args=[])

    def _rarity(self, photo: Photo) -> str:
        if photo.severity is None:
            return f"Score {photo.score:.4g}"
        result = self.inspection.result or {}
        n = int(result.get("n_calibration", 0))
        word = severity_in_words(photo.severity, 99.0).partition(" ")[2]
        if photo.p_value is not None and n and photo.p_value <= 1 / (n + 1) + 1e-12:
            how = f"stranger than every one of the {n:,} good photos it was compared with"
        else:
            share = photo.p_value or 1.0
            how = f"about {max(1, round(100 * share))} of 100 good photos are at least as strange"
        said = f" You said: <b>{SAID[photo.review]}</b>." if photo.review in SAID else ""
        return f"<b>{word.capitalize()}</b>: {how}.{said}"

    def _strip(self, strip: list[Photo], start: int) -> None:
        minis = "".join(
            self._mini(photo, place, here=place == self.at)
            for place, photo in enumerate(strip, start)
        )
        nav = html(minis).classes("queue-strip").props('role="navigation"')
        nav.props["aria-label"] = "Photos in order"
        nav.on("click", lambda event: self._go(int(event.args)), js_handler=CLICKED)
        if self.total > STRIP:
            with ui.element("div").classes("row"):
                if start:
                    controls.button("← Stranger ones", partial(self._go, start - STRIP), "small")
                if start + STRIP < self.total:
                    controls.button(
                        "Less strange ones →", partial(self._go, start + STRIP), "small",
                        data_test="more-photos",
                    )  # fmt: skip

    def _mini(self, photo: Photo, place: int, *, here: bool) -> str:
        said = SAID.get(photo.review or "", "not reviewed")
        mark = {"anomalous": "✕", "normal": "○"}.get(photo.review or "", "")
        address = f"/photo-files/batches/{self.batch.identity}/thumb/{photo.key}.jpg"
        return (
            f'<button type="button" class="mini" data-place="{place}" '
            f'aria-label="{place + 1}: {escape(photo.name)}, {said}"'
            f"{' aria-current=true' if here else ''}>"
            f'<img src="{address}" alt="" loading="lazy">'
            f'<i class="{photo.review or ""}">{mark}</i></button>'
        )

    @ui.refreshable_method
    def outcome(self) -> None:
        """Show what the reviews of these photos say."""
        rate = float((self.inspection.result or {})["promise"]["rate"])
        counts = self.store.reviews_of_batch(self.batch.identity)
        refitting.outcome(self.studio, self.inspection, learned(counts, rate))

    def _away(self) -> None:
        with ui.element("section").classes("card stack"):
            html("<h2>Take it away</h2>")
            with ui.element("div").classes("row"):
                base = f"/photo-files/batches/{self.batch.identity}"
                controls.link("Table (CSV)", f"{base}.csv", download=True)
                controls.link("Report (HTML)", f"{base}.html", download=True)
                controls.link("Model as zip", f"/photo-files/{self.inspection.identity}/model.zip",
                              download=True)  # fmt: skip
            html(
                f"<small>The command line that does the same is on the page of the "
                f'<a href="/photos/{self.inspection.identity}">detector</a>.</small>'
            )

    # ------------------------------------------------------------------ what happens

    def _look(self) -> None:
        """Follow the scoring; the photo that is looked at stays."""
        if self.batch.state in ("finished", "failed"):
            return
        found = self.store.batch(self.batch.identity)
        if found is None:
            return
        changed = found.state != self.batch.state
        self.batch = found
        counts = self.store.counts(found.identity)
        if not changed and (counts.done, counts.total) == (self.counts.done, self.counts.total):
            return
        self.counts = counts
        key = None if self.photo is None else self.photo.key
        self.progress.refresh()
        self.filters.refresh()
        if key is None:
            self.queue.refresh()
        elif changed:
            self._find(key)
            self.queue.refresh()
        if changed:
            self.outcome.refresh()

    def _key(self, event: Any) -> None:
        key = str(event.args)
        if self.dialog.value and key in ("e", "ArrowLeft", "ArrowRight"):
            self.dialog.close()
            return
        if key in ("r", "f"):
            self._say("anomalous" if key == "r" else "normal")
        elif key == "u":
            self._undo()
        elif key == "e":
            self._enlarge("large")
        else:
            self._move(1 if key in ("ArrowRight", "j") else -1)

    def _say(self, review: Review) -> None:
        if self.photo is None or self.photo.error:
            return
        self._find(self.photo.key)  # while photos are scored, others come before it
        self.store.review(self.photo.key, review)
        if self.shown != "open":  # there the photo leaves, and the next one takes its place
            self.at += 1  # no further than the last one: `queue` sees to that
        self._reviewed()

    def _undo(self) -> None:
        key = self.store.undo(self.batch.identity)
        if key is None:
            ui.notify("There is nothing to undo.")
            return
        self._find(key)
        self._reviewed()

    def _reviewed(self) -> None:
        self.counts = self.store.counts(self.batch.identity)
        self.queue.refresh()
        self.filters.refresh()
        self.outcome.refresh()
        self._address()

    def _find(self, key: int) -> None:
        """Go to a photo, if it is in the part that is shown."""
        photo = self.store.photo(key)
        if photo is None or photo.batch != self.batch.identity:
            return
        place = self.store.place(photo, self.shown)
        if place is not None:
            self.at = place

    def _move(self, step: int) -> None:
        if self.photo is not None:
            self._find(self.photo.key)
        self._go(self.at + step)

    def _go(self, place: int) -> None:
        self.counts = self.store.counts(self.batch.identity)
        self.at = place  # if there is such a place: `queue` sees to that
        self.queue.refresh()
        self._address()

    def _show(self, shown: Shown) -> None:
        self.counts = self.store.counts(self.batch.identity)
        self.shown, self.at = shown, 0
        self.queue.refresh()
        self._address()

    def _enlarge(self, kind: str) -> None:
        if self.photo is None or self.photo.error:
            return
        key, base = self.photo.key, f"/photo-files/batches/{self.batch.identity}"
        self.sheet.clear()
        with self.sheet:
            with ui.element("div").classes("between"):
                html(f"<h2>{escape(self.photo.name)}</h2>")
                controls.button("Close", self.dialog.close, "small", data_test="close")
            other = "map" if kind == "large" else "large"
            shown = [kind, *([other] if (self.inspection.result or {}).get("scale") else [])]
            for one in shown:
                alt = "the photo" if one == "large" else "the photo with what is strange about it"
                html(f'<img src="{base}/{one}/{key}.jpg" alt="{alt}" data-test="enlarged-{one}">')
        self.dialog.open()

    def _address(self) -> None:
        here = f"/photos/{self.inspection.identity}/{self.batch.identity}?show={self.shown}"
        show_address(here + ("" if self.photo is None else f"&photo={self.photo.key}"))
