"""Figures of the screen as HTML pages that open without a network."""

from __future__ import annotations

from html import escape
from typing import Any

from insphere.errors import require

SCRIPT = "plotly.min.js"


def to_html(figure: Any, name: str) -> bytes:
    """Return a page with the figure; it needs the file `SCRIPT` in the same folder.

    Parameters
    ----------
    figure : plotly.graph_objects.Figure
        Any figure of this room.
    name : str
        Id of the figure in the page: letters, digits and hyphens.
    """
    write = require("plotly.io", "figures", "A figure for the screen").to_html
    page: str = write(
        figure,
        include_plotlyjs="directory",
        include_mathjax=False,
        full_html=True,
        div_id=name,
        config={"displaylogo": False, "responsive": True, "plotlyServerURL": ""},
    )
    title = escape(figure.layout.title.text or name, quote=False).replace("&amp;", "&")
    page = page.replace("<html>", '<!doctype html>\n<html lang="en">', 1)
    return page.replace("<head>", f"<head><title>{title}</title>", 1).encode("utf-8")


def script() -> bytes:
    """Return plotly.js, which all pages of a folder share."""
    offline = require("plotly.offline", "figures", "A figure for the screen")
    text: str = offline.get_plotlyjs()
    return text.encode("utf-8")
