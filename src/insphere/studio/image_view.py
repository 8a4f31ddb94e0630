"""One image in a sheet of its own: verdict, score in every unit, why, and what is closest."""

from __future__ import annotations

from html import escape

import numpy as np

from insphere.figures.overlay import heat_key, heat_overlay
from insphere.studio import formatting
from insphere.studio.frame import html
from insphere.studio.inspect_image import Closer


def show(closer: Closer, truth: str = "") -> None:
    """Lay out what a detector says about an image.

    Parameters
    ----------
    closer : Closer
        What it says.
    truth : str
        What the image truly is, if somebody knows.
    """
    verdict = "Anomalous" if closer.anomalous else "Normal"
    css = "odd" if closer.anomalous else "fine"
    sign = "✕" if closer.anomalous else "○"
    ratio = closer.score / closer.threshold if closer.threshold > 0 else float("nan")
    reach = f"{ratio:.2g} times the threshold" if np.isfinite(ratio) else ""
    known = f"truly {truth}" if truth else ""
    html(
        f'<div class="closer"><div class="stack">{_pictures(closer)}</div><div class="stack">'
        f'<div class="verdict {css}" data-test="verdict">{sign} {verdict}<small>'
        f"{' · '.join(part for part in (reach, escape(known)) if part)}</small></div>"
        f"{_gauge(closer)}{_facts(closer)}{_nearest(closer)}</div></div>"
    )


def _pictures(closer: Closer) -> str:
    parts = [formatting.picture(closer.image, "the image", "large"), _heat(closer)]
    if closer.reconstruction is not None:
        shown = formatting.picture(
            closer.reconstruction, "what the network restores of it", "large"
        )
        parts.append(f"<figure>{shown}<small>what the network restores of it</small></figure>")
    return "".join(parts)


def _heat(closer: Closer) -> str:
    if closer.heat is None or closer.heat_scale is None:
        return ""
    threshold, top = closer.heat_scale.threshold, closer.heat_scale.top
    beyond = float((closer.heat > threshold).mean())
    what = f"heat map: {100 * beyond:.0f} % of the pixels are hotter than normal images get"
    overlay = heat_overlay(closer.image, closer.heat, threshold, top)
    shown = formatting.picture(overlay, what, "large")
    key = f'<img class="key" src="{formatting.data_uri(heat_key(threshold, top))}" alt="">'
    return (
        f'<figure data-test="heat">{shown}{key}<small>Where the score comes from, by '
        f"{escape(closer.heat_method)}: blue as in normal images, yellow to red beyond."
        "</small></figure>"
    )


def _gauge(closer: Closer) -> str:
    reach = 2 * closer.threshold if closer.threshold > 0 else 1.0
    reach = max(reach, 1.1 * closer.score)
    at = 100 * closer.threshold / reach
    place = float(np.clip(100 * closer.score / reach, 0, 100))
    label = f"score {closer.score:.3g} against a threshold of {closer.threshold:.3g}"
    return (
        f'<div class="gauge" style="--at:{at:.1f}%" role="img" aria-label="{label}">'
        f'<i style="left:{place:.1f}%"></i>'
        f'<em style="left:{at:.1f}%">threshold</em></div>'
    )


def _facts(closer: Closer) -> str:
    facts = [
        ("score", f"{closer.score:.4g}"),
        ("threshold", f"{closer.threshold:.4g}"),
        ("z-score", f"{closer.z_score:+.1f}".replace("-", "−")),
    ]
    if closer.severity is not None:
        facts.append(("severity", closer.severity))
    if closer.p_value is not None:
        facts.append(("p-value", f"{closer.p_value:.2g}"))
    rows = "".join(f"<div><dt>{name}</dt><dd>{escape(value)}</dd></div>" for name, value in facts)
    note = ""
    if not closer.calibrated:
        note = "<small>A p-value needs held-out normals, which this run did not set aside.</small>"
    return f'<dl class="facts" data-test="facts">{rows}</dl>{note}'


def _nearest(closer: Closer) -> str:
    pictures = "".join(
        f'<div class="thumb">{formatting.picture(image, "a normal training image")}'
        f"<span>{distance:.3g}</span></div>"
        for image, distance in zip(closer.nearest, closer.distances, strict=True)
    )
    where = "in the representation" if closer.space == "representations" else "in pixels"
    return (
        f"<section><h3>Closest normal images <small>distance {where}</small></h3>"
        f'<div class="thumbs" style="margin-top:8px">{pictures}</div></section>'
    )
