"""The optional field for a table that says to which group each good photo belongs."""

from __future__ import annotations

from collections import Counter
from collections.abc import Awaitable, Callable, Mapping
from html import escape
from pathlib import Path
from typing import Any

from nicegui import events, ui

from insphere.errors import InsphereError
from insphere.studio import controls, upload_widget
from insphere.studio.app_state import Studio
from insphere.studio.arrivals import clean_name
from insphere.studio.frame import html, message, numbered_card
from insphere.workflows.group_table import GROUPS, OfferedGroups, offered_groups, write_groups

SUFFIXES = (".csv", ".tsv")
_SHOWN = 12  # groups that are named


class GroupField:
    """The table of groups of one visitor.

    Parameters
    ----------
    studio : Studio
        The studio where it arrives.
    ticket : str
        That of the good photos.
    changed : callable
        Called when the groups have changed.
    """

    def __init__(
        self, studio: Studio, ticket: str, changed: Callable[[], Awaitable[None] | None]
    ) -> None:
        self.studio, self.ticket, self._changed = studio, ticket, changed
        self._table: tuple[Path, str] | None = None  # the file, and what it was called
        self._named: list[tuple[str, str]] = []  # the photos for which it was read
        self._found: OfferedGroups | None = None
        self._column = ""
        self._problem = ""

    def build(self) -> None:
        """Build the field."""
        with numbered_card(
            3, "Groups of photos, if you know them",
            "A table (CSV) can say from which shift, camera or product each photo is: one column "
            "with the names of the files, and one with the group. False alarms are then counted "
            "for each group apart. Without one, go on below.",
        ):  # fmt: skip
            with ui.element("div").props('data-test="group-table"'):
                self._uploader = upload_widget.drop(
                    ",".join(SUFFIXES), "Drop a CSV file here, or choose one", self._arrived,
                    self._rejected,
                )  # fmt: skip
            self.told()

    @property
    def groups(self) -> tuple[str, ...]:
        """The group of each photo; none if there is nothing to count by."""
        said = "" if self._found is None else self._found.columns.get(self._column, "")
        return () if isinstance(said, str) else said

    @ui.refreshable_method
    def told(self) -> None:
        """Say what the table means for the photos that are here."""
        with ui.element("div").classes("stack").props('aria-live="polite"'):
            if self._problem:
                message(self._problem, "bad")
            if self._found is None:
                return
            columns = self._found.columns
            if len(columns) > 1:
                named = [(name, name) for name in columns]
                controls.select("Column that says the group", named, self._column, self._choose)
            said = columns[self._column]
            if isinstance(said, str):
                message(said, "bad")
            else:
                html(f'<p data-test="n-groups">{_counted(self._column, said)}</p>')
            if self._found.sentences:
                lines = "".join(f"<li>{escape(one)}</li>" for one in self._found.sentences)
                html(f'<ul class="said" data-test="about-groups">{lines}</ul>')
            with ui.element("div").classes("row"):
                controls.button(
                    "Leave the table out", self._leave_out, "small", data_test="no-groups"
                )

    async def look(self) -> None:
        """Read the table for the photos that are here now."""
        if self._table is None:
            return
        path, called = self._table
        self._found, self._problem = None, ""
        try:
            self._named = self.studio.arrivals.names(self.ticket)
            names = [name for _, name in self._named]
            found = await self.studio.ask(offered_groups, str(path), called, names, "photos")
        except InsphereError as error:
            self._problem, self._table = str(error), None
        else:
            self._found = found
            if self._column not in found.columns:
                self._column = found.usual or next(iter(found.columns))
        await self._tell()

    def keep(self, places: Mapping[str, str]) -> tuple[str, list[Path]]:
        """Write the groups of the photos that are here into a table.

        Parameters
        ----------
        places : mapping of str to str
            Where each photo lies now; see `insphere.studio.arrivals.Arrivals.arrange`.

        Returns
        -------
        column : str
            Of that table; "" without groups.
        beside : list of pathlib.Path
            The table, to be kept beside the good photos.
        """
        if not self.groups:
            return "", []
        target = self.studio.arrivals.photos(self.ticket).with_name(GROUPS)
        rows = (
            (places[file], name, group)
            for (file, name), group in zip(self._named, self.groups, strict=True)
            if file in places
        )
        return write_groups(target, self._column, rows), [target]

    # ------------------------------------------------------------------ inside

    async def _arrived(self, event: events.UploadEventArguments) -> None:
        self._uploader.reset()
        called = clean_name(str(event.file.name)).rpartition("/")[2]
        suffix = Path(called).suffix.lower()
        if suffix not in SUFFIXES:
            await self._rejected(event)
            return
        self._column = ""
        try:
            place = self.studio.arrivals.photos(self.ticket).with_name(f"table{suffix}")
        except InsphereError as error:
            self._problem = str(error)
            await self._tell()
            return
        await event.file.save(place)
        self._table = place, called
        await self.look()

    async def _rejected(self, _: Any) -> None:
        self._found, self._table = None, None
        self._problem = "This is no CSV file, or it is larger than 100 MB."
        await self._tell()

    async def _choose(self, column: str) -> None:
        if self._found is not None and column in self._found.columns:
            self._column = column
            await self._tell()

    async def _leave_out(self) -> None:
        self._found, self._table, self._problem = None, None, ""
        await self._tell()

    async def _tell(self) -> None:
        self.told.refresh()
        outcome = self._changed()
        if outcome is not None:
            await outcome


def _counted(column: str, groups: tuple[str, ...]) -> str:
    counts = Counter(groups).most_common()
    named = ", ".join(f"{escape(name)} ({n:,})" for name, n in counts[:_SHOWN])
    more = f", and {len(counts) - _SHOWN} more" if len(counts) > _SHOWN else ""
    return f"<b>{len(counts)} groups by {escape(column)}:</b> {named}{more}."
