"""The field for known anomalies: classes of the chosen images, or any other images."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping

from nicegui import ui

from insphere.errors import InsphereError
from insphere.studio import controls
from insphere.studio.app_state import Studio
from insphere.studio.controls import Ticks
from insphere.studio.frame import details, html, message
from insphere.studio.known_choice import ALL, SHARES, KnownChoice
from insphere.studio.photo_field import photo_field
from insphere.studio.uploads import keep_others


class KnownField:
    """The known anomalies of one visitor.

    Parameters
    ----------
    studio : Studio
        The studio whose images are offered.
    known : KnownChoice
        The selection, which is changed here.
    changed : callable
        Called when it has changed.
    """

    def __init__(
        self, studio: Studio, known: KnownChoice, changed: Callable[[], Awaitable[None] | None]
    ) -> None:
        self.studio, self.known, self._changed = studio, known, changed
        self._dataset = ""
        self._classes: Mapping[str, str] = {}
        self._arriving: tuple[str, str] = "", ""  # the ticket, and why nothing was kept

    def build(self, dataset: str, classes: Mapping[str, str]) -> None:
        """Build the field.

        Parameters
        ----------
        dataset : str
            The images that are trained on.
        classes : mapping of str to str
            A picture of each class that may be anomalous, as HTML; or "".
        """
        self._dataset, self._classes = dataset, classes
        with details("Some anomalies are known", opened=bool(self.known)):
            html(
                "<p class=muted>Some training images are labelled as anomalous, for a method that "
                "learns from them.</p>"
            )
            self.ticks()
            html(
                "<p class=muted>Any other images will do as well, if nothing normal is among them. "
                "They are read in the size and the colours of the images above.</p>"
            )
            self.others()
            self.bring()
            self.told()
        if self.known.others is not None:  # from the address
            ui.timer(0.05, self.look, once=True)

    def offer(self, classes: Mapping[str, str]) -> None:
        """Offer other classes of the same images."""
        self._classes = classes
        self.ticks.refresh()

    async def move(self, dataset: str, classes: Mapping[str, str]) -> None:
        """Go on with other images that are trained on, to which the choice was fitted."""
        self._dataset = dataset
        self.offer(classes)
        self.others.refresh()
        await self.look()

    @ui.refreshable_method
    def ticks(self) -> None:
        """Show the classes."""
        if not self._classes:
            return
        html(
            "<p class=muted>Tick what they show. How well these are found, and those that were "
            "never shown, is said apart.</p>"
        )
        pictures = any(self._classes.values())
        css = "pics" if pictures else "choices"
        ticks = Ticks("Known anomalies", self.known.classes, self._tick, css)
        for name, picture in self._classes.items():
            if pictures:
                ticks.add_picture(name, picture)
            else:
                ticks.add(name, name)

    @ui.refreshable_method
    def others(self) -> None:
        """Show the images that can be taken instead."""
        sources = [one for one in self.studio.sources.others() if one.dataset != self._dataset]
        named = [("", "none"), *((one.key, one.title) for one in sources)]
        now = "" if self.known.others is None else self.known.others.key
        controls.select("Other images", named, now, self._choose)

    @ui.refreshable_method
    def bring(self) -> None:
        """Show a button, or the field for photos of one's own that it opens."""
        ticket, problem = self._arriving
        if ticket:
            photo_field(ticket, "other images", self._arrived, "other-")
        else:
            with ui.element("div").classes("row"):
                controls.button("Bring other images", self._open, "small", data_test="bring-others")
        if problem:
            message(problem, "bad")

    @ui.refreshable_method
    def told(self) -> None:
        """Say what was found, and ask for the share."""
        known = self.known
        with ui.element("div").classes("stack").props('aria-live="polite"'):
            if known.problem:
                message(known.problem, "bad")
            elif known.others is not None:
                said = f"<b>{known.n_others:,} other images.</b>" if known.n_others else "Reading …"
                html(f'<p data-test="n-others">{said}</p>')
            shares = [(f"{one:g}", f"{100 * one:g} %") for one in SHARES]
            if known.others is not None:
                shares.append((ALL, "all of them"))
            now = ALL if known.share is None else f"{known.share:g}"
            with ui.element("div").classes("row"):
                controls.select("Share of the training images", shares, now, self._set_share)

    async def look(self) -> None:
        """Find out what the other images are."""
        self.told.refresh()
        if self.known.others is not None:
            await self.known.look(self.studio, self._dataset)
            self.told.refresh()
        await self._tell()

    # ------------------------------------------------------------------ what happens

    def _tick(self, names: list[str]) -> Awaitable[None] | None:
        had_others = self.known.others is not None
        self.known.take_classes(names)
        if had_others:
            self.others.refresh()
            self.told.refresh()
        return self._changed()

    async def _choose(self, key: str) -> None:
        had_classes = bool(self.known.classes)
        try:
            self.known.take_others(self.studio.sources.other(key) if key else None)
        except InsphereError as error:  # it was removed meanwhile
            self.known.problem = str(error)
        if had_classes:
            self.ticks.refresh()
        await self._tell()
        await self.look()

    def _set_share(self, key: str) -> Awaitable[None] | None:
        self.known.take_share(key)
        return self._changed()

    def _open(self) -> None:
        self._arriving = self.studio.arrivals.ticket(), ""
        self.bring.refresh()

    async def _arrived(self, done: int, over: bool, refused: list[str], n_refused: int) -> None:
        if not over:
            return
        arrivals, (ticket, _) = self.studio.arrivals, self._arriving
        problem = f"{n_refused} files were left out: {'; '.join(refused[:3])}" if n_refused else ""
        self._arriving = "", problem
        try:
            folders = arrivals.folders(ticket)
            title = max(folders, key=lambda name: folders[name], default="").partition("/")[0]
            place = arrivals.photos(ticket)
            kept = await asyncio.to_thread(keep_others, place, self.studio.uploads, title)
            source = self.studio.sources.other(str(kept))
        except InsphereError as error:
            self._arriving = "", problem or str(error)
            self.bring.refresh()
            return
        self.bring.refresh()
        await self._choose(source.key)
        self.others.refresh()

    async def _tell(self) -> None:
        outcome = self._changed()
        if outcome is not None:
            await outcome
