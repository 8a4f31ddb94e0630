"""The page on which a detector of photos is made from good ones alone."""

from __future__ import annotations

import asyncio
from functools import partial
from html import escape
from pathlib import Path
from typing import Any

from nicegui import ui

from insphere.data.layouts.vocabulary import goodness
from insphere.detectors.registry import method_title
from insphere.errors import InsphereError
from insphere.scoring.affordable import Affordable, affordable
from insphere.studio import controls, formatting
from insphere.studio.app_state import Studio
from insphere.studio.controls import Radio
from insphere.studio.frame import PATIENCE, frame, html, message
from insphere.studio.inspection_facts import one_in
from insphere.studio.inspection_list import inspection_list
from insphere.studio.photo_field import photo_field
from insphere.workflows.fit_config import AUTO
from insphere.workflows.inspecting import (
    FEWEST_PHOTOS,
    LONGEST_SIDE,
    InspectionPlan,
    quick_method,
    reading_of,
    seconds_for_folder,
)

USUAL = 0.05


def register(studio: Studio) -> None:
    """Register the page at its address."""

    @ui.page("/photos", response_timeout=PATIENCE)
    def photos() -> None:
        with frame(studio, "Inspect my photos", "/photos"):
            html("<h1>Inspect my photos</h1>")
            html(
                '<p class="lead">Give photos of good parts alone. Nothing leaves this computer.</p>'
            )
            NewInspection(studio).build()
            inspection_list(studio)


