"""The view of an inspected image: verdict, score, heat map and the nearest normal images."""

from __future__ import annotations

from html import escape

import numpy as np

from insphere.figures.overlay import heat_key, heat_overlay
from insphere.studio import formatting
from insphere.studio.frame import html
from insphere.studio.inspect_image import ImageInspection


def show(inspection: ImageInspection, truth: str = "") -> None:
    """Show the results of a detector for an image.

    Parameters
    ----------
    inspection : ImageInspection
        The results.
    truth : str
        What the image truly is, if that is known.
    """
    verdict = "Anomalous" if inspection.anomalous else "Normal"
    css = "anomalous" if inspection.anomalous else "fine"
    sign = "✕" if inspection.anomalous else "○"
    ratio = inspection.score / inspection.threshold if inspection.threshold > 0 else float("nan")
    reach = f"{ratio:.2g} times the threshold" if np.isfinite(ratio) else ""
    known = f"truly {truth}" if truth else ""
    html(
        f'<div class="inspection"><div class="stack">{_pictures(inspection)}</div>'
        '<div class="stack">'
        f'<div class="verdict {css}" data-test="verdict">{sign} {verdict}<small>'
        f"{' · '.join(part for part in (reach, escape(known)) if part)}</small></div>"
        f"{_gauge(inspection)}{_facts(inspection)}{_nearest(inspection)}</div></div>"
    )


def _pictures(inspection: ImageInspection) -> str:
    parts = [formatting.picture(inspection.image, "the image", "large"), _heat(inspection)]
    if inspection.reconstruction is not None:
        shown = formatting.picture(
            inspection.reconstruction, "reconstruction by the network", "large"
        )
        parts.append(f"<figure>{shown}<small>Reconstruction by the network</small></figure>")
    return "".join(parts)


def _heat(inspection: ImageInspection) -> str:
    if inspection.heat is None or inspection.heat_scale is None:
        return ""
    threshold, top = inspection.heat_scale.threshold, inspection.heat_scale.top
    beyond = float((inspection.heat > threshold).mean())
    what = f"heat map: {100 * beyond:.0f} % of the pixels are hotter than those of normal images"
    overlay = heat_overlay(inspection.image, inspection.heat, threshold, top)
    shown = formatting.picture(overlay, what, "large")
    key = f'<img class="key" src="{formatting.data_uri(heat_key(threshold, top))}" alt="">'
    return (
        f'<figure data-test="heat">{shown}{key}<small>Heat map: where the score comes from. '
        f"Method: {escape(inspection.heat_method)}. Blue is as in normal images, yellow to red is "
        "beyond.</small></figure>"
    )


def _gauge(inspection: ImageInspection) -> str:
    reach = 2 * inspection.threshold if inspection.threshold > 0 else 1.0
    reach = max(reach, 1.1 * inspection.score)
    at = 100 * inspection.threshold / reach
    place = float(np.clip(100 * inspection.score / reach, 0, 100))
    label = f"score {inspection.score:.3g} against a threshold of {inspection.threshold:.3g}"
    return (
        f'<div class="gauge" style="--at:{at:.1f}%" role="img" aria-label="{label}">'
        f'<i style="left:{place:.1f}%"></i>'
        f'<em style="left:{at:.1f}%">threshold</em></div>'
    )


def _facts(inspection: ImageInspection) -> str:
    facts = formatting.score_facts(
        inspection.score, inspection.threshold, inspection.z_score, inspection.severity,
        inspection.p_value,
    )  # fmt: skip
    note = ""
    if not inspection.calibrated:
        note = "<small>A p-value needs held-out calibration images. This run has none.</small>"
    return facts + note


def _nearest(inspection: ImageInspection) -> str:
    pictures = "".join(
        f'<div class="thumb">{formatting.picture(image, "a normal training image")}'
        f"<span>{distance:.3g}</span></div>"
        for image, distance in zip(inspection.nearest, inspection.distances, strict=True)
    )
    where = "between representations" if inspection.space == "representations" else "between pixels"
    return (
        f"<section><h3>Nearest normal images <small>distance {where}</small></h3>"
        f'<div class="thumbs" style="margin-top:8px">{pictures}</div></section>'
    )
