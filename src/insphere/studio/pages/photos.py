"""The page on which a detector of photos is made from good ones alone."""

from __future__ import annotations

import asyncio
from functools import partial
from html import escape
from pathlib import Path
from typing import Any

from nicegui import ui

from insphere.data.layouts.vocabulary import goodness
from insphere.detectors.registry import method_card, method_title
from insphere.errors import InsphereError
from insphere.scoring.affordable import Affordable, affordable
from insphere.studio import controls, formatting
from insphere.studio.app_state import Studio
from insphere.studio.controls import Radio, Ticks
from insphere.studio.defect_field import DefectField
from insphere.studio.frame import PATIENCE, frame, html, message, numbered_card
from insphere.studio.group_field import GroupField
from insphere.studio.inspection_facts import one_in
from insphere.studio.inspection_list import inspection_list
from insphere.studio.photo_field import photo_field
from insphere.studio.region_field import RegionField
from insphere.workflows.fit_config import AUTO
from insphere.workflows.inspecting import (
    FEWEST_PHOTOS,
    LONGEST_SIDE,
    NETWORK_SIDE,
    InspectionPlan,
    check_region,
    learners,
    quick_method,
    reading_of,
    seconds_for_folder,
)

USUAL = 0.05
FEWEST_OF_KIND = 10  # photos, so that each kind has a radius of its own


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
        self.defects = DefectField(studio, self._defects_arrived)
        self.groups = GroupField(studio, self.ticket, self._groups_changed)
        self.region = RegionField(studio, self.ticket)
        self.n = 0
        self.arriving = False
        self.refused: list[str] = []
        self.n_refused = 0
        self.reading: dict[str, Any] = {}
        self.quick = ""
        self.seconds: dict[str, float | None] = {}
        self.found_folders: dict[str, int] = {}
        self.folders: list[str] = []
        self.by_class = False
        self.by_folder = False
        self.rate = USUAL
        self.method = ""
        self.problem = ""
        self.title = ""

    def build(self) -> None:
        """Build the form."""
        with ui.element("div").classes("gap stack narrow"):
            with numbered_card(1, "Photos of good parts"):
                photo_field(self.ticket, "photos of good parts", self._arrived)
                self.state = ui.element("div").classes("stack").props('aria-live="polite"')
            with ui.element("div").classes("stack") as self.optional:
                self.defects.build()
                self.groups.build()
            self.optional.set_visibility(False)
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
            asks = len(folders) > 1 and not set(folders) <= set(self.folders)
            self.optional.set_visibility(bool(self.n) and not asks)
            if not self.n:
                self.questions.clear()
                return
            self.found_folders = folders
            if asks:
                self._ask_folders()
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
            pictures = await asyncio.to_thread(_some_photos, place)
            html(_strip(pictures))
            self.region.photo = pictures[0][0] if pictures else ""
        await self.groups.look()
        self._ask()
        await self._measure()

    def _found(self, height: int, width: int) -> str:
        size = f"{width} × {height} pixels"
        grey = "grey" if self.reading["channels"] == 1 else "colour"
        text = f"<b>{self.n:,} {grey} photos</b>, read on a canvas of {size}"
        if self.reading["fit"] == "letterbox" and LONGEST_SIDE in (height, width):
            text += f" (no side is longer than {LONGEST_SIDE:,} pixels)"
        return f"{text}. Each keeps its aspect."

    def _ask_folders(self) -> None:
        folders = self.found_folders
        likely = min(folders, key=lambda name: (goodness(name), -folders[name]))
        html("<p>The photos come from several folders. <b>Which ones hold good parts?</b></p>")
        self.folders = [likely]
        ticks = Ticks("Folders of good parts", self.folders, self._choose_folders)
        for name, count in folders.items():
            ticks.add(name, name or "no folder", f"{count:,} photos")
        html("<small>The other photos are not used. Score them later as new photos.</small>")
        self.take()

    @ui.refreshable_method
    def take(self) -> None:
        """Show the button that takes the chosen folders."""
        with ui.element("div").props('aria-live="polite"'):
            if not self.folders:
                html("<small>Choose one folder at least.</small>")
                return
            text = "Take this folder" if len(self.folders) == 1 else "Take these folders"
            controls.button(text, self._take_folders, "go", data_test="take-folder")

    def _choose_folders(self, chosen: list[str]) -> None:
        self.folders = chosen
        self.take.refresh()

    async def _take_folders(self) -> None:
        await asyncio.to_thread(self.studio.arrivals.keep_only, self.ticket, self.folders)
        await self._look()

    async def _defects_arrived(self) -> None:
        if not self.defects.n and self.method in learners():
            self.method = self.quick
        if self.n and self.quick:
            self.methods.refresh()
            await self._measure()

    def _groups_changed(self) -> None:
        self.count_folders.refresh()

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
            if len(self.found_folders) > 1:
                self._ask_kinds()
            with numbered_card(
                4, "How many false alarms are bearable?",
                "Fewer false alarms mean that more defects are missed. Of good photos, this many "
                "may be called strange:",
            ):  # fmt: skip
                radio = Radio(
                    "Bearable false alarms", str(self.rate), self._take_rate, "choices rates"
                )
                for one in choices:
                    radio.add(
                        str(one.rate), one_in(one.rate), _afforded(one), enabled=one.kind != "none"
                    )
            self.region.build()
            with numbered_card(5, "Training"):
                self.methods()
            with ui.element("section").classes("card stack"):
                with ui.element("label").classes("field"):
                    html("Name", "display:contents")
                    field = ui.element("input").props('type="text" maxlength="60" name="title"')
                    field.props["placeholder"] = "for example: bolts, line 2"
                    field.on("change", self._name, js_handler="(e) => emit(e.target.value)")
                controls.button("Train", self._train, "go wide", data_test="train-photos")
                self.complaint = ui.element("div").props('aria-live="polite"')

    def _ask_kinds(self) -> None:
        """Ask what several folders are."""
        few = min(self.found_folders.values())
        with ui.element("section").classes("card stack"):
            html("<h2>What are the folders?</h2>")
            chosen = "kinds" if self.by_class else "one"
            radio = Radio("What the folders are", chosen, self._take_kinds)
            radio.add("one", "One kind of part", "one detector for all; the folders do not count")
            note = f"{len(self.found_folders)} kinds, each with a sphere of its own; each new "
            note += "photo is called by the nearest kind"
            if few < FEWEST_OF_KIND:
                note = f"each takes {FEWEST_OF_KIND} photos, and one folder has {few}"
            radio.add("kinds", "Each is a kind of its own", note, enabled=few >= FEWEST_OF_KIND)
            self.count_folders()

    @ui.refreshable_method
    def count_folders(self) -> None:
        """Ask whether folders are groups, unless a table says the groups."""
        if self.groups.groups:
            html("<small>False alarms are counted for the groups of your table.</small>")
            return
        with ui.element("label").classes("take-out"):
            controls.checkbox(
                partial(setattr, self, "by_folder"), checked=self.by_folder, name="by-folder"
            )
            html(
                "<span>Count false alarms for each folder apart, for example where each is a "
                "camera or a shift</span>",
                "display:contents",
            )

    def _take_kinds(self, key: str) -> None:
        self.by_class = key == "kinds"
        if self.by_class:
            self.method = self.quick
        self.methods.refresh()

    @ui.refreshable_method
    def methods(self) -> None:
        """Show the ways to train, each with its time."""
        radio = Radio("Training", self.method, partial(setattr, self, "method"))
        note = "a method that suits most photos of parts"
        if self.defects.n:
            note += " and does not learn from the defects, so that they test it"
        title = f"Quick: {method_title(self.quick)}"
        radio.add(self.quick, title, f"{note}; {self._time(self.quick)}")
        radio.add(
            AUTO, "Compare several first",
            "for one kind of part only" if self.by_class else
            "made-up damage decides which method suits your photos; up to 10 min, then training",
            enabled=self.n >= 20 and not self.by_class,
        )  # fmt: skip
        if self.defects.n:
            for method in learners():
                note = method_card(method).summary
                if self.by_class:
                    note = "knows one kind of part only"
                else:
                    note += f"; photos are made small for it, no side over {NETWORK_SIDE} pixels"
                    if method == learners()[0] or method in self.seconds:
                        note += f"; {self._time(method)}"
                title = f"Learn from the defects: {method_title(method)}"
                radio.add(method, title, note, enabled=not self.by_class)

    def _time(self, method: str) -> str:
        found = self.seconds.get(method)
        return "measuring the time …" if found is None else f"{formatting.about(found)} here"

    async def _measure(self) -> None:
        if self.n < FEWEST_PHOTOS:
            return
        place = str(self.studio.arrivals.photos(self.ticket))
        for method in (self.quick, *(learners()[:1] if self.defects.n else ())):
            if method in self.seconds:
                continue
            try:
                found = await self.studio.ask(seconds_for_folder, place, method, self.rate)
            except InsphereError:
                continue  # the training will say why
            self.seconds[method] = found
            self.methods.refresh()

    def _take_rate(self, key: str) -> None:
        self.rate = float(key)

    def _name(self, event: object) -> None:
        self.title = str(getattr(event, "args", ""))[:60].strip()

    async def _train(self) -> None:
        arrivals = self.studio.arrivals
        try:
            several = len(self.found_folders) > 1
            plan = InspectionPlan(
                rate=self.rate,
                method=self.method,
                by_class=several and self.by_class,
                group_by="folder" if several and self.by_folder else None,
                region=self.region.region,
            )
            check_region(plan)
            place = arrivals.photos(self.ticket)
            places = await asyncio.to_thread(arrivals.arrange, self.ticket)
            column, beside = await asyncio.to_thread(self.groups.keep, places)
            if column:
                plan = plan.model_copy(update={"group_by": "table", "group_column": column})
            beside += [*self.region.keep(), *self.defects.folder()]
        except (InsphereError, ValueError) as error:
            self.complaint.clear()
            with self.complaint:
                message(str(error), "bad")
            return
        title = self.title or f"{self.n:,} photos"
        settings = {"plan": plan.model_dump()}
        found = self.studio.inspections.add(title, settings, place, beside=beside)
        self.studio.jobs.keep_working()
        ui.navigate.to(f"/photos/{found.identity}")


def _afforded(one: Affordable) -> str:
    if one.kind == "promise":
        return f"promised; {one.held_out:,} photos are kept out for it"
    if one.kind == "estimate":
        return f"estimated; a promise takes {one.fewest:,} photos"
    return f"takes {one.fewest:,} photos"


def _some_photos(folder: Path, most: int = 8) -> list[tuple[str, str]]:
    """Return addresses of small pictures of a few of the photos, and their names."""
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
        shown.append((_uri(file.getvalue()), path.name))
    return shown


def _strip(pictures: list[tuple[str, str]]) -> str:
    shown = "".join(f'<img src="{uri}" alt="{escape(name)}">' for uri, name in pictures)
    return f'<div class="strip">{shown}</div>'


def _uri(content: bytes) -> str:
    import base64

    return "data:image/jpeg;base64," + base64.b64encode(content).decode()
