"""The optional field for what is left out at the edges of photos."""

from __future__ import annotations

from functools import partial

from nicegui import ui

from insphere.studio import controls
from insphere.studio.frame import html

EDGES = ("top", "left", "bottom", "right")
MOST = 45  # per cent at one edge, so that something is left between two


class RegionField:
    """Which part of all photos is judged: what lies between four edges.

    Parameters
    ----------
    picture : str
        One of the photos, as the address of a small picture; "" for none.
    """

    def __init__(self, picture: str = "") -> None:
        self.picture = picture
        self._left_out = dict.fromkeys(EDGES, 0)

    @property
    def region(self) -> list[float] | None:
        """Top, left, bottom and right as shares of height and width; None for the whole photo."""
        if not any(self._left_out.values()):
            return None
        top, left, bottom, right = (self._left_out[edge] / 100 for edge in EDGES)
        return [top, left, round(1 - bottom, 2), round(1 - right, 2)]

    def build(self) -> None:
        """Build the field."""
        with ui.element("section").classes("card stack").props('data-test="region"'):
            html("<h2>What is judged</h2>")
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
            self.preview()

    @ui.refreshable_method
    def preview(self) -> None:
        """Show one photo, and what is left out of it."""
        if not self.picture:
            return
        top, left, bottom, right = (self._left_out[edge] for edge in EDGES)
        kept = f"{100 - top - bottom} % of the height and {100 - left - right} % of the width"
        html(
            f'<figure class="judged"><div><img src="{self.picture}" alt="One of the photos">'
            f'<span style="inset:{top}% {right}% {bottom}% {left}%"></span></div>'
            f'<figcaption aria-live="polite">Judged: {kept}</figcaption></figure>'
        )

    def _change(self, edge: str, value: int | None) -> None:
        self._left_out[edge] = value or 0
        self.preview.refresh()
