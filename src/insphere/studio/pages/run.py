"""The page of one run: its progress while it trains, then its results."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable
from functools import partial
from html import escape
from typing import Any
from urllib.parse import urlencode

import numpy as np
from nicegui import ui

from insphere.errors import DataError, InsphereError
from insphere.experiments.runs.display_names import in_words, normal_title
from insphere.experiments.runs.run_builder import baseline_of, controls_of
from insphere.experiments.store.run_record import Run
from insphere.modalities.examples import kind_of_example
from insphere.studio import controls, formatting, image_view, inspect_sample, run_widgets
from insphere.studio.app_state import Studio, class_pictures, split_of
from insphere.studio.form_state import address_of
from insphere.studio.frame import PATIENCE, frame, html, message, show_address
from insphere.studio.image_sources import Source
from insphere.studio.inspect_image import inspect_image
from insphere.studio.live_view import LivePart
from insphere.studio.run_results import RunActions, RunResults

LOOK_SECONDS = 0.8
GOES_ON = ("queued", "running")


def register(studio: Studio) -> None:
    """Register the page at its address."""

    @ui.page("/runs/{identity}", response_timeout=PATIENCE)
    async def show(identity: str, image: str = "", threshold: str = "", scores: str = "") -> None:
        found = studio.run(identity)
        with frame(studio, "Run" if found is None else studio.names()[identity], "/compare"):
            if found is None:
                html("<h1>There is no such run</h1>")
                html(
                    '<p class=lead>Perhaps in another store. <a href="/compare">Start one</a>.</p>'
                )
                return
            page = RunPage(studio, found, threshold, scores)
            await page.build()
            place = controls.whole_number(image, 0, 2**31)
            if place is not None:  # after the page is shown, which must not wait for it
                ui.timer(0.05, lambda: page.open_image(place), once=True)


class RunPage:
    """The page as one visitor sees it.

    Parameters
    ----------
    studio : Studio
        The studio that has the run.
    found : Run
        The run as it was when the page was opened.
    threshold, scores : str
        Values from the address: a threshold set by the visitor, and "z" for z-scores.
    """

    def __init__(self, studio: Studio, found: Run, threshold: str, scores: str) -> None:
        self.studio, self.found = studio, found
        self.address = {"threshold": threshold, "scores": scores, "image": ""}
        self.live: LivePart | None = None
        self.source: Source | None = None
        self.kind = kind_of_example(found.dataset)
        with contextlib.suppress(DataError):  # the images may belong to another studio
            self.source = studio.sources.get(found.dataset)
        self.baseline_auc: float | None = None
        self.results: RunResults
        self.scale: ui.html

    async def build(self) -> None:
        """Build the page, and update it while something can change."""
        await self._heading()
        self.body()
        self._sheet()
        around = run_widgets.compared_run(self.studio, self.found)
        self.baseline_auc = None if around.baseline is None else around.baseline.auc
        if self.found.state != "finished" or _changing(around):
            self.timer = ui.timer(LOOK_SECONDS, self.look)

    async def _heading(self) -> None:
        spec = self.found.spec
        html(
            f'<div class="crumb"><a href="{escape(self._form_address())}">Compare</a> '
            '<span aria-hidden="true">/</span> '
            f"<span>run {self.found.identity}</span></div>"
        )
        picture = ""
        try:
            pictures = {}
            if self.kind is None:
                pictures = await asyncio.to_thread(class_pictures, spec.dataset)
            if spec.normal[0] in pictures:
                picture = formatting.picture(pictures[spec.normal[0]], f"a {spec.normal[0]}")
        except InsphereError:
            pass  # the images were removed; the numbers remain
        name = escape(self.studio.names()[self.found.identity])
        normal = escape(normal_title(spec.normal))
        place = escape(self.studio.titles()[spec.dataset])
        settings = f"<br><small>{escape(in_words(spec.params))}</small>" if spec.params else ""
        html(
            f'<div class="title">{picture}<div><h1>{name}</h1><p class="muted" '
            f'style="margin-top:6px">trained on {normal} of {place}, seed {spec.seed}{settings}</p>'
            "</div></div>"
        )

    def _form_address(self) -> str:
        if self.kind is not None:
            spec = self.found.spec
            values = {"dataset": spec.dataset, "normal": spec.normal[0], "method": spec.method}
            return "/compare?" + urlencode(values)
        return "/compare" if self.source is None else address_of(self.source, self.found.spec)

    # ------------------------------------------------------------------ what is there

    @ui.refreshable_method
    def body(self) -> None:
        """Show progress or results, depending on the state of the run."""
        found = self.found
        with ui.element("div").classes("gap stack") as box:
            box.props["data-state"] = found.state
            if found.state in GOES_ON:
                self.live = LivePart(self.studio, found)
                self.live.show()
                self._beside()
            elif found.state == "finished":
                self.results = RunResults(
                    self.studio,
                    found,
                    self.address["threshold"],
                    self.address["scores"],
                    RunActions(self.compare, self.again, self.open_image, self.moved),
                )
                self.results.show()
            else:
                self._stopped(found)

    def _beside(self) -> None:
        with ui.element("section").classes("card stack").style("gap:8px"):
            html("<h2>Compared with baseline and controls</h2>")
            self.scale = html(
                run_widgets.scale(self.studio, run_widgets.compared_run(self.studio, self.found))
            )

    def _stopped(self, found: Run) -> None:
        failed = found.state == "failed"
        with ui.element("div").classes("card stack"):
            html(formatting.state(found.state))
            title = "The run failed" if failed else "The run was stopped before its end"
            html(f"<h2>{title}</h2>")
            message(found.reason or "The reason is not known.", "bad" if failed else "")
            if not failed:
                html(
                    "<p class=muted>Its checkpoint is kept: the run continues after the last "
                    "finished epoch.</p>"
                )
            word = "Try again" if failed else "Continue"
            controls.button(word, self.go_on, "go", data_test="continue")

    # ------------------------------------------------------------------ what happens

    def look(self) -> None:
        """Show what has changed since the last check."""
        now = self.studio.run(self.found.identity)
        if now is None:
            return
        around = run_widgets.compared_run(self.studio, now)
        done = None if around.baseline is None else around.baseline.auc
        changed = now.state != self.found.state or (
            now.state == "finished" and done != self.baseline_auc
        )
        self.found, self.baseline_auc = now, done
        if changed:
            self.body.refresh()
        elif now.state == "finished":
            self.results.update(around)
        elif now.state in GOES_ON:
            self.scale.set_content(run_widgets.scale(self.studio, around))
            if self.live is not None:
                self.live.update(now, done)
        if now.state == "finished" and not _changing(around):
            self.timer.cancel()

    def go_on(self) -> None:
        """Continue the run, or try it again."""
        self.studio.queue.ask([self.found.spec])
        self.studio.queue.keep_working()
        ui.navigate.to(f"/runs/{self.found.identity}")

    def compare(self) -> None:
        """Train the baseline and the controls of a run that has none."""
        spec = self.found.spec
        self.studio.queue.ask([baseline_of(spec), *controls_of(spec)])
        self.studio.queue.keep_working()
        ui.navigate.to(f"/runs/{self.found.identity}")

    def again(self) -> None:
        """Train the run again, to save its model."""
        self.studio.queue.again(self.found.identity)
        self.studio.queue.keep_working()
        ui.navigate.to(f"/runs/{self.found.identity}")

    def moved(self, threshold: float) -> None:
        """Write the threshold set by the visitor into the address."""
        self.address["threshold"] = f"{threshold:.6g}"
        self._write_address()

    # ------------------------------------------------------------------ one image

    def _sheet(self) -> None:
        self.dialog = ui.dialog()
        with self.dialog, ui.element("div").classes("sheet") as self.sheet:
            self.sheet.props('role="dialog" aria-label="Inspect an image"')
        self.dialog.on_value_change(lambda event: None if event.value else self._closed())

    def _closed(self) -> None:
        self.address["image"] = ""
        self._write_address()

    async def open_image(self, place: int) -> None:
        """Open a dialog that inspects a test image."""
        spec, identity = self.found.spec, self.found.identity
        self.address["image"] = str(place)
        self._write_address()
        self.sheet.clear()
        with self.sheet:
            with ui.element("div").classes("between"):
                what = "Image" if self.kind is None else self.kind.singular.capitalize()
                html(f"<h2>{what} {place} of the test part</h2>")
                controls.button("Close", self.dialog.close, "small")
            busy = ui.label(f"Inspecting the {what.lower()}…").classes("muted")
        self.dialog.open()
        show: Callable[[], Any]
        try:
            if not self.studio.has_model(identity):
                raise InsphereError(
                    "The model of this run was not saved; train the run again to inspect images."
                )
            split = await asyncio.to_thread(split_of, spec)
            if place >= len(split.test):
                raise InsphereError(
                    f"There is no image {place}; the test part has {len(split.test)} images."
                )
            model = self.studio.store.files.model(identity)
            if self.kind is not None:
                sample = await self.studio.ask(inspect_sample.inspect_sample, model, spec, place)
                show = partial(inspect_sample.show, sample, place)
            else:
                picture = np.array(split.X_test[place])
                inspection = await self.studio.ask(inspect_image, model, spec, picture)
                label = split.data.class_names[int(split.data.labels[split.test[place]])]
                kind = "anomalous" if split.truth[place] else "normal"
                show = partial(image_view.show, inspection, f"{kind} (class {label})")
        except InsphereError as error:
            show = partial(message, str(error), "bad")
        if busy.is_deleted:
            return  # the page was left, or another image opened
        busy.delete()
        with self.sheet:
            show()

    def _write_address(self) -> None:
        query = urlencode({key: value for key, value in self.address.items() if value})
        show_address(f"/runs/{self.found.identity}" + (f"?{query}" if query else ""))


def _changing(found: run_widgets.ComparedRun) -> bool:
    """Whether something on the page can still change."""
    return any(run.state in GOES_ON for run in found.runs)
