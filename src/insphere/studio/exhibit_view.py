"""What explains a sample that is no image: words, bars, lines, a table, its surroundings."""

from __future__ import annotations

import math
from collections.abc import Sequence
from html import escape

import numpy as np

from insphere import figures
from insphere.modalities.exhibit import Bar, Curve, Exhibit, Vertex

SIDE = 340  # of the drawing of surroundings
RINGS = (0, 85, 145)
NAMED = 14  # vertices beyond which names are left out of the outer ring


def as_html(exhibit: Exhibit, prefix: str) -> str:
    """Return an exhibit as HTML.

    Parameters
    ----------
    exhibit : Exhibit
        From `Modality.exhibits`.
    prefix : str
        Begins the names of what the page must tell apart.
    """
    parts = [
        f"<p>{escape(exhibit.note)}</p>" if exhibit.note else "",
        _words(exhibit.words),
        _surroundings(exhibit.vertices, exhibit.edges),
        _curves(exhibit.curves, prefix),
        _bars(exhibit.bars),
        _table(exhibit.head, exhibit.rows),
    ]
    return "".join(part for part in parts if part)


def _words(words: Sequence[tuple[str, float]]) -> str:
    if not words:
        return ""
    spans = " ".join(
        f'<span style="background:color-mix(in srgb, var(--anomalous) {100 * share:.0f}%, '
        f'transparent);border-radius:4px" title="{share:.0%} of the score">{escape(word)}</span>'
        for word, share in words
    )
    return f'<p data-test="words" style="font-size:17px;line-height:1.9">{spans}</p>'


def _bars(bars: Sequence[Bar]) -> str:
    if not bars:
        return ""
    rows = "".join(
        f'<tr><th scope="row" style="text-align:left;font-weight:500">{escape(bar.name)}</th>'
        f'<td class="num" style="text-align:right">{escape(bar.value)}</td>'
        f'<td style="width:30%"><div class="bar" aria-hidden="true"><i style="width:'
        f'{min(100.0, 100 * bar.share):.1f}%"></i></div></td>'
        f'<td class="num" style="text-align:right">{bar.share:.0%}</td>'
        f"<td><small>{f'usually {escape(bar.usual)}' if bar.usual else ''}</small></td></tr>"
        for bar in bars
    )
    return f'<div style="overflow-x:auto"><table data-test="contributions">{rows}</table></div>'


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    if not rows:
        return ""
    names = "".join(f'<th scope="col">{escape(name)}</th>' for name in head)
    body = "".join(
        "<tr>" + "".join(f"<td>{escape(cell)}</td>" for cell in row) + "</tr>" for row in rows
    )
    return (
        f'<div style="overflow-x:auto" tabindex="0"><table class="list" data-test="nearest"><thead>'
        f"<tr>{names}</tr></thead><tbody>{body}</tbody></table></div>"
    )


def _curves(curves: Sequence[Curve], prefix: str) -> str:
    if not curves:
        return ""
    figure = figures.stretches([(c.name, np.array(c.y), c.marked) for c in curves])
    alt = "The stretch around the point: " + ", ".join(" ".join(c.name.split()) for c in curves)
    drawn = figures.to_inline_svg(figure, prefix=prefix, alt=alt)
    styled = 'class="plot" style="width:100%;height:auto"'
    wide = drawn.replace('class="plot"', styled, 1)
    return f'<div data-test="curves">{wide}</div>'


def _surroundings(vertices: Sequence[Vertex], edges: Sequence[tuple[int, int]]) -> str:
    """Draw a sample in the middle of its surroundings; what adds most to the score is largest."""
    if len(vertices) < 2:
        return ""
    middle, places = SIDE / 2, [(SIDE / 2, SIDE / 2)] * len(vertices)
    for ring in (1, 2):
        own = [i for i, vertex in enumerate(vertices) if vertex.ring == ring]
        for turn, i in enumerate(own):
            angle = 2 * math.pi * turn / len(own) + ring
            reach = RINGS[ring]
            places[i] = (middle + reach * math.cos(angle), middle + reach * math.sin(angle))
    lines = "".join(
        f'<line x1="{places[a][0]:.0f}" y1="{places[a][1]:.0f}" x2="{places[b][0]:.0f}" '
        f'y2="{places[b][1]:.0f}" stroke="var(--line)" stroke-width="1.5"/>'
        for a, b in edges
    )
    most = max(vertex.share for vertex in vertices) or 1.0
    marks = []
    for vertex, (x, y) in zip(vertices, places, strict=True):
        size = 5 + 9 * math.sqrt(vertex.share / most)
        border = "" if vertex.ring else ' stroke="var(--ink)" stroke-width="2"'
        name = escape(vertex.name[:18])
        marks.append(
            f'<circle cx="{x:.0f}" cy="{y:.0f}" r="{size:.1f}" fill="color-mix(in srgb, '
            f'var(--anomalous) {100 * vertex.shade:.0f}%, var(--normal))"{border}>'
            f"<title>{escape(vertex.name)}: {vertex.share:.0%} of the score</title></circle>"
        )
        if vertex.ring < 2 or len(vertices) <= NAMED:
            marks.append(
                f'<text x="{x:.0f}" y="{y - size - 3:.0f}" text-anchor="middle" font-size="11" '
                f'fill="var(--ink)">{name}</text>'
            )
    return (
        f'<figure data-test="surroundings"><svg viewBox="0 0 {SIDE} {SIDE}" role="img" '
        f'aria-label="The node with {len(vertices) - 1} nodes around it" '
        f'style="max-width:{SIDE}px;width:100%">{lines}{"".join(marks)}</svg><br><small>Itself in '
        "the middle. Larger adds more to the score; the more orange, the more anomalous by itself."
        "</small></figure>"
    )
