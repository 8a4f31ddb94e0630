"""The optional field for photos of defects on the form of a detector of photos."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path

from nicegui import ui

from insphere.errors import InsphereError
from insphere.experiments.store.inspections import DEFECTS
from insphere.studio import controls
from insphere.studio.app_state import Studio
from insphere.studio.frame import html, message, numbered_card
from insphere.studio.photo_field import photo_field


class DefectField:
    """The photos of defects of one visitor.

    Parameters
    ----------
    studio : Studio
        The studio where they arrive.
    changed : callable
        Called when all have arrived, or when they are left out again.
    """

    def __init__(self, studio: Studio, changed: Callable[[], Awaitable[None]]) -> None:
        self.studio, self._changed = studio, changed
        self.ticket = studio.arrivals.ticket()
        self.n = 0
        self._refused: list[str] = []
        self._n_refused = 0

    def build(self) -> None:
        """Build the field."""
        with numbered_card(
            2, "Photos of defects, if you have any",
            "A detector can learn from them, or be tested with them. They are never among the good "
            "ones. Without any, go on below.",
        ):  # fmt: skip
            photo_field(self.ticket, "photos of defects", self._arrived, "defect-")
            self.told()

    @ui.refreshable_method
    def told(self) -> None:
        """Say what has arrived."""
        with ui.element("div").classes("stack").props('aria-live="polite"'):
            if self._n_refused:
                reasons = "; ".join(self._refused[:3])
                message(f"{self._n_refused} files were left out: {reasons}", "bad")
            if self.n:
                photos = "photo" if self.n == 1 else "photos"
                html(f'<p data-test="n-defects"><b>{self.n:,} {photos} of defects.</b></p>')
                controls.button("Leave them out", self._leave_out, "small", data_test="no-defects")

    def folder(self) -> list[Path]:
        """Return the folder to keep beside the good photos; none without photos of defects.

        Raises
        ------
        DataError
            If they are not here any more.
        """
        if not self.n:
            return []
        place = self.studio.arrivals.photos(self.ticket)
        return [place.rename(place.with_name(DEFECTS))]

    async def _arrived(self, done: int, over: bool, refused: list[str], n_refused: int) -> None:
        self._refused, self._n_refused = refused, n_refused
        if over:
            await self._look()

    async def _leave_out(self) -> None:
        await asyncio.to_thread(self.studio.arrivals.keep_only, self.ticket, ())
        self._refused, self._n_refused = [], 0
        await self._look()

    async def _look(self) -> None:
        try:
            self.n = len(self.studio.arrivals.names(self.ticket))
        except InsphereError as error:
            self.n, self._refused, self._n_refused = 0, [str(error)], 1
        self.told.refresh()
        await self._changed()
