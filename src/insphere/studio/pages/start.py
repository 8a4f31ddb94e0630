"""The first page: two ways in."""

from __future__ import annotations

from urllib.parse import urlencode

from fastapi import Request, Response
from fastapi.responses import RedirectResponse
from nicegui import ui

from insphere.studio.app_state import Studio
from insphere.studio.frame import PATIENCE, frame, html
from insphere.studio.inspection_list import inspection_list

WAYS = """
<div class="ways">
<a class="way" href="/photos" data-test="way-photos">
<svg viewBox="0 0 96 64" aria-hidden="true"><rect x="6" y="10" width="36" height="44" rx="5"/>
<rect x="30" y="6" width="36" height="44" rx="5" class="fill"/>
<rect x="54" y="14" width="36" height="44" rx="5" class="fill"/>
<circle cx="76" cy="40" r="7" class="mark"/></svg>
<b>Inspect my photos</b>
<span>Give photos of good parts alone. New photos are then put in order, the strangest first, with
the place marked.</span><em>You need: about 60 photos or more</em></a>
<a class="way" href="/compare" data-test="way-compare">
<svg viewBox="0 0 96 64" aria-hidden="true">
<path d="M10 56V40h14v16M32 56V28h14v28M54 56V12h14v44M76 56V34h14v22"/></svg>
<b>Compare methods</b>
<span>Choose images whose classes are known. Train detectors on one class, and measure how well
each finds the others.</span>
<em>You need: images in one folder for each class, or none, because digits are here</em></a>
</div>
"""


def register(studio: Studio) -> None:
    """Register the page at its address."""

    @ui.page("/", response_timeout=PATIENCE)
    def start(request: Request) -> Response | None:
        if request.query_params:  # addresses of the form were here before
            given = urlencode(list(request.query_params.multi_items()))
            return RedirectResponse(f"/compare?{given}")
        with frame(studio, "Start", "/"):
            html("<h1>What is not as it should be?</h1>")
            html(
                '<p class="lead">insphere learns from normal images what normal looks like, and '
                "says how far anything new lies outside. All of it happens on this computer.</p>"
            )
            html(WAYS)
            inspection_list(studio, most=6)
        return None
