"""Formatting of numbers, times and states, and small pieces of HTML."""

from __future__ import annotations

import base64
import io
import time
from collections.abc import Iterable
from html import escape

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from insphere.durations import duration

STATES = {
    "queued": ("○", "waiting"),
    "running": ("◐", "training"),
    "interrupted": ("◌", "interrupted"),
    "finished": ("●", "finished"),
    "failed": ("✕", "failed"),
}


def statements(lines: Iterable[tuple[str, str]], data_test: str) -> str:
    """Return a list of sentences, each with a text below it; neither is HTML."""
    items = "".join(f"<li><b>{escape(head)}.</b><p>{escape(text)}</p></li>" for head, text in lines)
    return f'<ul class="plain expect" data-test="{data_test}">{items}</ul>'


def score_facts(
    score: float, threshold: float, z_score: float, severity: str | None, p_value: float | None
) -> str:
    """Return a score in all units; without calibration samples the last two are None."""
    facts = [
        ("score", f"{score:.4g}"),
        ("threshold", f"{threshold:.4g}"),
        ("z-score", f"{z_score:+.1f}".replace("-", "−")),
    ]
    if severity is not None:
        facts.append(("severity", severity))
    if p_value is not None:
        facts.append(("p-value", f"{p_value:.2g}"))
    rows = "".join(f"<div><dt>{name}</dt><dd>{escape(value)}</dd></div>" for name, value in facts)
    return f'<dl class="facts" data-test="facts">{rows}</dl>'


def percent(share: float | None, digits: int = 1) -> str:
    """Write a share as per cent, without the sign.

    Examples
    --------
    >>> percent(0.9534), percent(None)
    ('95.3', '–')
    """
    return "–" if share is None else f"{100 * share:.{digits}f}"


def points(difference: float) -> str:
    """Write a difference of shares in points, with a true minus sign.

    Examples
    --------
    >>> points(0.0123), points(-0.004)
    ('+1.2', '−0.4')
    """
    return f"{100 * difference:+.1f}".replace("-", "−")


def about(seconds: float) -> str:
    """Write an estimated duration.

    Examples
    --------
    >>> about(0.4), about(12.3), about(400)
    ('about a second', 'about 12 s', 'about 7 min')
    """
    return "about a second" if seconds < 1.5 else f"about {duration(seconds)}"


def ago(moment: float | None) -> str:
    """Write the time since a moment."""
    if moment is None:
        return "–"
    seconds = max(0.0, time.time() - moment)
    if seconds < 60:
        return "just now"
    if seconds < 172800:
        return f"{duration(seconds)} ago" if seconds < 7200 else f"{round(seconds / 3600)} h ago"
    return time.strftime("%Y-%m-%d", time.localtime(moment))


def state(name: str) -> str:
    """Return a state as HTML: a symbol and a word, never only a colour."""
    sign, word = STATES[name]
    return f'<span class="state {name}"><i aria-hidden="true">{sign}</i> {word}</span>'


def picture(image: NDArray[np.uint8], alt: str, css: str = "") -> str:
    """Return an image as HTML that contains its pixels."""
    return f'<img class="pixels {css}" src="{data_uri(image)}" alt="{escape(alt)}">'


def data_uri(image: NDArray[np.uint8]) -> str:
    """Return an image as a data URI of a PNG."""
    shown = image[..., 0] if image.shape[-1] == 1 else image
    file = io.BytesIO()
    Image.fromarray(shown).save(file, "PNG")
    return "data:image/png;base64," + base64.b64encode(file.getvalue()).decode()