class NewInspection:
    """The form of one visitor.

    Parameters
    ----------
    studio : Studio
        The studio that trains.
    """

    def __init__(self, studio: Studio) -> None:
        self.studio = studio
        self.ticket = studio.arrivals.ticket()
        self.n = 0
        self.arriving = False
        self.refused: list[str] = []
        self.n_refused = 0
        self.reading: dict[str, Any] = {}
        self.quick = ""
        self.seconds: dict[str, float | None] = {}
        self.folder: str | None = None
        self.rate = USUAL
        self.method = ""
        self.problem = ""
        self.title = ""

    def build(self) -> None:
        """Build the form."""
        with ui.element("div").classes("gap stack narrow"):
            with ui.element("section").classes("card stack"):
                html('<h2><span class="n" aria-hidden="true">1</span> Photos of good parts</h2>')
                photo_field(self.ticket, "photos of good parts", self._arrived)
                self.state = ui.element("div").classes("stack").props('aria-live="polite"')
            self.questions = ui.element("div").classes("stack")

    # ------------------------------------------------------------------ what arrives

    async def _arrived(self, done: int, over: bool, refused: list[str], n_refused: int) -> None:
        self.refused, self.n_refused, self.arriving = refused, n_refused, not over
        if over:
            await self._look()

    async def _look(self) -> None:
        """Look at what is there, and ask what has to be asked."""
        self.n = len(self.studio.arrivals.names(self.ticket))
        self.problem = ""
        folders = self.studio.arrivals.folders(self.ticket)
        self.state.clear()
        with self.state:
            if self.n_refused:
                reasons = "; ".join(self.refused[:3])
                message(f"{self.n_refused} files were left out: {reasons}", "bad")
            if not self.n:
                self.questions.clear()
                return
            if len(folders) > 1:
                self._ask_folder(folders)
                self.questions.clear()
                return
            place = self.studio.arrivals.photos(self.ticket)
            try:
                self.reading = await asyncio.to_thread(reading_of, place)
                height, width = self.reading["size"]
                self.quick = quick_method((height, width))
            except InsphereError as error:
                message(str(error), "bad")
                return
            html(f'<p data-test="n-photos">{self._found(height, width)}</p>')
            html(await asyncio.to_thread(_some_photos, place))
        self._ask()
        await self._measure()

    def _found(self, height: int, width: int) -> str:
        size = f"{width} × {height} pixels"
        grey = "grey" if self.reading["channels"] == 1 else "colour"
        text = f"<b>{self.n:,} {grey} photos</b>, read on a canvas of {size}"
        if self.reading["fit"] == "letterbox" and LONGEST_SIDE in (height, width):
            text += f" (no side is longer than {LONGEST_SIDE:,} pixels)"
        return f"{text}. Each keeps its aspect."

    def _ask_folder(self, folders: dict[str, int]) -> None:
        likely = min(folders, key=lambda name: (goodness(name), -folders[name]))
        html("<p>The photos come from several folders. <b>Which one holds the good parts?</b></p>")
        self.folder = likely
        radio = Radio("Folder of the good parts", likely, partial(setattr, self, "folder"))
        for name, count in folders.items():
            radio.add(name, name or "no folder", f"{count:,} photos")
        html("<small>The other photos are not used. Score them later as new photos.</small>")
        controls.button("Take this folder", self._take_folder, "go", data_test="take-folder")

    async def _take_folder(self) -> None:
        await asyncio.to_thread(self.studio.arrivals.keep_only, self.ticket, self.folder or "")
        await self._look()

    # ------------------------------------------------------------------ what is asked

    def _ask(self) -> None:
        self.questions.clear()
        with self.questions:
            choices = affordable(self.n)
            possible = [one for one in choices if one.kind != "none"]
            if self.n < FEWEST_PHOTOS or not possible:
                message(
                    f"{self.n} photos are too few to say anything: add some, {FEWEST_PHOTOS} are "
                    "the least, and 60 a good beginning.",
                    "bad",
                )
                return
            if self.rate not in [one.rate for one in possible]:
                self.rate = min(possible, key=lambda one: abs(one.rate - USUAL)).rate
            self.method = self.method or self.quick
            with ui.element("section").classes("card stack"):
                html(
                    '<h2><span class="n" aria-hidden="true">2</span> How many false alarms are '
                    "bearable?</h2>"
                )
                html(
                    "<p class=muted>Fewer false alarms mean that more defects are missed. Of good "
                    "photos, this many may be called strange:</p>"
                )
                radio = Radio(
                    "Bearable false alarms", str(self.rate), self._take_rate, "choices rates"
                )
                for one in choices:
                    radio.add(
                        str(one.rate), one_in(one.rate), _afforded(one), enabled=one.kind != "none"
                    )
            with ui.element("section").classes("card stack"):
                html('<h2><span class="n" aria-hidden="true">3</span> Training</h2>')
                self.methods()
            with ui.element("section").classes("card stack"):
                with ui.element("label").classes("field"):
                    html("Name", "display:contents")
                    field = ui.element("input").props('type="text" maxlength="60" name="title"')
                    field.props["placeholder"] = "for example: bolts, line 2"
                    field.on("change", self._name, js_handler="(e) => emit(e.target.value)")
                controls.button("Train", self._train, "go wide", data_test="train-photos")
                self.complaint = ui.element("div").props('aria-live="polite"')

    @ui.refreshable_method
    def methods(self) -> None:
        """Show the two ways to train, each with its time."""
        radio = Radio("Training", self.method, partial(setattr, self, "method"))
        quick = self.seconds.get(self.quick)
        told = "measuring the time …" if quick is None else f"{formatting.about(quick)} here"
        radio.add(
            self.quick, f"Quick: {method_title(self.quick)}",
            f"a method that suits most photos of parts; {told}",
        )  # fmt: skip
        radio.add(
            AUTO, "Compare several first",
            "made-up damage decides which method suits your photos; up to 10 min, then training",
            enabled=self.n >= 20,
        )  # fmt: skip

    async def _measure(self) -> None:
        if self.n < FEWEST_PHOTOS or self.quick in self.seconds:
            return
        place = str(self.studio.arrivals.photos(self.ticket))
        try:
            found = await self.studio.ask(seconds_for_folder, place, self.quick, self.rate)
        except InsphereError:
            return  # the training will say why
        self.seconds[self.quick] = found
        self.methods.refresh()

    def _take_rate(self, key: str) -> None:
        self.rate = float(key)

    def _name(self, event: object) -> None:
        self.title = str(getattr(event, "args", ""))[:60].strip()

    def _train(self) -> None:
        try:
            plan = InspectionPlan(rate=self.rate, method=self.method)
            place = self.studio.arrivals.photos(self.ticket)
        except (InsphereError, ValueError) as error:
            self.complaint.clear()
            with self.complaint:
                message(str(error), "bad")
            return
        title = self.title or f"{self.n:,} photos"
        found = self.studio.inspections.add(title, {"plan": plan.model_dump()}, place)
        self.studio.jobs.keep_working()
        ui.navigate.to(f"/photos/{found.identity}")


def _afforded(one: Affordable) -> str:
    if one.kind == "promise":
        return f"promised; {one.held_out:,} photos are kept out for it"
    if one.kind == "estimate":
        return f"estimated; a promise takes {one.fewest:,} photos"
    return f"takes {one.fewest:,} photos"


def _some_photos(folder: Path, most: int = 8) -> str:
    """Return a few of the photos as small pictures."""
    from io import BytesIO

    from PIL import Image, ImageOps

    from insphere.data.pixels import open_image

    files = sorted(path for path in folder.iterdir() if path.is_file())
    shown = []
    for path in files[:: max(1, len(files) // most)][:most]:
        try:
            image: Image.Image = open_image(path.read_bytes())
            image.draft("RGB", (240, 240))
            image = ImageOps.exif_transpose(image)
            image.thumbnail((240, 240))
            file = BytesIO()
            image.convert("RGB").save(file, "JPEG", quality=80)
        except (OSError, ValueError, SyntaxError):
            continue
        shown.append(f'<img src="{_uri(file.getvalue())}" alt="{escape(path.name)}">')
    return f'<div class="strip">{"".join(shown)}</div>'


def _uri(content: bytes) -> str:
    import base64

    return "data:image/jpeg;base64," + base64.b64encode(content).decode()
