"""Figures as bytes: PNG, SVG, and SVG to stand inside a web page."""

from __future__ import annotations

import io
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from html import escape

import matplotlib
from matplotlib.figure import Figure

from insphere.figures.style import CSS_NAMES

_RENDERING = threading.Lock()


def to_png(figure: Figure, dpi: int = 150, source: str | None = None) -> bytes:
    """Return the figure as a PNG file.

    Parameters
    ----------
    figure : Figure
        Any figure of this room.
    dpi : int
        Pixels per inch.
    source : str, optional
        What it was drawn from, to be written into the file under "Source".
    """
    buffer = io.BytesIO()
    metadata = {"Software": None, "Source": source}
    figure.savefig(buffer, format="png", dpi=dpi, metadata=metadata)
    return buffer.getvalue()


def to_svg(figure: Figure) -> bytes:
    """Return the figure as an SVG file; its text is drawn as shapes and needs no font."""
    return _svg(figure, fonttype="path")


def to_inline_svg(figure: Figure, *, prefix: str, alt: str) -> str:
    """Return the figure as an ``<svg>`` element to be placed in an HTML page.

    Its text stays text in the font of the page, its colours are CSS variables (see
    `insphere.figures.style.CSS_NAMES`) with the printed colours as their defaults, its background
    is transparent, and it grows and shrinks with the column it stands in.

    Parameters
    ----------
    figure : Figure
        Any figure of this room.
    prefix : str
        Put before every id, so that several figures can stand in one page; letters, digits and
        hyphens.
    alt : str
        What the figure says, for people who cannot see it.
    """
    svg = _svg(figure, fonttype="none", transparent=True).decode("utf-8")
    svg = svg[svg.index("<svg") :]
    svg = re.sub(r"<metadata>.*?</metadata>", "", svg, flags=re.DOTALL)
    head, body = svg.split(">", 1)
    view = re.search(r'viewBox="[^"]*"', head)
    if view is None:
        raise RuntimeError("Matplotlib wrote an SVG without a viewBox.")
    body = re.sub(r'\bid="([^"]+)"', rf'id="{prefix}-\1"', body)
    body = re.sub(r'(href="|url\()#', rf"\1#{prefix}-", body)
    body = body.replace('<style type="text/css">*{', "<style>.plot *{", 1)  # not the whole page
    for colour, name in CSS_NAMES.items():
        body = re.sub(rf"(:\s*){colour}\b", rf"\1var({name}, {colour})", body)
    return f'<svg class="plot" role="img" aria-label="{escape(alt)}" {view.group()}>{body}'


def _svg(figure: Figure, *, fonttype: str, transparent: bool = False) -> bytes:
    buffer = io.BytesIO()
    metadata = dict.fromkeys(("Creator", "Date", "Format", "Type"))
    with _svg_settings(fonttype):
        figure.savefig(buffer, format="svg", transparent=transparent, metadata=metadata)
    return buffer.getvalue()


@contextmanager
def _svg_settings(fonttype: str) -> Iterator[None]:
    # The SVG writer reads these from the global rcParams and offers no other way. One thread at a
    # time sets only them, and puts back only them.
    settings = matplotlib.rcParams
    with _RENDERING:
        before = settings["svg.fonttype"], settings["svg.hashsalt"]
        settings["svg.fonttype"], settings["svg.hashsalt"] = fonttype, "insphere"
        try:
            yield
        finally:
            settings["svg.fonttype"], settings["svg.hashsalt"] = before
