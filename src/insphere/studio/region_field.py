"""The optional field for the part of photos that is judged: by edges, or by a picture."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from nicegui import events, ui
from PIL import Image, ImageChops, ImageFilter

from insphere.detectors.pretrained.regions import Mask
from insphere.errors import InsphereError
from insphere.experiments.store.inspections import REGION
from insphere.studio import controls, formatting, upload_widget
from insphere.studio.app_state import Studio
from insphere.studio.frame import html, message
from insphere.studio.inspection_facts import judged_share
from insphere.studio.uploads import judged_part
from insphere.web.uploads import LIMITS

EDGES = ("top", "left", "bottom", "right")
MOST = 45  # per cent at one edge, so that something is left between two
SUFFIX = ".png"  # what is black in a JPEG is not quite black
DIMMED = 140  # opacity of what is not judged, of 255
SIDE, LINE = 512, 5  # pixels of the preview of a picture, and of a line around its white


class RegionField:
    """Which part of all photos is judged: what lies between four edges, or is white in a picture.

    Parameters
    ----------
    studio : Studio
        The studio where the picture arrives.
    ticket : str
        That of the good photos.
    """

    def __init__(self, studio: Studio, ticket: str) -> None:
        self.studio, self.ticket = studio, ticket
        self.photo = ""  # one of the photos, as the address of a small picture
        self._left_out = dict.fromkeys(EDGES, 0)
        self._picture: Mask | None = None
        self._problem = ""

    @property
    def region(self) -> list[float] | str | None:
        """The name of the picture; else the edges as shares; None for the whole photo."""
        if self._picture is not None:
            return REGION
        if not any(self._left_out.values()):
            return None
        top, left, bottom, right = (self._left_out[edge] / 100 for edge in EDGES)
        return [top, left, round(1 - bottom, 2), round(1 - right, 2)]

    def keep(self) -> list[Path]:
        """Write the picture into a file, to be kept beside the good photos; none without one."""
        if self._picture is None:
            return []
        place = self.studio.arrivals.photos(self.ticket).with_name(REGION)
        Image.fromarray(self._picture).save(place)
        return [place]

    def build(self) -> None:
        """Build the field."""
        with ui.element("section").classes("card stack").props('data-test="region"'):
            html("<h2>What is judged</h2>")
            self.edges()
            self._uploader = upload_widget.drop(
                SUFFIX, "Drop a PNG file here, or choose one", self._arrived, self._rejected
            )
            self.told()
            self.preview()

    @ui.refreshable_method
    def edges(self) -> None:
        """Ask what is left out at the edges, unless a picture says what is judged."""
        if self._picture is not None:
            html(
                "<p>What is white in your picture, which is stretched over each photo. As long as "
                "it is here, nothing else is left out at the edges.</p>"
            )
            return
        html(
            "<p>All of each photo. If something at the edges is no part of it, such as a "
            "holder, leave it out: so many per cent of the height or the width.</p>"
        )
        with ui.element("div").classes("row"):
            for edge in EDGES:
                controls.number(
                    f"{edge}, %", self._left_out[edge], partial(self._change, edge),
                    least=0, most=MOST,
                )  # fmt: skip
        html(
            "<p>Or give a picture (PNG) that is white where photos are judged, and black "
            "elsewhere. It then takes the place of the edges.</p>"
        )

    @ui.refreshable_method
    def told(self) -> None:
        """Say why a picture was refused, and offer to leave out one that was not."""
        with ui.element("div").classes("stack").props('aria-live="polite"'):
            if self._problem:
                message(self._problem, "bad")
            if self._picture is not None:
                with ui.element("div").classes("row"):
                    controls.button(
                        "Leave the picture out", self._leave_out, "small", data_test="no-picture"
                    )

    @ui.refreshable_method
    def preview(self) -> None:
        """Show one photo, and what is left out of it."""
        if not self.photo:
            return
        if self._picture is None:
            top, left, bottom, right = (self._left_out[edge] for edge in EDGES)
            kept = f"{100 - top - bottom} % of the height and {100 - left - right} % of the width"
            shown = f'<span style="inset:{top}% {right}% {bottom}% {left}%"></span>'
        else:
            kept = f"{judged_share(float(self._picture.mean()))} of the photo"
            shown = f'<img class="dimmed" src="{_dimmed(self._picture)}" alt="">'
        html(
            f'<figure class="judged"><div><img src="{self.photo}" alt="One of the photos">{shown}'
            f'</div><figcaption aria-live="polite">Judged: {kept}</figcaption></figure>'
        )

    # ------------------------------------------------------------------ inside

    def _change(self, edge: str, value: int | None) -> None:
        self._left_out[edge] = value or 0
        self.preview.refresh()

    async def _arrived(self, event: events.UploadEventArguments) -> None:
        self._uploader.reset()
        if not str(event.file.name).lower().endswith(SUFFIX):
            self._rejected(event)
            return
        try:
            picture = await self.studio.ask(judged_part, await event.file.read())
        except InsphereError as error:
            self._refuse(str(error))
            return
        self._take(picture)

    def _rejected(self, _: Any) -> None:
        self._refuse(f"This is no PNG file, or it is larger than {LIMITS.bytes // 1_000_000} MB.")

    def _refuse(self, why: str) -> None:
        self._problem = why
        self.told.refresh()

    def _leave_out(self) -> None:
        self._take(None)

    def _take(self, picture: Mask | None) -> None:
        self._picture, self._problem = picture, ""
        self.edges.refresh()
        self.told.refresh()
        self.preview.refresh()


def _dimmed(judged: Mask) -> str:
    """Return a picture that darkens what is not judged, to lie over a photo, as an address."""
    white = Image.fromarray(judged).convert("L").resize((SIDE, SIDE), Image.Resampling.NEAREST)
    line = ImageChops.subtract(white.filter(ImageFilter.MaxFilter(LINE)), white)
    opacity = white.point(lambda value: 0 if value else DIMMED)
    dimmed = Image.merge("LA", (line, ImageChops.lighter(opacity, line)))
    return formatting.data_uri(np.asarray(dimmed))
